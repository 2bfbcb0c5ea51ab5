"""The tiers of ``rlidim bench``: which trainers measure which tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from rlidim.errors import RlidimError
from rlidim.sweep.plan import Plan
from rlidim.tasks.task import Task

SMOKE_BUDGET = 12  # runs in subspaces of a measurement of the smoke tier, which claims nothing
# Of a row of the atlas: it is at the search's precision that it is settled, not at a budget.
ATLAS_PRECISION, ATLAS_BUDGET, ATLAS_SEEDS = 2.0, 400, 40
ATLAS_BASELINES = 10  # native runs at least
FULL_FACTOR = 4  # times the task's own budget, in the full tier: narrower intervals


def plans(tasks: Mapping[str, Task], tier: str) -> list[Plan]:
    """Return the plans of a tier, by the ``bench:`` sections of the task files.

    The quick tier measures each task as ``rlidim TASK measure`` does.

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
        return [dataclasses.replace(plan, most_runs=SMOKE_BUDGET) for plan in chosen_plans]
    if tier == "full":
        return [
            dataclasses.replace(plan, most_runs=FULL_FACTOR * plan.most_runs)
            for plan in chosen_plans
        ]
    if tier == "atlas":
        return [
            dataclasses.replace(
                plan,
                precision=ATLAS_PRECISION,
                most_runs=ATLAS_BUDGET,
                most_seeds=ATLAS_SEEDS,
                baseline_seeds=max(plan.baseline_seeds, ATLAS_BASELINES),
            )
            for plan in chosen_plans
        ]
    return chosen_plans
