"""Dense P in registers: a tile of entries is made from the stream and used at once, never stored.

A vector is multiplied by flipping signs, or by the entries themselves; members are multiplied on
matrix units, with each tile made once for all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlidim.projections.blocks import inverse_roots
from rlidim.projections.dense import Dense
from rlidim.projections.gaussian import Gaussian
from rlidim.projections.hadamard import next_power_of_two
from rlidim.projections.normal import magnitudes
from rlidim.projections.rademacher import Rademacher, rows_a_counter
from rlidim.projections.triton_kernels.stream import (
    chunked,
    dot,
    dot_type,
    flip,
    launch,
    members_last,
    normal,
    signs,
    spread,
    stream_words,
    tiles,
    total,
)

VECTOR_BYTES = 256  # of a column of a tile, where each member is multiplied for itself
DOT_MEMBERS = (16, 64)  # the least and the most members of such a tile
SQUARES_ROWS = 64
RUNTIME = ["start", "stop", "d", "tag", "seed", "chunk", "members"]


@triton.jit
def sign_tile(
    first, block, tag, seed, ROWS: tl.constexpr, COLUMNS: tl.constexpr, TOP: tl.constexpr
):
    """Return the entries of a block of columns, from a row on, in one bit, (ROWS, COLUMNS)."""
    counters = first // (128 // COLUMNS) + tl.arange(0, ROWS * COLUMNS // 128)
    words = stream_words(counters, block, tag, seed)
    return spread(tl.reshape(words, (ROWS, COLUMNS // 32)), TOP)


@triton.jit
def normal_tile(first, block, tag, seed, table, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the entries of a block of columns, from a row on, (ROWS, COLUMNS)."""
    rows = first + tl.arange(0, ROWS)
    blocks = block * (COLUMNS // 8) + tl.arange(0, COLUMNS // 8)
    words = stream_words(rows[:, None], blocks[None, :], tag, seed)
    return normal(tl.reshape(words, (ROWS, COLUMNS // 2)), table)


@triton.jit
def times_entries(x, first, block, tag, seed, table, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Return a tile's entries, each times its part of x, (ROWS, 1) or (1, COLUMNS)."""
    if table is None:
        bits = sign_tile(first, block, tag, seed, ROWS, COLUMNS, True)
        return flip(tl.broadcast_to(x, (ROWS, COLUMNS)), bits)
    else:
        return normal_tile(first, block, tag, seed, table, ROWS, COLUMNS).to(x.dtype) * x


@triton.jit
def factor(
    first, block, tag, seed, table, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DTYPE: tl.constexpr
):
    """Return a tile's entries as a factor of :func:`dot`."""
    if table is None:
        entries = signs(sign_tile(first, block, tag, seed, ROWS, COLUMNS, False), DTYPE)
    else:
        entries = normal_tile(first, block, tag, seed, table, ROWS, COLUMNS)
    return entries


@triton.jit
def loaded_once(pointers, mask):
    """Return the numbers at pointers (n,), zero where masked, loaded by one thread each.

    Where a product wants a vector in every thread, each thread would load all of it, with a
    comparison for each number. This is a sum with one more zero, which is made once and handed
    round.
    """
    alone = mask[:, None] & (tl.arange(0, 2) == 0)[None, :]
    both = tl.broadcast_to(pointers[:, None], (pointers.shape[0], 2))
    return tl.sum(tl.load(both, mask=alone, other=0.0), 1)


@triton.jit(do_not_specialize=RUNTIME)
def forward_kernel(
    theta, scale, base, out, table, start, stop, d, tag, seed,
    theta_row, theta_member, base_row, out_row, out_member,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Rows of base + P theta, each program for one member."""
    theta += tl.program_id(1).to(tl.int64) * theta_member
    out += tl.program_id(1).to(tl.int64) * out_member
    first = (start // ROWS + tl.program_id(0)).to(tl.int64) * ROWS
    products = tl.zeros((ROWS, COLUMNS), theta.dtype.element_ty)
    for block in range(tl.cdiv(d, COLUMNS)):
        columns = block * COLUMNS + tl.arange(0, COLUMNS)
        own = theta + columns.to(tl.int64) * theta_row
        if table is None:  # the compiler hands a row's factors round by itself
            x = tl.load(own, mask=columns < d, other=0.0)
            x *= tl.load(scale + columns, mask=columns < d, other=0.0)
        else:
            x = loaded_once(own, columns < d) * loaded_once(scale + columns, columns < d)
        products += times_entries(x[None, :], first, block, tag, seed, table, ROWS, COLUMNS)
    result = tl.sum(products, 1)
    rows = first + tl.arange(0, ROWS)
    inside = (rows >= start) & (rows < stop)
    if base is not None:
        result += tl.load(base + (rows - start) * base_row, mask=inside)
    tl.store(out + (rows - start) * out_row, result, mask=inside)


@triton.jit(do_not_specialize=RUNTIME)
def forward_members_kernel(
    theta, scale, base, out, table, start, stop, d, tag, seed, members,
    theta_row, theta_member, base_row, out_row, out_member,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, MEMBERS: tl.constexpr,
    DTYPE: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Rows of base + P theta for many members."""
    first = (start // ROWS + tl.program_id(0)).to(tl.int64) * ROWS
    member = tl.program_id(1).to(tl.int64) * MEMBERS + tl.arange(0, MEMBERS)
    result = tl.zeros((ROWS, MEMBERS), theta.dtype.element_ty)
    for block in range(tl.cdiv(d, COLUMNS)):
        columns = block * COLUMNS + tl.arange(0, COLUMNS)
        place = columns.to(tl.int64)[:, None] * theta_row + member[None, :] * theta_member
        mask = (columns < d)[:, None] & (member < members)[None, :]
        x = tl.load(theta + place, mask=mask, other=0.0)
        x *= tl.load(scale + columns, mask=columns < d, other=0.0)[:, None]
        entries = factor(first, block, tag, seed, table, ROWS, COLUMNS, DTYPE)
        result = dot(entries, x, result, PARTS, 2, DTYPE)
    rows = first + tl.arange(0, ROWS)
    inside = (rows >= start) & (rows < stop)
    if base is not None:
        result += tl.load(base + (rows - start) * base_row, mask=inside, other=0.0)[:, None]
    place = (rows - start)[:, None] * out_row + member[None, :] * out_member
    tl.store(out + place, result, mask=inside[:, None] & (member < members)[None, :])


@triton.jit(do_not_specialize=RUNTIME)
def adjoint_kernel(
    g, parts, table, start, stop, d, tag, seed, chunk, members, g_row, g_member,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Parts of P^T g: each program sums a chunk of tiles for its columns of one member."""
    block = tl.program_id(1)
    member = tl.program_id(2).to(tl.int64)
    g += member * g_member
    first = (start // ROWS + tl.program_id(0) * chunk).to(tl.int64) * ROWS
    products = tl.zeros((ROWS, COLUMNS), g.dtype.element_ty)
    for tile in range(chunk):
        row = first + tile * ROWS
        rows = row + tl.arange(0, ROWS)
        inside = (rows >= start) & (rows < stop)
        x = loaded_once(g + (rows - start) * g_row, inside)
        products += times_entries(x[:, None], row, block, tag, seed, table, ROWS, COLUMNS)
    columns = block * COLUMNS + tl.arange(0, COLUMNS)
    place = (tl.program_id(0).to(tl.int64) * d + columns) * members + member
    tl.store(parts + place, tl.sum(products, 0), mask=columns < d)


@triton.jit(do_not_specialize=RUNTIME)
def adjoint_members_kernel(
    g, parts, table, start, stop, d, tag, seed, chunk, members, g_row, g_member,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, MEMBERS: tl.constexpr,
    DTYPE: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Parts of P^T g for many members."""
    block = tl.program_id(1)
    first = (start // ROWS + tl.program_id(0) * chunk).to(tl.int64) * ROWS
    member = tl.program_id(2).to(tl.int64) * MEMBERS + tl.arange(0, MEMBERS)
    result = tl.zeros((COLUMNS, MEMBERS), g.dtype.element_ty)
    for tile in range(chunk):
        row = first + tile * ROWS
        rows = row + tl.arange(0, ROWS)
        mask = ((rows >= start) & (rows < stop))[:, None] & (member < members)[None, :]
        place = (rows - start)[:, None] * g_row + member[None, :] * g_member
        x = tl.load(g + place, mask=mask, other=0.0)
        entries = factor(row, block, tag, seed, table, ROWS, COLUMNS, DTYPE)
        result = dot(tl.trans(entries), x, result, PARTS, 2, DTYPE)
    columns = block * COLUMNS + tl.arange(0, COLUMNS)
    place = (tl.program_id(0).to(tl.int64) * d + columns)[:, None] * members + member[None, :]
    mask = (columns < d)[:, None] & (member < members)[None, :]
    tl.store(parts + place, result, mask=mask)


@triton.jit(do_not_specialize=RUNTIME)
def squares_kernel(
    parts, table, stop, d, tag, seed, chunk, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Parts of each column's sum of squares: whole numbers below 2^53, exact in any order."""
    block = tl.program_id(1)
    first = (tl.program_id(0) * chunk).to(tl.int64) * ROWS
    squares = tl.zeros((ROWS, COLUMNS), tl.float64)
    for tile in range(chunk):
        row = first + tile * ROWS
        entries = normal_tile(row, block, tag, seed, table, ROWS, COLUMNS).to(tl.float64)
        inside = row + tl.arange(0, ROWS) < stop
        squares += tl.where(inside[:, None], entries * entries, 0.0)
    columns = block * COLUMNS + tl.arange(0, COLUMNS)
    place = tl.program_id(0).to(tl.int64) * d + columns
    tl.store(parts + place, tl.sum(squares, 0), mask=columns < d)


class _TritonDense(Dense):
    """A dense family whose entries are made in registers, however small P is: none is kept."""

    backend: ClassVar[str] = "triton"
    parts: ClassVar[int]  # of bfloat16 that hold an entry
    dot_rows: ClassVar[int]  # of a tile for many members: the most that need no spills
    _table: Tensor | None = None
    _columns_a_tile: int

    def _prepare(self) -> None:
        self.scale = self._column_scale().to(self.dtype)
        self._stored = None

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if out is None:
            out = theta.new_empty((stop - start, *theta.shape[1:]))
        x, y = members_last(theta), members_last(out)
        base_row = 0 if base is None else base.stride(0)
        where = (*x.stride(), base_row, *y.stride())
        common = (theta, self.scale, base, out, self._table, start, stop, self.d, self.stream)
        options = self._options(x.shape[1])
        count = tiles(start, stop, options["ROWS"])
        if "MEMBERS" in options:
            grid = (count, triton.cdiv(x.shape[1], options["MEMBERS"]))
            launch(forward_members_kernel, grid, *common, self.seed, x.shape[1], *where, **options)
        else:
            launch(forward_kernel, (count, x.shape[1]), *common, self.seed, *where, **options)
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        x = members_last(g)
        options = self._options(x.shape[1])
        kernel = adjoint_members_kernel if "MEMBERS" in options else adjoint_kernel
        blocks = triton.cdiv(self.d, options["COLUMNS"])
        groups = triton.cdiv(x.shape[1], options.get("MEMBERS", 1))
        chunks, chunk = chunked(tiles(start, stop, options["ROWS"]), blocks * groups)
        parts = g.new_empty((chunks, self.d, *g.shape[1:]))
        launch(
            kernel,
            (chunks, blocks, groups),
            *(g, parts, self._table, start, stop, self.d, self.stream, self.seed, chunk),
            *(x.shape[1], *x.stride()),
            **options,
        )
        return total(parts, self.scale, parts.shape[1:])

    def _options(self, members: int) -> dict[str, Any]:
        """Return the tile's sizes; in float64 each member is multiplied for itself."""
        if members == 1 or self.dtype is torch.float64:
            rows = VECTOR_BYTES // self.dtype.itemsize
            return {"ROWS": rows, "COLUMNS": self._columns_a_tile}
        return {
            "ROWS": self.dot_rows,
            "COLUMNS": self._columns_a_tile,
            "MEMBERS": min(max(next_power_of_two(members), DOT_MEMBERS[0]), DOT_MEMBERS[1]),
            "DTYPE": dot_type(),
            "PARTS": self.parts,
            "num_warps": 8,
        }


class TritonRademacher(_TritonDense, Rademacher):
    """Signs are bits of the stream: a product flips theta's signs."""

    parts: ClassVar[int] = 1
    dot_rows: ClassVar[int] = 128

    def _prepare(self) -> None:
        self._columns_a_tile = 128 // rows_a_counter(self.d)
        super()._prepare()


class TritonGaussian(_TritonDense, Gaussian):
    """Normal numbers come from a table of the reference's magnitudes."""

    parts: ClassVar[int] = 2
    dot_rows: ClassVar[int] = 64

    def _prepare(self) -> None:
        self._columns_a_tile = 32 if self.d <= 32 else 64
        self._table = magnitudes().to(self.device, torch.int16)
        super()._prepare()

    def _column_scale(self) -> Tensor:
        blocks = triton.cdiv(self.d, self._columns_a_tile)
        chunks, chunk = chunked(tiles(0, self.D, SQUARES_ROWS), blocks)
        parts = torch.empty(chunks, self.d, dtype=torch.float64, device=self.device)
        launch(
            squares_kernel,
            (chunks, blocks),
            *(parts, self._table, self.D, self.d, self.stream, self.seed, chunk),
            ROWS=SQUARES_ROWS,
            COLUMNS=self._columns_a_tile,
        )
        return inverse_roots(total(parts, None, (self.d,)))
