"""Calibration: measurements of tasks whose dimension is known, and simulated coverage.

Li et al. 2018, section 2 (the toy problem).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlidim.records.measurement import Measurement
from rlidim.report.text import text_table
from rlidim.statistics.coverage import KINDS, coverage_study
from rlidim.statistics.wording import describe
from rlidim.sweep.plan import Plan
from rlidim.tasks.task import Task

PROMISED = 0.93  # coverage of the 95 % interval, in simulation
SEEDS = (3, 5, 10)


@dataclass(frozen=True)
class Reading:
    """A measurement of one known dimension.

    ``holds`` says whether the interval holds the dimension, None where an open end would decide.
    """

    task: str
    trainer: str
    known: int
    d_int: int | None
    interval: tuple[int | None, int | None]
    holds: bool | None
    estimate: str

    @classmethod
    def of(cls, task: Task, measurement: Measurement) -> Reading:
        """Return the reading of a measurement, whose task's dimension is known."""
        assert task.known is not None
        estimate = measurement.estimate
        assert estimate is not None
        return cls(
            task.name,
            measurement.trainer,
            task.known,
            estimate.d_int,
            estimate.interval,
            estimate.holds(task.known),
            describe(estimate),
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "interval": list(self.interval)}


def plans(tasks: Mapping[str, Task]) -> list[Plan]:
    """Return a plan for every trainer of every task of known dimension."""
    return [
        Plan.of(task, trainer)
        for task in tasks.values()
        if task.known is not None
        for trainer in task.bench
    ]


def table(readings: Sequence[Reading]) -> str:
    """Return the readings as text."""
    rows = [
        {
            "task": reading.task,
            "trainer": reading.trainer,
            "known": reading.known,
            "read": reading.estimate,
            "holds": {True: "yes", False: "NO", None: "open"}[reading.holds],
        }
        for reading in readings
    ]
    return text_table(rows)


def coverage(repetitions: int) -> list[dict[str, Any]]:
    """Simulate how often the 95 % interval holds the true dimension."""
    rows = []
    for kind in KINDS:
        for seeds in SEEDS:
            study = coverage_study(repetitions, seeds, kind, seed=0)
            rows.append({**study, "holds": study["coverage"] >= PROMISED})
    return rows


def coverage_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the simulation's figures as text."""
    return text_table(
        [
            {
                key: f"{value:.3g}" if isinstance(value, float) else value
                for key, value in row.items()
            }
            for row in rows
        ]
    )
