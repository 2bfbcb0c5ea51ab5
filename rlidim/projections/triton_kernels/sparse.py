"""Very sparse P on a GPU: compressed rows of P and of P^T, gathered without atomics.

One kernel computes both products: a program owns rows of the one or of the other.
"""

from __future__ import annotations

from typing import ClassVar

import triton
import triton.language as tl
from torch import Tensor

from rlidim.projections.hadamard import next_power_of_two
from rlidim.projections.sparse import Sparse
from rlidim.projections.triton_kernels.stream import launch, members_last

TILE = 1024  # entries that a program gathers at a time
# Of a tile at most; with 16 in float64 a pass of the compiler's (Triton 3.6) fails.
MEMBERS = {4: 16, 8: 8}
LEAST, MOST = 4, 1024  # entries of a row, and bytes of them, that are gathered at a time


@triton.jit(do_not_specialize=["rows", "first", "start", "stop", "members"])
def compressed_kernel(
    x, base, out, offsets, columns, values, rows, first, start, stop, members,
    x_row, x_member, base_row, out_row, out_member,
    ROWS: tl.constexpr, ENTRIES: tl.constexpr, MEMBERS: tl.constexpr,
):  # fmt: skip
    """Rows of base + a matrix's product with x, whose rows are the columns start .. stop - 1."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    member = tl.program_id(1).to(tl.int64) * MEMBERS + tl.arange(0, MEMBERS)
    begin = tl.load(offsets + first + row, mask=row < rows, other=0)
    end = tl.load(offsets + first + row + 1, mask=row < rows, other=0)
    products = tl.zeros((ROWS, ENTRIES, MEMBERS), x.dtype.element_ty)
    for step in range(tl.cdiv(tl.max(end - begin, 0), ENTRIES)):
        entry = begin[:, None] + step * ENTRIES + tl.arange(0, ENTRIES)[None, :]
        column = tl.load(columns + entry, mask=entry < end[:, None], other=-1)
        inside = (column >= start) & (column < stop)
        value = tl.load(values + entry, mask=inside, other=0.0)
        place = (column - start)[:, :, None] * x_row + member[None, None, :] * x_member
        mask = inside[:, :, None] & (member < members)[None, None, :]
        products += value[:, :, None] * tl.load(x + place, mask=mask, other=0.0)
    result = tl.sum(products, 1)
    if base is not None:
        result += tl.load(base + row * base_row, mask=row < rows, other=0.0)[:, None]
    mask = (row < rows)[:, None] & (member < members)[None, :]
    tl.store(out + row[:, None] * out_row + member[None, :] * out_member, result, mask=mask)


class TritonSparse(Sparse):
    """The reference's entries, drawn on the CPU; rows and columns are summed in their order."""

    backend: ClassVar[str] = "triton"

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if out is None:
            out = theta.new_empty((stop - start, *theta.shape[1:]))
        _multiply(self._matrix, (start, stop), theta, (0, self.d), base, out)
        return out

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        out = g.new_empty((self.d, *g.shape[1:]))
        _multiply(self._transposed, (0, self.d), g, (start, stop), None, out)
        return out


def _multiply(
    matrix: Tensor,
    rows: tuple[int, int],
    x: Tensor,
    columns: tuple[int, int],
    base: Tensor | None,
    out: Tensor,
) -> None:
    """Write base + rows of a compressed matrix times x, which holds some columns' numbers."""
    x, y = members_last(x), members_last(out)
    members = min(MEMBERS[x.element_size()], next_power_of_two(x.shape[1]))
    mean = len(matrix.values()) // matrix.shape[0] + 1
    entries = min(max(next_power_of_two(mean), LEAST), MOST // x.element_size())
    height = max(1, TILE // (entries * members))
    launch(
        compressed_kernel,
        (triton.cdiv(rows[1] - rows[0], height), triton.cdiv(x.shape[1], members)),
        *(x, base, out, matrix.crow_indices(), matrix.col_indices(), matrix.values()),
        *(rows[1] - rows[0], rows[0], *columns, x.shape[1]),
        *(*x.stride(), 0 if base is None else base.stride(0), *y.stride()),
        ROWS=height,
        ENTRIES=entries,
        MEMBERS=members,
    )
