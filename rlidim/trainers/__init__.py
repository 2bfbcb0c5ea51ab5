"""Trainers: each makes one run and returns its outcome; the registry below is the whole list."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from rlidim.errors import RlidimError, nearest
from rlidim.records.cell import Cell, Seeds
from rlidim.records.checkpoints import Checkpoints
from rlidim.records.record import Outcome
from rlidim.tasks.task import Task

if TYPE_CHECKING:
    from rlidim.trainers.evolution.population import Worker

Report = Callable[[int, float | None], None]
"""Told the environment steps so far and the latest checkpoint score (None before the first)."""


def unheard(steps: int, score: float | None) -> None:
    """Be told how far a run has come, and tell nobody."""


MODULES = {
    "es": "rlidim.trainers.evolution.train",
    "cmaes": "rlidim.trainers.evolution.train",
    "supervised": "rlidim.trainers.toy",
    "adam": "rlidim.trainers.classification",
    "sgd": "rlidim.trainers.classification",
    "ppo": "rlidim.trainers.sb3.train",
    "a2c": "rlidim.trainers.sb3.train",
    "dqn": "rlidim.trainers.sb3.train",
    "sac": "rlidim.trainers.sb3.train",
    "td3": "rlidim.trainers.sb3.train",
    "random": "rlidim.trainers.random_policy",
}
SPLIT = ("es",)  # trainers that one run's work can be split over processes for
RESUMABLE = ("es", "cmaes", "ppo", "a2c")  # trainers whose interrupted runs go on exactly


class Trainer(Protocol):
    """A function that makes one run.

    It is deterministic given the cell's seeds, reports its progress, writes nothing but what it
    likes below ``run_directory`` (None: nothing at all), returns ``diverged`` instead of raising
    when numbers overflow, and raises RlidimError for what only the user can mend.
    """

    def __call__(
        self, task: Task, cell: Cell, seeds: Seeds, report: Report, run_directory: Path | None
    ) -> Outcome:
        """Train and score."""
        ...


def native_dimension(task: Task) -> int | None:
    """Return D, the parameters of the task's acting network; None if its package is missing."""
    if task.kind == "analytic":
        from rlidim.trainers import toy

        return toy.D
    if task.kind == "supervised":
        from rlidim.trainers import classification

        return classification.native_dimension(task)
    from rlidim.networks import acting

    try:
        return acting.architecture(task).D
    except RlidimError:
        return None


def projection_family(task: Task, choice: str) -> str:
    """Return the family that a choice means for a task, one for all its d.

    ``auto`` goes by the task's D, for the largest d there is, so that a measurement's runs share
    one family whatever their d.

    Raises:
        RlidimError: there is no such family.
    """
    from rlidim.projections import check_family
    from rlidim.projections.backends import AUTO
    from rlidim.projections.choice import choose

    if choice != AUTO:
        check_family(choice)
        return choice
    D = native_dimension(task) or 1  # a missing package is the first run's error, not this one's
    return choose(D, D)


def check_processes(task: Task, trainer: str, processes: int) -> None:
    """Make sure that a run can be split over so many processes.

    Raises:
        RlidimError: it cannot.
    """
    _check_splits(trainer, processes)
    from rlidim.trainers.evolution.population import check_split

    check_split(task, trainer, processes)


def _check_splits(trainer: str, processes: int) -> None:
    if trainer not in SPLIT:
        raise RlidimError(
            f"--processes {processes}: a run of trainer '{trainer}' takes 1; "
            f"{', '.join(SPLIT)} can be split"
        )


def find(
    name: str,
    processes: int = 1,
    checkpoints: Checkpoints | None = None,
    worker: Callable[[], Worker] | None = None,
) -> Trainer:
    """Import a trainer.

    Args:
        name: see ``MODULES``.
        processes: that each of its runs is split over; what comes out is the same for any number.
        checkpoints: that its run may go on from, and leaves; for one of ``RESUMABLE``.
        worker: makes each process but the first; None: one of this machine's.

    Raises:
        RlidimError: there is none of that name (with the nearest), or its runs cannot be split.
    """
    if name not in MODULES:
        raise RlidimError(f"unknown trainer '{name}'{nearest(name, MODULES)}")
    further: dict[str, Any] = {}
    if processes != 1:
        _check_splits(name, processes)
        further["processes"] = processes
        if worker is not None:
            further["worker"] = worker
    if checkpoints is not None:
        further["checkpoints"] = checkpoints
    train = importlib.import_module(MODULES[name]).train
    return cast(Trainer, functools.partial(train, **further) if further else train)
