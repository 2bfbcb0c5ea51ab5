"""The tiers of ``rlidim bench``: which trainers measure which tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from rlidim.errors import RlidimError
from rlidim.records.folder import Results
from rlidim.sweep import natives
from rlidim.sweep.cost import native_seconds
from rlidim.sweep.plan import Plan
from rlidim.tasks.task import Task

# Core seconds of a measurement of the smoke tier, which claims nothing, and of the quick one.
SMOKE_BUDGET, QUICK_BUDGET = 20.0, 180.0
# Of a row of the atlas: it is at the search's precision that it is settled, not at a budget.
ATLAS_PRECISION, ATLAS_BUDGET = 2.0, 100 * 3600.0
FIRST = "cartpole"  # whose measurement README shows


def plans(
    tasks: Mapping[str, Task],
    tier: str,
    refuse: Callable[[str], None] | None = None,
    results: Results | None = None,
) -> list[Plan]:
    """Return the plans of a tier, by the ``bench:`` sections of the task files.

    The full tier measures each task as ``rlidim TASK measure`` does, the quick one within a smaller
    budget.

    The task of README's first number comes first, then the others of unknown dimension, the
    calibration last.

    Args:
        tasks: by name.
        tier: its name.
        refuse: called with a line for each row that cannot be measured here, such as for want of
            an environment's package; the others are returned. None: the first one raises.
        results: the folder of records, whose times say how many native runs a row of the atlas has;
            None: a guess does.

    Raises:
        RlidimError: no task belongs to the tier, or a row cannot be measured here.
    """
    chosen = [
        (task, trainer)
        for task in tasks.values()
        for trainer, tiers in task.bench.items()
        if tier in tiers
    ]
    if not chosen:
        raise RlidimError(f"no task has the tier '{tier}' in its bench: section")
    chosen.sort(key=lambda pair: (pair[0].known is not None, pair[0].name != FIRST, pair[0].name))
    found = []
    for task, trainer in chosen:
        try:
            found.append(_of_tier(Plan.of(task, trainer), tier, results))
        except RlidimError as error:
            if refuse is None:
                raise
            refuse(f"{task.name} {trainer}: {error}")
    return found


def _of_tier(plan: Plan, tier: str, results: Results | None) -> Plan:
    """Return a plan as its tier has it.

    Raises:
        RlidimError: a native run's file is no record.
    """
    most = {"smoke": SMOKE_BUDGET, "quick": QUICK_BUDGET}.get(tier)
    if most is not None:
        return dataclasses.replace(plan, budget=min(plan.budget, most))
    if tier == "atlas":
        return dataclasses.replace(
            plan,
            precision=max(plan.precision, ATLAS_PRECISION),
            budget=ATLAS_BUDGET,
            baseline_seeds=natives.wanted(native_seconds(plan, results)),
        )
    return plan
