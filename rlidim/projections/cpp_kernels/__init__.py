"""The C++ kernels: every family's products on the CPU, from the same stream as the reference.

The extension is built when rlidim is installed. Where that is impossible the torch reference
serves, and ``rlidim doctor`` says so.
"""

from __future__ import annotations

from rlidim.projections.base import Projection

try:
    # By its full name: `from ... import` would blame a circular import where the file is missing.
    import rlidim.projections.cpp_kernels._kernels as kernels
except ModuleNotFoundError:
    MISSING = "the C++ extension was not built: install rlidim where a C++17 compiler is"
except ImportError as error:
    MISSING = f"the C++ extension cannot be loaded ({error}): install rlidim anew"
else:
    MISSING = ""


def implementations() -> dict[str, type[Projection]]:
    """Return the families that C++ computes here: none without the extension."""
    if MISSING:
        return {}
    from rlidim.projections.cpp_kernels.families import FAMILIES

    return FAMILIES


def reason() -> str:
    """Say why the extension is missing; empty where it was built."""
    return MISSING


def instruction_set() -> str | None:
    """Return the path that the kernels take on this processor: avx512, avx2, portable or none."""
    return None if MISSING else kernels.instruction_set()
