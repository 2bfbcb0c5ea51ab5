"""Which program computes a family's products: C++ on the CPU, Triton on a GPU, torch anywhere.

All make the same P, bit for bit; the products differ in the order of their sums at most.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from rlidim.errors import RlidimError, nearest
from rlidim.projections import native, triton_kernels
from rlidim.projections.base import Projection
from rlidim.projections.fastfood import Fastfood
from rlidim.projections.gaussian import Gaussian
from rlidim.projections.hashed import Hashed
from rlidim.projections.kronecker import Kronecker
from rlidim.projections.rademacher import Rademacher
from rlidim.projections.rotation import Rotation
from rlidim.projections.sparse import Sparse
from rlidim.projections.stacked_fastfood import StackedFastfood

FAMILIES: dict[str, type[Projection]] = {
    kind.family: kind
    for kind in (
        Gaussian,
        Rademacher,
        Sparse,
        Fastfood,
        StackedFastfood,
        Hashed,
        Rotation,
        Kronecker,
    )
}
AUTO = "auto"
BACKENDS = (AUTO, "native", "triton", "torch")
# By type of device.
FASTEST: dict[str, Callable[[], dict[str, type[Projection]]]] = {
    "cpu": native.implementations,
    "cuda": triton_kernels.implementations,
}


def implementation(family: str, device: torch.device, backend: str) -> type[Projection]:
    """Return the class that computes a family's products.

    Args:
        family: a name in ``FAMILIES``.
        device: where the vectors live.
        backend: ``auto`` is the fastest that is installed here; or the name of one.

    Raises:
        RlidimError: an unknown backend, or one that does not serve this family and device here.
    """
    if backend not in BACKENDS:
        raise RlidimError(f"unknown backend '{backend}'{nearest(backend, BACKENDS)}")
    if backend == "torch":
        return FAMILIES[family]
    fastest = FASTEST.get(device.type)
    found = None if fastest is None else fastest().get(family)
    if backend == AUTO:
        return found or FAMILIES[family]
    if found is None or found.backend != backend:
        raise RlidimError(
            f"backend '{backend}' does not compute {family} on {device.type} here"
            f"{': ' * bool(reason(backend))}{reason(backend)}"
        )
    return found


def reason(backend: str) -> str:
    """Say what is missing for a backend; nothing where it is there."""
    return native.reason() if backend == "native" else triton_kernels.reason()
