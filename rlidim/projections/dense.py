"""Dense families: blocks of rows regenerated from the stream, or kept where P is small."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from rlidim.projections.base import Projection, multiply
from rlidim.projections.blocks import inverse_roots
from rlidim.projections.rank import CHECKED_ROWS, full_column_rank

STORED_LIMIT = 64 * 2**20  # bytes up to which P is kept instead of regenerated
BLOCK_ENTRIES = 2**20  # entries of P in memory at a time above that


class Dense(Projection):
    """A family with an independent entry in every row and column."""

    dense = True

    def _has_full_rank(self) -> bool:
        return self.D > CHECKED_ROWS or full_column_rank(self._entries(0, self.D))

    def _prepare(self) -> None:
        """Keep P if it is small."""
        self.scale = self._column_scale().to(self.dtype)
        small = self.D * self.d * self.dtype.itemsize <= STORED_LIMIT
        self._stored = self._generate(0, self.D) if small else None

    @abstractmethod
    def _entries(self, start: int, stop: int) -> Tensor:
        """Return the unscaled entries of rows start .. stop - 1, (stop - start, d)."""

    def _column_scale(self) -> Tensor:
        """Return the factor that gives each column unit length, float64 (d,)."""
        total = torch.zeros(self.d, dtype=torch.int64, device=self.device)
        for start, stop in self._blocks(0, self.D):
            # Whole numbers: exact in any order, in float64 for a block, in 64 bits for all rows.
            squares = self._entries(start, stop).to(torch.float64).square().sum(0)
            total += squares.to(torch.int64)
        return inverse_roots(total)

    def _generate(self, start: int, stop: int) -> Tensor:
        """Return rows of P, the same bits whatever the range: entries are scaled one by one."""
        result = torch.empty(stop - start, self.d, dtype=self.dtype, device=self.device)
        for first, last in self._blocks(start, stop):
            entries = self._entries(first, last).to(self.dtype)
            result[first - start : last - start] = entries * self.scale
        return result

    def _blocks(self, start: int, stop: int) -> list[tuple[int, int]]:
        step = max(1, BLOCK_ENTRIES // self.d)
        return [(first, min(first + step, stop)) for first in range(start, stop, step)]

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if self._stored is not None:
            return multiply(self._stored[start:stop], theta, base, out)
        if out is None:
            out = torch.empty(
                (stop - start, *theta.shape[1:]), dtype=self.dtype, device=self.device
            )
        for first, last in self._blocks(start, stop):
            block = slice(first - start, last - start)
            rows = self._generate(first, last)
            multiply(rows, theta, None if base is None else base[block], out[block])
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if self._stored is not None:
            return self._stored[start:stop].T @ g
        total = torch.zeros((self.d, *g.shape[1:]), dtype=self.dtype, device=self.device)
        for first, last in self._blocks(start, stop):
            total += self._generate(first, last).T @ g[first - start : last - start]
        return total

    def _to_dense(self, start: int, stop: int) -> Tensor:
        self._check_dense(stop - start)
        if self._stored is not None:
            return self._stored[start:stop].clone()
        return self._generate(start, stop)

    def column_norms(self) -> Tensor:
        """Return the length of each column over all D rows, float64 (d,)."""
        total = torch.zeros(self.d, dtype=torch.float64, device=self.device)
        for start, stop in self._blocks(0, self.D):
            total += self._generate(start, stop).to(torch.float64).square().sum(0)
        return total.sqrt()
