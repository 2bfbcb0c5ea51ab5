"""The headline: reinforcement-learning tasks, a row each, with their trainers side by side."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from rlidim.records.measurement import Measurement
from rlidim.report import text
from rlidim.report.rows import (
    COUNTS,
    easiest,
    estimate_of,
    most_telling,
    place,
    solved_reliably,
)
from rlidim.report.tables import Table
from rlidim.statistics.wording import NONE, in_short
from rlidim.tasks.problems import Control, Network

BATCHED = "†"  # a reading by the form of a trainer that makes many runs at once
DOUBTED = "‡"  # one that is not compared: native training often fails


def by_trainer(
    measurements: Sequence[Measurement], *, started: bool = False
) -> dict[str, dict[str, Measurement]]:
    """Return each control task's measurements by trainer, those of unknown dimension.

    Those of the policy alone; of several by one trainer, the most telling.

    Args:
        measurements: of any tasks.
        started: whether of the tasks that begin at a neighbour's solution, or of all others.
    """
    found: dict[str, dict[str, list[Measurement]]] = {}
    for measurement in measurements:
        task = measurement.task
        if task is None or not isinstance(task.problem, Control) or task.known is not None:
            continue
        if measurement.scope != "policy" or measurement.estimate is None:
            continue
        network = task.problem.network
        if (isinstance(network, Network) and bool(network.start)) != started:
            continue
        row = found.setdefault(measurement.task_name, {})
        row.setdefault(measurement.trainer, []).append(measurement)
    return {
        task: {
            trainer: chosen
            for trainer, several in row.items()
            if (chosen := most_telling(several)) is not None
        }
        for task, row in found.items()
    }


def table(measurements: Sequence[Measurement]) -> Table:
    """Return a row for each control task of unknown dimension, the easiest first.

    The usual family of P and the policy's scope speak: a measurement by another is in the long
    table alone, as is that of a task that begins at a neighbour's solution.
    """
    return _table(by_trainer(measurements))


def _table(cells: dict[str, dict[str, Measurement]]) -> Table:
    trainers = sorted({trainer for row in cells.values() for trainer in row}, key=place)
    rows = [
        (
            name,
            text.whole(max(each.D or 0 for each in row.values())),
            *(_cell(trainer, row.get(trainer)) for trainer in trainers),
            "; ".join(
                dict.fromkeys(
                    text.published(entry) for each in row.values() for entry in each.published
                )
            )
            or NONE,
        )
        for name, row in sorted(
            cells.items(), key=lambda item: (easiest(item[1].values()), item[0])
        )
    ]
    notes = (
        "The smallest d at which half of the runs reach 0.9 of the way from random actions to the "
        "task's target (local: to the median of native training, where it declares none), with its "
        "95 % interval. Native unsolved: fewer than half of the runs of "
        "the whole network reach that within the budget, so that nothing is read of the task. "
        f"None: not even d = D does. {DOUBTED}: fewer than {10 * COUNTS:g} of 10 native runs do, "
        "so that the reading is not compared. Tasks by the least reading with a closed interval.",
    )
    return Table(
        "Reinforcement learning", ("task", "D", *trainers, "published"), tuple(rows), 1, notes
    )


def read(measurements: Sequence[Measurement]) -> Table:
    """Return the rows in which some trainer's interval is closed: what README has room for.

    A trainer and its batched form (``ppo``, ``ppo-many``) share a column, where the narrower
    interval stands, with ``BATCHED`` if it is the latter's.
    """
    cells = by_algorithm(measurements)
    wide = _table({name: row for name, row in cells.items() if any(map(_is_closed, row.values()))})
    batched = (
        f"{BATCHED}: by the form of the trainer that makes many runs at once (ppo-many, dqn-many), "
        "where its interval is the narrower one."
    )
    return dataclasses.replace(wide, title="How hard are they?", notes=(*wide.notes, batched))


def by_algorithm(measurements: Sequence[Measurement]) -> dict[str, dict[str, Measurement]]:
    """Return each control task's measurements as :func:`by_trainer`, by algorithm.

    Of a trainer and its batched form it is the one with the narrower interval.
    """
    columns: dict[str, dict[str, Measurement]] = {}
    for name, row in by_trainer(measurements).items():
        for measurement in sorted(row.values(), key=_width):
            columns.setdefault(name, {}).setdefault(algorithm_of(measurement), measurement)
    return columns


def algorithm_of(measurement: Measurement) -> str:
    """Return the trainer's name, or that of the one of which it is the batched form."""
    assert measurement.task is not None
    return measurement.task.settings(measurement.trainer).alone or measurement.trainer


def _width(measurement: Measurement) -> float:
    estimate = measurement.estimate
    return estimate.ratio if estimate is not None and _is_closed(measurement) else math.inf


def _is_closed(measurement: Measurement) -> bool:
    estimate = measurement.estimate
    return estimate is not None and estimate.closed and not estimate.scale.unsolved


def _cell(column: str, measurement: Measurement | None) -> str:
    if measurement is None:
        return NONE
    batched = BATCHED if measurement.trainer != column else ""
    doubted = DOUBTED if _often_fails(measurement) else ""
    return f"{in_short(measurement.estimate)}{batched}{doubted}"


def _often_fails(measurement: Measurement) -> bool:
    """Return whether native training solves the task too seldom for a comparison, yet solves it."""
    estimate = estimate_of(measurement)
    return not (estimate.scale.unsolved or solved_reliably(*estimate.scale.native))
