"""The suite: which task is measured by which trainer in which tier."""

from __future__ import annotations

from collections.abc import Mapping

from rlidim.errors import RlidimError
from rlidim.sweep import Plan
from rlidim.task import Task

SMOKE_RUNS = 12  # in subspaces, a measurement of the smoke tier: shows the way, claims nothing


def plans(tasks: Mapping[str, Task], tier: str) -> list[Plan]:
    """Return what a tier measures, as the ``bench:`` sections of the task files say.

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
    budget = SMOKE_RUNS if tier == "smoke" else None
    return [Plan.of(task, trainer, runs=budget) for task, trainer in chosen]
