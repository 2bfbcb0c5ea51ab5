"""Rademacher P: independent signs, a bit each, scaled by 1/sqrt(D) (Achlioptas 2003)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.dense import Dense
from rlidim.projections.philox import signs, words

BITS = 128  # of one counter


class Rademacher(Dense):
    """Signs of equal probability; every column has length one exactly.

    A row takes 32, 64 or a multiple of 128 bits, so that for d <= 64 a counter serves four or two
    rows: bit j of a row is column j.
    """

    family: ClassVar[str] = "rademacher"
    tag: ClassVar[int] = 2

    def _column_scale(self) -> Tensor:
        return torch.full((self.d,), self.D**-0.5, dtype=torch.float64, device=self.device)

    def _entries(self, start: int, stop: int) -> Tensor:
        rows_a_counter = 4 if self.d <= 32 else 2 if self.d <= 64 else 1
        first, last = start // rows_a_counter, -(-stop // rows_a_counter)
        counters = torch.arange(first, last, dtype=torch.int64, device=self.device).unsqueeze(1)
        blocks = torch.arange(-(-self.d // BITS), dtype=torch.int64, device=self.device)
        drawn = signs(words(counters, blocks, self.tag, self.seed))
        rows = drawn.reshape((last - first) * rows_a_counter, -1)
        skip = start - first * rows_a_counter
        return rows[skip : skip + stop - start, : self.d]
