"""Rotation P: every block of d rows is theta_d, cyclically shifted, each entry with its own sign.

Contiguous reads only; columns have disjoint supports, are exactly orthogonal and of unit length.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.blocks import SignedBlocks
from rlidim.projections.philox import words

SHIFTS = 0x0100  # added to the tag: the shifts' part of the stream


class Rotation(SignedBlocks):
    """Row k d + t holds column (t + r_k) mod d, with r_k from the stream at block k."""

    family: ClassVar[str] = "rotation"
    tag: ClassVar[int] = 7

    def _permutations(self, blocks: int, width: int, part: int) -> Tensor:
        number = torch.arange(blocks, dtype=torch.int64, device=self.device)
        drawn = words(number, torch.zeros_like(number), self.tag + SHIFTS, self.seed)
        shifts = drawn[:, 0] % width
        within = torch.arange(width, dtype=torch.int64, device=self.device)
        return (within + shifts.unsqueeze(1)) % width
