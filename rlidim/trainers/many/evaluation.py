"""The checkpoint episodes of several runs played at once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.making import make_rows
from rlidim.environments.side_by_side import Rows
from rlidim.networks.perceptron import Policy
from rlidim.tasks.task import Task
from rlidim.trainers.many import kernels
from rlidim.trainers.many.learner import Learner, Numbers


@dataclass(frozen=True)
class Trial:
    """A policy put to the test.

    Attributes:
        policy: deterministic; its outputs are those of the learner as it is.
        learner: see above.
        going: yields first seeds of episodes and is sent their mean returns.
    """

    policy: Policy
    learner: Learner
    going: Generator[int, float, None]


class Stage:
    """Where the runs' policies play: each its own episodes, all at once where that is faster."""

    def __init__(self, task: Task) -> None:
        """Make no environment before there is a trial."""
        self._task = task
        self._episodes = task.control.evaluation.checkpoint_episodes
        self._rows: Rows | None = None

    def decide(self, trials: Sequence[Trial]) -> None:
        """Play until every trial is decided."""
        asked = [(trial, next(trial.going)) for trial in trials]
        while asked:
            means = self._play([trial for trial, _ in asked], [seed for _, seed in asked])
            asked = [
                (trial, seed)
                for (trial, _), mean in zip(asked, means, strict=True)
                for seed in _answered(trial, mean)
            ]

    def _play(self, trials: list[Trial], seeds: list[int]) -> list[float]:
        if self._rows is None:
            self._rows = make_rows(self._task, self._episodes)
        rows = self._rows
        if not rows.whole and len(trials) > 1:  # there are environments for one trial's episodes
            pairs = zip(trials, seeds, strict=True)
            return [self._play([trial], [seed])[0] for trial, seed in pairs]
        episodes = self._episodes
        observations = rows.reset([seed + i for seed in seeds for i in range(episodes)])
        returns = np.zeros(len(trials) * episodes)
        active = np.arange(len(returns))
        while len(active):
            actions = _act(trials, active // episodes, observations)
            observations, rewards, over = rows.step(active, actions)
            returns[active] += rewards
            active, observations = active[~over], observations[~over]
        return [float(own.mean()) for own in returns.reshape(len(trials), episodes)]

    def close(self) -> None:
        """Close the environments."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None


def _answered(trial: Trial, mean: float) -> list[int]:
    """Send a mean return; return the first seed of the episodes asked for next, if any are."""
    try:
        return [trial.going.send(mean)]
    except StopIteration:
        return []


def _act(trials: list[Trial], owners: NDArray[np.intp], observations: NDArray[Any]) -> NDArray[Any]:
    """Return an action for each row, whose owners are in order."""
    counts = np.bincount(owners, minlength=len(trials))
    policy = trials[0].policy
    if policy.architecture.observation_mean is None:
        given = policy.inputs(observations)
    else:  # each by the statistics of its own run
        own = np.split(observations, np.cumsum(counts)[:-1])
        both = zip(trials, own, strict=True)
        given = np.concatenate([trial.policy.inputs(rows) for trial, rows in both if len(rows)])
    out: Numbers = np.empty((len(owners), policy.architecture.output_size), dtype=np.float32)
    kernels.outputs([trial.learner.kernel for trial in trials], counts.tolist(), given, out)
    return policy.to_actions(out)
