"""The stream in registers, with the reference's bits, and helpers that all kernels share.

Kernels address rows and members by strides, so that no input is copied; row numbers are int64.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

from rlidim.errors import RlidimError
from rlidim.projections import normal as reference_normal
from rlidim.projections import philox as reference

MULTIPLIER_0 = tl.constexpr(reference.MULTIPLIER_0)
MULTIPLIER_1 = tl.constexpr(reference.MULTIPLIER_1)
WEYL_0 = tl.constexpr(reference.WEYL_0)
WEYL_1 = tl.constexpr(reference.WEYL_1)
MASK = tl.constexpr(reference.MASK)
ROUNDS = tl.constexpr(reference.ROUNDS)
MAGNITUDES = tl.constexpr(reference_normal.MAGNITUDES)

PROGRAMS = 1024  # about as many as keep a GPU busy: the adjoints' chunks, whatever the device
MOST_BLOCKS = 2**16 - 1  # of a grid's second and third axis, by CUDA's programming guide
TOTAL_PARTS, TOTAL_SIZE = 32, 64  # partial sums, and elements of them, that are added at a time


@triton.jit
def philox(rows, blocks, tag, seed):
    """Return the stream's four words at (row, block), uint32."""
    key_0 = seed.to(tl.uint32)
    key_1 = (seed.to(tl.uint64) >> 32).to(tl.uint32)
    c0 = rows.to(tl.uint32)
    c1 = tl.cast(blocks, tl.uint32)
    c2 = (rows >> 32).to(tl.uint32)
    c3 = tag.to(tl.uint32)
    for number in tl.static_range(ROUNDS):
        product_0 = c0.to(tl.uint64) * MULTIPLIER_0
        product_1 = c2.to(tl.uint64) * MULTIPLIER_1
        c0 = (product_1 >> 32).to(tl.uint32) ^ c1 ^ (key_0 + ((number * WEYL_0) & MASK))
        c2 = (product_0 >> 32).to(tl.uint32) ^ c3 ^ (key_1 + ((number * WEYL_1) & MASK))
        c1 = product_1.to(tl.uint32)
        c3 = product_0.to(tl.uint32)
    return c0, c1, c2, c3


@triton.jit
def stream_words(rows, blocks, tag, seed):
    """Return the stream's words at (row, block) along two new axes, in the stream's order."""
    w0, w1, w2, w3 = philox(rows, blocks, tag, seed)
    return tl.join(tl.join(w0, w2), tl.join(w1, w3))


@triton.jit
def spread(words, TOP: tl.constexpr):
    """Return words (rows, words) shifted so that one bit is each column's, (rows, 32 words).

    The top one for :func:`flip`, the lowest for :func:`signs`: each saves an instruction an entry.
    """
    column = tl.arange(0, 32)[None, None, :].to(tl.uint32)
    bits = (words[:, :, None] << (31 - column)) if TOP else (words[:, :, None] >> column)
    return tl.reshape(bits, (words.shape[0], 32 * words.shape[1]))


@triton.jit
def sign_bits(first, tag, seed, COUNT: tl.constexpr):
    """Return a sign stream's numbers, from a multiple of 128 on, in the top bit, (COUNT,)."""
    calls = first // 128 + tl.arange(0, COUNT // 128)
    words = stream_words(calls, calls * 0, tag, seed)
    return tl.reshape(spread(tl.reshape(words, (COUNT // 32, 1)), True), (COUNT,))


@triton.jit
def flip(x, bits):
    """Return x, negated where the top bit is set: a sign bit is changed, nothing is converted."""
    top = bits & 0x80000000
    if x.dtype == tl.float64:
        flipped = x.to(tl.uint64, bitcast=True) ^ (top.to(tl.uint64) << 32)
    else:
        flipped = x.to(tl.uint32, bitcast=True) ^ top
    return flipped.to(x.dtype, bitcast=True)


@triton.jit
def signs(bits, DTYPE: tl.constexpr):
    """Return -1 where the lowest bit is set and +1 elsewhere, made of bits."""
    if DTYPE == tl.bfloat16:  # noqa: SIM300
        return ((bits << 15) & 0x8000 | 0x3F80).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        return ((bits << 31) | 0x3F800000).to(tl.float32, bitcast=True)


@triton.jit
def normal(words, table):
    """Map words (rows, words) to normal numbers times 4096, float32 (rows, 2 words).

    The magnitudes come from the reference's own table, 64 KiB that stay in the first cache: exact
    whatever a compiler fuses, where the cubics would hang on how multiply-adds are rounded.
    """
    drawn = tl.join(words & 0xFFFF, words >> 16)
    drawn = tl.reshape(drawn, (words.shape[0], 2 * words.shape[1]))
    magnitude = tl.load(table + (drawn & (MAGNITUDES - 1)).to(tl.int32))
    return flip(magnitude.to(tl.float32), drawn << 16)


@triton.jit
def dot(left, right, total, LEFT: tl.constexpr, RIGHT: tl.constexpr, DTYPE: tl.constexpr):
    """Return total + left @ right on matrix units, float32.

    The factors are cut into LEFT and RIGHT parts of bfloat16: whole numbers of up to 8 bits take
    one part to be exact, of up to 16 bits two, any float32 three.
    """
    for _ in tl.static_range(LEFT):
        left_part = left.to(tl.bfloat16)
        rest = right
        for _ in tl.static_range(RIGHT):
            right_part = rest.to(tl.bfloat16)
            total = tl.dot(left_part.to(DTYPE), right_part.to(DTYPE), total)
            rest -= right_part.to(tl.float32)
        left -= left_part.to(tl.float32)
    return total


@triton.jit(do_not_specialize=["count", "size", "members"])
def total_kernel(parts, scale, out, count, size, members, PARTS: tl.constexpr, SIZE: tl.constexpr):
    """Write scale times the sum of parts (count, size), in a fixed order."""
    element = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    part = tl.arange(0, PARTS)
    total = tl.zeros((PARTS, SIZE), parts.dtype.element_ty)
    for first in range(0, count, PARTS):
        number = first + part
        mask = (number < count)[:, None] & (element < size)[None, :]
        place = number.to(tl.int64)[:, None] * size + element[None, :]
        total += tl.load(parts + place, mask=mask, other=0.0)
    result = tl.sum(total, 0)
    if scale is not None:
        result *= tl.load(scale + element // members, mask=element < size, other=0.0)
    tl.store(out + element, result, mask=element < size)


def total(parts: Tensor, scale: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Return scale, one number a row, times the sum of parts (count, *shape) over the first axis.

    The order of the sum is fixed by the shape: no atomic additions.
    """
    out = parts.new_empty(shape)
    launch(
        total_kernel,
        (triton.cdiv(out.numel(), TOTAL_SIZE),),
        *(parts, scale, out, len(parts), out.numel(), out.numel() // shape[0]),
        PARTS=TOTAL_PARTS,
        SIZE=TOTAL_SIZE,
    )
    return out


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Start a kernel on the device of its first argument; an empty grid is nothing to do.

    Raises:
        RlidimError: more blocks of vectors than a grid has beyond its first axis.
    """
    if max(grid[1:], default=0) > MOST_BLOCKS:
        raise RlidimError(
            f"a block of so many vectors needs a grid {' x '.join(map(str, grid))}, of which a GPU "
            f"has at most {MOST_BLOCKS:,} beside the first: hand over fewer columns at once"
        )
    if 0 not in grid:
        with torch.cuda.device_of(arguments[0]):
            kernel[grid](*arguments, **options)


def members_last(x: Tensor) -> Tensor:
    """Return x, (m,) or (m, N), as (m, N)."""
    return x.unsqueeze(1) if x.ndim == 1 else x


def tiles(start: int, stop: int, size: int) -> int:
    """Return how many tiles that begin at multiples of the size hold rows start .. stop - 1."""
    return -(-stop // size) - start // size if stop > start else 0


def chunked(pieces: int, programs: int) -> tuple[int, int]:
    """Cut an adjoint's pieces of rows into chunks, each summed by that many programs.

    Returns:
        How many chunks, and of how many pieces: of the sizes alone, not of the device.
    """
    if pieces == 0:
        return 0, 0
    size = -(-pieces // max(1, min(pieces, PROGRAMS // programs)))
    return -(-pieces // size), size


def dot_type() -> tl.dtype:
    """Return the dtype of a dot's factors; the interpreter misreads the bits of bfloat16."""
    return tl.float32 if knobs.runtime.interpret else tl.bfloat16
