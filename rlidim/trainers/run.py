"""A training run: what its trainer is given, and which module the trainer is."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError
from rlidim.records.cell import RANDOM, Cell, Seeds
from rlidim.records.checkpoints import Checkpoints, Spent
from rlidim.records.record import Outcome
from rlidim.tasks.settings import TrainerSettings
from rlidim.tasks.task import Task
from rlidim.trainers.logs import Log

if TYPE_CHECKING:
    from rlidim.trainers.evolution.population import Worker

RANDOM_POLICY = "rlidim.trainers.random_policy"
Report = Callable[[int, float | None], None]
"""Told the environment steps so far and the latest checkpoint score (None before the first)."""


def unheard(steps: int, score: float | None) -> None:
    """Ignore a run's progress: the report of a run that nobody watches."""


@dataclass(frozen=True)
class Run:
    """A training run: the argument of a trainer's ``train(run)``, which returns an ``Outcome``.

    A trainer is deterministic given the seeds, reports its progress, writes nothing but what it
    likes below ``folder``, returns the status ``diverged`` instead of raising when numbers
    overflow, and raises RlidimError for what only the user can mend.

    Attributes:
        task: what is trained on.
        cell: the run's name: trainer, projection, d and seed.
        seeds: of theta_0, of P and of the environments.
        report: is told the progress.
        folder: for logs; None: none are written.
        checkpoints: that the run may go on from, and leaves; None where there are none.
        processes: that the run is split over; what comes out is the same for any number.
        worker: makes each process but the first; None: one of this machine's.
        log: is told more than the report is by trainers that have more to say; None: nobody is.
    """

    task: Task
    cell: Cell
    seeds: Seeds
    report: Report = unheard
    folder: Path | None = None
    checkpoints: Checkpoints | None = None
    processes: int = 1
    worker: Callable[[], Worker] | None = None
    log: Log | None = None

    @property
    def settings(self) -> Any:
        """The trainer's settings."""
        return self.task.settings(self.cell.trainer)


def train(run: Run) -> Outcome:
    """Make a run with its trainer.

    Raises:
        RlidimError: the task has no such trainer, its runs cannot be split so, and what the trainer
            raises.
    """
    if run.cell.trainer == RANDOM:
        module = RANDOM_POLICY
    else:
        if run.processes != 1:
            check_splits(run.task, run.cell.trainer, run.processes)
        module = type(run.settings).home()
    outcome: Outcome = importlib.import_module(module).train(run)
    return outcome


@dataclass(frozen=True)
class Together:
    """One of several runs that were made side by side.

    Attributes:
        place: which.
        outcome: what came out; None: it failed.
        error: the traceback of one that failed.
        spent: its share of what all took.
    """

    place: int
    outcome: Outcome | None
    error: str | None
    spent: Spent


def train_together(runs: Sequence[Run]) -> Iterator[Together]:
    """Make runs of one task and trainer side by side; yield each as it ends.

    Raises:
        RlidimError: what the trainer raises.
    """
    module: Any = importlib.import_module(type(runs[0].settings).home())
    made: Iterator[Together] = module.train_together(runs)
    return made


def settings_class(task: Task, trainer: str) -> type[TrainerSettings]:
    """Return the class of a trainer's settings, which says what the trainer can do.

    Raises:
        RlidimError: the task has no such trainer.
    """
    kind: type[TrainerSettings] = type(task.settings(trainer))
    return kind


def is_resumable(task: Task, trainer: str) -> bool:
    """Say whether an interrupted run goes on from a checkpoint."""
    return trainer != RANDOM and settings_class(task, trainer).resumable


def makes_together(task: Task, trainer: str) -> bool:
    """Say whether a process makes several runs of a trainer side by side."""
    return trainer != RANDOM and settings_class(task, trainer).together > 1


def check_splits(task: Task, trainer: str, processes: int) -> None:
    """Make sure that a trainer's runs can be split over processes.

    Raises:
        RlidimError: they cannot.
    """
    if not settings_class(task, trainer).splits:
        able = [name for name, settings in task.trainers.items() if settings.splits]
        hint = f"{', '.join(able)} can be split" if able else "none of the task's can be split"
        raise RlidimError(f"--processes {processes}: a run of trainer '{trainer}' takes 1; {hint}")


def check_served(task: Task, trainer: str) -> None:
    """Find out whether a trainer serves a task's network and actions, before a run does.

    Raises:
        RlidimError: it does not (says which trainers do).
    """
    _check_by_itself("check", task, trainer)


def check_processes(task: Task, trainer: str, processes: int) -> None:
    """Make sure that a run can be split over so many processes.

    Raises:
        RlidimError: it cannot.
    """
    check_splits(task, trainer, processes)
    _check_by_itself("check_split", task, trainer, processes)


def _check_by_itself(name: str, task: Task, trainer: str, *arguments: Any) -> None:
    """Call a check of the trainer's own module, where it has one."""
    module: Any = importlib.import_module(settings_class(task, trainer).home())
    check = getattr(module, name, None)  # a trainer of a user's own may have none
    if check is not None:
        check(task, trainer, *arguments)
