"""Trainers beside one another: do they find the same tasks hard, and how many times as hard?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from rlidim.records.measurement import Measurement
from rlidim.report.headline import by_trainer
from rlidim.report.ranks import FEWEST, rank_correlation
from rlidim.report.ratios import times
from rlidim.report.rows import COMPARED, counts, place, reading_of
from rlidim.report.tables import Table
from rlidim.statistics.wording import NONE, beside
from rlidim.tasks.settings import evolves, known_trainers

NORMAL_95 = 1.959963984540054


def correlations(measurements: Sequence[Measurement]) -> Table:
    """Return a row for each pair of trainers that have read two tasks or more."""
    tasks = readings(measurements)
    known = {measurement.task_name for measurement in measurements}
    trainers = sorted({name for row in tasks.values() for name in row}, key=place)
    rows = []
    for one, other in itertools.combinations(trainers, 2):
        both = {task: row for task, row in tasks.items() if one in row and other in row}
        if len(both) < 2:
            continue
        single = [both[task] for task in one_of_each_family(both, known)]
        rows.append(
            (
                one,
                other,
                str(len(both)),
                *_correlation([*both.values()], one, other),
                str(len(single)),
                *_correlation(single, one, other),
                _times([*both.values()], one, other),
            )
        )
    header = (
        *("trainer", "other", "tasks", "rank correlation", "95 %"),
        *("families", "their rank correlation", "95 %", "other / trainer"),
    )
    notes = (
        "Spearman's rank correlation of d_int90 over the tasks that both have read, with the "
        f"interval of Bonett and Wright (2000), from {FEWEST} tasks on; the last column is the "
        f"geometric mean of the readings' ratios, with the least and the largest. {COMPARED}",
        "The interval takes the tasks for independent, and they are not: several are one task with "
        "a pole of another length or a room of another size. Beside it the same over one task of "
        "each family, the one with the shortest name; a family are the measured tasks whose names "
        "begin with one's, as cartpole-20cm does with cartpole.",
    )
    return Table("Do trainers find the same tasks hard?", header, tuple(rows), 2, notes)


def one_of_each_family(tasks: Iterable[str], known: Collection[str]) -> list[str]:
    """Return the task with the shortest name of each family, the first by name of several.

    Args:
        tasks: to choose from.
        known: names of tasks, those among them; a family is named by the shortest of these that
            a task's own name begins with, up to a hyphen.

    Example:
        >>> known = ["room", "room-5x5", "room-6x6", "roomy"]
        >>> one_of_each_family(["room-5x5", "room-6x6", "roomy"], known)
        ['roomy', 'room-5x5']
    """
    chosen: dict[str, str] = {}
    for task in sorted(tasks, key=lambda name: (len(name), name)):
        family = min((name for name in known if f"{task}-".startswith(f"{name}-")), key=len)
        chosen.setdefault(family, task)
    return [*chosen.values()]


def gradients(measurements: Sequence[Measurement]) -> Table:
    """Return a row for each task and gradient trainer: how many times evolution's reading it is."""
    rows = []
    for task, row in sorted(readings(measurements).items()):
        evolution = min((name for name in row if evolves(name)), key=place, default=None)
        if evolution is None:
            continue
        others = [name for name in row if name in known_trainers() and not evolves(name)]
        for name in sorted(others, key=place):
            rows.append(
                (
                    task,
                    evolution,
                    beside(row[evolution].estimate),
                    name,
                    beside(row[name].estimate),
                    times(row[name], row[evolution]),
                )
            )
    header = ("task", "evolution", "d_int90", "gradient", "d_int90", "times")
    notes = (
        "How many times as many dimensions the gradient's trainer needs, with the ratio's 95 % "
        "interval. Of a task's evolution strategies the first of es, ars, cmaes, sepcmaes. "
        f"{COMPARED}",
    )
    return Table("Gradients beside evolution", header, tuple(rows), 2, notes)


def readings(measurements: Sequence[Measurement]) -> dict[str, dict[str, Measurement]]:
    """Return each task's measurements by trainer, those that count: :func:`rows.counts`."""
    return {
        task: kept
        for task, row in by_trainer(measurements).items()
        if (kept := {name: each for name, each in row.items() if counts(each)})
    }


def _correlation(both: Sequence[dict[str, Measurement]], one: str, other: str) -> tuple[str, str]:
    """Return the rank correlation and its interval as text."""
    n = len(both)
    r = rank_correlation(*([reading_of(row[name]) for row in both] for name in (one, other)))
    if r is None:
        return NONE, NONE
    if abs(r) > 1 - 1e-9:
        return f"{r:.2f}", NONE  # the transformation has no end there
    reach = NORMAL_95 * math.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(r) + side * reach) for side in (-1, 1))
    return f"{r:.2f}", f"[{low:.2f}, {high:.2f}]"


def _times(both: Sequence[dict[str, Measurement]], one: str, other: str) -> str:
    logs = [math.log(reading_of(row[other]) / reading_of(row[one])) for row in both]
    mean, least, most = (math.exp(each) for each in (float(np.mean(logs)), min(logs), max(logs)))
    return f"{mean:.2g} ({least:.2g} to {most:.2g})"
