"""Very sparse P: signed entries at density 1/sqrt(D) (Li, Hastie and Church, KDD 2006)."""

from __future__ import annotations

import math
import warnings
from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import Projection, add_base
from rlidim.projections.blocks import inverse_roots
from rlidim.projections.philox import uniform, words
from rlidim.projections.rank import CHECKED_ROWS, full_column_rank

DEVIATIONS = 8  # of the number of entries in a column that are drawn in the first go
DRAWN_AT_ONCE = 2**20  # entries in memory while they are drawn
SIGNS = 0x0100  # added to the tag: the signs' part of the stream


class Sparse(Projection):
    """Each entry is nonzero with probability 1/sqrt(D), independently; columns of unit length.

    A column's rows are found by drawing the geometric gaps between them, one word each, from the
    counters (number of the gap // 4, column). A column that would be empty, which only tiny D
    sees, gets one entry at a row drawn from the same stream. Where too few rows have entries, or
    P of a few rows is singular, it is drawn anew.
    """

    family: ClassVar[str] = "sparse"
    tag: ClassVar[int] = 3
    exact = True
    stored = True

    def _has_full_rank(self) -> bool:
        D, d = self.D, self.d
        if D > CHECKED_ROWS and 2 * d <= D:  # so many rows are never empty
            return True
        rows, columns, signed = self._draw()
        if D > CHECKED_ROWS:
            return int(torch.bincount(rows, minlength=D).count_nonzero()) >= d
        dense = torch.zeros(D, d, dtype=torch.float64)
        dense[rows, columns] = signed
        return full_column_rank(dense)

    def _prepare(self) -> None:
        """Draw the entries and keep them in compressed rows, P and P^T: about 2 d sqrt(D)."""
        D, d, dtype, device = self.D, self.d, self.dtype, self.device
        rows, columns, signed = self._draw()
        scale = inverse_roots(torch.bincount(columns, minlength=d))
        values = (signed * scale[columns]).to(dtype)
        self._matrix = _compressed(rows, columns, values, (D, d)).to(device)
        self._transposed = _compressed(columns, rows, values, (d, D)).to(device)

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, columns and signs of the entries, on the CPU whatever the device.

        The gaps take a logarithm, whose last bit may differ between devices.
        """
        step = max(1, DRAWN_AT_ONCE // self._first_count())
        parts = [
            self._draw_columns(torch.arange(first, min(first + step, self.d)))
            for first in range(0, self.d, step)
        ]
        rows, columns, signed = zip(*parts, strict=True)
        return torch.cat(rows), torch.cat(columns), torch.cat(signed)

    def _first_count(self) -> int:
        """Return how many gaps of a column nearly always reach its end."""
        mean = math.sqrt(self.D)
        return math.ceil(mean + DEVIATIONS * math.sqrt(mean) + DEVIATIONS)

    def _draw_columns(self, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, columns and signs of some columns' entries."""
        density = 1.0 / math.sqrt(self.D)
        count = self._first_count()
        while True:
            calls = torch.arange(-(-count // 4), dtype=torch.int64)
            drawn = words(calls, columns.unsqueeze(1), self.stream, self.seed).flatten(1)
            if density < 1.0:
                gaps = 1 + torch.floor(torch.log(uniform(drawn)) / math.log1p(-density))
                gaps = gaps.clamp(max=self.D + 1).to(torch.int64)
            else:
                gaps = torch.ones_like(drawn)
            rows = gaps.cumsum(1) - 1
            if int(rows[:, -1].min()) >= self.D:
                break
            count *= 2
        inside = rows < self.D
        empty = ~inside.any(1)
        rows[empty, 0] = drawn[empty, 1] % self.D
        inside[empty, 0] = True
        bits = words(calls, columns.unsqueeze(1), self.stream + SIGNS, self.seed).flatten(1)
        signed = 1.0 - 2.0 * (bits & 1).to(torch.float64)
        column_of = columns.unsqueeze(1).expand_as(rows)
        return rows[inside], column_of[inside], signed[inside]

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        matrix = self._matrix if (start, stop) == (0, self.D) else self._part(start, stop)
        return add_base(matrix @ theta, base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if (start, stop) != (0, self.D):
            padded = torch.zeros((self.D, *g.shape[1:]), dtype=self.dtype, device=self.device)
            padded[start:stop] = g
            g = padded
        return self._transposed @ g

    def _part(self, start: int, stop: int) -> Tensor:
        """Return some rows of P, compressed."""
        offsets = self._matrix.crow_indices()[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        return _quiet_csr(
            offsets - first,
            self._matrix.col_indices()[first:last],
            self._matrix.values()[first:last],
            (stop - start, self.d),
        )


def _compressed(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return entries as a tensor of compressed rows, sorted by row, then column."""
    order = torch.argsort(rows * shape[1] + columns)
    offsets = torch.zeros(shape[0] + 1, dtype=torch.int64)
    offsets[1:] = torch.bincount(rows, minlength=shape[0]).cumsum(0)
    return _quiet_csr(offsets, columns[order], values[order], shape)


def _quiet_csr(offsets: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(offsets, columns, values, shape, check_invariants=True)
