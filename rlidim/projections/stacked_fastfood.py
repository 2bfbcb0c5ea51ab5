"""Stacked Fastfood P: blocks T_k H S_k H B of n = 2^ceil(log2 d) rows (Le et al. 2013).

Every parameter depends on all of theta_d, at the cost of two short Hadamard transforms a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import STORED_ENTRIES, Projection, add_base, multiply
from rlidim.projections.blocks import inverse_roots
from rlidim.projections.hadamard import Hadamard, next_power_of_two, rows_last
from rlidim.projections.philox import sign_stream
from rlidim.projections.rank import full_column_rank

INNER = 0x0100  # added to the tag: the signs B, before the first transform
OUTER = 0x0200  # likewise: the signs T_k, after the second
RIGHT = 0x0400  # likewise: the columns from n / 2 on, where n > D
# Where singular draws are looked for: their share falls with the columns of the second part, from 3
# in a hundred at (127, 127) to none of 150 at (255, 255), and with the length of the first block.
CHECKED_COLUMNS = 128
CHECKED_BLOCK = 2**18


class Stack:
    """A matrix [T_1 H S_1 H B; T_2 H S_2 H B; ...] C, cut to D rows and d columns, n <= D.

    H is +1 and -1; B, S_k and T_k are signs; C makes each column's length one. The first block is
    whole, so that the columns are independent and none is empty.
    """

    def __init__(
        self, D: int, d: int, seed: int, tag: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Draw what the products need under a tag."""
        self.D, self.d, self.seed, self.tag = D, d, seed, tag
        self.dtype, self.device = dtype, device
        self.n = next_power_of_two(d)
        self.blocks = -(-D // self.n)
        self.scale = self._column_scale().to(dtype)
        self._inner = sign_stream(d, tag + INNER, seed, device).to(dtype)
        self._signed_scale = self._inner * self.scale
        self._prepare()

    def _prepare(self) -> None:
        """Draw the signs: two for each row."""
        self._middle, self._outer = (
            sign_stream(self.blocks * self.n, tag, self.seed, self.device)
            .view(self.blocks, self.n)
            .to(self.dtype)
            for tag in (self.tag, self.tag + OUTER)
        )
        self._hadamard = Hadamard(self.n, self.dtype, self.device)

    def _column_scale(self) -> Tensor:
        """Return C, float64 (d,): one over each column's length.

        Entry (i, j) of H S H is the transform of S's signs at (i xor j). So the columns' squares
        over the rows that a cut leaves are a convolution over xor: products of transforms.
        """
        first = (self.blocks - 1) * self.n
        hadamard = Hadamard(self.n, torch.float64, self.device)
        present = torch.zeros(self.n, dtype=torch.float64, device=self.device)
        present[: self.D - first] = 1.0
        signs = sign_stream(self.n, self.tag, self.seed, self.device, first)
        squares = hadamard(signs.to(torch.float64)).square()
        cut = hadamard(hadamard(present) * hadamard(squares)) / self.n
        return inverse_roots((self.blocks - 1) * self.n**2 + cut[: self.d])

    def forward(self, theta: Tensor, start: int, stop: int) -> Tensor:
        """Return rows start .. stop - 1 of the product with theta, (d,) or (d, N)."""
        first, last = start // self.n, -(-stop // self.n)
        padded = torch.zeros((*theta.shape[1:], self.n), dtype=self.dtype, device=self.device)
        padded[..., : self.d] = rows_last(theta) * self._signed_scale
        mixed = self._hadamard(padded).unsqueeze(-2)
        blocks = self._hadamard(mixed * self._middle[first:last])
        skip = start - first * self.n
        product = (blocks * self._outer[first:last]).flatten(-2)[..., skip : skip + stop - start]
        return rows_last(product).contiguous()

    def adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        """Return the transpose's product with g, rows start .. stop - 1 of (D,) or (D, N)."""
        first, last = start // self.n, -(-stop // self.n)
        skip = start - first * self.n
        padded = torch.zeros(
            (*g.shape[1:], (last - first) * self.n), dtype=self.dtype, device=self.device
        )
        padded[..., skip : skip + stop - start] = rows_last(g)
        blocks = padded.view(*g.shape[1:], last - first, self.n)
        summed = (self._hadamard(blocks * self._outer[first:last]) * self._middle[first:last]).sum(
            -2
        )
        result = self._hadamard(summed)[..., : self.d] * self._signed_scale
        return rows_last(result).contiguous()


class StackedFastfood(Projection):
    """P = [T_1 H S_1 H B; T_2 H S_2 H B; ...] C, cut to D rows and d columns.

    H is +1 and -1; B, S_k and T_k are signs; C makes each column's length one. Whole blocks have
    orthogonal columns. Every entry is a whole number times its column's scale in C. Without
    the T_k the sum over a block's rows is one and the same direction of theta_d in every block: the
    toy problem, whose constraints are such sums, would not be solved at d = 10.

    Where n > D a single block would be cut, whose columns may depend on each other. There P is two
    such matrices side by side, of n / 2 and d - n / 2 columns, each with signs of its own; where
    it is singular all the same, as small ones may be, both are drawn anew.
    """

    family: ClassVar[str] = "stacked_fastfood"
    tag: ClassVar[int] = 5
    exact = True
    transformed = True
    stack: ClassVar[type[Stack]] = Stack  # what computes a part's products

    @property
    def layout(self) -> int:
        """The layout version: two where P has two parts."""
        return self.layout_version + (len(parts(self.D, self.d)) > 1)

    def _has_full_rank(self) -> bool:
        """Say whether the second part's columns are independent of the first's.

        The first part is a whole block M = T_1 H S_1 H B, m = n / 2 rows, above a cut one. Its
        inverse is M^T / m^2, so that eliminating it leaves of the second part [U; V], times m,
        m V - T_2 H S_1 S_2 H T_1 U, whole numbers.
        """
        D, cpu = self.D, torch.device("cpu")
        if len(parts(D, self.d)) == 1:
            return True
        (left, _), (right, part) = parts(D, self.d)
        m, columns = left.stop, right.stop - right.start
        if columns > CHECKED_COLUMNS or m > CHECKED_BLOCK:
            return True
        stack = self._draw(Stack, right, part, torch.float64, cpu)
        unit = torch.eye(columns, dtype=torch.float64)
        second = (stack.forward(unit, 0, D) / stack.scale).round()
        middle, outer = (
            sign_stream(2 * m, tag, self.seed, cpu).view(2, m).to(torch.float64)
            for tag in (self.stream, self.stream + OUTER)
        )
        hadamard = Hadamard(m, torch.float64, cpu)
        mixed = hadamard(middle.prod(0) * hadamard(second[:m].T * outer[0])) * outer[1]
        return full_column_rank(m * second[m:] - mixed.T[: D - m])

    def _draw(
        self, kind: type[Stack], columns: slice, part: int, dtype: torch.dtype, device: torch.device
    ) -> Stack:
        """Return the matrix of some columns."""
        count = columns.stop - columns.start
        return kind(self.D, count, self.seed, self.stream + part, dtype, device)

    def _prepare(self) -> None:
        """Draw the parts, and keep P where it is small."""
        self._draw_parts()
        self._stored: Tensor | None = None
        if self.D * self.d <= STORED_ENTRIES:
            self._stored = self._to_dense(0, self.D)

    def _draw_parts(self) -> None:
        """Draw the parts alone."""
        self.stacks = [
            (columns, self._draw(self.stack, columns, part, self.dtype, self.device))
            for columns, part in parts(self.D, self.d)
        ]
        self._scale = torch.cat([stack.scale for _, stack in self.stacks])

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if self._stored is not None:
            return multiply(self._stored[start:stop], theta, base, out)
        products = [stack.forward(theta[columns], start, stop) for columns, stack in self.stacks]
        for product in products[1:]:
            products[0] += product
        return add_base(products[0], base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if self._stored is not None:
            return self._stored[start:stop].T @ g
        return torch.cat([stack.adjoint(g, start, stop) for _, stack in self.stacks])

    def _columns(self, start: int, stop: int) -> Iterator[tuple[int, int, Tensor]]:
        # Scaled last: until then a column is made of whole numbers, the same bits in any order.
        for first, last, columns in super()._columns(start, stop):
            scale = self._scale[first:last]
            yield first, last, (columns / scale).round_() * scale


def parts(D: int, d: int) -> list[tuple[slice, int]]:
    """Return which columns of P are made together, and what is added to their tag.

    Example:
        >>> parts(600, 512)
        [(slice(0, 512, None), 0)]
        >>> parts(600, 570)
        [(slice(0, 512, None), 0), (slice(512, 570, None), 1024)]
    """
    n = next_power_of_two(d)
    if n <= D:
        return [(slice(0, d), 0)]
    return [(slice(0, n // 2), 0), (slice(n // 2, d), RIGHT)]
