"""Observations and rewards by those seen so far, each run by its own: VecNormalize's arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.fleets import Fleet, Stepped

FIRST_COUNT = 1e-4  # of observations, before the first
TINY = 1e-8  # added to a variance
LIMIT = 10.0  # of a normalised observation or reward


class Statistics:
    """Running mean and variance of quantities (R, ..., size), of each run's own."""

    def __init__(self, size: int) -> None:
        """Begin without a run."""
        self.mean, self.variance = np.zeros((0, size)), np.ones((0, size))
        self.count = np.zeros((0, 1))

    def enter(self) -> None:
        """Add a run in the last place, of which nothing was seen."""
        size = self.mean.shape[1]
        self.mean = np.concatenate((self.mean, np.zeros((1, size))))
        self.variance = np.concatenate((self.variance, np.ones((1, size))))
        self.count = np.concatenate((self.count, np.full((1, 1), FIRST_COUNT)))

    def keep(self, runs: NDArray[np.intp]) -> None:
        """Let the others go."""
        self.mean, self.variance = self.mean[runs], self.variance[runs]
        self.count = self.count[runs]

    def add(self, seen: NDArray[Any], runs: slice = slice(None)) -> None:
        """Take in what was seen, (R, N, size), of some runs (Chan, Golub and LeVeque 1979)."""
        mean, variance, number = seen.mean(axis=1), seen.var(axis=1), seen.shape[1]
        count, total = self.count[runs], self.count[runs] + number
        off = mean - self.mean[runs]
        squares = self.variance[runs] * count + variance * number
        squares += np.square(off) * count * number / total
        self.mean[runs] += off * number / total
        self.variance[runs] = squares / total
        self.count[runs] = total

    def state(self, run: int) -> dict[str, Any]:
        """Return a run's statistics."""
        return {
            "mean": self.mean[run],
            "variance": self.variance[run],
            "count": float(self.count[run, 0]),
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Give the run in the last place another's."""
        self.mean[-1], self.variance[-1] = state["mean"], state["variance"]
        self.count[-1] = state["count"]


class NormalisedFleet:
    """A fleet whose observations and rewards are normalised by those of the same run so far."""

    def __init__(self, fleet: Fleet, size: int, gamma: float) -> None:
        """Wrap a fleet without a run.

        Args:
            fleet: the environments.
            size: of an observation.
            gamma: discounts the rewards in the sum by whose deviation they are divided.
        """
        self._fleet, self._gamma = fleet, gamma
        self.width, self.replays, self.failed = fleet.width, fleet.replays, fleet.failed
        self.observed = Statistics(size)
        self._earned = Statistics(1)
        self._sums = np.zeros((0, fleet.width))

    def enter(self, seed: int) -> NDArray[np.float32]:
        """Add a run; see :class:`Fleet`."""
        first = self._fleet.enter(seed)
        self.observed.enter()
        self._earned.enter()
        self._sums = np.concatenate((self._sums, np.zeros((1, self.width))))
        self.observed.add(first[None], slice(-1, None))
        normalised: NDArray[np.float32] = self._normalised(first[None], slice(-1, None))[0]
        return normalised

    def keep(self, runs: NDArray[np.intp]) -> None:
        """Let the others go."""
        self._fleet.keep(runs)
        self.failed = self._fleet.failed
        self.observed.keep(runs)
        self._earned.keep(runs)
        self._sums = self._sums[runs]

    def step(self, actions: NDArray[Any]) -> Stepped:
        """Step all of them; see :class:`Fleet`."""
        step = self._fleet.step(actions)
        self.observed.add(step.observations)
        self._sums = self._sums * self._gamma + step.rewards
        self._earned.add(self._sums[..., None])
        rewards = step.rewards / np.sqrt(self._earned.variance + TINY)
        self._sums[step.terminated | step.truncated] = 0.0
        return Stepped(
            self._normalised(step.observations),
            np.clip(rewards, -LIMIT, LIMIT),
            step.terminated,
            step.truncated,
            None if step.final is None else self._normalised(step.final),
        )

    def _normalised(
        self, observations: NDArray[np.float32], runs: slice = slice(None)
    ) -> NDArray[np.float32]:
        deviation = np.sqrt(self.observed.variance[runs] + TINY)
        scaled = (observations - self.observed.mean[runs, None]) / deviation[:, None]
        return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)

    def state(self, run: int) -> Any:
        """Return where a run's environments and statistics stand."""
        return {
            "environments": self._fleet.state(run),
            "observed": self.observed.state(run),
            "earned": self._earned.state(run),
            "sums": self._sums[run],
        }

    def take_up(self, state: Any, actions: Iterable[NDArray[Any]]) -> None:
        """Bring the run in the last place to where another stood; see :class:`Fleet`."""
        self._fleet.take_up(state["environments"], actions)
        self.observed.take_up(state["observed"])
        self._earned.take_up(state["earned"])
        self._sums[-1] = state["sums"]

    def close(self) -> None:
        """Close the environments."""
        self._fleet.close()
