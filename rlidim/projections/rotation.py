"""Rotation P: every block of d rows is theta_d, cyclically shifted, each entry with its own sign.

Contiguous reads only; columns have disjoint supports, are exactly orthogonal and of unit length.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import Projection, add_base
from rlidim.projections.blocks import SignedBlocks
from rlidim.projections.philox import words

SHIFTS = 0x0100  # added to the tag: the shifts' part of the stream


class Rotation(Projection):
    """Row k d + t holds column (t + r_k) mod d, with r_k from the stream at block k."""

    family: ClassVar[str] = "rotation"
    tag: ClassVar[int] = 7
    exact = True

    def _prepare(self) -> None:
        """Draw the shifts and signs."""
        D, d, seed, device = self.D, self.d, self.seed, self.device
        number = torch.arange(-(-D // d), dtype=torch.int64, device=device)
        shifts = words(number, torch.zeros_like(number), self.tag + SHIFTS, seed)[:, 0] % d
        within = torch.arange(d, dtype=torch.int64, device=device)
        columns = (within + shifts.unsqueeze(1)) % d
        self._blocks = SignedBlocks(columns, D, self.tag, seed, self.dtype)

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        return add_base(self._blocks.forward(theta, start, stop), base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        return self._blocks.adjoint(g, start, stop)
