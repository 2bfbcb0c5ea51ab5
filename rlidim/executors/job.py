"""What an executor is asked, and what it must do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.record import RunRecord
from rlidim.tasks.task import Task
from rlidim.trainers.run import makes_together


@dataclass(frozen=True)
class Job:
    """A cell and all that a worker process needs to run it.

    ``log_dir`` is the folder for logs and for solutions that a record does not hold, native ones
    and those of a large d (None: write neither). ``processes`` is how many the run is split over,
    and ``resume`` says whether it goes on from a checkpoint of an interrupted one: both change how
    long it takes and nothing else. ``timeout`` is how many seconds it may take: what takes longer
    is recorded as failed. ``log`` names where else the run's numbers are shown: see
    :mod:`rlidim.trainers.logs`.
    """

    task: Task
    cell: Cell
    results: Path
    log_dir: Path | None = None
    processes: int = 1
    resume: bool = True
    timeout: float | None = None
    log: tuple[str, ...] = ()

    @functools.cached_property
    def configuration(self) -> dict[str, Any]:
        """Every setting that the run's result depends on."""
        return configuration(self.task, self.cell)

    @functools.cached_property
    def config_hash(self) -> str:
        """The hash of those settings."""
        return hash_of(self.configuration)


More = Callable[[], Sequence[Job]]


def no_more() -> Sequence[Job]:
    """Return no further jobs."""
    return ()


class JobError(RlidimError):
    """A mistake that only the user can mend, which came up in one of many jobs.

    Attributes:
        cell: the job's.
    """

    def __init__(self, cell: Cell, error: RlidimError) -> None:
        """Keep the line as it is."""
        super().__init__(str(error))
        self.cell = cell


def limited(jobs: Sequence[Job], timeout: float | None) -> list[Job]:
    """Return the jobs with a limit of their time, in seconds; None leaves them theirs."""
    if timeout is None:
        return list(jobs)
    return [dataclasses.replace(job, timeout=timeout) for job in jobs]


def batches(jobs: Sequence[Job], workers: int) -> list[list[Job]]:
    """Split jobs into batches, each for one process at a time.

    Runs that their trainer makes side by side are dealt out to as many batches as there are
    workers; a limit of time is a single run's, so that a job with one is a batch by itself, as are
    all others.
    """
    alone: list[list[Job]] = []
    together: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if job.timeout is None and makes_together(job.task, job.cell.trainer):
            together.setdefault((job.task.name, job.cell.trainer), []).append(job)
        else:
            alone.append([job])
    dealt = [group[first::workers] for group in together.values() for first in range(workers)]
    return [batch for batch in dealt if batch] + alone


@runtime_checkable
class Executor(Protocol):
    """Runs jobs and yields each record as it is finished."""

    def run(self, jobs: Sequence[Job]) -> Iterator[RunRecord]:
        """Run the jobs in any order; the records are on disk before they are yielded."""
        ...

    def close(self) -> None:
        """Give the workers back."""
        ...
