"""Small tables for the kernels of families with one entry a row, made once."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from rlidim.projections.blocks import inverse_roots
from rlidim.projections.philox import words


def block_words(block: int, tag: int, seed: int) -> tuple[int, int]:
    """Return the first two words of one counter."""
    number = torch.tensor([block], dtype=torch.int64)
    drawn = words(number, torch.zeros_like(number), tag, seed)[0]
    return int(drawn[0]), int(drawn[1])


def column_scale(D: int, width: int, last: Tensor) -> Tensor:
    """Return one over the length of each column of signed blocks, float64 (width,).

    Args:
        D: rows.
        width: columns, and rows of a whole block.
        last: int64, the columns of the rows after the last whole block.
    """
    rows = torch.full((width,), float(D // width), dtype=torch.float64)
    rows[last] += 1.0
    return inverse_roots(rows)


@cache
def affine_tables(width: int) -> tuple[Tensor, Tensor]:
    """Return each residue's coprime factor, and each factor's inverse, int32 (width,) each.

    The factor is the least from the residue upwards that is coprime to the width; beyond the last
    it is the first.
    """
    residues = np.arange(width)
    coprimes = residues[np.gcd(residues, width) == 1]
    upwards = coprimes[np.searchsorted(coprimes, residues) % len(coprimes)]
    inverse = np.zeros(width, dtype=np.int32)
    inverse[coprimes] = [pow(int(factor), -1, width) if width > 1 else 0 for factor in coprimes]
    return torch.from_numpy(upwards.astype(np.int32)), torch.from_numpy(inverse)
