"""The C++ kernels: every family's products on the CPU, from the same stream as the reference."""

from __future__ import annotations

from rlidim.projections.base import Projection


def implementations() -> dict[str, type[Projection]]:
    """Return the families that are computed natively here: none without the extension."""
    return {}


def reason() -> str:
    """Say why the extension is missing."""
    return "the C++ extension was not built when rlidim was installed"
