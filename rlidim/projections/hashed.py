"""Hashed P: s signed entries a row at hashed columns (feature hashing, Weinberger et al. 2009).

With s > 1 the columns are split into s groups and a row has one entry in each (the block form of
the sparse Johnson-Lindenstrauss transform, Kane and Nelson 2014).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections.base import Projection, add_base
from rlidim.projections.blocks import SignedBlocks
from rlidim.projections.philox import words
from rlidim.projections.spec import check_size

HASHES = 0x0100  # added to the tag: the hashes' part of the stream
GROUPS = 0x10000  # times the group's number, added likewise
MOST_ENTRIES = 0xFFFF  # a tag has 32 bits


class Hashed(Projection):
    """In each block of as many rows as there are columns, the columns are hashed by an affine map.

    Row t of block k holds column (a_k t + b_k) mod width, with a_k coprime to the width, so that
    every column is used equally often; ``entries`` is s. With s = 1 the columns are orthogonal;
    with more they may depend on each other where d is near D: of square P most are singular.
    """

    family: ClassVar[str] = "hashed"
    tag: ClassVar[int] = 6
    option_names = ("entries",)
    rank_note = "with entries > 1 its columns need not be independent where d is near D"
    exact = True

    def __init__(
        self,
        D: int,
        d: int,
        seed: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        entries: int = 1,
    ) -> None:
        """Check the entries too.

        Raises:
            RlidimError: ``entries`` is not in 1 .. d.
        """
        check_size(D, d, seed)
        most = min(d, MOST_ENTRIES)
        if not 1 <= entries <= most:
            limit = f"d = {d}" if most == d else f"{most}"
            raise RlidimError(f"hashed: entries must be between 1 and {limit}, got {entries}")
        self.entries = entries
        super().__init__(D, d, seed, dtype=dtype, device=device)

    def _prepare(self) -> None:
        """Draw each group's columns and signs."""
        self._groups: list[SignedBlocks] = []
        for group in range(self.entries):
            width = len(range(group, self.d, self.entries))
            tag = self.tag + GROUPS * group
            columns = affine_permutations(
                -(-self.D // width), width, tag + HASHES, self.seed, self.device
            )
            self._groups.append(SignedBlocks(columns, self.D, tag, self.seed, self.dtype))

    @property
    def options(self) -> dict[str, int]:
        """``entries``, where it is not one."""
        return {} if self.entries == 1 else {"entries": self.entries}

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if self.entries == 1:
            return add_base(self._groups[0].forward(theta, start, stop), base, out)
        total = torch.zeros((stop - start, *theta.shape[1:]), dtype=self.dtype, device=self.device)
        for number, group in enumerate(self._groups):
            total += group.forward(theta[number :: self.entries], start, stop)
        return add_base(total, base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if self.entries == 1:
            return self._groups[0].adjoint(g, start, stop)
        result = torch.empty((self.d, *g.shape[1:]), dtype=self.dtype, device=self.device)
        for number, group in enumerate(self._groups):
            result[number :: self.entries] = group.adjoint(g, start, stop)
        return result


def affine_permutations(
    blocks: int, width: int, tag: int, seed: int, device: torch.device
) -> Tensor:
    """Return (a_k t + b_k) mod width for t < width in each block k, int64 (blocks, width)."""
    number = torch.arange(blocks, dtype=torch.int64, device=device)
    drawn = words(number, torch.zeros_like(number), tag, seed)
    factors = drawn[:, 0] % width
    coprime = torch.tensor([math.gcd(value, width) == 1 for value in range(width)], device=device)
    coprime[0] = width == 1
    # The nearest factor upwards that is coprime to the width; 1 always is.
    choices = torch.nonzero(coprime).flatten()
    place = torch.searchsorted(choices, factors) % len(choices)
    within = torch.arange(width, dtype=torch.int64, device=device)
    shifts = drawn[:, 1] % width
    return (choices[place].unsqueeze(1) * within + shifts.unsqueeze(1)) % width
