"""Fastfood in registers: Hadamard transforms on matrix units, signs from the stream.

H_n is a Kronecker product of two Hadamard matrices of up to 128, exact in bfloat16, and the other
factor is cut into three parts of bfloat16 that sum to it exactly: only the sums round, in float32.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlidim.projections.fastfood import Fastfood
from rlidim.projections.hadamard import Hadamard, next_power_of_two, rows_last, sylvester
from rlidim.projections.philox import sign_stream
from rlidim.projections.stacked_fastfood import INNER, OUTER, StackedFastfood
from rlidim.projections.triton_kernels.stream import (
    PROGRAMS,
    chunked,
    dot,
    dot_type,
    flip,
    launch,
    members_last,
    sign_bits,
    tiles,
    total,
)

LONGEST = 2**14  # transforms up to here are one program's
FACTOR = 128  # the largest Hadamard matrix
ALONE = 64  # the largest that is not cut in two
TILE = 2048  # entries of a program for short transforms
DOT_LEAST = 16  # what matrix units take at least
WALK = 8  # tiles of a program at most, for which theta is transformed once
ACROSS = 64  # neighbours that a program transforms across a stride
CHUNK = 2**22  # entries in memory at a time, of blocks that are not one program's
OUTER_TAG = tl.constexpr(OUTER)
EVERY_BIT = 2**62 - 1
FLIPPED = 1024  # entries of a program that flips signs alone
FLIP_RUNTIME = [
    "tag",
    "seed",
    "first",
    "begin",
    "end",
    "x_first",
    "mask",
    "begin_out",
    "end_out",
    "out_first",
]
RUNTIME = ["start", "stop", "d", "tag", "middle", "seed", "walk", "members", "count", "inner"]


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
def flip_tile(x, first, tag, seed, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return a tile with the signs of a stream from a row on."""
    return flip(x, tl.reshape(sign_bits(first, tag, seed, ROWS * COLUMNS), (ROWS, COLUMNS)))


@triton.jit
def tile_places(ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the places 0 .. ROWS COLUMNS - 1 of a tile."""
    return tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]


@triton.jit
def tile_mask(places, first, start, stop, SIZE: tl.constexpr):
    """Return which places of the tile from a row on are rows start .. stop - 1."""
    lowest = tl.maximum(start - first, 0).to(tl.int32)
    return (places >= lowest) & (places < tl.minimum(stop - first, SIZE).to(tl.int32))


@triton.jit(do_not_specialize=RUNTIME)
def forward_kernel(
    theta, scale, base, out, left, right, start, stop, d, tag, middle, seed, walk,
    theta_row, theta_member, base_row, out_row, out_member,
    n: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """Rows of base + P theta, each program a few tiles of one member."""
    theta += tl.program_id(1).to(tl.int64) * theta_member
    out += tl.program_id(1).to(tl.int64) * out_member
    places = tile_places(ROWS, COLUMNS)
    column = places % n
    x = tl.load(theta + column.to(tl.int64) * theta_row, mask=column < d, other=0.0)
    x *= tl.load(scale + column, mask=column < d, other=0.0)
    mixed = transform(x, left, right, ROWS, COLUMNS, DTYPE)
    tile = (start // (ROWS * COLUMNS) + tl.program_id(0) * walk).to(tl.int64)
    for step in range(walk):
        first = (tile + step) * (ROWS * COLUMNS)
        signed = flip_tile(mixed, first, middle, seed, ROWS, COLUMNS)
        y = transform(signed, left, right, ROWS, COLUMNS, DTYPE)
        y = flip_tile(y, first, tag + OUTER_TAG, seed, ROWS, COLUMNS)
        inside = tile_mask(places, first, start, stop, ROWS * COLUMNS)
        place = places.to(tl.int64)
        if base is not None:
            own = base + (first - start) * base_row
            y += tl.load(own + place * base_row, mask=inside, other=0.0)
        tl.store(out + (first - start) * out_row + place * out_row, y, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def adjoint_kernel(
    g, parts, left, right, start, stop, tag, middle, seed, walk, members, g_row, g_member,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr,
):  # fmt: skip
    """Parts of the sum of S_k H T_k g_k over the blocks k, each program's of one member."""
    member = tl.program_id(1).to(tl.int64)
    places = tile_places(ROWS, COLUMNS)
    result = tl.zeros((ROWS, COLUMNS), tl.float32)
    tile = (start // (ROWS * COLUMNS) + tl.program_id(0) * walk).to(tl.int64)
    for step in range(walk):
        first = (tile + step) * (ROWS * COLUMNS)
        inside = tile_mask(places, first, start, stop, ROWS * COLUMNS)
        own = g + (first - start) * g_row + member * g_member
        x = tl.load(own + places.to(tl.int64) * g_row, mask=inside, other=0.0)
        x = flip_tile(x, first, tag + OUTER_TAG, seed, ROWS, COLUMNS)
        x = transform(x, left, right, ROWS, COLUMNS, DTYPE)
        result += flip_tile(x, first, middle, seed, ROWS, COLUMNS)
    place = tl.program_id(0).to(tl.int64) * (ROWS * COLUMNS) + places
    tl.store(parts + place * members + member, result)


@triton.jit(do_not_specialize=RUNTIME)
def segments_kernel(
    x, out, left, right, count, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr
):
    """Transforms of contiguous segments, ``count`` numbers in all."""
    place = tl.program_id(0).to(tl.int64) * (ROWS * COLUMNS) + tile_places(ROWS, COLUMNS)
    segment = tl.load(x + place, mask=place < count, other=0.0)
    tl.store(out + place, transform(segment, left, right, ROWS, COLUMNS, DTYPE), mask=place < count)


@triton.jit(do_not_specialize=RUNTIME)
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


@triton.jit(do_not_specialize=FLIP_RUNTIME)
def flip_kernel(
    x, base, out, tag, seed, first, begin, end, x_first, mask, begin_out, end_out, out_first,
    x_row, x_member, base_row, out_row, out_member, SIZE: tl.constexpr,
):  # fmt: skip
    """Rows of base + x with a stream's signs; x is known from ``begin`` to ``end``, else zero."""
    row = first + tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    own = ((row - x_first) & mask) * x_row + tl.program_id(1).to(tl.int64) * x_member
    y = tl.load(x + own, mask=(row >= begin) & (row < end), other=0.0)
    y = flip(y, sign_bits(first + tl.program_id(0).to(tl.int64) * SIZE, tag, seed, SIZE))
    inside = (row >= begin_out) & (row < end_out)
    place = row - out_first
    if base is not None:
        y += tl.load(base + place * base_row, mask=inside, other=0.0)
    out += tl.program_id(1).to(tl.int64) * out_member
    tl.store(out + place * out_row, y, mask=inside)


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
        """What every kernel on such tiles takes."""
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


class TritonFastfood(Fastfood):
    """The reference's steps with Triton's transforms, torch's in float64; no P is kept."""

    backend: ClassVar[str] = "triton"

    def _prepare(self) -> None:
        self._draw()
        self._stored = None
        self._hadamard = Hadamard(self.L, self.dtype, self.device)
        if self.dtype is torch.float32:
            self._hadamard = TritonHadamard(self.L, self.device)  # type: ignore[assignment]


class SignBlocks:
    """A stream's signs as rows of n, made when they are asked for."""

    def __init__(
        self, shape: tuple[int, int], tag: int, seed: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Remember the stream; n is a power of two."""
        self.shape, self.tag, self.seed, self.dtype, self.device = shape, tag, seed, dtype, device

    def __getitem__(self, blocks: slice | int) -> Tensor:
        """Return some blocks, (blocks, n), or one, (n,)."""
        chosen, n = range(self.shape[0])[blocks], self.shape[1]
        first = chosen if isinstance(chosen, int) else chosen.start
        count = 1 if isinstance(chosen, int) else len(chosen)
        drawn = sign_stream(count * n, self.tag, self.seed, self.device, first * n)
        rows = drawn.view(count, n).to(self.dtype)
        return rows[0] if isinstance(chosen, int) else rows


class TritonStackedFastfood(StackedFastfood):
    """Nothing of length D is kept; in float32 a product is one launch for n up to 2^14.

    A longer transform takes a few launches for some blocks at a time. In float64 torch computes
    them, with their signs made anew.
    """

    backend: ClassVar[str] = "triton"

    def _prepare(self) -> None:
        D, d, seed, dtype, device = self.D, self.d, self.seed, self.dtype, self.device
        self.n = n = next_power_of_two(d)
        self.blocks = -(-D // n)
        self._inner = sign_stream(n, self.tag + INNER, seed, device)[:d].to(dtype)
        shape = (self.blocks, n)
        self._scale = self._choose_middle().to(dtype)
        self._middle = SignBlocks(shape, self.middle_tag, seed, dtype, device)  # type: ignore[assignment]
        self._outer = SignBlocks(  # type: ignore[assignment]
            shape, self.tag + OUTER, seed, dtype, device
        )
        self._hadamard = Hadamard(n, dtype, device)
        self._signed_scale = self._inner * self._scale
        self._tile = self._long = None
        if dtype is torch.float32 and n <= LONGEST:
            self._tile = Tile(n, device)
        elif dtype is torch.float32:
            self._long = TritonHadamard(n, device)
        self._stored = None

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if out is None:
            out = theta.new_empty((stop - start, *theta.shape[1:]))
        x, y = members_last(theta), members_last(out)
        if self._long is not None:
            self._long_forward(x, base, y, start, stop)
            return out
        if self._tile is None:
            for first, last in self._chunks(start, stop, x.shape[1]):
                part = slice(first - start, last - start)
                super()._forward(
                    theta, None if base is None else base[part], out[part], first, last
                )
            return out
        count = tiles(start, stop, self._tile.size)
        walk = min(WALK, max(1, count * x.shape[1] // PROGRAMS))
        launch(
            forward_kernel,
            (triton.cdiv(count, walk), x.shape[1]),
            *(theta, self._signed_scale, base, out, self._tile.left, self._tile.right),
            *(start, stop, self.d, self.tag, self.middle_tag, self.seed, walk),
            *(*x.stride(), 0 if base is None else base.stride(0), *y.stride()),
            n=self.n,
            **self._tile.options,
        )
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        x = members_last(g)
        if self._long is not None:
            mixed = self._long(self._long_sums(x, start, stop))
            found = (mixed[:, : self.d] * self._signed_scale).T
            return found.reshape(self.d, *g.shape[1:]).contiguous()
        if self._tile is None:
            summed = g.new_zeros((self.d, *g.shape[1:]))
            for first, last in self._chunks(start, stop, x.shape[1]):
                summed += super()._adjoint(g[first - start : last - start], first, last)
            return summed
        chunks, walk = chunked(tiles(start, stop, self._tile.size), x.shape[1])
        parts = g.new_empty((chunks * self._tile.size // self.n, self.n, *g.shape[1:]))
        launch(
            adjoint_kernel,
            (chunks, x.shape[1]),
            *(g, parts, self._tile.left, self._tile.right),
            *(start, stop, self.tag, self.middle_tag, self.seed, walk, x.shape[1], *x.stride()),
            **self._tile.options,
        )
        mixed = self._hadamard(rows_last(total(parts, None, parts.shape[1:])))
        return rows_last(mixed[..., : self.d] * self._signed_scale).contiguous()

    def _long_forward(
        self, x: Tensor, base: Tensor | None, y: Tensor, start: int, stop: int
    ) -> None:
        """Write rows of base + P x, (d, N), to y, (rows, N)."""
        assert self._long is not None
        padded = x.new_zeros((x.shape[1], self.n))
        padded[:, : self.d] = x.T * self._signed_scale
        mixed = self._long(padded).T
        for first, last in self._chunks(start, stop, x.shape[1]):
            rows = self._whole_blocks(first, last)
            signed = x.new_empty((x.shape[1], len(rows))).T
            self._flip(mixed, None, signed, self.middle_tag, rows, rows, 0, rows)
            product = self._long(signed.T.view(x.shape[1], -1, self.n)).view(x.shape[1], -1).T
            part = slice(first - start, last - start)
            own = None if base is None else base[part]
            tag, wanted = self.tag + OUTER, range(first, last)
            self._flip(product, own, y[part], tag, rows, rows, rows.start, wanted)

    def _long_sums(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Return the sums of S_k H T_k x_k over the blocks k for x (rows, N), (N, n)."""
        assert self._long is not None
        summed = x.new_zeros((x.shape[1], self.n))
        for first, last in self._chunks(start, stop, x.shape[1]):
            rows = self._whole_blocks(first, last)
            signed = x.new_empty((x.shape[1], len(rows))).T
            part, known = x[first - start : last - start], range(first, last)
            self._flip(part, None, signed, self.tag + OUTER, rows, known, first, rows)
            product = self._long(signed.T.view(x.shape[1], -1, self.n)).view(x.shape[1], -1).T
            self._flip(product, None, signed, self.middle_tag, rows, rows, rows.start, rows)
            summed += signed.T.view(x.shape[1], -1, self.n).sum(1)
        return summed

    def _whole_blocks(self, first: int, last: int) -> range:
        """Return the rows of the blocks that rows first .. last - 1 lie in."""
        return range(first // self.n * self.n, -(-last // self.n) * self.n)

    def _flip(
        self,
        x: Tensor,
        base: Tensor | None,
        out: Tensor,
        tag: int,
        rows: range,
        known: range,
        x_first: int,
        wanted: range,
    ) -> None:
        """Write the wanted rows, of those gone through, of base + x with a stream's signs.

        x, (m, N), begins with row ``x_first`` and is repeated where it is one block long; rows
        that are not known count as zero.
        """
        mask = self.n - 1 if len(x) == self.n else EVERY_BIT
        launch(
            flip_kernel,
            (len(rows) // FLIPPED, x.shape[1]),
            *(x, base, out, tag, self.seed, rows.start, known.start, known.stop),
            *(x_first, mask, wanted.start, wanted.stop, wanted.start),
            *(*x.stride(), 0 if base is None else base.stride(0), *out.stride()),
            SIZE=FLIPPED,
        )

    def _chunks(self, start: int, stop: int, members: int) -> list[tuple[int, int]]:
        """Return ranges of rows that end with a block."""
        step = max(1, CHUNK // (self.n * members)) * self.n
        cuts = [start, *range((start // step + 1) * step, stop, step), stop]
        return [(first, last) for first, last in pairwise(cuts) if last > first]


def _repeated(n: int, size: int, device: torch.device) -> Tensor:
    """Return H_n repeated along the diagonal of a matrix of a size."""
    matrix = torch.kron(torch.eye(size // n), sylvester(n, torch.float32, torch.device("cpu")))
    return matrix.to(device, torch.float32 if dot_type() == tl.float32 else torch.bfloat16)
