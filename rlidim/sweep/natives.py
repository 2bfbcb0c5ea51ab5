"""The native runs of a row of the atlas: how many it has, and when they say that it is unsolved."""

from __future__ import annotations

from collections.abc import Mapping

from rlidim.records import measurement
from rlidim.records.cell import Cell
from rlidim.records.record import RunRecord
from rlidim.statistics.scale import HALF
from rlidim.sweep.cost import seconds_of_a_run
from rlidim.sweep.plan import Plan
from rlidim.sweep.walk import doubtful

AT_LEAST, OF_LONG_RUNS = 8, 4
LONG = 20 * 60.0  # core seconds of a run


def wanted(seconds: float) -> int:
    """Return how many native runs a row has at least, by the core seconds that one takes."""
    return OF_LONG_RUNS if seconds > LONG else AT_LEAST


def reaching(plan: Plan, records: Mapping[Cell, RunRecord]) -> tuple[int, int]:
    """Return (k, n): k of n native runs reach the plan's fraction of the task's target.

    (0, 0) where there is no target, or nothing to count yet.
    """
    random = records.get(Cell.random(plan.task.name))
    target = plan.task.target
    if target is None or random is None or random.score is None:
        return 0, 0
    scores = measurement.baseline_scores(_natives(plan, records), random)
    return measurement.reaching(scores, random.score, target.score, plan.fraction), len(scores)


def unsolved(plan: Plan, records: Mapping[Cell, RunRecord]) -> bool:
    """Say whether native training does not solve the task, and so the row does not count.

    As many native runs as are wanted have a score, fewer than half of them reach the target, and
    the walk asks for no more to be sure of that.
    """
    count, runs = reaching(plan, records)
    least = wanted(seconds_of_a_run(plan, _natives(plan, records)))
    if runs == 0 or plan.local or runs < least:
        return False
    return count < HALF * runs and not doubtful(count, runs)


def _natives(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[RunRecord]:
    return [
        record
        for cell, record in records.items()
        if cell.d is None and cell.trainer == plan.trainer
    ]
