"""Repetitions of whole searches with seeds of their own: does an interval hold on real runs?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rlidim.records.cell import RANDOM, searches
from rlidim.records.measurement import Measurement, read_measurement
from rlidim.report.columns import one_line
from rlidim.report.tables import Table, names_of
from rlidim.statistics.wording import NONE, beside


@dataclass(frozen=True)
class Replicated:
    """The repetitions of one measurement.

    Attributes:
        pooled: all their runs together.
        readings: of each by itself, by its number.
        others: of all but each.
    """

    pooled: Measurement
    readings: dict[int, Measurement]
    others: dict[int, Measurement]

    def holds(self, number: int) -> bool | None:
        """Return whether one's interval holds the reading of the others' pooled runs.

        None where an open end would decide, or the others have no reading.
        """
        own, others = self.readings[number].estimate, self.others[number].estimate
        if own is None or others is None or others.d_int is None or others.censored:
            return None
        return own.holds(others.d_int)

    @property
    def held(self) -> int:
        """How many intervals hold the reading of the others."""
        return sum(self.holds(number) is True for number in self.readings)

    @property
    def decided(self) -> int:
        """How many intervals hold it or do not."""
        return sum(self.holds(number) is not None for number in self.readings)


def replicated(measurement: Measurement) -> Replicated | None:
    """Return a measurement's repetitions; None where there is only the first."""
    numbers = sorted(searches(record.cell for record in (*measurement.runs, *measurement.baseline)))
    if len(numbers) < 2:
        return None

    def read(kept: Collection[int]) -> Measurement:
        random = [] if measurement.random is None else [measurement.random]
        records = [*measurement.runs, *measurement.baseline, *random]
        return read_measurement(
            [
                record
                for record in records
                if record.cell.trainer == RANDOM or record.cell.replication in kept
            ],
            measurement.subject,
            measurement.task,
            fraction=measurement.fraction,
            results_folder=measurement.results_folder,
        )

    return Replicated(
        measurement,
        {number: read({number}) for number in numbers},
        {number: read({*numbers} - {number}) for number in numbers},
    )


def table(measurements: Sequence[Measurement]) -> Table:
    """Return one row for each measurement that was repeated, the last one for all together."""
    found = [each for each in map(replicated, measurements) if each is not None]
    rows = []
    for each in found:
        first = each.readings.get(0)
        rows.append(
            (
                *names_of(each.pooled),
                str(len(each.readings)),
                NONE if first is None else beside(first.estimate),
                beside(each.pooled.estimate),
                f"{each.held} of {each.decided}",
                "; ".join(beside(reading.estimate) for reading in each.readings.values()),
            )
        )
    if len(rows) > 1:
        held = sum(each.held for each in found)
        decided = sum(each.decided for each in found)
        count = str(sum(len(each.readings) for each in found))
        rows.append(("all", "", "", count, NONE, NONE, f"{held} of {decided}", NONE))
    header = ("task", "trainer", "projection", "searches", "the first", "pooled", "hold", "each")
    notes = (
        one_line(
            """Each search began from nothing, with seeds that no other has. Hold: how many of the
            95 % intervals hold the reading of the other searches' runs, pooled; one whose open end
            would decide is not counted. The first: all runs on record without a repetition, later
            ones of the same seeds included. The pooled reading is the headline number."""
        ),
    )
    return Table("Repeated searches", header, tuple(rows), 3, notes)
