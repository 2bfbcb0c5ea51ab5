"""Which searches are repeated, each from nothing with seeds of its own, and how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from rlidim.errors import RlidimError
from rlidim.sweep import tiers
from rlidim.sweep.plan import Plan
from rlidim.tasks.names import split_name
from rlidim.tasks.task import REPLICATED, Task

# Beside the rows that the tasks' files name under ``bench:``: of variants, which have no file.
VARIANTS = (("mnist-fc-50x1", "adam"),)
AT_MOST = {("cartpole", "ppo"): 4}  # repetitions of a row whose runs are dear

Tell = Callable[[str], None]


def plans(tasks: Mapping[str, Task], repetitions: int, refuse: Tell) -> list[Plan]:
    """Return so many plans for every row whose search is repeated, each with seeds of its own.

    All rows' first repetitions come first: a sitting that is cut short has some of each.

    Args:
        tasks: by name.
        repetitions: of each, or as many as a row has at most.
        refuse: called with a line for each row that cannot be measured here.

    Raises:
        RlidimError: no task has the tier.
    """
    once = [*tiers.plans(tasks, REPLICATED, refuse), *_of_variants(tasks, refuse)]
    return [
        dataclasses.replace(plan, replication=number)
        for number in range(repetitions)
        for plan in once
        if number < AT_MOST.get((plan.task.name, plan.trainer), repetitions)
    ]


def _of_variants(tasks: Mapping[str, Task], refuse: Tell) -> list[Plan]:
    """Return the variants' plans; those of tasks that are not here are left out."""
    found = []
    for name, trainer in VARIANTS:
        parts = split_name(name, tasks)
        if parts is None:
            continue
        task = tasks[parts.base]  # the variant itself, where it is on record
        try:
            found.append(
                Plan.of(task if task.name == name else task.variant(**parts.choices), trainer)
            )
        except RlidimError as error:
            refuse(f"{name} {trainer}: {error}")
    return found
