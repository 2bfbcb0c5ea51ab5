"""Fastfood on a GPU: short blocks in registers, signs from the stream."""

from __future__ import annotations

from typing import ClassVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlidim.projections.base import add_base
from rlidim.projections.fastfood import Fastfood
from rlidim.projections.hadamard import Hadamard, rows_last
from rlidim.projections.philox import sign_stream
from rlidim.projections.stacked_fastfood import OUTER, Stack, StackedFastfood
from rlidim.projections.triton_kernels import hadamard
from rlidim.projections.triton_kernels.hadamard import Tile, TritonHadamard, tile_places, transform
from rlidim.projections.triton_kernels.long_blocks import LongBlocks, ranges
from rlidim.projections.triton_kernels.stream import (
    PROGRAMS,
    chunked,
    flip,
    launch,
    members_last,
    sign_bits,
    tiles,
    total,
)

WALK = 8  # tiles of a program at most, for which theta is transformed once
RUNTIME = ["start", "stop", "d", "middle", "outer", "seed", "walk", "members"]


@triton.jit
def flip_tile(x, first, tag, seed, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return a tile with the signs of a stream from a row on."""
    return flip(x, tl.reshape(sign_bits(first, tag, seed, ROWS * COLUMNS), (ROWS, COLUMNS)))


@triton.jit
def tile_mask(places, first, start, stop, SIZE: tl.constexpr):
    """Return which places of the tile from a row on are rows start .. stop - 1."""
    lowest = tl.maximum(start - first, 0).to(tl.int32)
    return (places >= lowest) & (places < tl.minimum(stop - first, SIZE).to(tl.int32))


@triton.jit(do_not_specialize=RUNTIME)
def forward_kernel(
    theta, scale, base, out, left, right, start, stop, d, middle, outer, seed, walk,
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
        y = flip_tile(y, first, outer, seed, ROWS, COLUMNS)
        inside = tile_mask(places, first, start, stop, ROWS * COLUMNS)
        place = places.to(tl.int64)
        if base is not None:
            own = base + (first - start) * base_row
            y += tl.load(own + place * base_row, mask=inside, other=0.0)
        tl.store(out + (first - start) * out_row + place * out_row, y, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def adjoint_kernel(
    g, parts, left, right, start, stop, middle, outer, seed, walk, members, g_row, g_member,
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
        x = flip_tile(x, first, outer, seed, ROWS, COLUMNS)
        x = transform(x, left, right, ROWS, COLUMNS, DTYPE)
        result += flip_tile(x, first, middle, seed, ROWS, COLUMNS)
    place = tl.program_id(0).to(tl.int64) * (ROWS * COLUMNS) + places
    tl.store(parts + place * members + member, result)


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


class TritonStack(Stack):
    """Nothing of length D is kept; in float32 a product is one launch for n up to 2^14.

    A longer transform takes a few launches for some blocks at a time. In float64 torch computes
    them, with their signs made anew.
    """

    def _prepare(self) -> None:
        n, seed, dtype, device = self.n, self.seed, self.dtype, self.device
        self._middle, self._outer = (  # type: ignore[assignment]
            SignBlocks((self.blocks, n), tag, seed, dtype, device)
            for tag in (self.tag, self.tag + OUTER)
        )
        self._hadamard = Hadamard(n, dtype, device)
        self._tile = self._long = None
        if dtype is torch.float32 and n <= hadamard.LONGEST:
            self._tile = Tile(n, device)
        elif dtype is torch.float32:
            self._long = LongBlocks(n, self.tag, self.tag + OUTER, seed, device)

    def write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int, stop: int) -> None:
        """Set out to rows start .. stop - 1 of base + the product with theta, (d,) or (d, N)."""
        x, y = members_last(theta), members_last(out)
        if self._long is not None:
            padded = x.new_zeros((x.shape[1], self.n))
            padded[:, : self.d] = x.T * self._signed_scale
            self._long.forward(self._long.transform(padded).T, base, y, start, stop)
            return
        if self._tile is None:
            for first, last in ranges(self.n, start, stop, x.shape[1]):
                block = slice(first - start, last - start)
                product = self.forward(theta, first, last)
                add_base(product, None if base is None else base[block], out[block])
            return
        count = tiles(start, stop, self._tile.size)
        walk = min(WALK, max(1, count * x.shape[1] // PROGRAMS))
        launch(
            forward_kernel,
            (triton.cdiv(count, walk), x.shape[1]),
            *(theta, self._signed_scale, base, out, self._tile.left, self._tile.right),
            *(start, stop, self.d, self.tag, self.tag + OUTER, self.seed, walk),
            *(*x.stride(), 0 if base is None else base.stride(0), *y.stride()),
            n=self.n,
            **self._tile.options,
        )

    def sum(self, g: Tensor, start: int, stop: int) -> Tensor:
        """Return the transpose's product with g, rows start .. stop - 1 of (D,) or (D, N)."""
        x = members_last(g)
        if self._long is not None:
            mixed = self._long.transform(self._long.sums(x, start, stop))
            product = (mixed[:, : self.d] * self._signed_scale).T
            return product.reshape(self.d, *g.shape[1:]).contiguous()
        if self._tile is None:
            summed = g.new_zeros((self.d, *g.shape[1:]))
            for first, last in ranges(self.n, start, stop, x.shape[1]):
                summed += self.adjoint(g[first - start : last - start], first, last)
            return summed
        chunks, walk = chunked(tiles(start, stop, self._tile.size), x.shape[1])
        parts = g.new_empty((chunks * self._tile.size // self.n, self.n, *g.shape[1:]))
        launch(
            adjoint_kernel,
            (chunks, x.shape[1]),
            *(g, parts, self._tile.left, self._tile.right),
            *(start, stop, self.tag, self.tag + OUTER, self.seed, walk, x.shape[1], *x.stride()),
            **self._tile.options,
        )
        mixed = self._hadamard(rows_last(total(parts, None, parts.shape[1:])))
        return rows_last(mixed[..., : self.d] * self._signed_scale).contiguous()


class TritonStackedFastfood(StackedFastfood):
    """One part's product is added to the other's."""

    backend: ClassVar[str] = "triton"
    stack: ClassVar[type[Stack]] = TritonStack
    stacks: list[tuple[slice, TritonStack]]  # type: ignore[assignment]

    def _prepare(self) -> None:
        self._draw_parts()

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if out is None:
            out = theta.new_empty((stop - start, *theta.shape[1:]))
        (columns, first), *others = self.stacks
        first.write(theta[columns], base, out, start, stop)
        for columns, stack in others:
            product = torch.empty_like(out)
            stack.write(theta[columns], None, product, start, stop)
            out += product
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        sums = [stack.sum(g, start, stop) for _, stack in self.stacks]
        return sums[0] if len(sums) == 1 else torch.cat(sums)
