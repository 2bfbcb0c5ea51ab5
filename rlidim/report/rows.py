"""Which measurement speaks for a row, which rows count, and in what order they stand."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rlidim.records.measurement import Measurement
from rlidim.statistics.estimate import Estimate

ORDER = (
    "es",
    "ars",
    "cmaes",
    "sepcmaes",
    "ppo",
    "a2c",
    "dqn",
    "sac",
    "td3",
    "ddpg",
    "qrdqn",
    "tqc",
    "crossq",
    "trpo",
    "recurrent_ppo",
    "maskable_ppo",
)  # of trainers; others follow by name
COUNTS = 0.8  # of native runs that solve the task: eight of ten
COMPARED = "Compared are rows with a closed interval that eight of ten native runs solve."


def place(trainer: str) -> tuple[int, str]:
    """Return what trainers are sorted by: ``ppo-many`` stands beside ``ppo``."""
    alone = trainer.removesuffix("-many")
    return ORDER.index(alone) if alone in ORDER else len(ORDER), trainer


def has_usual_family(measurement: Measurement) -> bool:
    """Say whether P is of the family that the task gets where none is asked for."""
    from rlidim.projections.choice import choose  # late: its package loads torch

    D = measurement.D
    return D is not None and measurement.projection == choose(D, D)


def most_telling(measurements: Iterable[Measurement]) -> Measurement | None:
    """Return the one that speaks for its row, None of none.

    By the usual family of P before those by another; of these the one with the most runs.
    """
    return max(
        measurements, key=lambda each: (has_usual_family(each), len(each.runs)), default=None
    )


def is_read(measurement: Measurement, *, local: bool = False) -> bool:
    """Say whether a measurement has a reading: no bound, and of a task that is solved natively.

    Args:
        measurement: of any task.
        local: whether one counts that is read against native runs which do not reach the target.
    """
    estimate = measurement.estimate
    return (
        estimate is not None
        and estimate.d_int is not None
        and not estimate.censored
        and (local or not estimate.scale.unsolved)
    )


def counts(measurement: Measurement) -> bool:
    """Say whether a reading is one to compare with others.

    Its interval is closed, and at least eight of ten native runs solve the task: where they do as
    often as not, half of the runs solve it at whichever d.
    """
    if not is_read(measurement):
        return False
    estimate = estimate_of(measurement)
    return estimate.closed and solved_reliably(*estimate.scale.native)


def solved_reliably(solving: int, runs: int) -> bool:
    """Say whether so many of so many native runs are enough for a comparison."""
    return solving >= COUNTS * runs


def estimate_of(measurement: Measurement) -> Estimate:
    """Return the estimate of a measurement that has one."""
    assert measurement.estimate is not None
    return measurement.estimate


def reading_of(measurement: Measurement) -> int:
    """Return d_int of a measurement that has one, or the largest tested d where none passes."""
    estimate = estimate_of(measurement)
    return estimate.d_int or estimate.tested[-1]


def difficulty(estimate: Estimate) -> float:
    """Return what rows are sorted by: d_int, or just beyond the tested d that only bound it."""
    if estimate.d_int is None:
        return estimate.tested[-1] + 0.5
    return estimate.d_int - (0.5 if estimate.censored == "below" else 0.0)


def easiest(measurements: Iterable[Measurement]) -> tuple[int, float]:
    """Return what tasks are sorted by: the least reading of a trainer with a closed interval.

    One whose native training often fails is no better than an open one. After these come the tasks
    without one, by the least that any trainer says, and last those of which nothing is read.
    """
    estimates = [each.estimate for each in measurements if each.estimate is not None]
    read = [each for each in estimates if not each.scale.unsolved and not each.unreached]
    closed = [each for each in read if each.closed and solved_reliably(*each.scale.native)]
    rank = 0 if closed else 1 if read else 2
    return rank, min(map(difficulty, closed or read or estimates), default=math.inf)
