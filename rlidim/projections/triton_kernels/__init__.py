"""The Triton kernels: every family's products on a GPU, from the same stream as the reference."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from rlidim.projections.base import Projection

CLASSES = {
    "gaussian": ("dense", "TritonGaussian"),
    "rademacher": ("dense", "TritonRademacher"),
    "sparse": ("sparse", "TritonSparse"),
    "fastfood": ("fastfood", "TritonFastfood"),
    "stacked_fastfood": ("fastfood", "TritonStackedFastfood"),
    "hashed": ("blocks", "TritonHashed"),
    "rotation": ("blocks", "TritonRotation"),
}


@cache
def implementations() -> dict[str, type[Projection]]:
    """Return the families that Triton computes here: none where it is not installed."""
    if find_spec("triton") is None:
        return {}
    return {
        family: getattr(import_module(f"{__name__}.{module}"), name)
        for family, (module, name) in CLASSES.items()
    }


def reason() -> str:
    """Say why Triton does not compute a family here."""
    if find_spec("triton") is None:
        return "triton is not installed"
    return f"it computes {', '.join(sorted(CLASSES))}, on a CUDA device"
