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
    exact = True
    counted = "signs"

    def _column_scale(self) -> Tensor:
        return torch.full((self.d,), self.D**-0.5, dtype=torch.float64, device=self.device)

    def _entries(self, start: int, stop: int) -> Tensor:
        return sign_rows(start, stop, self.d, self.stream, self.seed, self.device)


def rows_a_counter(d: int) -> int:
    """Return how many rows of d signs one counter serves."""
    return 4 if d <= 32 else 2 if d <= 64 else 1


def sign_rows(start: int, stop: int, d: int, tag: int, seed: int, device: torch.device) -> Tensor:
    """Return rows start .. stop - 1 of a matrix of independent signs, int8 (stop - start, d)."""
    shared = rows_a_counter(d)
    first, last = start // shared, -(-stop // shared)
    counters = torch.arange(first, last, dtype=torch.int64, device=device).unsqueeze(1)
    blocks = torch.arange(-(-d // BITS), dtype=torch.int64, device=device)
    drawn = signs(words(counters, blocks, tag, seed))
    rows = drawn.reshape((last - first) * shared, -1)
    skip = start - first * shared
    return rows[skip : skip + stop - start, :d]
