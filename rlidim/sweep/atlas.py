"""Many measurements in one sitting: whichever narrows most per core second gets the next round."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlidim.errors import RlidimError
from rlidim.executors.job import Job, JobError
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.records.cell import RANDOM, Cell
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.sweep.plan import Plan
from rlidim.sweep.row import Row
from rlidim.sweep.search import Listener, Search

Tell = Callable[[str], None]


def unheard(line: str) -> None:
    """Let a line go."""


def at_once() -> None:
    """Wait for nothing."""


@dataclass
class Sitting:
    """Rows that are worked on side by side, as many at a time as there are workers.

    A row's next round begins when its last is complete, so that its path depends on its own records
    alone. Another row's begins when a worker would have nothing to do.

    Attributes:
        results: the folder of records.
        log_dir: the folder for training logs; None: none are written.
        workers: that make the runs.
        end: by the monotonic clock; after it no round is begun.
        listener: called after every record.
        tell: called with a line at each round.
        refuse: called with a line for each row that cannot be measured here.
        stand_still: called before each step of this process; returns when the step may be made.
        rows: where each stands.
    """

    results: Results
    log_dir: Path | None
    workers: int
    end: float
    listener: Listener | None = None
    tell: Tell = unheard
    refuse: Tell = unheard
    stand_still: Callable[[], None] = at_once
    rows: list[Row] = field(default_factory=list)
    # What the rounds that are being made lack, by the row's index.
    _underway: dict[int, list[Cell]] = field(default_factory=dict)
    _again: list[Job] = field(default_factory=list)  # that failed once

    def open(self, plan: Plan) -> None:
        """Read where a plan stands; refuse one whose records cannot be read."""
        self.stand_still()
        try:
            row = Row.of(Search(plan, self.results, log_dir=self.log_dir))
        except RlidimError as error:
            self.refuse(f"{plan.task.name} {plan.trainer}: {error}")
            return
        self.rows.append(row)
        self._say_error(row)

    def more(self) -> Sequence[Job]:
        """Return the jobs of the most urgent row's round, or what failed once; none: not now."""
        self.stand_still()
        if self._again:
            again, self._again = self._again, []
            return again
        idle = [i for i, row in enumerate(self.rows) if row.missing and i not in self._underway]
        if not idle or len(self._underway) >= self.workers or time.monotonic() >= self.end:
            return ()
        index = max(idle, key=lambda each: self.rows[each].urgency)
        row = self.rows[index]
        self.tell(f"{row.name}: {row.missing} runs of about {row.seconds:.0f} core seconds")
        self._underway[index] = list(row.cells)
        row.search.tell(self.listener, row.cells)
        return [self._job(row, cell) for cell in row.cells]

    def take(self, record: RunRecord) -> None:
        """Take in a record, which may be of several rows: random actions are."""
        self.stand_still()
        waiting = [index for index, cells in self._underway.items() if record.cell in cells]
        for index in waiting:
            search, cells = self.rows[index].search, self._underway[index]
            try:
                if not search.take(record):
                    self._again.append(self._job(self.rows[index], record.cell))
                    return
            except RlidimError as error:
                raise JobError(record.cell, error) from error
            cells.remove(record.cell)
            search.tell(self.listener, cells)
            if not cells:
                del self._underway[index]
                self.rows[index] = Row.of(search)
                self._say_error(self.rows[index])

    def fail(self, error: RlidimError) -> None:
        """End the rows that a mistake is of: the one that came upon it, or all that were underway.

        The others' rounds, which it cut short, are to be begun again.
        """
        underway, self._underway, self._again = self._underway, {}, []
        for index in underway:
            search = self.rows[index].search
            of_another = isinstance(error, JobError) and not _is_of(search.plan, error.cell)
            self.rows[index] = Row.of(search) if of_another else Row(search, (), error=str(error))
            self._say_error(self.rows[index])

    def _say_error(self, row: Row) -> None:
        if row.error is not None:
            self.refuse(f"{row.name}: {row.error}")

    def _job(self, row: Row, cell: Cell) -> Job:
        return Job(row.search.plan.task, cell, self.results.folder, self.log_dir)


def _is_of(plan: Plan, cell: Cell) -> bool:
    """Say whether a cell is one of a plan's; random actions are of all the task's plans."""
    return cell.task == plan.task.name and cell.trainer in (plan.trainer, RANDOM)


def work(
    plans: Sequence[Plan],
    results: Results,
    *,
    executor: InProcess | ProcessPool,
    seconds: float,
    log_dir: Path | None = None,
    listener: Listener | None = None,
    tell: Tell = unheard,
    refuse: Tell = unheard,
    stand_still: Callable[[], None] = at_once,
) -> list[Row]:
    """Make round after round of whichever measurement is the most urgent, until the time is up.

    Args:
        plans: what to measure.
        results: the folder of records.
        executor: makes the runs.
        seconds: after which no further round is begun; those that run are brought to their end.
        log_dir: the folder for training logs.
        listener: called after every record.
        tell: called with a line at each round.
        refuse: called with a line for each measurement that cannot be made here, or whose records
            cannot be read; the others go on.
        stand_still: called before each step of this process; returns when the step may be made.

    Returns:
        Where each measurement then stands, in the order of the plans; those without one are those
        whose records cannot be read.
    """
    end = time.monotonic() + seconds
    sitting = Sitting(results, log_dir, executor.workers, end, listener, tell, refuse, stand_still)
    for plan in plans:
        sitting.open(plan)
    while jobs := sitting.more():
        try:
            for record in executor.run(jobs, sitting.more):
                sitting.take(record)
        except RlidimError as error:
            executor.close()  # ends the other runs that were going on
            sitting.fail(error)
    return sitting.rows
