"""The suite: which task is measured by which trainer in which tier."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rlidim.errors import RlidimError
from rlidim.sweep.plan import Plan
from rlidim.tasks.task import Task

SMOKE_RUNS = 12  # in subspaces, a measurement of the smoke tier: shows the way, claims nothing
FULL = 4  # times the runs that the task allows a search, in the full tier: narrower intervals


def plans(tasks: Mapping[str, Task], tier: str) -> list[Plan]:
    """Return what a tier measures, as the ``bench:`` sections of the task files say.

    The quick tier is to each task what ``rlidim TASK measure`` does.

    The calibration tasks come first: an instrument that reads known weights wrong need not weigh
    anything else.

    Raises:
        RlidimError: no task belongs to the tier.
    """
    chosen = [
        (task, trainer)
        for task in tasks.values()
        for trainer, tiers in task.bench.items()
        if tier in tiers
    ]
    if not chosen:
        raise RlidimError(f"no task has the tier '{tier}' in its bench: section")
    chosen.sort(key=lambda pair: (pair[0].known is None, pair[0].name))
    chosen_plans = [Plan.of(task, trainer) for task, trainer in chosen]
    if tier == "smoke":
        return [dataclasses.replace(plan, runs=SMOKE_RUNS) for plan in chosen_plans]
    if tier == "full":
        return [dataclasses.replace(plan, runs=FULL * plan.runs) for plan in chosen_plans]
    return chosen_plans
