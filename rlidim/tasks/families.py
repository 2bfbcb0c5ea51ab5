"""The names of the families of P, known before torch is loaded for what computes them.

A test holds them to the registry, ``FAMILIES`` in ``rlidim.projections.backends``.
"""

from __future__ import annotations

import sys
from importlib import metadata

from rlidim.errors import RlidimError, nearest

AUTO = "auto"  # the family that suits the task's size
ENTRY_POINTS = "rlidim.projections"  # the group in which a package of the user's names families
REGISTRY = "rlidim.projections.backends"
OWN = (
    "gaussian",
    "rademacher",
    "sparse",
    "fastfood",
    "stacked_fastfood",
    "hashed",
    "rotation",
    "kronecker",
)


def names() -> tuple[str, ...]:
    """Return every family, the suite's and those that installed packages name, none loaded."""
    registry = sys.modules.get(REGISTRY)  # where it is loaded, what was added to it counts, too
    own = OWN if registry is None else tuple(registry.FAMILIES)
    return (*own, *(point.name for point in metadata.entry_points(group=ENTRY_POINTS)))


def check(name: str) -> None:
    """Make sure that there is a family of that name.

    Raises:
        RlidimError: there is none (with the nearest).
    """
    if name not in OWN and name not in (known := names()):
        raise RlidimError(f"unknown projection '{name}'{nearest(name, known)}")
