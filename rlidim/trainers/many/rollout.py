"""A rollout of several runs, and what its steps were worth: generalised advantage estimation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.fleets import Stepped
from rlidim.trainers.many.learner import Numbers
from rlidim.trainers.many.policy_gradient import Experience, PolicyLearner


@dataclass(frozen=True)
class Rollout:
    """What R runs of N environments saw in T steps.

    Attributes:
        observations: (R, T, N, size), those acted on.
        actions: (R, T, N, parts), before they are clipped.
        rewards: (R, T, N), with what a cut episode could have earned still.
        over: (R, T, N), whether a step ended its episode.
    """

    observations: Numbers
    actions: Numbers
    rewards: Numbers
    over: NDArray[np.bool_]

    @classmethod
    def empty(cls, shape: tuple[int, int, int], size: int, parts: int) -> Rollout:
        """Return one of a shape (R, T, N) that is to be filled."""
        return cls(
            np.empty((*shape, size), dtype=np.float32),
            np.empty((*shape, parts), dtype=np.float32),
            np.empty(shape, dtype=np.float32),
            np.empty(shape, dtype=bool),
        )

    def add(self, at: int, observations: Numbers, actions: Numbers, stepped: Stepped) -> None:
        """Fill in a step: the observations acted on, the actions, and what they led to."""
        self.observations[:, at] = observations
        self.actions[:, at] = actions
        self.rewards[:, at] = stepped.rewards
        np.logical_or(stepped.terminated, stepped.truncated, out=self.over[:, at])

    def experience(
        self, place: int, learner: PolicyLearner, following: Numbers, decay: Any
    ) -> Experience:
        """Return what a run has to learn from.

        Args:
            place: of the run.
            learner: the run's.
            following: observations (N, size) that the last step led to.
            decay: settings with ``gamma`` and ``gae_lambda``.
        """
        steps, width = self.rewards.shape[1:]
        observations = self.observations[place].reshape(steps * width, -1)
        actions = self.actions[place].reshape(steps * width, -1)
        values = learner.values(observations)
        advantages = advantages_of(
            self.rewards[place],
            np.concatenate((values.reshape(steps, width), learner.values(following)[None])),
            self.over[place],
            decay.gamma,
            decay.gae_lambda,
        ).ravel()
        old = learner.log_probabilities(observations, actions)
        return Experience(observations, actions, advantages, advantages + values, old)


def advantages_of(
    rewards: Numbers, values: Numbers, over: NDArray[np.bool_], gamma: float, gae_lambda: float
) -> Numbers:
    """Return the advantages of actions (Schulman et al. 2016, "GAE"), float32 (T, N).

    Args:
        rewards: (T, N).
        values: (T + 1, N), the critic's.
        over: (T, N), whether a step ended its episode.
        gamma: the discount.
        gae_lambda: how far later steps count.
    """
    going = (~over).astype(np.float32)
    ahead = np.float32(gamma * gae_lambda) * going
    advantages: Numbers = rewards + np.float32(gamma) * values[1:] * going - values[:-1]
    for at in range(len(rewards) - 2, -1, -1):
        advantages[at] += ahead[at] * advantages[at + 1]
    return advantages
