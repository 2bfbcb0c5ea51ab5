"""A run on its way among others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rlidim.records.actions import Actions
from rlidim.records.checkpoints import Spent
from rlidim.trainers.early_stopping import Best
from rlidim.trainers.many.learner import Learner, Numbers
from rlidim.trainers.run import Run

GOING, SOLVED, BUDGET, DIVERGED, FAILED = "going", "solved", "budget", "diverged", "failed"


@dataclass(frozen=True)
class Snapshot:
    """An actor's parameters at one moment, and theta_d where there is one."""

    theta: Numbers
    theta_d: Numbers | None


@dataclass
class Member:
    """A run on its way.

    Attributes:
        run: what is to be made.
        learner: its networks.
        best: the best policy so far.
        next: steps at which it is evaluated again.
        observations: (N, size), those that it acts on next.
        steps: of its environments so far.
        rollouts: made so far.
        curve: (steps, score) pairs so far.
        actions: on record, where its environments are brought back by them; None elsewhere.
        stopped: ``going``, or why it is over.
        error: the traceback of an environment that failed.
        spent: on it so far, its share of what the batch took.
    """

    run: Run
    learner: Learner
    best: Best[Snapshot]
    next: int
    observations: Numbers
    actions: Actions | None = None
    steps: int = 0
    rollouts: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    stopped: str = GOING
    error: str | None = None
    spent: Spent = field(default_factory=Spent)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, but for the environments."""
        solution = self.best.solution
        return {
            "learner": self.learner.state(),
            "best": self.best.state(),
            "theta": solution.theta,
            "theta_d": solution.theta_d,
            "next": self.next,
            "observations": self.observations,
            "steps": self.steps,
            "rollouts": self.rollouts,
            "curve": self.curve,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same run stood."""
        self.learner.take_up(state["learner"])
        solution = Snapshot(state["theta"], state["theta_d"])
        self.best.take_up(state["best"], solution.theta, solution)
        self.next, self.steps = int(state["next"]), int(state["steps"])
        self.observations = state["observations"]
        self.rollouts = int(state["rollouts"])
        self.curve = [(int(steps), float(score)) for steps, score in state["curve"]]
