"""The checkpoint episodes of several runs played at once."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.gate import check_episodes
from rlidim.environments.making import make_rows
from rlidim.environments.side_by_side import Rows
from rlidim.errors import RlidimError
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

    def decide(self, trials: Sequence[Trial]) -> dict[int, str]:
        """Play until every trial is decided.

        Returns:
            the tracebacks of trials whose own environments raised, by their places.

        Raises:
            RlidimError: an environment is at fault, which is the user's to mend.
        """
        failed: dict[int, str] = {}
        asked = {place: next(trial.going) for place, trial in enumerate(trials)}
        while asked:
            means = self._play({place: trials[place] for place in asked}, asked, failed)
            asked = {}
            for place, mean in means.items():
                with suppress(StopIteration):
                    asked[place] = trials[place].going.send(mean)
        return failed

    def _play(
        self, trials: dict[int, Trial], seeds: dict[int, int], failed: dict[int, str]
    ) -> dict[int, float]:
        """Return the mean returns of trials' episodes; those that fail are noted."""
        if self._rows is None:
            self._rows = make_rows(self._task, self._episodes)
        if self._rows.whole:
            played = self._together(self._rows, list(trials.values()), list(seeds.values()))
            return dict(zip(trials, played, strict=True))
        means = {}
        for place, trial in trials.items():  # there are environments for one trial's episodes
            try:
                (means[place],) = self._together(self._rows, [trial], [seeds[place]])
            except RlidimError:
                raise
            except (Exception, SystemExit):  # whatever an environment raises ends its run alone
                failed[place] = traceback.format_exc()
        return means

    def _together(self, rows: Rows, trials: list[Trial], seeds: list[int]) -> list[float]:
        episodes, identity = self._episodes, self._task.control.environment.id
        observations = rows.reset([seed + i for seed in seeds for i in range(episodes)])
        check_episodes(identity, observations, 0.0, 0, seeds[0])
        returns = np.zeros(len(trials) * episodes)
        active, time = np.arange(len(returns)), 0
        while len(active):
            actions = _act(trials, active // episodes, observations)
            observations, rewards, over = rows.step(active, actions)
            returns[active] += rewards
            time += 1
            check_episodes(identity, observations, float(returns.sum()), time, seeds[0])
            active, observations = active[~over], observations[~over]
        return [float(own.mean()) for own in returns.reshape(len(trials), episodes)]

    def close(self) -> None:
        """Close the environments."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None


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
