"""Peers: other packages' ways to the same products, called as they are meant to be.

A peer multiplies a random matrix of its own with the same law; times do not depend on its entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from rlidim.projections.backends import FAMILIES
from rlidim.projections.hadamard import next_power_of_two
from rlidim.speed.memory import available_bytes

OPERATIONS = ("forward", "adjoint", "population")
DENSE = "torch dense"
STORED_BYTES = {"cpu": 4 * 2**30, "cuda": 64 * 2**30}  # of a dense P that is tried
DRAWN_ENTRIES = 10**7  # scikit-learn draws a column at a time, in Python
INDEXED = 2**31  # numbers that sjlt and fast_jl tell apart: beyond, they write where they must not
LONGEST_TRANSFORM = 32_768  # of fast-hadamard-transform
FAST_JL_MULTIPLE, FAST_JL_BATCH = 512, 8  # of its output; of gradients at once
Call = Callable[[], object]
Value = TypeVar("Value")


class UnavailableError(Exception):
    """A peer that does not make this product here, and why."""


class Inputs:
    """The vectors of one size, shared by all that multiply them, each made on first use."""

    def __init__(self, D: int, d: int, device: torch.device, members: int) -> None:
        """Remember the size."""
        self.D, self.d, self.device, self.members = D, d, device, members
        self._kept: dict[str, Any] = {}

    @cached_property
    def theta(self) -> Tensor:
        """(d,)."""
        return torch.randn(self.d, device=self.device)

    @cached_property
    def g(self) -> Tensor:
        """(D,)."""
        return torch.randn(self.D, device=self.device)

    @cached_property
    def out(self) -> Tensor:
        """(D,), to be written."""
        return torch.zeros(self.D, device=self.device)

    @cached_property
    def block(self) -> Tensor:
        """(d, N)."""
        return torch.randn(self.d, self.members, device=self.device)

    @cached_property
    def out_block(self) -> Tensor:
        """(D, N), to be written, one member after the other in memory, as trainers read them."""
        return torch.zeros(self.members, self.D, device=self.device).T

    def kept(self, name: str, make: Callable[[], Value]) -> Value:
        """Return what ``make`` returned the first time: all families of this size share it."""
        if name not in self._kept:
            self._kept[name] = make()
        value: Value = self._kept[name]
        return value


@dataclass(frozen=True)
class Peer:
    """One row of the table.

    Attributes:
        name: as it is shown.
        families: beside which it stands.
        devices: where it runs.
        build: returns the call for a size and an operation, or raises :class:`UnavailableError`.
    """

    name: str
    families: tuple[str, ...]
    devices: tuple[str, ...]
    build: Callable[[Inputs, str], Call]


def part_of(package: str, name: str) -> Any:
    """Import an optional module.

    Raises:
        UnavailableError: it is not installed, or does not load here.
    """
    try:
        return import_module(name)
    except ImportError as error:
        absent = (error.name or "").split(".")[0] == name.split(".")[0]
        why = "is not installed" if absent else f"does not load ({error})"
        raise UnavailableError(f"{package} {why}") from error


def dense(inputs: Inputs, operation: str) -> Call:
    """The stored D x d matrix and torch's own product."""
    size = 4 * inputs.D * inputs.d
    limit = STORED_BYTES[inputs.device.type]

    def make() -> Tensor:
        if size > min(limit, available_bytes(inputs.device)):
            raise UnavailableError(f"the matrix takes {size / 2**30:,.0f} GiB")
        return torch.randn(inputs.D, inputs.d, device=inputs.device)

    P = inputs.kept(DENSE, make)
    if operation == "forward":
        return lambda: torch.mv(P, inputs.theta, out=inputs.out)
    if operation == "adjoint":
        return lambda: torch.mv(P.T, inputs.g)
    return lambda: torch.mm(P, inputs.block, out=inputs.out_block)


def scipy_csr(inputs: Inputs, operation: str) -> Call:
    """Compressed rows, float32 with 32-bit indices, at density 1/sqrt(D)."""
    sparse = part_of("scipy", "scipy.sparse")
    D, d = inputs.D, inputs.d

    def make() -> Any:
        generator = np.random.default_rng(0)
        count = round(d * math.sqrt(D))
        places = generator.integers(D, size=count), generator.integers(d, size=count)
        signs = generator.choice(np.array([-1, 1], dtype=np.float32), size=count)
        matrix = sparse.coo_matrix((signs, places), shape=(D, d)).tocsr()
        matrix.indices, matrix.indptr = (
            indices.astype(np.int32) for indices in (matrix.indices, matrix.indptr)
        )
        return matrix

    return products(inputs.kept("scipy CSR", make), inputs, operation)


def scikit_learn(inputs: Inputs, operation: str) -> Call:
    """SparseRandomProjection's matrix as it makes it: (d, D), float64."""
    module = part_of("scikit-learn", "sklearn.random_projection")
    sparse = part_of("scipy", "scipy.sparse")
    if inputs.d * math.sqrt(inputs.D) > DRAWN_ENTRIES:
        raise UnavailableError("scikit-learn would take minutes to draw the matrix")

    def make() -> Any:
        kind = module.SparseRandomProjection(
            n_components=inputs.d, density=1 / math.sqrt(inputs.D), random_state=0
        )
        return kind.fit(sparse.csr_matrix((1, inputs.D))).components_.T

    return products(inputs.kept("scikit-learn", make), inputs, operation)


def products(matrix: Any, inputs: Inputs, operation: str) -> Call:
    """Return a scipy matrix's product with the inputs."""
    x, g, block = inputs.theta.numpy(), inputs.g.numpy(), inputs.block.numpy()
    if operation == "forward":
        return lambda: matrix @ x
    if operation == "adjoint":
        return lambda: matrix.T @ g
    return lambda: matrix @ block


def index_select(inputs: Inputs, operation: str) -> Call:
    """One entry a row, without signs: gather, and scatter by addition."""

    def make() -> Tensor:
        return torch.randint(inputs.d, (inputs.D,), device=inputs.device)

    index = inputs.kept("torch index_select", make)
    if operation == "forward":
        return lambda: torch.index_select(inputs.theta, 0, index, out=inputs.out)
    if operation == "adjoint":
        return lambda: torch.zeros_like(inputs.theta).index_add_(0, index, inputs.g)

    def rows() -> Tensor:
        return torch.zeros(inputs.D, inputs.members, device=inputs.device)

    out = inputs.kept("torch index_select, rows", rows)  # it writes the members side by side
    return lambda: torch.index_select(inputs.block, 0, index, out=out)


def textbook_fwht(inputs: Inputs, operation: str) -> Call:
    """Fastfood of length L = 2^ceil(log2 D) with butterflies on views, as it is usually written."""
    D, d, device = inputs.D, inputs.d, inputs.device
    L = next_power_of_two(D)

    def make() -> tuple[Tensor, Tensor, Tensor]:
        signs = 1.0 - 2.0 * torch.randint(2, (L,), device=device)
        return signs, torch.randperm(L, device=device), torch.randn(L, device=device)

    signs, order, scales = inputs.kept("textbook torch FWHT", make)

    def forward(theta: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(theta, (0, L - d))
        return butterflies(butterflies(padded * signs)[..., order] * scales)[..., :D]

    def adjoint(g: Tensor) -> Tensor:
        scaled = butterflies(torch.nn.functional.pad(g, (0, L - D))) * scales
        undone = torch.empty_like(scaled)
        undone[..., order] = scaled
        return (butterflies(undone) * signs)[..., :d]

    if operation == "forward":
        return lambda: forward(inputs.theta)
    if operation == "adjoint":
        return lambda: adjoint(inputs.g)
    return lambda: forward(inputs.block.T)


def butterflies(x: Tensor) -> Tensor:
    """Return the Walsh-Hadamard transform of the last axis, one pass over it a stage."""
    shape, half = x.shape, 1
    while half < shape[-1]:
        pairs = x.reshape(*shape[:-1], -1, 2, half)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        x = torch.stack((first + second, first - second), dim=-2)
        half *= 2
    return x.reshape(shape)


def fast_hadamard(inputs: Inputs, operation: str) -> Call:
    """Stacked blocks of signs and one transform; the adjoint transforms and adds the blocks."""
    module = part_of("fast-hadamard-transform", "fast_hadamard_transform")
    n = next_power_of_two(inputs.d)
    if n > LONGEST_TRANSFORM:
        raise UnavailableError(f"transforms at most {LONGEST_TRANSFORM:,} numbers")
    blocks = -(-inputs.D // n)

    def make() -> Tensor:
        return 1.0 - 2.0 * torch.randint(2, (blocks, n), device=inputs.device)

    signs = inputs.kept("fast-hadamard-transform", make)
    transform = module.hadamard_transform

    def forward(theta: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(theta, (0, n - inputs.d))
        product: Tensor = transform(signs * padded.unsqueeze(-2))
        return product.flatten(-2)[..., : inputs.D]

    def adjoint() -> Tensor:
        padded = torch.nn.functional.pad(inputs.g, (0, blocks * n - inputs.D)).view(blocks, n)
        product: Tensor = (transform(padded) * signs).sum(0)
        return product[: inputs.d]

    if operation == "forward":
        return lambda: forward(inputs.theta)
    return adjoint if operation == "adjoint" else lambda: forward(inputs.block.T)


def sjlt(inputs: Inputs, operation: str) -> Call:
    """The sparse Johnson-Lindenstrauss transform with one entry a row, by atomic additions."""
    module = part_of("sjlt", "sjlt")
    members = inputs.members if operation == "population" else 1
    if members * inputs.D >= INDEXED:
        raise UnavailableError("its indices have 32 bits")

    def make() -> Any:
        return module.SJLTProjection(inputs.D, inputs.d, c=1, device=inputs.device)

    try:
        kind = inputs.kept("sjlt", make)
    except RuntimeError as error:  # installed without its extension
        raise UnavailableError(f"sjlt does not load ({str(error).splitlines()[0]})") from error
    if operation == "forward":
        return lambda: kind.transpose(inputs.theta.unsqueeze(0))
    if operation == "adjoint":
        return lambda: kind(inputs.g.unsqueeze(0))
    block = inputs.block.T.contiguous()
    return lambda: kind.transpose(block)


def fast_jl(inputs: Inputs, operation: str) -> Call:
    """Signs on the fly: P^T g alone, eight g at once, of which one is used here."""
    module = part_of("traker's fast_jl", "fast_jl")
    if operation != "adjoint":
        raise UnavailableError("it multiplies by P^T alone")
    if FAST_JL_BATCH * inputs.D >= INDEXED:
        raise UnavailableError("its indices have 32 bits")
    d = -(-inputs.d // FAST_JL_MULTIPLE) * FAST_JL_MULTIPLE
    processors = torch.cuda.get_device_properties(inputs.device).multi_processor_count
    batch = inputs.kept("fast_jl", lambda: inputs.g.expand(FAST_JL_BATCH, -1).contiguous())
    return lambda: module.project_rademacher_8(batch, d, 0, processors)


BOTH = ("cpu", "cuda")
PEERS = (
    Peer(DENSE, tuple(FAMILIES), BOTH, dense),
    Peer("scipy CSR", ("sparse",), ("cpu",), scipy_csr),
    Peer("scikit-learn SparseRandomProjection", ("sparse",), ("cpu",), scikit_learn),
    Peer("torch index_select", ("hashed", "rotation"), BOTH, index_select),
    Peer("textbook torch FWHT", ("fastfood", "stacked_fastfood"), BOTH, textbook_fwht),
    Peer("fast-hadamard-transform", ("stacked_fastfood",), ("cuda",), fast_hadamard),
    Peer("sjlt", ("hashed", "rotation"), ("cuda",), sjlt),
    Peer("traker fast_jl", ("rademacher",), ("cuda",), fast_jl),
)


def peers_of(family: str, device: torch.device) -> list[Peer]:
    """Return the peers that stand beside a family on a device."""
    return [peer for peer in PEERS if family in peer.families and device.type in peer.devices]
