"""The zero of the scale: uniformly random actions or guesses; of an analytic task, no training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rlidim.data.sources import CLASSES
from rlidim.environments import arena, making
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.tasks.task import Atari, Task
from rlidim.trainers import Report

EPISODES = 400  # cheap, and the zero of every normalised score of the task rests on them
GAMES = 100  # of Atari, where an episode is not cheap and random play scores evenly


class UniformActions:
    """Draws from the action space, whatever it observes."""

    def __init__(self, space: spaces.Space[Any], seed: int) -> None:
        """Seed the space."""
        self.space = space
        self.space.seed(seed)

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return an action for each row."""
        return np.stack([self.space.sample() for _ in range(len(observations))])


def train(
    task: Task, cell: Cell, seeds: Seeds, report: Report, run_directory: Path | None
) -> Outcome:
    """Score random actions, or what stands in their place where nobody acts."""
    if task.kind == "analytic":
        from rlidim.trainers.toy import untrained_scores

        returns = untrained_scores(seeds.theta_0)
    elif task.kind == "supervised":
        returns = [1 / CLASSES]  # the expected accuracy of guessing
    else:
        _, space = making.spaces_of(task)
        actor = UniformActions(space, seeds.training)
        episodes = GAMES if isinstance(task.environment, Atari) else EPISODES
        returns = arena.evaluate(task, actor, episodes, seeds.evaluation).returns.tolist()
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
