"""Signed permutations, block by block: one map a block is kept, all else comes from the stream.

The adjoint needs no atomic additions: a program owns columns and walks a chunk of blocks, where a
column's row is the inverse map's.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections.base import Projection
from rlidim.projections.blocks import inverse_roots
from rlidim.projections.hadamard import next_power_of_two
from rlidim.projections.hashed import GROUPS, HASHES, Hashed
from rlidim.projections.philox import words
from rlidim.projections.rotation import SHIFTS, Rotation
from rlidim.projections.triton_kernels.stream import (
    chunked,
    flip,
    launch,
    members_last,
    sign_bits,
    stream_words,
    tiles,
    total,
)

LARGEST = 2**30  # columns: places in a block fit in 32 bits
FORWARD_TILE, TILE = 2048, 1024  # entries that a program has in registers
MEMBERS = 16  # of a tile at most
COLUMNS = 128  # of the adjoint's tile at most
CALLS = 128  # of the stream that a program writes
GROUP_TAG = tl.constexpr(GROUPS)
RUNTIME = ["start", "stop", "blocks", "d", "tag", "seed", "members", "chunk", "first", "count"]


@triton.jit
def place_in_block(x, block, mask, width, reciprocal, factors, shifts):
    """Return (factor x + shift) mod width, the block's map, for x < width, int32.

    The remainder by Barrett's reduction: the quotient is one too small at most, because
    reciprocal = floor((2^64 - 1) / width) and the dividend is below 2^62.
    """
    shift = tl.load(shifts + block, mask=mask, other=0)
    if factors is None:
        place = x + shift
        return tl.where(place >= width, place - width, place)
    else:
        factor = tl.load(factors + block, mask=mask, other=0)
        dividend = factor.to(tl.uint64) * x.to(tl.uint64) + shift.to(tl.uint64)
        quotient = tl.umulhi(dividend, tl.broadcast_to(reciprocal, dividend.shape))
        rest = (dividend - quotient * width.to(tl.uint64)).to(tl.int32)
        return tl.where(rest >= width, rest - width, rest)


@triton.jit(do_not_specialize=RUNTIME)
def forward_kernel(
    theta, scale, base, out, widths, reciprocals, factors, shifts,
    start, stop, blocks, tag, seed, members,
    theta_row, theta_member, base_row, out_row, out_member,
    ENTRIES: tl.constexpr, ROWS: tl.constexpr, MEMBERS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Rows of base + P theta."""
    first = (start // ROWS + tl.program_id(0)).to(tl.int64) * ROWS
    rows = first + tl.arange(0, ROWS)
    inside = (rows >= start) & (rows < stop)
    member = tl.program_id(1).to(tl.int64) * MEMBERS + tl.arange(0, MEMBERS)
    mask = inside[:, None] & (member < members)[None, :]
    result = tl.zeros((ROWS, MEMBERS), theta.dtype.element_ty)
    for group in range(ENTRIES):
        width = tl.load(widths + group)
        block = first // width
        within = (first - block * width).to(tl.int32) + tl.arange(0, ROWS)
        # A wide block ends a tile in the next block at the latest.
        further = (within >= width).to(tl.int32) if WIDE else within // width
        within -= further * width
        number = tl.cast(group, tl.int64) * blocks + block + further
        reciprocal = tl.load(reciprocals + group).to(tl.uint64, bitcast=True)
        place = place_in_block(within, number, inside, width, reciprocal, factors, shifts)
        column = group + ENTRIES * place.to(tl.int64)
        x = tl.load(
            theta + column[:, None] * theta_row + member[None, :] * theta_member,
            mask=mask,
            other=0.0,
        )
        x *= tl.load(scale + column, mask=inside, other=0.0)[:, None]
        bits = sign_bits(first, tag + group * GROUP_TAG, seed, ROWS)
        result += flip(x, tl.broadcast_to(bits[:, None], (ROWS, MEMBERS)))
    if base is not None:
        result += tl.load(base + (rows - start) * base_row, mask=inside, other=0.0)[:, None]
    tl.store(
        out + (rows - start)[:, None] * out_row + member[None, :] * out_member, result, mask=mask
    )


@triton.jit(do_not_specialize=RUNTIME)
def words_kernel(signs, first, count, tag, seed, CALLS: tl.constexpr):
    """Each group's sign stream as it is, bits, from a call on."""
    group = tl.program_id(1)
    call = tl.program_id(0).to(tl.int64) * CALLS + tl.arange(0, CALLS)
    drawn = stream_words(first + call, call * 0, tag + group * GROUP_TAG, seed)
    word = tl.program_id(0).to(tl.int64) * (4 * CALLS) + tl.arange(0, 4 * CALLS)
    drawn = tl.reshape(drawn, (4 * CALLS,)).to(tl.int32, bitcast=True)
    tl.store(signs + group.to(tl.int64) * count + word, drawn, mask=word < count)


@triton.jit(do_not_specialize=RUNTIME)
def adjoint_kernel(
    g, parts, signs, widths, reciprocals, factors, shifts,
    start, stop, blocks, d, count, chunk, members, g_row, g_member,
    ENTRIES: tl.constexpr, BLOCKS: tl.constexpr, COLUMNS: tl.constexpr, MEMBERS: tl.constexpr,
):  # fmt: skip
    """Parts of P^T g, without the columns' scale: a program's columns in a chunk of blocks."""
    group = tl.program_id(2) % ENTRIES
    member = (tl.program_id(2) // ENTRIES).to(tl.int64) * MEMBERS + tl.arange(0, MEMBERS)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    width = tl.load(widths + group)
    reciprocal = tl.load(reciprocals + group).to(tl.uint64, bitcast=True)
    first = start // width + tl.program_id(1).to(tl.int64) * chunk * BLOCKS
    result = tl.zeros((BLOCKS, COLUMNS, MEMBERS), g.dtype.element_ty)
    for step in range(chunk):
        block = (first + step * BLOCKS + tl.arange(0, BLOCKS))[:, None]
        known = (block * width < stop) & (column < width)[None, :]
        place = place_in_block(
            tl.broadcast_to(column[None, :], (BLOCKS, COLUMNS)),
            tl.broadcast_to(group.to(tl.int64) * blocks + block, (BLOCKS, COLUMNS)),
            *(known, width, reciprocal, factors, shifts),
        )
        row = block * width + place
        inside = known & (row >= start) & (row < stop)
        word = group.to(tl.int64) * count + row // 32 - start // 128 * 4
        bits = tl.load(signs + word, mask=inside, other=0).to(tl.uint32, bitcast=True)
        bits = bits << (31 - row % 32).to(tl.uint32)
        x = tl.load(
            g + (row - start)[:, :, None] * g_row + member[None, None, :] * g_member,
            mask=inside[:, :, None] & (member < members)[None, None, :],
            other=0.0,
        )
        result += flip(x, tl.broadcast_to(bits[:, :, None], (BLOCKS, COLUMNS, MEMBERS)))
    own = tl.program_id(1).to(tl.int64) * d + group + ENTRIES * column
    mask = (column < width)[:, None] & (member < members)[None, :]
    tl.store(parts + own[:, None] * members + member[None, :], tl.sum(result, 0), mask=mask)


class _TritonBlocks(Projection):
    """A family of one map a block and group: D / d numbers are kept, and d of the columns."""

    backend: ClassVar[str] = "triton"

    def _prepare_maps(self, maps: list[tuple[Tensor | None, Tensor]], widths: list[int]) -> None:
        """Keep each group's map, its inverse and its columns' scale.

        Args:
            maps: of each group, the blocks' factors, none where all are 1, and shifts, int64.
            widths: of each group's blocks.
        """
        self._widths = torch.tensor(widths, dtype=torch.int32, device=self.device)
        unsigned = [(2**64 - 1) // width for width in widths]
        signed = [value - 2**64 * (value >= 2**63) for value in unsigned]
        self._reciprocals = torch.tensor(signed, dtype=torch.int64, device=self.device)
        self._narrowest = min(widths)
        self._scale = torch.empty(self.d, dtype=self.dtype, device=self.device)
        inverses = []
        for group, ((factors, shifts), width) in enumerate(zip(maps, widths, strict=True)):
            full_blocks = self.D // width
            cut = torch.arange(self.D - full_blocks * width, device=self.device)
            counts = torch.full(
                (width,), float(full_blocks), dtype=torch.float64, device=self.device
            )
            factor, shift = (1 if factors is None else factors[full_blocks:]), shifts[full_blocks:]
            counts[(factor * cut + shift) % width] += 1.0
            self._scale[group :: len(widths)] = inverse_roots(counts).to(self.dtype)
            inverse = None if factors is None else _inverse(factors, width)
            inverses.append((inverse, -shifts * (1 if inverse is None else inverse) % width))
        self._factors, self._shifts = _table(maps)
        self._inverse_factors, self._inverse_shifts = _table(inverses)

    def _check_columns(self) -> None:
        if self.d > LARGEST:
            raise RlidimError(
                f"{self!r}: the Triton kernels serve d up to 2^30: use backend='torch'"
            )

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if out is None:
            out = theta.new_empty((stop - start, *theta.shape[1:]))
        x, y = members_last(theta), members_last(out)
        members = min(MEMBERS, next_power_of_two(x.shape[1]))
        rows = max(FORWARD_TILE // members, 128)
        launch(
            forward_kernel,
            (tiles(start, stop, rows), triton.cdiv(x.shape[1], members)),
            *(theta, self._scale, base, out),
            *(self._widths, self._reciprocals, self._factors, self._shifts),
            *(start, stop, self._shifts.shape[1], self.tag, self.seed, x.shape[1]),
            *(*x.stride(), 0 if base is None else base.stride(0), *y.stride()),
            ENTRIES=len(self._widths),
            ROWS=rows,
            MEMBERS=members,
            WIDE=self._narrowest >= rows,
        )
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        x = members_last(g)
        entries = len(self._widths)
        first, last = start // 128, -(-stop // 128)
        signs = torch.empty(entries, 4 * (last - first), dtype=torch.int32, device=self.device)
        launch(
            words_kernel,
            (triton.cdiv(last - first, CALLS), entries),
            *(signs, first, signs.shape[1], self.tag, self.seed),
            CALLS=CALLS,
        )
        members = min(MEMBERS, next_power_of_two(x.shape[1]))
        columns = min(COLUMNS, next_power_of_two(-(-self.d // entries)))
        at_once = max(1, TILE // (members * columns))
        groups = entries * triton.cdiv(x.shape[1], members)
        owners = triton.cdiv(-(-self.d // entries), columns)
        pieces = triton.cdiv(tiles(start, stop, self._narrowest), at_once)
        chunks, chunk = chunked(pieces, owners * groups)
        parts = g.new_empty((chunks, self.d, *g.shape[1:]))
        launch(
            adjoint_kernel,
            (owners, chunks, groups),
            *(g, parts, signs, self._widths, self._reciprocals),
            *(self._inverse_factors, self._inverse_shifts),
            *(start, stop, self._shifts.shape[1], self.d, signs.shape[1], chunk),
            *(x.shape[1], *x.stride()),
            ENTRIES=entries,
            BLOCKS=at_once,
            COLUMNS=columns,
            MEMBERS=members,
        )
        return total(parts, self._scale, parts.shape[1:])


class TritonRotation(_TritonBlocks, Rotation):
    """A block's map adds its shift."""

    def _prepare(self) -> None:
        self._check_columns()
        drawn = _drawn(-(-self.D // self.d), self.tag + SHIFTS, self.seed, self.device)
        self._prepare_maps([(None, drawn[:, 0] % self.d)], [self.d])


class TritonHashed(_TritonBlocks, Hashed):
    """A block's map multiplies by a number coprime to the width and adds its shift."""

    def _prepare(self) -> None:
        self._check_columns()
        widths = [len(range(group, self.d, self.entries)) for group in range(self.entries)]
        self._prepare_maps(
            [self._map(self.tag + GROUPS * group, width) for group, width in enumerate(widths)],
            widths,
        )

    def _map(self, tag: int, width: int) -> tuple[Tensor, Tensor]:
        """Return the blocks' factors and shifts of a group, int64."""
        drawn = _drawn(-(-self.D // width), tag + HASHES, self.seed, self.device)
        values = torch.arange(width, device=self.device)
        choices = torch.nonzero(torch.gcd(values, torch.full_like(values, width)) == 1).flatten()
        place = torch.searchsorted(choices, drawn[:, 0] % width) % len(choices)
        return choices[place], drawn[:, 1] % width


def _drawn(count: int, tag: int, seed: int, device: torch.device) -> Tensor:
    number = torch.arange(count, dtype=torch.int64, device=device)
    return words(number, torch.zeros_like(number), tag, seed)


def _inverse(factors: Tensor, width: int) -> Tensor:
    """Return the factors' inverses modulo the width."""
    values, places = factors.unique(return_inverse=True)
    inverses = [pow(value, -1, width) for value in values.tolist()]
    return torch.tensor(inverses, dtype=torch.int64, device=factors.device)[places]


def _table(maps: list[tuple[Tensor | None, Tensor]]) -> tuple[Tensor | None, Tensor]:
    """Return all groups' factors, if any, and shifts, int32 (groups, blocks) filled with zeros."""
    factors = [factor for factor, _ in maps if factor is not None]
    shifts = [shift for _, shift in maps]
    return (_rows(factors) if factors else None), _rows(shifts)


def _rows(columns: list[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(columns, batch_first=True).to(torch.int32)
