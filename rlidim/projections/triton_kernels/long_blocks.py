"""Blocks of stacked Fastfood too long for one program: a few at a time, through memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import triton
import triton.language as tl
from torch import Tensor

from rlidim.projections.triton_kernels.hadamard import TritonHadamard
from rlidim.projections.triton_kernels.stream import flip, launch, sign_bits

CHUNK = 2**22  # entries in memory at a time
FLIPPED = 1024  # entries of a program
EVERY_BIT = 2**62 - 1
RUNTIME = [
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


@triton.jit(do_not_specialize=RUNTIME)
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


class LongBlocks:
    """The blocks T_k H S_k of rows, their signs made anew each time, in float32.

    Args:
        n: of a block's rows, a power of two beyond a program's transform.
        middle: tag of the signs S_k.
        outer: of the signs T_k.
        seed: of both.
        device: a GPU.
    """

    def __init__(self, n: int, middle: int, outer: int, seed: int, device: torch.device) -> None:
        """Remember the streams."""
        self.n, self._middle, self._outer, self._seed = n, middle, outer, seed
        self._hadamard = TritonHadamard(n, device)

    def transform(self, x: Tensor) -> Tensor:
        """Return H x_i of each row x_i of x (N, n)."""
        return self._hadamard(x)

    def forward(
        self, mixed: Tensor, base: Tensor | None, out: Tensor, start: int, stop: int
    ) -> None:
        """Write rows of base + T_k H S_k x for x = mixed, (n, N), to out, (rows, N)."""
        for first, last in ranges(self.n, start, stop, mixed.shape[1]):
            rows = self._rows(first, last)
            signed = self._block(mixed, rows)
            self._flip(mixed, None, signed, self._middle, rows, rows, 0, rows)
            product = self._transformed(signed)
            block, written = slice(first - start, last - start), range(first, last)
            own = None if base is None else base[block]
            self._flip(product, own, out[block], self._outer, rows, rows, rows.start, written)

    def sums(self, g: Tensor, start: int, stop: int) -> Tensor:
        """Return the sums of S_k H T_k g_k over the blocks k, (N, n), for rows of g, (rows, N)."""
        summed = g.new_zeros((g.shape[1], self.n))
        for first, last in ranges(self.n, start, stop, g.shape[1]):
            rows, present = self._rows(first, last), range(first, last)
            signed = self._block(g, rows)
            block = g[first - start : last - start]
            self._flip(block, None, signed, self._outer, rows, present, first, rows)
            product = self._transformed(signed)
            self._flip(product, None, signed, self._middle, rows, rows, rows.start, rows)
            summed += signed.T.view(g.shape[1], -1, self.n).sum(1)
        return summed

    def _rows(self, first: int, last: int) -> range:
        """Return the rows of the blocks that rows first .. last - 1 lie in."""
        return range(first // self.n * self.n, -(-last // self.n) * self.n)

    def _block(self, like: Tensor, rows: range) -> Tensor:
        """Return room for rows, (rows, N), one member after the other in memory."""
        return like.new_empty((like.shape[1], len(rows))).T

    def _transformed(self, x: Tensor) -> Tensor:
        """Return H times each block of x, (rows, N)."""
        members = x.shape[1]
        return self._hadamard(x.T.view(members, -1, self.n)).view(members, -1).T

    def _flip(
        self,
        x: Tensor,
        base: Tensor | None,
        out: Tensor,
        tag: int,
        rows: range,
        present: range,
        x_first: int,
        written: range,
    ) -> None:
        """Write base + x with a stream's signs: the rows ``written``, of ``rows`` gone through.

        x, (m, N), begins with row ``x_first`` and is repeated where it is one block long; its
        rows that are not ``present`` count as zero.
        """
        mask = self.n - 1 if len(x) == self.n else EVERY_BIT
        launch(
            flip_kernel,
            (len(rows) // FLIPPED, x.shape[1]),
            *(x, base, out, tag, self._seed, rows.start, present.start, present.stop),
            *(x_first, mask, written.start, written.stop, written.start),
            *(*x.stride(), 0 if base is None else base.stride(0), *out.stride()),
            SIZE=FLIPPED,
        )


def ranges(n: int, start: int, stop: int, members: int) -> Iterator[tuple[int, int]]:
    """Cut rows start .. stop - 1 into ranges of a few blocks of n, cut where a block ends."""
    step = max(1, CHUNK // (n * members)) * n
    cuts = [start, *range((start // step + 1) * step, stop, step), stop]
    return ((first, last) for first, last in pairwise(cuts) if last > first)
