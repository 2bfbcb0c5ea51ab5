"""The suite: which task is measured by which trainer in which tier."""

from __future__ import annotations

from collections.abc import Mapping

from rlidim.errors import RlidimError
from rlidim.sweep import Plan
from rlidim.task import Task

# The most runs in subspaces that a measurement of a tier may make. Smoke shows the way and claims
# nothing; quick reaches five seeds on both sides of the crossing; full ends where the task says.
RUNS = {"smoke": 12, "quick": 18}


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
    return [Plan.of(task, trainer, runs=RUNS.get(tier)) for task, trainer in chosen]
