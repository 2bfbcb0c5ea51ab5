"""The search over d: ladder, bracket, bisection, replication.

The next round of cells is a function of the rounds before, so a search that was killed continues as
if nothing had happened, and its path does not depend on the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlidim.data import datasets
from rlidim.errors import RlidimError
from rlidim.executors.job import Executor, Job
from rlidim.executors.ledger import check_settings, died, finished, superseded
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, read_measurement
from rlidim.records.record import RunRecord
from rlidim.statistics.estimate import Estimate
from rlidim.sweep.plan import Plan
from rlidim.tasks.problems import Supervised

CROSSING_SEEDS = 6  # seeds at the two rungs around the crossing before a search may end
REPLICATES = 2  # seeds added to a rung at a time


@dataclass(frozen=True)
class State:
    """The state of a search, which a listener gets after every record."""

    plan: Plan
    records: Mapping[Cell, RunRecord]
    running: Sequence[Cell]
    estimate: Estimate | None
    resumed: int


Listener = Callable[[State], None]


def ladder(largest: int) -> list[int]:
    """Return the rungs 1, 2, 3, 4, 6, 8, 12, 16, 24, ... up to ``largest``, which is the last."""
    rungs = [1]
    power = 2
    while rungs[-1] < largest:
        rungs += [power, power + power // 2] if power > 2 else [2, 3]
        power *= 2
    return [d for d in rungs if d < largest] + [largest]


def reading(
    plan: Plan, records: Mapping[Cell, RunRecord], results_folder: Path = Path("results")
) -> Measurement:
    """Read the plan's measurement from the records so far.

    Args:
        plan: of the measurement.
        records: made with the plan's settings.
        results_folder: of the records; nothing is read there.

    Raises:
        RlidimError: the baseline is no better than random, so nothing can be measured.
    """
    measurement = read_measurement(
        records.values(),
        plan.subject,
        plan.task,
        fraction=plan.fraction,
        results_folder=results_folder,
    )
    if measurement.estimate is None and measurement.missing is None:
        raise RlidimError(str(measurement.reason))
    return measurement


def next_cells(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[Cell]:
    """Return the next round of cells, or none when the search is over.

    Args:
        plan: of the search.
        records: of the rounds before.
    """
    wanted = _wanted(plan, records)
    missing = [cell for cell in wanted if cell not in records]
    if plan.dims is not None:
        return missing
    remaining = plan.most_runs - sum(cell.d is not None for cell in records)
    if remaining <= 0:
        return _complete(plan, records)
    subspace = [cell for cell in missing if cell.d is not None][:remaining]
    return [cell for cell in missing if cell.d is None or cell in subspace]


def _complete(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[Cell]:
    """Return the cells that the rungs around the crossing lack, once the budget is spent."""
    current = reading(plan, records).estimate
    if current is None:
        return []
    passing = [d for d, mean in current.fit if mean >= plan.fraction]
    failing = [d for d, mean in current.fit if mean < plan.fraction]
    around = failing[-1:] + passing[:1]
    counts = {d: _seeds_on_record(plan, records, d) for d in around}
    return _replicate(plan, counts, around, CROSSING_SEEDS)


def _wanted(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[Cell]:
    if plan.dims is not None:
        # The largest d first: if it exceeds D, the error comes before other runs are made.
        return _rung_cells(plan, sorted(set(plan.dims))[::-1], plan.seeds) + plan.baselines()
    sizes = [records[cell].D for cell in plan.baselines() if cell in records]
    if len(sizes) < len(plan.baselines()):
        return plan.baselines()
    hint = min(plan.hint, plan.largest or plan.hint, max(*sizes, 1))
    start = _rung_cells(plan, [hint], plan.seeds)
    if any(cell not in records for cell in start):
        return start
    measurement = reading(plan, records)
    if measurement.estimate is None or measurement.D is None:
        return []
    rungs = ladder(min(plan.largest or measurement.D, measurement.D))
    return _search(plan, records, measurement.estimate, rungs)


def _search(
    plan: Plan, records: Mapping[Cell, RunRecord], current: Estimate, rungs: Sequence[int]
) -> list[Cell]:
    """Bracket, then bisect, then replicate around the crossing of the isotonic fit.

    The first d whose own mean passes may owe it to a few lucky seeds, far from the rungs that
    decide.
    """
    counts = {d: _seeds_on_record(plan, records, d) for d, _ in current.fit}
    passing = [d for d, mean in current.fit if mean >= plan.fraction]
    failing = [d for d, mean in current.fit if mean < plan.fraction]
    largest = rungs[-1]
    if not passing:  # bracket upwards
        if max(failing) < largest:
            return _rung_cells(plan, [min(2 * max(failing), largest)], plan.seeds)
        return _replicate(plan, counts, [largest], CROSSING_SEEDS)
    upper = min(passing)
    if not failing:  # bracket downwards
        if upper > 1:
            return _rung_cells(plan, [max(upper // 2, 1)], plan.seeds)
        return _replicate(plan, counts, [1], CROSSING_SEEDS)
    lower = max(failing)
    between = [d for d in rungs if lower < d < upper]
    if between:  # bisect down to neighbouring rungs
        return _rung_cells(plan, [between[len(between) // 2]], plan.seeds)
    around = _replicate(plan, counts, [lower, upper], CROSSING_SEEDS)
    if around:
        return around
    low, high = current.interval[0] or 1, current.interval[1] or largest
    if high / low <= plan.precision:
        return []
    return _narrow(plan, counts, lower, upper, (low, high), rungs)


def _narrow(
    plan: Plan,
    counts: Mapping[int, int],
    lower: int,
    upper: int,
    interval: tuple[int, int],
    rungs: Sequence[int],
) -> list[Cell]:
    """Choose the cells that most likely narrow the interval: new rungs inside it, or more seeds."""
    low, high = interval
    if low > lower and high <= upper and upper - lower > 1:
        # The seeds leave no doubt at either rung: only a rung in between can tell more.
        return _rung_cells(plan, [round(math.sqrt(lower * upper))], plan.seeds)
    untested = [d for d in rungs if low <= d <= high and d not in counts]
    if untested:
        nearest = sorted(untested, key=lambda d: abs(math.log(d / upper)))
        return _rung_cells(plan, nearest[:1], plan.seeds)
    # The rungs at and under its lower end bound the interval from below.
    outer = max((d for d in counts if d < low), default=low)
    inside = [d for d in counts if outer <= d <= high and counts[d] < plan.most_seeds]
    inside.sort(key=lambda d: (counts[d], abs(math.log(d / upper))))
    chosen = inside[:2]
    return [
        plan.cell(d, seed)
        for d in chosen
        for seed in range(counts[d], min(counts[d] + REPLICATES, plan.most_seeds))
    ]


def _seeds_on_record(plan: Plan, records: Mapping[Cell, RunRecord], d: int) -> int:
    """Return how many seeds at d, counted from the first, have a record, failed runs included."""
    seed = 0
    while plan.cell(d, seed) in records:
        seed += 1
    return seed


def _replicate(
    plan: Plan, counts: Mapping[int, int], dims: Iterable[int], seeds: int
) -> list[Cell]:
    """Return the cells that bring rungs to a number of seeds."""
    enough = min(seeds, plan.most_seeds)
    return [plan.cell(d, seed) for d in dims for seed in range(counts[d], enough)]


def _rung_cells(plan: Plan, dims: Iterable[int], seeds: int) -> list[Cell]:
    return [plan.cell(d, seed) for d in dims for seed in range(seeds)]


def on_disk(plan: Plan, results: Results) -> dict[Cell, RunRecord]:
    """Return every finished record that belongs to the plan.

    Raises:
        RlidimError: a cell's file is no record, or its run was made with other settings.
    """
    folders = {cell.group for cell in [*plan.baselines(), plan.cell(1, 0)]}
    records: dict[Cell, RunRecord] = {}
    for folder in sorted(folders):
        for path in sorted((results.folder / plan.task.name / folder).glob("*.json")):
            cell = _cell_at(plan, path)
            if cell is None:
                continue
            record = results.load(cell)
            if record is not None:
                job = Job(plan.task, cell, results.folder)
                check_settings(job, record)
                if finished(record) and not superseded(job, record) and not died(record):
                    records[cell] = record
    return records


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
        return plan.cell(int(dimension[1:]), int(seed))
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

    def __init__(self, plan: Plan, results: Results, *, log_dir: Path | None = None) -> None:
        """Read what is on record.

        Args:
            plan: of the search.
            results: the folder of records.
            log_dir: the folder for training logs; None: none are written.

        Raises:
            RlidimError: the folder cannot be written, or holds records of other settings.
        """
        results.check_writable()
        if isinstance(plan.task.problem, Supervised):
            # Downloaded and decoded once, before any worker asks.
            datasets.load(plan.task.problem.data.name)
        self.plan = plan
        self.records = on_disk(plan, results)
        self.resumed = len(self.records)
        self._results, self._log_dir = results, log_dir
        self._known: dict[Cell, RunRecord] = {}

    def round(self) -> list[Cell]:
        """Return the next round's cells that are not on record; none when the search is over.

        Raises:
            RlidimError: the baseline is no better than random actions.
        """
        while cells := next_cells(self.plan, self._known):
            missing = [cell for cell in cells if cell not in self.records]
            if missing:
                return missing
            self._known.update((cell, self.records[cell]) for cell in cells)
        return []

    def make(self, cells: Sequence[Cell], executor: Executor, listener: Listener | None) -> None:
        """Make the runs of a round, those that fail a second time too.

        Raises:
            RlidimError: a mistake that only the user can mend; the records made so far stay.
        """
        pending, again = list(cells), []
        while pending:
            self.tell(listener, pending)
            jobs = [
                Job(self.plan.task, cell, self._results.folder, self._log_dir) for cell in pending
            ]
            for record in executor.run(jobs):
                pending.remove(record.cell)
                if finished(record):
                    self.records[record.cell] = record
                else:
                    again.append(record.cell)
                self.tell(listener, [*pending, *again])
            pending, again = again, []

    def tell(self, listener: Listener | None, running: Sequence[Cell]) -> None:
        """Tell a listener where the search stands."""
        if listener is None:
            return
        complete = all(cell in self.records for cell in self.plan.baselines())
        estimate = self.reading().estimate if complete else None
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
    listener: Listener | None = None,
) -> Measurement:
    """Run the plan to its end and return the measurement.

    Args:
        plan: of the search.
        results: the folder of records.
        executor: makes the runs.
        log_dir: the folder for training logs; None: none are written.
        listener: called after every record.

    Raises:
        RlidimError: a mistake that only the user can mend; the records made so far stay.
    """
    current = Search(plan, results, log_dir=log_dir)
    current.tell(listener, [])
    while cells := current.round():
        current.make(cells, executor, listener)
    current.tell(listener, [])
    return current.reading()
