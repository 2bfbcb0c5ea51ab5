"""The Triton kernels: every family's products on a GPU, from the same stream as the reference."""

from __future__ import annotations

from rlidim.projections.base import Projection


def implementations() -> dict[str, type[Projection]]:
    """Return the families that Triton computes here: none where it is not installed."""
    return {}


def reason() -> str:
    """Say why Triton computes nothing here."""
    return "triton is not installed"
