"""Where one of many measurements stands, and how urgent its next round is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from rlidim.errors import RlidimError
from rlidim.records.cell import RANDOM, Cell
from rlidim.records.measurement import Measurement
from rlidim.sweep import natives
from rlidim.sweep.cost import seconds_of_a_run
from rlidim.sweep.forecast import TIMES, forecast
from rlidim.sweep.search import Search

UNMEASURED = math.log(10_000)  # the width of an interval of which nothing is known
CONFIRMED = math.log(1.1)


@dataclass(frozen=True)
class Row:
    """Where one measurement stands.

    Attributes:
        search: its plan and records.
        cells: that its next round lacks; none: it is settled, unsolved, or its budget is spent.
        unsolved: whether native training does not solve the task; its reading would not count.
        error: why it cannot be measured here, a line; None if it can.
    """

    search: Search
    cells: Sequence[Cell]
    unsolved: bool = False
    error: str | None = None

    @classmethod
    def of(cls, search: Search) -> Row:
        """Return where a search stands."""
        if natives.unsolved(search.plan, search.records):
            return cls(search, (), unsolved=True)
        try:
            row = cls(search, search.round())
        except RlidimError as error:
            return cls(search, (), error=str(error))
        if row.missing or row.measurement is not None:
            return row
        return cls(search, (), error=f"no estimate: {row.reason}")

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
        return seconds_of_a_run(self.search.plan, runs)

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
