"""Families whose P is a stack of signed permutations: one or a few entries a row, no more.

Rows are cut into blocks as long as there are columns; in each block every column occurs once. So
the columns are balanced, none is empty, and the adjoint gathers instead of scattering.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from rlidim.projections.base import Projection, add_base
from rlidim.projections.philox import sign_stream


class SignedBlocks(Projection):
    """P = one signed entry a row, its column given by a permutation in each block of d rows."""

    def __init__(
        self, D: int, d: int, seed: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Prepare, for every row, its column and its signed value: two vectors of D."""
        super().__init__(D, d, seed, dtype=dtype, device=device)
        blocks = -(-D // d)
        columns = self._permutations(blocks, d, 0)
        self._columns, self._values, self._inverse = signed_blocks(
            columns, D, self.tag, seed, dtype
        )

    @abstractmethod
    def _permutations(self, blocks: int, width: int, part: int) -> Tensor:
        """Return the column of each row of each block, int64 (blocks, width)."""

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        values = self._values[start:stop]
        picked = theta.index_select(0, self._columns[start:stop])
        if theta.ndim == 1 and base is not None:
            return torch.addcmul(base, values, picked, out=out)
        values = values if theta.ndim == 1 else values.unsqueeze(1)
        return add_base(picked.mul_(values), base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        return gather_adjoint(g, self._values[start:stop], self._inverse, start, self.D, self.d)


def signed_blocks(
    columns: Tensor, D: int, tag: int, seed: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a stack of permutations needs for its products.

    Args:
        columns: int64 (blocks, width), a permutation of 0 .. width - 1 in each block.
        D: rows; the last block may be cut.
        tag: of the signs' part of the stream.
        seed: of the stream.
        dtype: of the values.

    Returns:
        Each row's column, int64 (D,); its value, a sign over the column's length, (D,); and for
        each column and block the row that holds it, int64 (blocks, width), D where it is cut off.
    """
    blocks, width = columns.shape
    rows = columns.argsort(dim=1)
    rows += width * torch.arange(blocks, dtype=torch.int64, device=columns.device).unsqueeze(1)
    inverse = torch.where(rows < D, rows, D)
    length = (inverse < D).sum(0).to(torch.float64).rsqrt()
    flat = columns.flatten()[:D].contiguous()
    values = (sign_stream(D, tag, seed, columns.device) * length[flat]).to(dtype)
    return flat, values, inverse


def gather_adjoint(
    g: Tensor, values: Tensor, inverse: Tensor, start: int, D: int, width: int
) -> Tensor:
    """Return each column's sum of values times g, in a fixed order: by blocks."""
    if start == 0 and len(g) == D:
        scaled = g * (values if g.ndim == 1 else values.unsqueeze(1))
    else:
        scaled = torch.zeros((D, *g.shape[1:]), dtype=g.dtype, device=g.device)
        scaled[start : start + len(g)] = g * (values if g.ndim == 1 else values.unsqueeze(1))
    if D % width:
        zero = torch.zeros((1, *g.shape[1:]), dtype=g.dtype, device=g.device)
        scaled = torch.cat((scaled, zero))
    picked = scaled.index_select(0, inverse.flatten())
    return picked.view(*inverse.shape, *g.shape[1:]).sum(0)
