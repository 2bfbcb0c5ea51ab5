"""A search over d: the rounds of its walk, made by an executor, from what is on record."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rlidim.data import datasets
from rlidim.errors import RlidimError
from rlidim.executors.job import Executor, Job
from rlidim.executors.ledger import check_settings, died, finished, superseded
from rlidim.records.cell import RANDOM, Cell, searches
from rlidim.records.files import writing
from rlidim.records.folder import Results
from rlidim.records.lock import claim
from rlidim.records.measurement import Measurement
from rlidim.records.record import RunRecord
from rlidim.statistics.estimate import Estimate
from rlidim.sweep.plan import Plan
from rlidim.sweep.walk import Walk, reading
from rlidim.tasks.problems import Supervised


@dataclass(frozen=True)
class State:
    """The state of a search, which a listener gets after every record."""

    plan: Plan
    records: Mapping[Cell, RunRecord]
    running: Sequence[Cell]
    estimate: Estimate | None
    resumed: int


@dataclass(frozen=True)
class Ended:
    """A search that is over.

    Attributes:
        measurement: that the records make.
        spent: whether it is over because its budget is spent.
    """

    measurement: Measurement
    spent: bool


Listener = Callable[[State], None]


def on_disk(plan: Plan, results: Results) -> dict[Cell, RunRecord]:
    """Return every finished record that belongs to the plan.

    Raises:
        RlidimError: a cell's file is no record, or its run was made with other settings.
    """
    records: dict[Cell, RunRecord] = {}
    for cell in _cells(plan, results):
        record = results.load(cell) if plan.owns(cell) else None
        if record is not None:
            job = Job(plan.task, cell, results.folder)
            check_settings(job, record)
            if finished(record) and not superseded(job, record) and not died(record):
                records[cell] = record
    return records


def forget_failures(plan: Plan, results: Results) -> int:
    """Delete the records of a plan's failed runs, which are then made again; return how many.

    Raises:
        RlidimError: see :func:`on_disk`; or a record cannot be deleted.
    """
    on_disk(plan, results)  # raises where the records are of other settings: nothing is lost then
    failed = 0
    for cell in filter(plan.owns, _cells(plan, results)):
        with claim(results.folder, cell) as mine:  # what another sweep is making is its own
            record = results.load(cell) if mine else None
            if record is not None and record.status == "failed":
                with writing(results.path(cell)):
                    results.path(cell).unlink()
                failed += 1
    return failed


def repetitions(plan: Plan, results: Results) -> int:
    """Return how many other searches of the plan's subject are on record, by the files' names."""
    return len(searches(_cells(plan, results)) - {plan.replication})


def _cells(plan: Plan, results: Results) -> list[Cell]:
    """Return the cells of the plan's subject that have a file, those of other repetitions too."""
    folders = {cell.group for cell in [*plan.baselines(), plan.cell(1, 0)]}
    paths = [
        path
        for folder in sorted(folders)
        for path in sorted((results.folder / plan.task.name / folder).glob("*.json"))
    ]
    return [cell for path in paths if (cell := _cell_at(plan, path)) is not None]


def _cell_at(plan: Plan, path: Path) -> Cell | None:
    """Return the cell that a file's name stands for, or None."""
    if path.parent.name == Cell.random(plan.task.name).group:
        random = Cell.random(plan.task.name)
        return random if path.stem == random.label else None
    dimension, _, seed = path.stem.partition("-s")
    if not seed.isdecimal():
        return None
    if dimension == "full":
        return Cell.baseline(plan.task.name, plan.trainer, int(seed))
    if dimension[:1] == "d" and dimension[1:].isdecimal():
        return dataclasses.replace(plan.cell(int(dimension[1:]), 0), seed=int(seed))
    return None


class Search:
    """A plan on its way: what is on record, and the round to make next.

    The search sees whole rounds alone. A round that was cut short is completed before the next is
    chosen, so that a search killed in its middle goes on as if nothing had happened.

    Attributes:
        plan: of the search.
        records: all that are on disk, by cell.
        resumed: how many of them were there before.
    """

    def __init__(
        self,
        plan: Plan,
        results: Results,
        *,
        log_dir: Path | None = None,
        log: Sequence[str] = (),
    ) -> None:
        """Read what is on record.

        Args:
            plan: of the search.
            results: the folder of records.
            log_dir: the folder for training logs; None: none are written.
            log: where else the runs' numbers are shown: see :mod:`rlidim.trainers.logs`.

        Raises:
            RlidimError: the folder holds records of other settings, or one by which random actions
                are as good as the task's target.
        """
        if isinstance(plan.task.problem, Supervised):
            # Downloaded and decoded once, before any worker asks.
            datasets.load(plan.task.problem.data.name)
        self.plan = plan
        self.records = on_disk(plan, results)
        for record in self.records.values():
            self._check_target(record)
        self.resumed = len(self.records)
        self._results, self._log_dir, self._log = results, log_dir, tuple(log)
        self._walk = Walk(plan)
        self._round: list[Cell] | None = None  # that was chosen and is not complete

    def round(self) -> list[Cell]:
        """Return the next round's cells that are not on record; none when the search is over.

        Raises:
            RlidimError: the baseline is no better than random actions, or records that are missing
                cannot be written.
        """
        while True:
            if self._round is None:
                self._round = self._walk.next()
            missing = [cell for cell in self._round if cell not in self.records]
            if missing:
                self._results.check_writable()
            if missing or not self._round:
                return missing
            self._walk.add({cell: self.records[cell] for cell in self._round})
            self._round = None

    @property
    def spent(self) -> bool:
        """Whether the search is over because its budget is spent."""
        return self._walk.spent

    def make(self, cells: Sequence[Cell], executor: Executor, listener: Listener | None) -> None:
        """Make the runs of a round, those that fail a second time too.

        Raises:
            RlidimError: a mistake that only the user can mend; the records made so far stay.
        """
        pending, again = list(cells), []
        while pending:
            self.tell(listener, pending)
            jobs = [
                Job(self.plan.task, cell, self._results.folder, self._log_dir, log=self._log)
                for cell in pending
            ]
            for record in executor.run(jobs):
                pending.remove(record.cell)
                if not self.take(record):
                    again.append(record.cell)
                self.tell(listener, [*pending, *again])
            pending, again = again, []

    def take(self, record: RunRecord) -> bool:
        """Take in a record of the round; say whether its run is over, or to be made once more.

        Raises:
            RlidimError: random actions are as good as the task's target.
        """
        if not finished(record):
            return False
        self.records[record.cell] = record
        self._check_target(record)
        return True

    def _check_target(self, record: RunRecord) -> None:
        """Refuse a target that random actions reach, before native runs are made for it."""
        target, score = self.plan.task.target, record.score
        if record.cell.trainer != RANDOM or target is None or score is None or self.plan.local:
            return
        if not target.score > score:
            raise RlidimError(
                f"{self.plan.task.file}: target: score: {target.score:g} is no better than random "
                f"actions, {score:.4g}: name one that only a policy that solves the task reaches"
            )

    def tell(self, listener: Listener | None, running: Sequence[Cell]) -> None:
        """Tell a listener where the search stands."""
        if listener is None:
            return
        estimate = None
        if all(cell in self.records for cell in self.plan.baselines()):
            with suppress(RlidimError):  # half a round of native runs may read what the whole won't
                estimate = self.reading().estimate
        listener(State(self.plan, self.records, running, estimate, self.resumed))

    def reading(self) -> Measurement:
        """Read the measurement from the records so far; see :func:`reading`."""
        return reading(self.plan, self.records, self._results.folder)


def search(
    plan: Plan,
    results: Results,
    *,
    executor: Executor,
    log_dir: Path | None = None,
    log: Sequence[str] = (),
    listener: Listener | None = None,
) -> Ended:
    """Run the plan to its end and return the measurement, and on what the search ended.

    Args:
        plan: of the search.
        results: the folder of records.
        executor: makes the runs.
        log_dir: the folder for training logs; None: none are written.
        log: where else the runs' numbers are shown: see :mod:`rlidim.trainers.logs`.
        listener: called after every record.

    Raises:
        RlidimError: a mistake that only the user can mend; the records made so far stay.
    """
    current = Search(plan, results, log_dir=log_dir, log=log)
    current.tell(listener, [])
    while cells := current.round():
        current.make(cells, executor, listener)
    current.tell(listener, [])
    return Ended(current.reading(), current.spent)
