"""The best policy of a run so far, and the early stop of a run that has solved its task."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar

from numpy.typing import NDArray

from rlidim.environments.arena import Arena
from rlidim.networks.acting import AnyPolicy, architecture_of
from rlidim.records.cell import Seeds
from rlidim.tasks.problems import MOST_AT_A_CHECKPOINT
from rlidim.tasks.task import Task

SEED_SPAN = 2**20  # how far a run counts its seeds upwards, see records.Seeds
Solution = TypeVar("Solution")


class Best(Generic[Solution]):
    """The best policy of a run so far, by scores that others find on checkpoint episodes.

    Attributes:
        policy: the best one.
        solution: the parameters that it was made from.
        score: its mean return.
        solved: whether fresh episodes have confirmed a score that solves the task.
    """

    policy: AnyPolicy
    solution: Solution

    def __init__(self, task: Task, seeds: Seeds) -> None:
        """Begin without one: the first challenger is it."""
        self.score = -math.inf
        self.solved = False
        self._threshold = task.control.evaluation.solved
        self._first_seed = seeds.checkpoint
        self._evaluations = 0

    def trial(self, policy: AnyPolicy, solution: Solution) -> Generator[int, float, None]:
        """Put a policy to the test, and keep it if it is better.

        Yields:
            the first seed of episodes that it is to play; send their mean return.
        """
        score = yield self._seed()
        if self._threshold is not None and score >= self._threshold:
            # A high score may be luck: only fresh episodes end a run.
            confirmed = yield self._seed()
            self.solved = confirmed >= self._threshold
            score = (score + confirmed) / 2
        if score > self.score or self.solved:
            self.policy, self.solution, self.score = policy, solution, score

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, beside the parameters and the solution."""
        return {
            "network": self.policy.architecture.to_json(),
            "score": self.score,
            "solved": self.solved,
            "evaluations": self._evaluations,
        }

    def take_up(self, state: dict[str, Any], theta: NDArray[Any], solution: Solution) -> None:
        """Go on where another stood.

        Args:
            state: of the other.
            theta: the best policy's parameters, (D,).
            solution: what it was made from.

        Raises:
            RlidimError: the state describes no network, or theta is not of its size.
        """
        self.policy, self.solution = architecture_of(state["network"]).policy(theta), solution
        self.score, self.solved = float(state["score"]), bool(state["solved"])
        self._evaluations = int(state["evaluations"])

    def _seed(self) -> int:
        seed = self._first_seed + (self._evaluations * MOST_AT_A_CHECKPOINT) % SEED_SPAN
        self._evaluations += 1
        return seed


class Champion(Best[Solution]):
    """The best policy of a run so far, which plays its checkpoint episodes itself."""

    def __init__(self, task: Task, seeds: Seeds) -> None:
        """Make the environments."""
        super().__init__(task, seeds)
        self._arena = Arena(task, task.control.evaluation.checkpoint_episodes)

    def challenge(self, policy: AnyPolicy, solution: Solution) -> None:
        """Score a policy on episodes of its own, and keep it if it is better."""
        trial = self.trial(policy, solution)
        seed = next(trial)
        with suppress(StopIteration):
            while True:
                seed = trial.send(self._arena.play(policy, seed).mean)

    def close(self) -> None:
        """Close the environments."""
        self._arena.close()
