"""rlidim: the intrinsic dimension of reinforcement-learning tasks, with an error bar.

Li, Farkhoor, Liu, Yosinski, "Measuring the Intrinsic Dimension of Objective Landscapes", ICLR 2018.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlidim.errors import RlidimError as RlidimError
    from rlidim.interface import estimate as estimate
    from rlidim.interface import load as load
    from rlidim.interface import measure as measure
    from rlidim.interface import train as train
    from rlidim.projections import projection as projection
    from rlidim.records.record import Outcome as Outcome
    from rlidim.records.record import RunRecord as RunRecord
    from rlidim.statistics.estimate import Estimate as Estimate
    from rlidim.subspace import Subspace as Subspace
    from rlidim.subspace import SubspaceOptimizer as SubspaceOptimizer
    from rlidim.tasks.settings import TrainerSettings as TrainerSettings
    from rlidim.tasks.task import Task as Task
    from rlidim.trainers.run import Run as Run
    from rlidim.trainers.sb3.confine import confine as confine
    from rlidim.trainers.sb3.confine import load_confined as load_confined

__version__ = "0.1.0"

_HOMES = {
    "Estimate": "rlidim.statistics.estimate",
    "Outcome": "rlidim.records.record",
    "RlidimError": "rlidim.errors",
    "Run": "rlidim.trainers.run",
    "RunRecord": "rlidim.records.record",
    "Subspace": "rlidim.subspace",
    "SubspaceOptimizer": "rlidim.subspace",
    "Task": "rlidim.tasks.task",
    "TrainerSettings": "rlidim.tasks.settings",
    "confine": "rlidim.trainers.sb3.confine",
    "estimate": "rlidim.interface",
    "load": "rlidim.interface",
    "load_confined": "rlidim.trainers.sb3.confine",
    "measure": "rlidim.interface",
    "projection": "rlidim.projections",
    "train": "rlidim.interface",
}
__all__ = [
    "Estimate",
    "Outcome",
    "RlidimError",
    "Run",
    "RunRecord",
    "Subspace",
    "SubspaceOptimizer",
    "Task",
    "TrainerSettings",
    "confine",
    "estimate",
    "load",
    "load_confined",
    "measure",
    "projection",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import rlidim`` loads neither torch nor SB3."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rlidim' has no attribute '{name}'")
