"""The contract of every projection P, a D x d matrix that need not be stored.

theta_D = theta_0 + P theta_d (Li et al. 2018, section 2). The columns of P have unit length over
all D rows (``fastfood``'s on average), so that a step in theta_d is a step of the same length in
parameter space.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

from rlidim.errors import RlidimError, whole
from rlidim.projections.derivatives import is_dual, linear
from rlidim.projections.rank import RETRY
from rlidim.projections.spec import ProjectionSpec, check_size

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

DTYPES = (torch.float32, torch.float64)
DENSE_LIMIT = 8 * 2**30  # bytes that to_dense may take
STORED_ENTRIES = 2**17  # up to here a stored P is faster than any structure
CHUNK_ENTRIES = 2**22  # entries of P made at a time where columns are asked for


class Projection(ABC):
    """A linear map from theta_d, (d,) or (d, N), to theta_D, (D,) or (D, N), and its adjoint.

    A family implements :meth:`_prepare`, and :meth:`_forward` and :meth:`_adjoint` for a range of
    rows, in torch, on any device; a faster backend overrides these three.

    Example:
        >>> import rlidim, torch
        >>> P = rlidim.projection("rademacher", 562, 16, seed=0)
        >>> P.shape
        (562, 16)
        >>> (P @ torch.ones(16)).shape
        torch.Size([562])
    """

    family: ClassVar[str]
    tag: ClassVar[int]  # the family's own part of the random stream, see philox.words
    layout_version: ClassVar[int] = 1
    backend: ClassVar[str] = "torch"  # the program that computes the products
    option_names: ClassVar[tuple[str, ...]] = ()  # options of projection() beside the size
    dense: ClassVar[bool] = False  # every entry of P is drawn by itself
    exact: ClassVar[bool] = False  # an entry has the same bits on every device
    transformed: ClassVar[bool] = False  # even a product with one column is made of sums
    stored: ClassVar[bool] = False  # P's entries, or vectors as long as theta_D, are kept
    rank_note: ClassVar[str] = ""  # what is amiss where P need not have full column rank
    counted: ClassVar[str] = "bytes"  # unit of a product's rate; entries, where each is drawn

    def __init__(
        self, D: int, d: int, seed: int, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        """Check the size and prepare what the family keeps.

        Raises:
            RlidimError: see :func:`check_size`; or a dtype other than float32 and float64.
        """
        check_size(D, d, seed)
        if dtype not in DTYPES:
            raise RlidimError(f"a projection's dtype must be float32 or float64, got {dtype}")
        self.D, self.d, self.seed = D, d, seed
        self.dtype, self.device = dtype, numbered(device)
        for attempt in count():
            self.stream = self.tag + RETRY * attempt
            if self._has_full_rank():
                break
        self._prepare()
        self.key = register(self)  # of the torch operators

    @property
    def shape(self) -> tuple[int, int]:
        """(D, d)."""
        return self.D, self.d

    @property
    def options(self) -> dict[str, int]:
        """The family's own options."""
        return {}

    @property
    def layout(self) -> int:
        """The layout version of this P: one more than the family's where it was drawn anew."""
        return self.layout_version + (self.stream != self.tag)

    @property
    def spec(self) -> ProjectionSpec:
        """The specification, which names this projection."""
        return ProjectionSpec(self.family, self.D, self.d, self.seed, self.layout, self.options)

    @property
    def T(self) -> Adjoint:
        """The adjoint: ``P.T @ g``."""
        return Adjoint(self)

    def __matmul__(self, theta: Tensor) -> Tensor:
        """Return P theta."""
        return self.forward(theta)

    def __repr__(self) -> str:
        """Show the specification."""
        return f"projection({self.family!r}, D={self.D}, d={self.d}, seed={self.seed})"

    def forward(
        self, theta: Tensor, base: Tensor | None = None, out: Tensor | None = None
    ) -> Tensor:
        """Return base + P theta.

        Args:
            theta: (d,), or (d, N) for N members at once.
            base: (D,), added to each column.
            out: (D,) or (D, N), written and returned; it may be ``base`` itself.

        Raises:
            RlidimError: a wrong shape, dtype or device; ``out`` in a product that is
                differentiated.
        """
        self._check(theta, self.d, "theta")
        if base is not None:
            self._check(base, self.D, "base", vector=True)
        if out is not None:
            self._check_out(out, (self.D, *theta.shape[1:]))
        if self._differentiated(out, theta, base):
            return add_base(self.apply(theta), base, None)
        return self._forward(theta, base, out, 0, self.D)

    def adjoint(self, g: Tensor, out: Tensor | None = None) -> Tensor:
        """Return P^T g.

        Args:
            g: (D,) or (D, N).
            out: (d,) or (d, N), written and returned.

        Raises:
            RlidimError: a wrong shape, dtype or device; ``out`` in a product that is
                differentiated.
        """
        self._check(g, self.D, "g")
        if out is not None:
            self._check_out(out, (self.d, *g.shape[1:]))
        if self._differentiated(out, g):
            return linear(g, self.key, transposed=True)
        result = self._adjoint(g, 0, self.D)
        return result if out is None else out.copy_(result)

    def apply(self, theta: Tensor) -> Tensor:
        """Return P theta, differentiable any number of times, backwards and forwards.

        torch.compile compiles it, and torch.func transforms it (``vmap``, ``grad``, ``jvp``,
        ``hessian``; not ``linearize``, nor ``grad`` within what is compiled).
        """
        self._check(theta, self.d, "theta")
        return linear(theta, self.key, transposed=False)

    def rows(self, start: int, stop: int) -> Rows:
        """Return the operator of rows start .. stop - 1, for a part of the parameters.

        Raises:
            RlidimError: the range is not inside 0 .. D.
        """
        start, stop = whole("start", start), whole("stop", stop)
        if not 0 <= start <= stop <= self.D:
            raise RlidimError(f"rows must lie within 0 and D = {self.D}, got {start} to {stop}")
        return Rows(self, start, stop)

    def to_dense(self) -> Tensor:
        """Return P as a (D, d) tensor.

        Raises:
            RlidimError: it would be too large.
        """
        return self._to_dense(0, self.D)

    def column_norms(self) -> Tensor:
        """Return the length of each column over all D rows, float64 (d,)."""
        norms = torch.empty(self.d, dtype=torch.float64, device=self.device)
        for first, last, columns in self._columns(0, self.D):
            norms[first:last] = torch.linalg.vector_norm(columns, dim=0, dtype=torch.float64)
        return norms

    def aslinearoperator(self) -> LinearOperator:
        """Return a scipy LinearOperator of the same map, for numpy vectors."""
        from scipy.sparse.linalg import LinearOperator

        def forward(x: np.ndarray) -> np.ndarray:
            return self.forward(self._tensor(x)).cpu().numpy()

        def adjoint(x: np.ndarray) -> np.ndarray:
            return self.adjoint(self._tensor(x)).cpu().numpy()

        dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        return LinearOperator(
            self.shape,
            matvec=lambda x: forward(x.reshape(-1)),  # scipy hands columns (n, 1) over too
            rmatvec=lambda x: adjoint(x.reshape(-1)),
            matmat=forward,
            rmatmat=adjoint,
            dtype=dtype,
        )

    def _has_full_rank(self) -> bool:
        """Say whether P has full column rank as drawn under ``stream``; else it is drawn anew.

        The answer must be the same on every device and backend. A family whose P may be singular
        overrides this; see :mod:`rlidim.projections.rank`.
        """
        return True

    @abstractmethod
    def _prepare(self) -> None:
        """Prepare what the products need."""

    @abstractmethod
    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        """Return rows start .. stop - 1 of base + P theta, base and out being those rows."""

    @abstractmethod
    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        """Return P^T g of rows start .. stop - 1, g being those rows."""

    def _to_dense(self, start: int, stop: int) -> Tensor:
        """Return rows start .. stop - 1 of P as they are multiplied."""
        self._check_dense(stop - start)
        dense = torch.empty(stop - start, self.d, dtype=self.dtype, device=self.device)
        for first, last, columns in self._columns(start, stop):
            dense[:, first:last] = columns
        return dense

    def _columns(self, start: int, stop: int) -> Iterator[tuple[int, int, Tensor]]:
        """Yield P's columns first .. last - 1 in the rows start .. stop - 1, a few at a time."""
        step = max(1, CHUNK_ENTRIES // self.D)
        for first in range(0, self.d, step):
            last = min(first + step, self.d)
            unit = torch.zeros(self.d, last - first, dtype=self.dtype, device=self.device)
            unit[first:last] = torch.eye(last - first, dtype=self.dtype, device=self.device)
            yield first, last, self._forward(unit, None, None, start, stop)

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(x)).to(self.device, self.dtype)

    def _check_dense(self, rows: int) -> None:
        size = rows * self.d * self.dtype.itemsize
        if size > DENSE_LIMIT:
            raise RlidimError(
                f"a dense {rows} x {self.d} matrix takes {size / 2**30:,.1f} GiB, more than the "
                f"{DENSE_LIMIT / 2**30:g} GiB allowed: use the products, which need none, or "
                "stacked_fastfood, which is fast at any size"
            )

    def _differentiated(self, out: Tensor | None, *inputs: Tensor | None) -> bool:
        """Say whether autograd records a product, whose kernels it cannot see into."""
        watched = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
        watched = watched or any(map(is_dual, inputs))
        if watched and out is not None:
            raise RlidimError(
                f"{self!r}: a product that is differentiated cannot be written to out"
            )
        return watched

    def _check(self, x: Tensor, length: int, name: str, *, vector: bool = False) -> None:
        if not isinstance(x, Tensor):
            raise RlidimError(f"{self!r}: {name} must be a torch tensor, got {type(x).__name__}")
        if x.layout is not torch.strided:
            raise RlidimError(f"{self!r}: {name} must be dense, got {x.layout}: x.to_dense() is")
        if x.shape[:1] != (length,) or x.ndim > (1 if vector else 2):
            expected = f"({length},)" if vector else f"({length},) or ({length}, N)"
            raise RlidimError(f"{self!r}: {name} must have shape {expected}, got {tuple(x.shape)}")
        self._check_kind(x, name)

    def _check_out(self, x: Tensor, shape: tuple[int, ...]) -> None:
        if x.shape != shape:
            raise RlidimError(f"{self!r}: out must have shape {shape}, got {tuple(x.shape)}")
        self._check_kind(x, "out")

    def _check_kind(self, x: Tensor, name: str) -> None:
        if x.dtype is not self.dtype:
            raise RlidimError(f"{self!r}: {name} must be {self.dtype}, got {x.dtype}")
        if numbered(x.device) != self.device:
            raise RlidimError(f"{self!r}: {name} must be on {self.device}, is on {x.device}")


class Adjoint:
    """P^T, for ``P.T @ g``."""

    def __init__(self, projection: Projection) -> None:
        """Remember P."""
        self.projection = projection

    @property
    def shape(self) -> tuple[int, int]:
        """(d, D)."""
        return self.projection.d, self.projection.D

    def __matmul__(self, g: Tensor) -> Tensor:
        """Return P^T g."""
        return self.projection.adjoint(g)


class Rows:
    """Rows start .. stop - 1 of a projection, counter-addressed: nothing else is computed."""

    def __init__(self, projection: Projection, start: int, stop: int) -> None:
        """Remember the range."""
        self.projection, self.start, self.stop = projection, start, stop

    @property
    def shape(self) -> tuple[int, int]:
        """(stop - start, d)."""
        return self.stop - self.start, self.projection.d

    def forward(self, theta: Tensor, base: Tensor | None = None) -> Tensor:
        """Return these rows of base + P theta; base holds these rows alone.

        Where autograd records, all rows are computed.

        Raises:
            RlidimError: a wrong shape, dtype or device.
        """
        self.projection._check(theta, self.projection.d, "theta")
        if base is not None:
            self.projection._check(base, self.shape[0], "base", vector=True)
        if self.projection._differentiated(None, theta, base):
            return add_base(self.projection.apply(theta)[self.start : self.stop], base, None)
        return self.projection._forward(theta, base, None, self.start, self.stop)

    def adjoint(self, g: Tensor) -> Tensor:
        """Return these rows' part of P^T g; g holds these rows alone.

        Where autograd records, all rows are computed.

        Raises:
            RlidimError: a wrong shape, dtype or device.
        """
        self.projection._check(g, self.shape[0], "g")
        if self.projection._differentiated(None, g):
            edges = (self.start, self.projection.D - self.stop)
            padded = torch.nn.functional.pad(g, (*(0, 0) * (g.ndim - 1), *edges))
            return self.projection.adjoint(padded)
        return self.projection._adjoint(g, self.start, self.stop)

    def to_dense(self) -> Tensor:
        """Return these rows as a (stop - start, d) tensor.

        Raises:
            RlidimError: it would be too large.
        """
        return self.projection._to_dense(self.start, self.stop)


def numbered(device: torch.device) -> torch.device:
    """Return a device in one spelling: a GPU with its number, the CPU without one."""
    if device == torch.device("cuda"):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu") if device.type == "cpu" else device


def add_base(product: Tensor, base: Tensor | None, out: Tensor | None) -> Tensor:
    """Finish a product: return base + product, each column with the base, in out."""
    if base is not None:
        return torch.add(base if product.ndim == 1 else base.unsqueeze(1), product, out=out)
    return product if out is None else out.copy_(product)


def multiply(rows: Tensor, theta: Tensor, base: Tensor | None, out: Tensor | None) -> Tensor:
    """Return base + rows @ theta for stored rows of P, in one call where possible."""
    if base is None:
        return torch.matmul(rows, theta, out=out)
    if theta.ndim == 1:
        return torch.addmv(base, rows, theta, out=out)
    return torch.addmm(base.unsqueeze(1), rows, theta, out=out)


_live: WeakValueDictionary[str, Projection] = WeakValueDictionary()


def register(projection: Projection) -> str:
    """Return a projection's key, by which it is found as long as it lives."""
    key = json.dumps(
        {
            "spec": projection.spec.to_json(),
            "dtype": str(projection.dtype).removeprefix("torch."),
            "device": str(projection.device),
            "backend": projection.backend,
        }
    )
    _live[key] = projection
    return key


def living(key: str) -> Projection | None:
    """Return the projection of a key, if it lives."""
    return _live.get(key)
