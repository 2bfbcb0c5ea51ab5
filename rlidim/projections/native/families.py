"""Each family on the C++ kernels: what is kept, what is called.

Kernels take addresses, so everything that reaches them is contiguous and of the right type here.
Blocks of members (d, N) go one by one, along memory that lies member by member, where a family's
cost is the writing; rademacher and gaussian make P once for all members.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import rlidim.projections.native._kernels as kernels
from rlidim.projections.base import Projection, add_base
from rlidim.projections.dense import Dense
from rlidim.projections.fastfood import Fastfood
from rlidim.projections.gaussian import Gaussian
from rlidim.projections.hadamard import next_power_of_two
from rlidim.projections.hashed import GROUPS, HASHES, Hashed
from rlidim.projections.native.tables import affine_tables, block_words, column_scale
from rlidim.projections.philox import sign_stream
from rlidim.projections.rademacher import Rademacher
from rlidim.projections.rotation import SHIFTS, Rotation
from rlidim.projections.sparse import Sparse
from rlidim.projections.stacked_fastfood import INNER, OUTER, StackedFastfood

THREADED_ROWS = 2**16  # below, waking another thread costs more than it saves
MEMBERS_ENTRIES = 2**18  # entries of P made at a time for products with many members
SPARSE_TILE = 2**14  # rows grouped together, BLOCK_TILE in the kernels


def threads(rows: int) -> int:
    """Return how many threads share out so many rows."""
    return torch.get_num_threads() if rows >= THREADED_ROWS else 1


def address(x: Tensor | None) -> int:
    """Return where a tensor's numbers are; 0 for none."""
    return 0 if x is None else x.data_ptr()


class Native(Projection):
    """What the families share: products of vectors by :meth:`_write` and :meth:`_sum`."""

    backend = "native"

    def _kernel(self, name: str) -> Any:
        module = kernels.float32 if self.dtype is torch.float32 else kernels.float64
        return getattr(module, name)

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
            if out is not None and out.T.is_contiguous():
                self._write_members(theta, base, out.T, start)
                return out
            rows = torch.empty(len(theta.T), stop - start, dtype=self.dtype)
            self._write_members(theta, base, rows, start)
            return rows.T if out is None else out.copy_(rows.T)
        if out is None:
            out = torch.empty(stop - start, dtype=self.dtype)
        if out.is_contiguous():
            self._write(theta.contiguous(), base, out, start)
            return out
        whole = torch.empty(stop - start, dtype=self.dtype)
        self._write(theta.contiguous(), base, whole, start)
        return out.copy_(whole)

    def _write_members(self, theta: Tensor, base: Tensor | None, rows: Tensor, start: int) -> None:
        """Write each member of theta, (d, N), to its row of ``rows``, (N, D)."""
        for member, row in zip(theta.T.contiguous(), rows, strict=True):
            self._write(member, base, row, start)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if g.ndim == 1:
            return self._sum(g.contiguous(), start)
        result = torch.empty(self.d, g.shape[1], dtype=self.dtype)
        for number, member in enumerate(g.T.contiguous()):
            result[:, number] = self._sum(member, start)
        return result


class NativeDense(Native, Dense):
    """Products with many members: P is made a block of rows at a time, then multiplied."""

    normal: bool

    def _prepare(self) -> None:
        self.scale = self._column_scale().to(self.dtype)
        self._stored = None

    def _generate(self, start: int, stop: int) -> Tensor:
        out = torch.empty(stop - start, self.d, dtype=self.dtype)
        self._kernel("entries")(
            self.normal, address(self.scale), address(out), start, stop, self.d, self.seed,
            self.tag, threads(stop - start),
        )  # fmt: skip
        return out

    def _blocks(self, start: int, stop: int) -> list[tuple[int, int]]:
        step = max(128, MEMBERS_ENTRIES // self.d // 128 * 128)
        return [(first, min(first + step, stop)) for first in range(start, stop, step)]

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        way = Native if theta.ndim == 1 else Dense
        return way._forward(self, theta, base, out, start, stop)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        way = Native if g.ndim == 1 else Dense
        return way._adjoint(self, g, start, stop)


class NativeRademacher(NativeDense, Rademacher):
    """Signs looked up four at a time, never expanded."""

    normal = False

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        self._kernel("rademacher_forward")(
            address(theta), address(base), address(out), start, start + len(out), self.d,
            self.D**-0.5, self.seed, self.tag, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        out = torch.empty(self.d, dtype=self.dtype)
        self._kernel("rademacher_adjoint")(
            address(g), address(out), start, start + len(g), self.d, self.D**-0.5, self.seed,
            self.tag, threads(len(g)),
        )  # fmt: skip
        return out

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if theta.ndim == 1:
            return Native._forward(self, theta, base, out, start, stop)
        theta = theta.contiguous()
        base = None if base is None else base.contiguous()
        result = out if out is not None and out.is_contiguous() else None
        if result is None:
            result = torch.empty(stop - start, theta.shape[1], dtype=self.dtype)
        self._kernel("rademacher_members")(
            address(theta), address(base), address(result), start, stop, self.d, theta.shape[1],
            self.D**-0.5, self.seed, self.tag, threads(stop - start),
        )  # fmt: skip
        return result if out is None or out is result else out.copy_(result)


class NativeGaussian(NativeDense, Gaussian):
    """Normal numbers made in registers."""

    normal = True

    def _column_scale(self) -> Tensor:
        total = torch.empty(self.d, dtype=torch.float64)
        self._kernel("gaussian_squares")(
            address(total), 0, self.D, self.d, self.seed, self.tag, threads(self.D)
        )
        return total.rsqrt()

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        self._kernel("gaussian_forward")(
            address(theta), address(self.scale), address(base), address(out), start,
            start + len(out), self.d, self.seed, self.tag, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        out = torch.empty(self.d, dtype=self.dtype)
        self._kernel("gaussian_adjoint")(
            address(g), address(self.scale), address(out), start, start + len(g), self.d,
            self.seed, self.tag, threads(len(g)),
        )  # fmt: skip
        return out


class NativeRotation(Native, Rotation):
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


class NativeHashed(Native, Hashed):
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


class NativeStackedFastfood(Native, StackedFastfood):
    """Signs regenerated, transforms in cache: d + n numbers are kept."""

    def _prepare(self) -> None:
        self.n = next_power_of_two(self.d)
        self.blocks = -(-self.D // self.n)
        self._scale = self._choose_middle().to(self.dtype)
        inner = sign_stream(self.d, self.tag + INNER, self.seed, self.device)
        self._signed_scale = inner * self._scale

    def _write(self, theta: Tensor, base: Tensor | None, out: Tensor, start: int) -> None:
        padded = torch.zeros(self.n, dtype=self.dtype)
        torch.mul(theta, self._signed_scale, out=padded[: self.d])
        self._kernel("stacked_forward")(
            address(padded), address(base), address(out), start, start + len(out), self.n,
            self.seed, self.middle_tag, self.tag + OUTER, threads(len(out)),
        )  # fmt: skip

    def _sum(self, g: Tensor, start: int) -> Tensor:
        out = torch.empty(self.n, dtype=self.dtype)
        self._kernel("stacked_adjoint")(
            address(g), address(out), start, start + len(g), self.n, self.seed,
            self.middle_tag, self.tag + OUTER, threads(len(g)),
        )  # fmt: skip
        return out[: self.d] * self._signed_scale


class NativeFastfood(Native, Fastfood):
    """The permutation and G are kept: two vectors of L; the first transform has length n."""

    def _prepare(self) -> None:
        self._draw()
        self.n = next_power_of_two(self.d)
        self._place = (self._permutation & (self.n - 1)).to(torch.int32)
        del self._permutation

    def _product(self, theta: Tensor) -> Tensor:
        mixed = torch.zeros(self.n, dtype=self.dtype)
        torch.mul(theta, self._signs, out=mixed[: self.d])
        self._kernel("transform")(address(mixed), address(mixed), self.n)
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


class NativeSparse(Native, Sparse):
    """Rows grouped by their number of entries: four bytes an entry and two a row."""

    def _prepare(self) -> None:
        rows, columns, signed = (part.numpy() for part in self._draw())
        lengths = np.bincount(columns, minlength=self.d)
        self._scale = torch.from_numpy(1.0 / np.sqrt(lengths)).to(self.dtype)
        negative = (signed < 0).astype(np.uint32)
        # By tile, by number of entries in the row, by row.
        counts = np.bincount(rows, minlength=self.D)
        order = np.lexsort((columns, rows, counts[rows], rows // SPARSE_TILE))
        self._by_row = _words((columns.astype(np.uint32)[order] << 1) | negative[order])
        every = np.arange(self.D)
        by_count = np.lexsort((every, counts, every // SPARSE_TILE))
        self._order = torch.from_numpy((by_count % SPARSE_TILE).astype(np.uint16).view(np.int16))
        self._counts = int(counts.max()) + 1
        key = (every // SPARSE_TILE) * self._counts + counts
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
        if len(g) != self.D:
            whole = torch.zeros(self.D, dtype=self.dtype)
            whole[start : start + len(g)] = g
            g = whole
        sums = torch.empty(self.d, 2, dtype=self.dtype)
        self._kernel("sparse_adjoint")(
            address(g), address(sums), self.D, self.d, address(self._by_row),
            address(self._order), address(self._row_at), address(self._entry_at), self._counts,
            threads(self.D),
        )  # fmt: skip
        return (sums[:, 0] - sums[:, 1]).mul_(self._scale)


def _words(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.uint32).view(np.int32))


FAMILIES: dict[str, type[Projection]] = {
    kind.family: kind
    for kind in (
        NativeGaussian,
        NativeRademacher,
        NativeSparse,
        NativeFastfood,
        NativeStackedFastfood,
        NativeHashed,
        NativeRotation,
    )
}
