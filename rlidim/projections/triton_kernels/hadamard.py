"""Hadamard transforms in registers, on matrix units.

H_n is a Kronecker product of two Hadamard matrices of up to 128, exact in bfloat16, and the other
factor is cut into three parts of bfloat16 that sum to it exactly: only the sums round, in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlidim.projections.hadamard import sylvester
from rlidim.projections.triton_kernels.stream import dot, dot_type, launch

LONGEST = 2**14  # transforms up to here are one program's
FACTOR = 128  # the largest Hadamard matrix
ALONE = 64  # the largest that is not cut in two
TILE = 2048  # entries of a program for short transforms
DOT_LEAST = 16  # rows and columns of a matrix unit's factor at least
ACROSS = 64  # neighbours that a program transforms across a stride


@triton.jit
def transform(x, left, right, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr):
    """Return the transforms of a tile's segments, the tile read by rows."""
    row, column = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    zeros = tl.zeros((ROWS, COLUMNS), tl.float32)
    factor = tl.load(right + column[:, None] * COLUMNS + column[None, :])
    x = dot(x, factor, zeros, 3, 1, DTYPE)
    if left is not None:
        factor = tl.load(left + row[:, None] * ROWS + row[None, :])
        x = dot(factor, x, zeros, 1, 3, DTYPE)
    return x


@triton.jit
def tile_places(ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the places 0 .. ROWS COLUMNS - 1 of a tile."""
    return tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]


@triton.jit(do_not_specialize=["count", "inner"])
def segments_kernel(
    x, out, left, right, count, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr
):
    """Transforms of contiguous segments, ``count`` numbers in all."""
    place = tl.program_id(0).to(tl.int64) * (ROWS * COLUMNS) + tile_places(ROWS, COLUMNS)
    segment = tl.load(x + place, mask=place < count, other=0.0)
    tl.store(out + place, transform(segment, left, right, ROWS, COLUMNS, DTYPE), mask=place < count)


@triton.jit(do_not_specialize=["count", "inner"])
def across_kernel(
    x, factor, inner, m, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr
):
    """Transforms in place of m numbers at a stride, for a few neighbours."""
    row = tl.arange(0, ROWS)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    place = row.to(tl.int64)[:, None] * inner + column[None, :]
    place += tl.program_id(1).to(tl.int64) * m * inner
    mask = (row < m)[:, None] & (column < inner)[None, :]
    values = tl.load(x + place, mask=mask, other=0.0)
    matrix = tl.load(factor + row[:, None] * ROWS + row[None, :])
    result = dot(matrix, values, tl.zeros((ROWS, COLUMNS), tl.float32), 1, 3, DTYPE)
    tl.store(x + place, result, mask=mask)


class Tile:
    """The shape of a program's tile for transforms of n numbers, and their Hadamard matrices."""

    def __init__(self, n: int, device: torch.device) -> None:
        """Choose the shape: one matrix where n is at most 128, two of about the square root."""
        self.columns = max(n if n <= ALONE else 1 << n.bit_length() // 2, DOT_LEAST)
        height = -(-n // self.columns)
        short = TILE // self.columns
        self.rows = max(height, short if height == 1 else min(short, ALONE))
        self.right = _repeated(min(n, self.columns), self.columns, device)
        self.left = None if height == 1 else _repeated(height, self.rows, device)
        self.size = self.rows * self.columns

    @property
    def options(self) -> dict[str, Any]:
        """The options of every kernel on such tiles."""
        return {
            "ROWS": self.rows,
            "COLUMNS": self.columns,
            "DTYPE": dot_type(),
            "num_warps": 4 if self.size <= TILE else 8,
            "num_stages": 1,  # nothing is loaded ahead: shared memory holds the factors
        }


class TritonHadamard:
    """H x, unnormalised, for float32 x (..., n): one pass for up to 2^14, one more for each 2^7."""

    def __init__(self, n: int, device: torch.device) -> None:
        """Split n into the passes' lengths."""
        self.n = n
        self._within = min(n, LONGEST)
        self._tile = Tile(self._within, device)
        self._across: list[int] = []
        rest = n // self._within
        while rest > 1:
            self._across.append(min(rest, FACTOR))
            rest //= self._across[-1]
        self._factor = _repeated(FACTOR, FACTOR, device)

    def __call__(self, x: Tensor) -> Tensor:
        """Transform the last axis."""
        x = x.contiguous()
        out = torch.empty_like(x)
        launch(
            segments_kernel,
            (triton.cdiv(x.numel(), self._tile.size),),
            *(x, out, self._tile.left, self._tile.right, x.numel()),
            **self._tile.options,
        )
        inner = self._within
        for m in self._across:
            rows = max(m, DOT_LEAST)  # a larger Hadamard matrix begins with the smaller one
            launch(
                across_kernel,
                (triton.cdiv(inner, ACROSS), x.numel() // (m * inner)),
                *(out, self._factor[:rows, :rows].contiguous(), inner, m),
                ROWS=rows,
                COLUMNS=ACROSS,
                DTYPE=dot_type(),
                num_warps=8,
            )
            inner *= m
        return out


def _repeated(n: int, size: int, device: torch.device) -> Tensor:
    """Return H_n repeated along the diagonal of a matrix of a size."""
    matrix = torch.kron(torch.eye(size // n), sylvester(n, torch.float32, torch.device("cpu")))
    return matrix.to(device, torch.float32 if dot_type() == tl.float32 else torch.bfloat16)
