"""rlidim: the intrinsic dimension of reinforcement-learning tasks, with an error bar.

Li, Farkhoor, Liu, Yosinski, "Measuring the Intrinsic Dimension of Objective Landscapes", ICLR 2018.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlidim.errors import RlidimError as RlidimError
    from rlidim.interface import measure as measure
    from rlidim.projections import projection as projection
    from rlidim.statistics.estimate import Estimate as Estimate
    from rlidim.subspace import Subspace as Subspace
    from rlidim.subspace import SubspaceOptimizer as SubspaceOptimizer

__version__ = "0.1.0"

_HOMES = {
    "RlidimError": "rlidim.errors",
    "projection": "rlidim.projections",
    "Estimate": "rlidim.statistics.estimate",
    "Subspace": "rlidim.subspace",
    "SubspaceOptimizer": "rlidim.subspace",
    "measure": "rlidim.interface",
}
__all__ = ["Estimate", "RlidimError", "Subspace", "SubspaceOptimizer", "measure", "projection"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import rlidim`` loads neither torch nor SB3."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rlidim' has no attribute '{name}'")
