"""Runs that hear nothing, seen from outside: stuck in foreign code that never comes back to Python.

Each worker process says in shared memory which run it is at; the main process counts the time of
each, and ends the process of one that its own :class:`~rlidim.executors.watch.Limit` did not end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

from rlidim.executors.job import Job
from rlidim.executors.watch import OUTSIDE, TICK, took_longer

Result = TypeVar("Result")
Work = TypeVar("Work")
Began = Callable[[], None]


@dataclass
class Place:
    """One of the places for runs, of which there are as many as worker processes.

    Attributes:
        index: in the shared memory.
        job: that is at it.
        seconds: that the job has taken since it began, pauses left out.
    """

    index: int
    job: Job
    seconds: float = field(default=0.0)


class Watch:
    """The places of a pool's runs, each of at most one run at a time.

    Attributes:
        processes: shared, one number a place: the process that makes its run; 0 before there is
            one.
    """

    def __init__(self, places: int, context: BaseContext) -> None:
        """Make the shared memory."""
        self.processes: Any = context.RawArray("q", places)
        self._free = list(range(places))
        self._seen = time.monotonic()

    def take(self, job: Job) -> Place:
        """Return a free place for a job."""
        place = Place(self._free.pop(), job)
        self.processes[place.index] = 0
        return place

    def leave(self, place: Place) -> None:
        """Give a place back."""
        self._free.append(place.index)

    def end_stuck(self, places: Iterable[Place]) -> Place | None:
        """Look at the time, once a ``TICK``; end the process of a run that has had too much of it.

        Returns:
            Whose process was ended; None if none was.
        """
        now = time.monotonic()
        # No more than between two looks: what is longer was a pause, or another command's work.
        passed, self._seen = min(now - self._seen, 2 * TICK), now
        for place in places:
            process, timeout = self.processes[place.index], place.job.timeout
            if process == 0 or is_stopped(process):
                continue
            place.seconds += passed
            if timeout is not None and place.seconds > timeout + OUTSIDE:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(process, signal.SIGKILL)
                return place
        return None


def stuck_line(job: Job) -> str:
    """Return what is said of a run whose process was ended."""
    return f"{job.cell}: {took_longer(job.timeout)}, in code that never came back to Python"


def is_stopped(process: int) -> bool:
    """Say whether a process is paused, as SIGSTOP does; False where the system does not tell."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "Tt"


_processes: Any = None  # a worker's view of Watch.processes


def begin(processes: Any) -> None:
    """Take the shared memory, in a worker process."""
    global _processes
    _processes = processes


def run_at(place: int, function: Callable[[Work, Began], Result], work: Work) -> Result:
    """Do some work in a worker process, which says so at a place when the work says it begins."""

    def began() -> None:
        _processes[place] = os.getpid()

    return function(work, began)
