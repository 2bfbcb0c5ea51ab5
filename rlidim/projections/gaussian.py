"""Gaussian P: independent normal entries, columns then scaled to unit length (Li et al. 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.dense import Dense
from rlidim.projections.normal import normal
from rlidim.projections.philox import words


class Gaussian(Dense):
    """The paper's dense projection, section 7: normal entries, exactly unit columns.

    Eight entries of a row come from one counter (row, column // 8), 16 bits each, see
    :mod:`rlidim.projections.normal`; an entry is a whole number times its column's scale.
    """

    family: ClassVar[str] = "gaussian"
    tag: ClassVar[int] = 1
    layout_version: ClassVar[int] = 2
    exact = True
    counted = "entries"

    def _entries(self, start: int, stop: int) -> Tensor:
        rows = torch.arange(start, stop, dtype=torch.int64, device=self.device).unsqueeze(1)
        blocks = torch.arange(-(-self.d // 8), dtype=torch.int64, device=self.device)
        drawn = normal(words(rows, blocks, self.stream, self.seed))
        return drawn.reshape(stop - start, -1)[:, : self.d]
