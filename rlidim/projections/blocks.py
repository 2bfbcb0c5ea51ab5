"""Stacks of signed permutations: the P of families with one or a few entries a row.

Rows are cut into blocks as long as there are columns; in each block every column occurs once. So
the columns are balanced, none is empty, and the adjoint gathers instead of scattering.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rlidim.projections.philox import sign_stream


def inverse_roots(squares: Tensor) -> Tensor:
    """Return 1 / sqrt(x), float64, on the tensor's device: columns' scales from squared lengths.

    By numpy, whose root is correctly rounded; torch's is not everywhere.
    """
    roots = 1.0 / np.sqrt(squares.to(torch.float64).cpu().numpy())
    return torch.as_tensor(roots).to(squares.device)


class SignedBlocks:
    """A D x width matrix of one signed entry a row, its columns of unit length."""

    def __init__(self, columns: Tensor, D: int, tag: int, seed: int, dtype: torch.dtype) -> None:
        """Prepare each row's column and value, and the inverse map.

        Args:
            columns: int64 (blocks, width), a permutation of 0 .. width - 1 in each block.
            D: rows; the last block may be cut, not the first.
            tag: of the signs' part of the stream.
            seed: of the stream.
            dtype: of the values.
        """
        blocks, width = columns.shape
        self.D, self.shape = D, columns.shape
        self.columns = columns.flatten()[:D].contiguous()
        rows = columns.argsort(dim=1)
        rows += width * torch.arange(blocks, device=columns.device).unsqueeze(1)
        present = rows < D
        length = inverse_roots(present.sum(0))
        signs = sign_stream(D, tag, seed, columns.device)
        self.values = (signs * length[self.columns]).to(dtype)
        # A row that is cut off counts nothing; its place reads another row of the same column.
        rows = torch.where(present, rows, rows[0])
        self.rows = rows.flatten()
        self.values_by_column = torch.where(present, self.values[rows], 0.0)

    def forward(self, theta: Tensor, start: int, stop: int) -> Tensor:
        """Return rows start .. stop - 1 of the product with theta, (width,) or (width, N)."""
        values = self.values[start:stop]
        picked = theta.index_select(0, self.columns[start:stop])
        return picked.mul_(values if theta.ndim == 1 else values.unsqueeze(1))

    def adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        """Return each column's sum of values times g in rows start .. stop - 1, by blocks."""
        if (start, stop) != (0, self.D):
            padded = torch.zeros((self.D, *g.shape[1:]), dtype=g.dtype, device=g.device)
            padded[start:stop] = g
            g = padded
        picked = g.index_select(0, self.rows).view(*self.shape, *g.shape[1:])
        values = self.values_by_column
        return picked.mul_(values if g.ndim == 1 else values.unsqueeze(2)).sum(0)
