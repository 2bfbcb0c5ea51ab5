"""The number of parameters D of a task's network, and the family of P for it."""

from __future__ import annotations

from rlidim.errors import RlidimError
from rlidim.tasks import families
from rlidim.tasks.problems import Analytic, Supervised
from rlidim.tasks.task import Task


def native_dimension(task: Task) -> int | None:
    """Return D of the task's network; None if a package that it needs is missing."""
    if isinstance(task.problem, Analytic):
        return task.problem.D
    if isinstance(task.problem, Supervised):
        from rlidim.networks import classifiers

        return classifiers.native_dimension(task)
    from rlidim.networks.acting import architecture

    try:
        return architecture(task).D
    except RlidimError:
        return None


def projection_family(task: Task, choice: str) -> str:
    """Return the family of P that a choice means for a task, the same for every d.

    ``auto`` goes by the task's D, for the largest d there is, so that a measurement's runs share
    one family whatever their d.

    Raises:
        RlidimError: there is no such family, which is told without torch.
    """
    if choice in families.OWN:
        return choice
    if choice != families.AUTO:
        families.check(choice)
        from rlidim.projections import check_family

        check_family(choice)  # loads the user's package
        return choice
    from rlidim.projections.choice import choose

    D = native_dimension(task) or 1  # a missing package is the first run's error, not this one's
    return choose(D, D)
