"""Kronecker P = A (x) B: two small sign matrices, so that a product is two matrix products.

After the Kronecker projections of Lotfi et al. (NeurIPS 2022), with two changes: sizes are rounded
up and cut, so that every parameter depends on all of theta_d, and the factors are signs, the same
on every device. It misses solutions that the other families find (results/FAMILIES.md): two small
factors are too few random numbers for a small network.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import Projection, add_base
from rlidim.projections.hadamard import next_power_of_two
from rlidim.projections.rademacher import sign_rows

RIGHT = 0x0100  # added to the tag: B's part of the stream


class Kronecker(Projection):
    """Row i D2 + k and column j d2 + l hold A[i, j] B[k, l] / sqrt(D), cut to D rows, d columns.

    A is D1 x d1 and B is D2 x d2, all four about square roots, D2 a power of two. All entries have
    the same size, so columns have length one exactly; but columns that share j or l are as
    independent as those of B or A are, of far fewer rows than D. P need not have full
    column rank where d is near D: two small sign matrices, cut, may be singular. ``auto`` never
    means this family.
    """

    family: ClassVar[str] = "kronecker"
    tag: ClassVar[int] = 8
    transformed = True
    rank_note = "its columns need not be independent where d is near D; auto never means it"

    def _prepare(self) -> None:
        """Draw both factors."""
        D, d = self.D, self.d
        self.D2 = next_power_of_two(math.isqrt(D - 1) + 1)
        self.D1 = -(-D // self.D2)
        self.d1 = min(math.isqrt(d - 1) + 1, self.D1)
        self.d2 = -(-d // self.d1)
        self._left = sign_rows(0, self.D1, self.d1, self.tag, self.seed, self.device).to(self.dtype)
        right = sign_rows(0, self.D2, self.d2, self.tag + RIGHT, self.seed, self.device)
        self._right = right.to(self.dtype) * D**-0.5

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        members = theta.shape[1:]
        padded = theta.new_zeros((self.d1 * self.d2, *members))
        padded[: self.d] = theta
        first, last = start // self.D2, -(-stop // self.D2)
        left = self._left[first:last] @ padded.view(self.d1, self.d2 * math.prod(members))
        if members:
            product = self._right @ left.view(last - first, self.d2, *members)
        else:
            if start % self.D2 == 0 and out is None:
                out = theta.new_empty(stop - start)
            if start % self.D2 == 0 and out is not None and out.is_contiguous():
                return self._write_rows(left, base, out)
            product = left @ self._right.T
        skip = start - first * self.D2
        return add_base(product.flatten(0, 1)[skip : skip + stop - start], base, out)

    def _write_rows(self, left: Tensor, base: Tensor | None, out: Tensor) -> Tensor:
        """Write whole rows of D2 numbers and the last, cut one, without a vector in between."""
        count = len(out) // self.D2
        cut = count * self.D2
        rows = out[:cut].view(count, self.D2)
        cut_right = self._right[: len(out) - cut]
        if base is None:
            torch.mm(left[:count], self._right.T, out=rows)
            if len(cut_right):
                torch.mv(cut_right, left[count], out=out[cut:])
        else:
            torch.addmm(base[:cut].reshape(count, self.D2), left[:count], self._right.T, out=rows)
            if len(cut_right):
                torch.addmv(base[cut:], cut_right, left[count], out=out[cut:])
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        members = g.shape[1:]
        first, last = start // self.D2, -(-stop // self.D2)
        skip = start - first * self.D2
        if not members and not skip and g.is_contiguous():
            rows = self._rows_times_right(g)
        else:
            padded = g.new_zeros(((last - first) * self.D2, *members))
            padded[skip : skip + stop - start] = g
            rows = self._right.T @ padded.view(last - first, self.D2, math.prod(members))
        width = self.d2 * math.prod(members)
        product = self._left[first:last].T @ rows.reshape(last - first, width)
        return product.view(self.d1 * self.d2, *members)[: self.d].contiguous()

    def _rows_times_right(self, g: Tensor) -> Tensor:
        """Return g as rows of D2 numbers, the last one cut, times B."""
        count = len(g) // self.D2
        cut = count * self.D2
        rows = g.new_empty(-(-len(g) // self.D2), self.d2)
        torch.mm(g[:cut].view(count, self.D2), self._right, out=rows[:count])
        if cut < len(g):
            torch.mv(self._right[: len(g) - cut].T, g[cut:], out=rows[count])
        return rows
