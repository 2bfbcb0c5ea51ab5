"""Many measurements in one sitting: whichever narrows most per core second gets the next round."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rlidim.errors import RlidimError
from rlidim.executors.job import Executor
from rlidim.executors.local import ProcessPool
from rlidim.records.cell import RANDOM, Cell
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, total_seconds
from rlidim.statistics.wording import interval
from rlidim.sweep.forecast import TIMES, forecast
from rlidim.sweep.plan import Plan
from rlidim.sweep.search import Listener, Search

LOOKED = 1.0  # seconds between two looks for the file that asks for a pause
# Of a run where none is on record, a guess that its first round replaces.
UNKNOWN_SECONDS, STEPS_A_SECOND = 60.0, 5_000
SHORTEST = 1e-3  # seconds of a run: it divides
UNMEASURED = math.log(10_000)  # the width of an interval of which nothing is known
CONFIRMED = math.log(1.1)
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """Where one measurement stands.

    Attributes:
        search: its plan and records.
        cells: that its next round lacks; none: it is settled, or its budget is spent.
        error: why it cannot be measured here, a line; None if it can.
    """

    search: Search
    cells: Sequence[Cell]
    error: str | None = None

    @property
    def missing(self) -> int:
        """Return how many runs its next round lacks."""
        return len(self.cells)

    @property
    def name(self) -> str:
        """Return the task and the trainer: ``cartpole es``."""
        return f"{self.search.plan.task.name} {self.search.plan.trainer}"

    # A row is a moment: when runs were made there is another, so that each is read once.
    @cached_property
    def _read(self) -> tuple[Measurement | None, str | None]:
        """Return what the records say, or why they say nothing."""
        try:
            measurement = self.search.reading()
        except RlidimError as error:
            return None, str(error)
        return (None if measurement.estimate is None else measurement), measurement.reason

    @property
    def measurement(self) -> Measurement | None:
        """Return what the records say; None while they say nothing."""
        return self._read[0]

    @property
    def reason(self) -> str | None:
        """Return why the records say nothing; None where they do."""
        return self._read[1]

    @property
    def excess(self) -> float:
        """Return how much wider than wanted the interval is in log d, an open end at 1 or at D.

        A round that only confirms what is narrow enough is worth ``CONFIRMED``.
        """
        measurement = self.measurement
        if measurement is None or measurement.estimate is None:
            return UNMEASURED
        wide = math.log(measurement.estimate.ratio) - math.log(self.search.plan.precision)
        return max(wide, CONFIRMED)

    @cached_property
    def seconds(self) -> float:
        """Return the core seconds of a run, by those on record, or else a guess by its budget."""
        runs = [record for cell, record in self.search.records.items() if cell.trainer != RANDOM]
        if runs:
            return max(total_seconds(runs) / len(runs), SHORTEST)
        settings = self.search.plan.task.settings(self.search.plan.trainer)
        steps = getattr(settings, "n_timesteps", UNKNOWN_SECONDS * STEPS_A_SECOND)
        return float(steps / STEPS_A_SECOND)

    @cached_property
    def forecast(self) -> float | None:
        """Return the core seconds that it still needs, None if that is not to be foreseen."""
        measurement = self.measurement
        lacking = None if measurement is None else forecast(measurement, self.search.plan)
        return None if lacking is None else max(lacking, self.missing * self.seconds)

    @property
    def urgency(self) -> float:
        """Return what is to be narrowed, in log d, per core second that it takes.

        Of what is not measured yet, the next round's; of what not even the most runs that a
        forecast looks at would narrow, as many.
        """
        if self.measurement is None:
            return self.excess / (self.missing * self.seconds)
        runs = len(self.measurement.runs)
        foreseen = max(TIMES) * runs * self.seconds if self.forecast is None else self.forecast
        return self.excess / foreseen


def work(
    plans: Sequence[Plan],
    results: Results,
    *,
    executor: Executor,
    seconds: float,
    log_dir: Path | None = None,
    listener: Listener | None = None,
    tell: Tell = lambda line: None,
    refuse: Tell = lambda line: None,
) -> list[Row]:
    """Make round after round of whichever measurement is the most urgent, until the time is up.

    Args:
        plans: what to measure.
        results: the folder of records.
        executor: makes the runs.
        seconds: after which no further round is begun; a round that runs is brought to its end.
        log_dir: the folder for training logs.
        listener: called after every record.
        tell: called with a line at each round.
        refuse: called with a line for each measurement that cannot be made here, or whose records
            cannot be read; the others go on.

    Returns:
        Where each measurement then stands, in the order of the plans; those without one are those
        whose records cannot be read.
    """
    began = time.monotonic()
    rows = []
    for plan in plans:
        try:
            rows.append(_row(Search(plan, results, log_dir=log_dir), refuse))
        except RlidimError as error:
            refuse(f"{plan.task.name} {plan.trainer}: {error}")
    while time.monotonic() - began < seconds:
        open_rows = [row for row in rows if row.missing]
        if not open_rows:
            break
        row = max(open_rows, key=lambda each: each.urgency)
        tell(f"{row.name}: {row.missing} runs of about {row.seconds:.0f} core seconds")
        index = rows.index(row)
        try:
            row.search.make(row.cells, executor, listener)
            rows[index] = _row(row.search, refuse)
        except RlidimError as error:
            executor.close()  # ends the round's other runs
            rows[index] = _failed(row.search, error, refuse)
    for row in rows:
        if row.error is None and not row.missing and row.measurement is None:
            refuse(f"{row.name}: no estimate: {row.reason}")
    return rows


def _row(search: Search, refuse: Tell) -> Row:
    try:
        return Row(search, search.round())
    except RlidimError as error:
        return _failed(search, error, refuse)


def _failed(search: Search, error: RlidimError, refuse: Tell) -> Row:
    row = Row(search, (), str(error))
    refuse(f"{row.name}: {row.error}")
    return row


def page(rows: Sequence[Row]) -> str:
    """Return a line for each row: settled, or open and what it is forecast to cost."""
    lines = []
    for row in sorted(rows, key=lambda each: (each.missing > 0, each.name)):
        measurement = row.measurement
        reads = "-" if measurement is None else interval(measurement.estimate)
        if row.error is not None:
            state = row.error
        elif row.missing:
            state = f"open; {_cost(row.forecast)}"
        elif row.search.spent:
            state = "its budget is spent"
        elif measurement is not None and measurement.failed_everywhere:
            d = measurement.failed_everywhere[0]
            state = f"ended: every run failed at d = {d:,}"
        else:
            state = "settled"
        lines.append(f"{row.name:36}  {reads:20}  {state}")
    return "\n".join(lines)


def _cost(forecast: float | None) -> str:
    return "no forecast yet" if forecast is None else f"about {forecast / 60:,.0f} core minutes"


@contextmanager
def pausing(pool: ProcessPool, file: Path, tell: Tell) -> Iterator[None]:
    """Stop a pool's processes while a file exists, such as during a timing, and let them go on.

    Args:
        pool: whose processes are stopped where they are.
        file: looked for once a second.
        tell: called with a line at each change.
    """
    over = threading.Event()

    def watch() -> None:
        paused = False
        while not over.wait(LOOKED):
            if file.exists() != paused:
                paused = not paused
                tell(f"{file}: paused until it is gone" if paused else f"{file} is gone: going on")
            pool.pause(paused)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        pool.pause(False)
