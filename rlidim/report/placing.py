"""The place of a reading among the suite's tasks, by one algorithm, as the intervals tell it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlidim.records.measurement import Measurement
from rlidim.report.headline import by_algorithm
from rlidim.report.rows import counts, has_usual_family
from rlidim.statistics.scale import TARGET
from rlidim.tasks.task import FRACTION

SUITE = Path(__file__).with_name("suite.csv")  # of the committed records: `make tables` copies it
NAMED = 3  # tasks that are named as about as hard


class Known(NamedTuple):
    """A reading of the suite's with a closed interval."""

    task: str
    algorithm: str
    d_int: int
    low: int
    high: int


def known(measurements: Sequence[Measurement]) -> list[Known]:
    """Return the readings that others may be compared with, the narrower of an algorithm's two."""
    return [
        row
        for trainers in by_algorithm(measurements).values()
        for algorithm, measurement in sorted(trainers.items())
        if (row := _read(measurement, algorithm)) is not None
    ]


def to_csv(rows: Sequence[Known]) -> str:
    """Return the readings as a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Known._fields)
    writer.writerows(rows)
    return text.getvalue()


def of_suite() -> list[Known]:
    """Return the readings that come with the package."""
    with SUITE.open(newline="") as file:
        return [
            Known(row["task"], row["algorithm"], *(int(row[name]) for name in Known._fields[2:]))
            for row in csv.DictReader(file)
        ]


class Neighbours(NamedTuple):
    """The suite's tasks beside a reading: easier and harder are those whose interval lies apart.

    Each list begins with the task whose reading is nearest.
    """

    algorithm: str
    easier: list[Known]
    alike: list[Known]
    harder: list[Known]

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        lists = {name: getattr(self, name) for name in self._fields[1:]}
        tasks = {name: [row.task for row in rows] for name, rows in lists.items()}
        return {"algorithm": self.algorithm, **tasks}


def neighbours(measurement: Measurement) -> Neighbours | None:
    """Return which of the suite's tasks are easier, harder, and about as hard, by its algorithm.

    None where a reading is of no target, open, by another family of P than the suite's, or of a
    task that is not compared: of known dimension, or begun at a neighbour's solution.
    """
    ours = next(iter(known([measurement])), None)
    if ours is None or measurement.fraction != FRACTION or not has_usual_family(measurement):
        return None
    algorithm, d_int, low, high = ours.algorithm, ours.d_int, ours.low, ours.high
    others = sorted(
        (row for row in of_suite() if row.algorithm == algorithm and row.task != ours.task),
        key=lambda row: (abs(math.log(row.d_int / d_int)), row.task),
    )
    easier = [row for row in others if row.high < low]
    harder = [row for row in others if row.low > high]
    alike = [row for row in others if row.high >= low and row.low <= high]
    return Neighbours(algorithm, easier, alike, harder) if others else None


def placed(measurement: Measurement) -> str | None:
    """Return a reading's place in a line, by the nearest of its :func:`neighbours`."""
    found = neighbours(measurement)
    if found is None:
        return None
    parts = (
        ("harder than", found.easier[:1]),
        ("about as hard as", found.alike[:NAMED]),
        ("easier than", found.harder[:1]),
    )
    said = "; ".join(f"{how} {', '.join(map(_named, rows))}" for how, rows in parts if rows)
    return f"among the suite's tasks, by {found.algorithm}: {said}"


def _named(row: Known) -> str:
    return f"{row.task} ({row.d_int:,})"


def _read(measurement: Measurement, algorithm: str) -> Known | None:
    """Return a measurement's reading; None if it is not to be compared."""
    estimate = measurement.estimate
    if estimate is None or estimate.scale.kind != TARGET or not counts(measurement):
        return None
    low, high = estimate.interval
    if estimate.d_int is None or low is None or high is None:
        return None
    return Known(measurement.task_name, algorithm, estimate.d_int, low, high)
