"""The random policy, the zero of normalised scores: uniform actions or guesses, or no training."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rlidim.environments import arena, making
from rlidim.records.record import Outcome
from rlidim.tasks.problems import CLASSES, Analytic, Control, Supervised
from rlidim.trainers.run import Run

EPISODES = 400  # cheap, and the zero of every normalised score of the task rests on them
GAMES = 100  # of Atari, where an episode is not cheap and random play scores evenly


class UniformActions:
    """A policy that draws from the action space, whatever it observes."""

    def __init__(self, space: spaces.Space[Any], seed: int) -> None:
        """Seed the space."""
        self.space = space
        self.space.seed(seed)

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return an action for each row."""
        return np.stack([self.space.sample() for _ in range(len(observations))])


def train(run: Run) -> Outcome:
    """Score random actions; without actions, random guesses or untrained parameters."""
    match run.task.problem:
        case Analytic():
            from rlidim.trainers.toy import untrained_scores

            returns = untrained_scores(run.seeds.theta_0)
        case Supervised():
            returns = [1 / CLASSES]  # the expected accuracy of guessing
        case Control(environment=environment):
            _, space = making.spaces_of(run.task)
            actor = UniformActions(space, run.seeds.training)
            episodes = GAMES if environment.frames else EPISODES
            played = arena.evaluate(run.task, actor, episodes, run.seeds.evaluation)
            returns = played.returns.tolist()
    return Outcome(
        status="ok",
        returns=tuple(float(value) for value in returns),
        D=0,
        environment_steps=0,
        curve=(),
        stopped="budget",
        theta_d=None,
        theta=None,
        spec=None,
        network={},
    )
