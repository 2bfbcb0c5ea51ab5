"""The families whose products the C++ kernels compute.

Kernels take addresses, so everything that reaches them is contiguous and of the right type here.
Most families multiply a block (d, N) member by member: in place where each member is contiguous,
else through a scratch of some rows. Rademacher and gaussian make P once for all members, whatever
the strides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

import rlidim.projections.cpp_kernels._kernels as kernels
from rlidim.projections.base import Projection, add_base
from rlidim.projections.blocks import inverse_roots
from rlidim.projections.cpp_kernels.tables import affine_tables, block_words, column_scale
from rlidim.projections.dense import Dense
from rlidim.projections.fastfood import Fastfood
from rlidim.projections.gaussian import Gaussian
from rlidim.projections.hadamard import next_power_of_two
from rlidim.projections.hashed import GROUPS, HASHES, Hashed
from rlidim.projections.kronecker import Kronecker
from rlidim.projections.rademacher import Rademacher
from rlidim.projections.rotation import SHIFTS, Rotation
from rlidim.projections.sparse import Sparse
from rlidim.projections.stacked_fastfood import OUTER, Stack, StackedFastfood

THREADED_ROWS = 2**16  # below, waking another thread costs more than it saves
ROWS_AT_ONCE = 2**14  # of members that lie row by row, or a multiple
SCRATCH_ENTRIES = 2**22  # numbers between those members and the kernels, where so many rows allow
LANES = 16  # of the kernels' vectors
SPARSE_TILE = 2**14  # rows grouped together, BLOCK_TILE in the kernels


def threads(rows: int) -> int:
    """Return how many threads share out so many rows."""
    return torch.get_num_threads() if rows >= THREADED_ROWS else 1


def address(x: Tensor | None) -> int:
    """Return where a tensor's numbers are; 0 for none."""
    return 0 if x is None else x.data_ptr()


def kernel_module(dtype: torch.dtype) -> Any:
    """Return the kernels of a type of numbers."""
    return kernels.float32 if dtype is torch.float32 else kernels.float64


class Cpp(Projection):
    """A family on the C++ kernels, which multiply vectors by :meth:`_write` and :meth:`_sum`."""

    backend = "cpp"

    def _kernel(self, name: str) -> Any:
        return getattr(kernel_module(self.dtype), name)

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        """Set out to rows start .. of base + P theta; all are contiguous vectors."""
        raise NotImplementedError

    def _sum(self, g: Tensor, start: int) -> Tensor:
        """Return P^T g for the rows from start on; g is a contiguous vector."""
        raise NotImplementedError

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if base is not None and not base.is_contiguous():
            base = base.contiguous()
        if theta.ndim == 2:
            return self._write_members(theta, base, out, start, stop)
        if out is None:
            out = torch.empty(stop - start, dtype=self.dtype)
        if out.is_contiguous():
            self._write(theta.contiguous(), base, out, start)
            return out
        vector = torch.empty(stop - start, dtype=self.dtype)
        self._write(theta.contiguous(), base, vector, start)
        return out.copy_(vector)

    def _write_members(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        """Write each member's vector, in place or through a scratch of some rows."""
        if out is None:
            out = torch.empty(theta.shape[1], stop - start, dtype=self.dtype).T
        if member_by_member(out):
            for member, vector in zip(theta.T.contiguous(), out.T, strict=True):
                self._write(member, base, vector, start)
            return out
        for rows in self._blocks_of_rows(*out.shape):
            block = out[rows]
            scratch = torch.empty(block.shape[::-1], dtype=self.dtype)
            base_block = None if base is None else base[rows]
            for member, vector in zip(theta.T.contiguous(), scratch, strict=True):
                self._write(member, base_block, vector, start + rows.start)
            block.copy_(scratch.T)
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if g.ndim == 1:
            return self._sum(g.contiguous(), start)
        result = torch.zeros(self.d, g.shape[1], dtype=self.dtype)
        if member_by_member(g):
            for number, vector in enumerate(g.T):
                result[:, number] = self._sum(vector, start)
            return result
        for rows in self._blocks_of_rows(*g.shape):
            for number, vector in enumerate(g[rows].T.contiguous()):
                result[:, number] += self._sum(vector, start + rows.start)
        return result

    def _blocks_of_rows(self, rows: int, members: int) -> Iterator[slice]:
        """Cut rows that hold a number of each member into blocks for a scratch."""
        least = self._rows_at_once()
        height = least * max(1, SCRATCH_ENTRIES // max(1, members) // least)
        for first in range(0, rows, height):
            yield slice(first, min(first + height, rows))

    def _rows_at_once(self) -> int:
        """Return how many rows are worth a call: whole blocks, where the family has blocks."""
        return max(ROWS_AT_ONCE, 2 * next_power_of_two(self.d))


def member_by_member(block: Tensor) -> bool:
    """Say whether each column of a block is contiguous."""
    return block.stride(0) == 1


class CppDense(Cpp, Dense):
    """Products with many members make a tile of P at a time, for all of them."""

    normal: bool

    def _prepare(self) -> None:
        self.scale = self._column_scale().to(self.dtype)
        self._stored = None

    def _generate(self, start: int, stop: int) -> Tensor:
        out = torch.empty(stop - start, self.d, dtype=self.dtype)
        self._kernel("entries")(
            self.normal, address(self.scale), address(out), start, stop, self.d, self.seed,
            self.stream, threads(stop - start),
        )  # fmt: skip
        return out

    def _write_block(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        """Set out, (rows, N) of any strides, to rows start .. of base + P theta."""
        raise NotImplementedError

    def _write_members(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if out is None:
            out = torch.empty(stop - start, theta.shape[1], dtype=self.dtype)
        self._write_block(theta.contiguous(), base, out, start)
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if g.ndim == 1:
            return super()._adjoint(g, start, stop)
        out = torch.empty(self.d, g.shape[1], dtype=self.dtype)
        self._kernel("members_adjoint")(
            self.normal, address(self.scale), address(g), *g.stride(), address(out), start,
            start + len(g), *out.shape, self.seed, self.stream, threads(g.numel()),
        )  # fmt: skip
        return out


class CppRademacher(CppDense, Rademacher):
    """Signs looked up four at a time, never expanded."""

    normal = False

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        self._kernel("rademacher_forward")(
            address(theta), address(base), address(out), start, start + len(out), self.d,
            self.D**-0.5, self.seed, self.stream, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        out = torch.empty(self.d, dtype=self.dtype)
        self._kernel("rademacher_adjoint")(
            address(g), address(out), start, start + len(g), self.d, self.D**-0.5, self.seed,
            self.stream, threads(len(g)),
        )  # fmt: skip
        return out

    def _write_block(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        self._kernel("rademacher_members")(
            address(theta), address(base), address(out), *out.stride(), start, start + len(out),
            *theta.shape, self.D**-0.5, self.seed, self.stream, threads(out.numel()),
        )  # fmt: skip


class CppGaussian(CppDense, Gaussian):
    """Normal numbers made in registers."""

    normal = True

    def _column_scale(self) -> Tensor:
        total = torch.empty(self.d, dtype=torch.int64)
        self._kernel("gaussian_squares")(
            address(total), 0, self.D, self.d, self.seed, self.stream, threads(self.D)
        )
        return inverse_roots(total)

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        self._kernel("gaussian_forward")(
            address(theta), address(self.scale), address(base), address(out), start,
            start + len(out), self.d, self.seed, self.stream, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        out = torch.empty(self.d, dtype=self.dtype)
        self._kernel("gaussian_adjoint")(
            address(g), address(self.scale), address(out), start, start + len(g), self.d,
            self.seed, self.stream, threads(len(g)),
        )  # fmt: skip
        return out

    def _write_block(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        self._kernel("gaussian_members")(
            address(theta), address(self.scale), address(base), address(out), *out.stride(), start,
            start + len(out), *theta.shape, self.seed, self.stream, threads(out.numel()),
        )  # fmt: skip


class CppRotation(Cpp, Rotation):
    """Shifts and signs regenerated block by block."""

    def _prepare(self) -> None:
        shift = block_words(self.D // self.d, self.tag + SHIFTS, self.seed)[0] % self.d
        last = (torch.arange(self.D % self.d) + shift) % self.d
        self._scale = column_scale(self.D, self.d, last).to(self.dtype)

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        scaled = theta * self._scale
        self._kernel("rotation_forward")(
            address(scaled), address(base), address(out), start, start + len(out), self.d,
            self.seed, self.tag, self.tag + SHIFTS, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        out = torch.empty(self.d, dtype=self.dtype)
        self._kernel("rotation_adjoint")(
            address(g), address(out), start, start + len(g), self.d, self.seed, self.tag,
            self.tag + SHIFTS, threads(len(g)),
        )  # fmt: skip
        return out.mul_(self._scale)


class CppHashed(Cpp, Hashed):
    """Affine maps regenerated block by block; the adjoint walks their inverses."""

    def _prepare(self) -> None:
        self._scales = []
        for group in range(self.entries):
            width, tag = self._width(group), self.tag + GROUPS * group
            coprime, _ = affine_tables(width)
            drawn = block_words(self.D // width, tag + HASHES, self.seed)
            factor, shift = int(coprime[drawn[0] % width]), drawn[1] % width
            last = (factor * torch.arange(self.D % width) + shift) % width
            self._scales.append(column_scale(self.D, width, last).to(self.dtype))

    def _width(self, group: int) -> int:
        return len(range(group, self.d, self.entries))

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        for group, scale in enumerate(self._scales):
            tag, (coprime, _) = self.tag + GROUPS * group, affine_tables(len(scale))
            scaled = theta[group :: self.entries] * scale
            self._kernel("hashed_forward")(
                address(scaled), address(base), address(out), start, start + len(out), len(scale),
                self.seed, tag, tag + HASHES, address(coprime), threads(len(out)),
            )  # fmt: skip
            base = out

    def _sum(self, g: Tensor, start: int) -> Tensor:
        result = torch.empty(self.d, dtype=self.dtype)
        for group, scale in enumerate(self._scales):
            tag, (coprime, inverse) = self.tag + GROUPS * group, affine_tables(len(scale))
            out = torch.empty(len(scale), dtype=self.dtype)
            self._kernel("hashed_adjoint")(
                address(g), address(out), start, start + len(g), len(scale), self.seed, tag,
                tag + HASHES, address(coprime), address(inverse), threads(len(g)),
            )  # fmt: skip
            torch.mul(out, scale, out=result[group :: self.entries])
        return result


class CppStack(Stack):
    """Signs regenerated, transforms in cache: d + n numbers are kept."""

    def _prepare(self) -> None:
        pass

    def write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        """Set out to rows start .. of base + the product; all are contiguous vectors."""
        padded = torch.zeros(self.n, dtype=self.dtype)
        torch.mul(theta, self._signed_scale, out=padded[: self.d])
        kernel_module(self.dtype).stacked_forward(
            address(padded), address(base), address(out), start, start + len(out), self.n,
            self.seed, self.tag, self.tag + OUTER, threads(len(out)),
        )  # fmt: skip

    def sum(self, g: Tensor, start: int) -> Tensor:
        """Return the transpose's product with g, the rows from start on, a contiguous vector."""
        out = torch.empty(self.n, dtype=self.dtype)
        kernel_module(self.dtype).stacked_adjoint(
            address(g), address(out), start, start + len(g), self.n, self.seed, self.tag,
            self.tag + OUTER, threads(len(g)),
        )  # fmt: skip
        return out[: self.d] * self._signed_scale


class CppStackedFastfood(Cpp, StackedFastfood):
    """One part's product is added to the other's in place."""

    stack: ClassVar[type[Stack]] = CppStack
    stacks: list[tuple[slice, CppStack]]  # type: ignore[assignment]

    def _prepare(self) -> None:
        self._draw_parts()

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        for columns, stack in self.stacks:
            stack.write(theta[columns], base, out, start)
            base = out

    def _sum(self, g: Tensor, start: int) -> Tensor:
        sums = [stack.sum(g, start) for _, stack in self.stacks]
        return sums[0] if len(sums) == 1 else torch.cat(sums)


class CppFastfood(Cpp, Fastfood):
    """The permutation and G are kept: two vectors of L; the first transform has length n."""

    def _prepare(self) -> None:
        self._draw()
        self.n = next_power_of_two(self.d)
        self._place = (self._permutation & (self.n - 1)).to(torch.int32)
        del self._permutation

    def _product(self, theta: Tensor) -> Tensor:
        # The short transform in double precision: it costs little, and half of the error is its.
        mixed = torch.zeros(self.n, dtype=torch.float64)
        torch.mul(theta, self._signs, out=mixed[: self.d])
        kernels.float64.transform(address(mixed), address(mixed), self.n)
        mixed = mixed.to(self.dtype)
        product = torch.empty(self.L, dtype=self.dtype)
        self._kernel("gather_scaled")(
            address(mixed), address(self._place), address(self._scales), address(product), self.L
        )
        self._kernel("transform")(address(product), address(product), self.L)
        return product

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        add_base(self._product(theta)[start : start + len(out)], base, out)

    def _sum(self, g: Tensor, start: int) -> Tensor:
        padded = torch.zeros(self.L, dtype=self.dtype)
        padded[start : start + len(g)] = g
        self._kernel("transform")(address(padded), address(padded), self.L)
        mixed = torch.zeros(self.n, dtype=self.dtype)
        self._kernel("scatter_scaled")(
            address(padded), address(self._place), address(self._scales), address(mixed), self.L
        )
        self._kernel("transform")(address(mixed), address(mixed), self.n)
        return mixed[: self.d] * self._signs

    def _rows_at_once(self) -> int:
        return self.L  # a few cost as much as all


class CppSparse(Cpp, Sparse):
    """Rows grouped by their number of entries: four bytes an entry and two a row."""

    def _prepare(self) -> None:
        rows, columns, signed = (drawn.numpy() for drawn in self._draw())
        lengths = np.bincount(columns, minlength=self.d)
        self._scale = torch.from_numpy(1.0 / np.sqrt(lengths)).to(self.dtype)
        negative = (signed < 0).astype(np.uint32)
        # By tile, by number of entries in the row, by row.
        counts = np.bincount(rows, minlength=self.D)
        order = np.lexsort((columns, rows, counts[rows], rows // SPARSE_TILE))
        self._by_row = _words((columns.astype(np.uint32)[order] << 1) | negative[order])
        all_rows = np.arange(self.D)
        by_count = np.lexsort((all_rows, counts, all_rows // SPARSE_TILE))
        self._order = torch.from_numpy((by_count % SPARSE_TILE).astype(np.uint16).view(np.int16))
        self._counts = int(counts.max()) + 1
        key = (all_rows // SPARSE_TILE) * self._counts + counts
        size = -(-self.D // SPARSE_TILE) * self._counts
        rows_in = np.bincount(key, minlength=size)
        entries_in = rows_in * (np.arange(size) % self._counts)
        self._row_at = torch.from_numpy(np.concatenate(([0], np.cumsum(rows_in))))
        self._entry_at = torch.from_numpy(np.concatenate(([0], np.cumsum(entries_in))))

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        scaled = theta * self._scale
        table = torch.stack((scaled, -scaled), 1)
        self._kernel("sparse_forward")(
            address(table), address(base), address(out), start, start + len(out),
            address(self._by_row), address(self._order), address(self._row_at),
            address(self._entry_at), self._counts, self.D, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        sums = torch.empty(self.d, dtype=self.dtype)
        self._kernel("sparse_adjoint")(
            address(g), address(sums), start, start + len(g), self.d, address(self._by_row),
            address(self._order), address(self._row_at), address(self._entry_at), self._counts,
            self.D, threads(len(g)),
        )  # fmt: skip
        return sums.mul_(self._scale)


class CppKronecker(Cpp, Kronecker):
    """Two small products of a tile in cache; the second writes, or reads, whole rows of B."""

    def _prepare(self) -> None:
        super()._prepare()
        self._left = self._left.contiguous()
        self._rows_of_right, self._columns_of_right = _padded(self._right), _padded(self._right.T)

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        coefficients = torch.zeros(self.d1, self.d2, dtype=self.dtype)
        coefficients.view(-1)[: self.d] = theta
        coefficients = _padded(coefficients)
        self._kernel("kronecker_forward")(
            address(coefficients), address(self._left), address(self._columns_of_right),
            address(base), address(out), start, start + len(out), self.d1, self.D2, self.d2,
            threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        sums = torch.empty(self.d1, self._rows_of_right.shape[1], dtype=self.dtype)
        self._kernel("kronecker_adjoint")(
            address(g), address(self._left), address(self._rows_of_right), address(sums), start,
            start + len(g), self.d1, self.D2, self.d2, threads(len(g)),
        )  # fmt: skip
        return sums[:, : self.d2].reshape(-1)[: self.d]


def _padded(matrix: Tensor) -> Tensor:
    """Return rows padded with zeros to an odd number of the kernels' vectors."""
    length = (-(-matrix.shape[1] // LANES) | 1) * LANES
    return torch.nn.functional.pad(matrix, (0, length - matrix.shape[1])).contiguous()


def _words(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.uint32).view(np.int32))


FAMILIES: dict[str, type[Projection]] = {
    kind.family: kind
    for kind in (
        CppGaussian,
        CppRademacher,
        CppSparse,
        CppFastfood,
        CppStackedFastfood,
        CppHashed,
        CppRotation,
        CppKronecker,
    )
}
