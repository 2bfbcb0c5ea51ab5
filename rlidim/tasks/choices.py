"""Choices behind a measurement that nobody can argue for, and the task with one of them changed.

A reading is worth no more than it stays the same under them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlidim.tasks.problems import Control, Network
from rlidim.tasks.task import Task

# The rows that are measured under each choice: by evolution and by gradients.
SUBJECTS = (("cartpole", "es"), ("cartpole", "ppo-many"))
# Those that are measured with other widths alone.
BY_WIDTH = (
    ("mountaincar-continuous", "es"),
    ("minigrid-empty", "ppo-many"),
    ("reacher", "ppo-many"),
)


@dataclass(frozen=True)
class Choice:
    """One choice made otherwise.

    Attributes:
        name: of the folder of its records.
        words: for the table.
        width: of every hidden layer.
        network: what else becomes of the network's section.
        factors: by which some of the trainer's settings are multiplied.
        projection: the family of P; None: the row's own.
    """

    name: str
    words: str
    width: int | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    projection: str | None = None

    def made(self, task: Task, trainer: str) -> Task | None:
        """Return the task with this choice; None where it has none of the kind.

        Raises:
            RlidimError: the trainer is none of the task's.
        """
        settings = task.settings(trainer)
        if any(not hasattr(settings, name) for name in self.factors):
            return None
        changed = {
            name: multiplied(getattr(settings, name), factor)
            for name, factor in self.factors.items()
        }
        task = task.replace_settings(trainer, changed)
        if self.width is None and not self.network:
            return task
        if not isinstance(task.problem, Control) or not isinstance(task.problem.network, Network):
            return None
        network = dataclasses.replace(task.problem.network, **self.network)
        if self.width is not None:
            hidden = (self.width,) * len(network.hidden)
            network = dataclasses.replace(network, hidden=hidden)
        return task.replace_problem(network=network)


CHOICES = (
    *(Choice(f"width-{n}", f"hidden layers of {n}", width=n) for n in (8, 16, 64, 256)),
    Choice("one-layer", "one hidden layer", network={"hidden": (20,)}),
    Choice("three-layers", "three hidden layers", network={"hidden": (20, 20, 20)}),
    Choice("tanh", "tanh", network={"activation": "tanh"}),
    Choice("orthogonal", "theta_0 orthogonal", network={"initialisation": "orthogonal"}),
    Choice("weights-halved", "theta_0's weights halved", network={"scale": 0.5}),
    Choice("weights-doubled", "theta_0's weights doubled", network={"scale": 2.0}),
    *(
        Choice(f"family-{family}", f"P of the family {family}", projection=family)
        for family in ("gaussian", "rotation", "stacked_fastfood")
    ),
    Choice("sigma-halved", "sigma halved", factors={"sigma": 0.5}),
    Choice("sigma-doubled", "sigma doubled", factors={"sigma": 2.0}),
    Choice("rate-halved", "learning rate halved", factors={"learning_rate": 0.5}),
    Choice("rate-doubled", "learning rate doubled", factors={"learning_rate": 2.0}),
    Choice("budget-halved", "budget halved", factors={"n_timesteps": 0.5}),
    Choice("budget-doubled", "budget doubled", factors={"n_timesteps": 2.0}),
)
WIDTHS = tuple(choice for choice in CHOICES if choice.width is not None)


def multiplied(value: Any, factor: float) -> Any:
    """Return a setting times a factor: a count rounded, a schedule (``lin_0.001``) by its start."""
    if isinstance(value, str):
        kind, _, start = value.rpartition("_")
        return f"{kind}_{float(start) * factor:g}"
    return round(value * factor) if isinstance(value, int) else value * factor
