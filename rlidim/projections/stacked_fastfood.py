"""Stacked Fastfood P: blocks T_k H S_k H B of n = 2^ceil(log2 d) rows (Le et al. 2013).

Every parameter depends on all of theta_d, at the cost of two short Hadamard transforms a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import STORED_ENTRIES, Projection, add_base, multiply
from rlidim.projections.blocks import inverse_roots
from rlidim.projections.hadamard import Hadamard, next_power_of_two, rows_last
from rlidim.projections.philox import sign_stream

INNER = 0x0100  # added to the tag: the signs B, before the first transform
OUTER = 0x0200  # likewise: the signs T_k, after the second
RETRY = 0x1000  # likewise, for each time that the signs S_k had to be drawn anew


class StackedFastfood(Projection):
    """P = [T_1 H S_1 H B; T_2 H S_2 H B; ...] C, cut to D rows and d columns.

    H is +1 and -1; B, S_k and T_k are signs; C makes each column's length one. Whole blocks have
    orthogonal columns. Every entry is a whole number times its column's scale in C. Without
    the T_k the sum over a block's rows is one and the same direction of theta_d in every block: the
    toy problem, whose constraints are such sums, would not be solved at d = 10.
    """

    family: ClassVar[str] = "stacked_fastfood"
    tag: ClassVar[int] = 5
    exact = True
    transformed = True

    def _prepare(self) -> None:
        """Draw the signs: two for each row."""
        D, d, seed, dtype, device = self.D, self.d, self.seed, self.dtype, self.device
        self.n = n = next_power_of_two(d)
        self.blocks = -(-D // n)
        self._scale = self._choose_middle().to(dtype)
        self._inner = sign_stream(n, self.tag + INNER, seed, device)[:d].to(dtype)
        self._middle, self._outer = (
            sign_stream(self.blocks * n, tag, seed, device).view(self.blocks, n).to(dtype)
            for tag in (self.middle_tag, self.tag + OUTER)
        )
        self._hadamard = Hadamard(n, dtype, device)
        self._stored: Tensor | None = None
        if D * d <= STORED_ENTRIES:
            self._stored = self._to_dense(0, D)

    def _choose_middle(self) -> Tensor:
        """Set the tag of the signs S_k, and return C, float64 (d,): one over each column's length.

        Entry (i, j) of H S H is the transform of S's signs at (i xor j). So the columns' squares
        over the rows that a cut leaves are a convolution over xor: products of transforms. Where P
        is a single cut block of a few rows, a column may be left with zeros alone: then the next
        part of the stream is tried.
        """
        first = (self.blocks - 1) * self.n
        hadamard = Hadamard(self.n, torch.float64, self.device)
        present = torch.zeros(self.n, dtype=torch.float64, device=self.device)
        present[: self.D - first] = 1.0
        for attempt in count():
            self.middle_tag = self.tag + RETRY * attempt
            signs = sign_stream(self.n, self.middle_tag, self.seed, self.device, first)
            squares = hadamard(signs.to(torch.float64)).square()
            cut = hadamard(hadamard(present) * hadamard(squares)) / self.n
            lengths = (self.blocks - 1) * self.n**2 + cut[: self.d]
            if bool((lengths > 0).all()):
                break
        return inverse_roots(lengths)

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if self._stored is not None:
            return multiply(self._stored[start:stop], theta, base, out)
        first, last = start // self.n, -(-stop // self.n)
        padded = torch.zeros((*theta.shape[1:], self.n), dtype=self.dtype, device=self.device)
        padded[..., : self.d] = rows_last(theta) * (self._inner * self._scale)
        mixed = self._hadamard(padded).unsqueeze(-2)
        blocks = self._hadamard(mixed * self._middle[first:last])
        skip = start - first * self.n
        product = (blocks * self._outer[first:last]).flatten(-2)[..., skip : skip + stop - start]
        return add_base(rows_last(product).contiguous(), base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if self._stored is not None:
            return self._stored[start:stop].T @ g
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
        result = self._hadamard(summed)[..., : self.d] * (self._inner * self._scale)
        return rows_last(result).contiguous()

    def _columns(self, start: int, stop: int) -> Iterator[tuple[int, int, Tensor]]:
        # Scaled last: until then a column is made of whole numbers, the same bits in any order.
        for first, last, columns in super()._columns(start, stop):
            scale = self._scale[first:last]
            yield first, last, (columns / scale).round_() * scale
