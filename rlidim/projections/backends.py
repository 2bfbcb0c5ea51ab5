"""Backends, which compute a family's products: C++ on the CPU, Triton on a GPU, torch anywhere.

All make the same P, bit for bit; the products differ in the order of their sums at most.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import metadata

import torch

from rlidim.errors import RlidimError, nearest
from rlidim.projections import cpp_kernels, triton_kernels
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
ENTRY_POINTS = "rlidim.projections"  # the group in which a package of the user's names families
AUTO = "auto"
BACKENDS = (AUTO, "cpp", "triton", "torch")
RENAMED = {"native": "cpp"}  # an old name of the C++ kernels; native now means unconfined training
# By type of device.
FASTEST: dict[str, Callable[[], dict[str, type[Projection]]]] = {
    "cpu": cpp_kernels.implementations,
    "cuda": triton_kernels.implementations,
}


def families() -> Mapping[str, type[Projection]]:
    """Return every family by name: the suite's own, and those that installed packages name.

    Raises:
        RlidimError: see :func:`installed_families`.
    """
    return {**FAMILIES, **installed_families()}


@functools.cache
def installed_families() -> Mapping[str, type[Projection]]:
    """Return the families that installed packages name: subclasses of :class:`Projection`.

    A package names one in the entry point group ``rlidim.projections``, by its ``family``.

    Raises:
        RlidimError: an entry point cannot be imported, is no such class, has another name than its
            family, or takes one that is in use.
    """
    installed: dict[str, type[Projection]] = {}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        where = f"entry point '{point.name}' of {ENTRY_POINTS} ({point.value})"
        try:
            kind = point.load()
        except Exception as error:  # whatever a foreign module raises
            raise RlidimError(f"{where} cannot be imported: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, Projection)):
            raise RlidimError(f"{where}: expected a subclass of Projection, found {kind!r}")
        if getattr(kind, "family", None) != point.name:
            raise RlidimError(f"{where}: its family must be '{point.name}' too")
        if point.name in FAMILIES or point.name in installed:
            raise RlidimError(f"{where}: there is a family '{point.name}' already")
        installed[point.name] = kind
    return installed


def implementation(family: str, device: torch.device, backend: str) -> type[Projection]:
    """Return the class that computes a family's products.

    Args:
        family: a name in ``FAMILIES``, or of an installed family.
        device: where the vectors live.
        backend: ``auto`` is the fastest that is installed here; or the name of one.

    Raises:
        RlidimError: an unknown backend, or one that does not serve this family and device here.
    """
    backend = RENAMED.get(backend, backend)
    if backend not in BACKENDS:
        raise RlidimError(f"unknown backend '{backend}'{nearest(backend, BACKENDS)}")
    if backend == "torch":
        return families()[family]
    fastest = FASTEST.get(device.type)
    kind = None if fastest is None else fastest().get(family)
    if backend == AUTO:
        return kind or families()[family]
    if kind is None or kind.backend != backend:
        raise RlidimError(
            f"backend '{backend}' does not compute {family} on {device.type} here"
            f"{': ' * bool(reason(backend))}{reason(backend)}"
        )
    return kind


def reason(backend: str) -> str:
    """Say why a backend may not serve here; empty where nothing is missing."""
    return cpp_kernels.reason() if backend == "cpp" else triton_kernels.reason()
