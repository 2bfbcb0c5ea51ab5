"""Environments whose arithmetic is known, many at a time, each with a random stream of its own.

A motion is the arithmetic; :class:`Moving` plays episodes with it, :class:`Endless` one after
another, as :class:`MovingVector` does, Gymnasium's vector environment with it. All draw what
Gymnasium's environment draws from the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlidim.environments.bare import limit_of
from rlidim.environments.masks import KEY

Numbers = NDArray[np.floating[Any]]
Stepped = tuple[Numbers, Numbers, NDArray[np.bool_]]
NEVER = np.iinfo(np.int64).max  # the limit of episodes that have none


class Motion(Protocol):
    """What an environment does, without a state of its own.

    A state is (k, n), a column for each of n environments.
    """

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """Draw where episodes begin, one from each random stream.

        Returns:
            the state (k, n), and the first observations, float32 (n, size).
        """
        ...

    def observe(self, state: Numbers) -> Numbers:
        """Return the observations that a step led to, float32 (n, size)."""
        ...

    def step(
        self, state: Numbers, actions: NDArray[Any], generators: Sequence[np.random.Generator]
    ) -> Stepped:
        """Take plain actions (n, ...), drawing from a random stream each what chance decides.

        Returns:
            the next state, the rewards (n,), and whether the episodes end with it (n,).
        """
        ...


@runtime_checkable
class MaskedMotion(Motion, Protocol):
    """A motion that says which actions are valid."""

    def masks(self, state: Numbers) -> NDArray[np.int8]:
        """Return a mask for each environment, (n, choices), as Gymnasium's gives it."""
        ...


def _masks_of(motion: Motion) -> Callable[[Numbers], NDArray[np.int8] | None]:
    return motion.masks if isinstance(motion, MaskedMotion) else lambda state: None


def seeds_of(seed: int | Sequence[int | None] | None, count: int) -> Sequence[int | None]:
    """Return a vector's seeds, one for each environment: counted upwards from one, or as given."""
    if seed is None:
        return [None] * count
    return range(seed, seed + count) if isinstance(seed, int) else seed


def streams(seeds: Sequence[int | None]) -> list[np.random.Generator]:
    """Return the random streams that Gymnasium's environments draw from after ``reset(seed)``."""
    return [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]


class Moving:
    """Episodes side by side, of which those that are not over are stepped."""

    whole = True

    def __init__(self, motion: Motion, limit: int | None) -> None:
        """Take hold of the arithmetic.

        Args:
            motion: what the environments do.
            limit: steps after which an episode is cut off; None: it never is.
        """
        self._motion, self._masks = motion, _masks_of(motion)
        self._limit = NEVER if limit is None else limit
        self._time = 0
        self._active: NDArray[np.intp] = np.arange(0)
        self._state: Numbers = np.zeros((0, 0))
        self._streams: list[np.random.Generator] = []

    def reset(self, seeds: Sequence[int]) -> NDArray[Any]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        self._time, self._active = 0, np.arange(len(seeds))
        self._streams = streams(seeds)
        self._state, observations = self._motion.begin(self._streams)
        return observations

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[Any], Numbers, NDArray[np.bool_]]:
        """Step some of them; see :class:`rlidim.environments.side_by_side.Rows`."""
        self._keep(active)
        self._time += 1
        self._state, rewards, over = self._motion.step(self._state, actions, self._streams)
        if self._time >= self._limit:
            over = np.ones_like(over)
        return self._motion.observe(self._state), rewards, over

    def masks(self, active: NDArray[np.intp]) -> NDArray[np.int8] | None:
        """Return the masks of some; see :class:`rlidim.environments.side_by_side.MaskedRows`."""
        self._keep(active)
        return self._masks(self._state)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _keep(self, active: NDArray[np.intp]) -> None:
        if len(active) != len(self._active):  # those that are over are let go
            kept = np.searchsorted(self._active, active)
            self._state, self._active = self._state[:, kept], active
            self._streams = [self._streams[row] for row in kept]


class Endless:
    """Episodes side by side that begin anew in the step that ends one.

    Attributes:
        streams: of the environments, a random stream each.
        state: the motion's, (k, n).
        times: steps of each episode so far, (n,).
    """

    def __init__(self, motion: Motion, limit: int | None) -> None:
        """Begin with no environment.

        Args:
            motion: what the environments do.
            limit: steps after which an episode is cut off; None: it never is.
        """
        self._motion = motion
        self._limit = NEVER if limit is None else limit
        self.streams: list[np.random.Generator] = []
        self.state: Numbers = np.zeros((0, 0))
        self.times: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def begin(self) -> NDArray[Any]:
        """Begin an episode in each; return the observations, (n, size)."""
        self.state, observations = self._motion.begin(self.streams)
        self.times = np.zeros(len(self.streams), dtype=np.int64)
        return observations

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], Numbers, NDArray[np.bool_], NDArray[np.bool_], NDArray[Any] | None]:
        """Step all of them.

        Returns:
            observations (n, size), rewards (n,), terminated (n,), truncated (n,), and where an
            episode is over what the step led to before another began, (n, size); else None.
        """
        self.state, rewards, terminated = self._motion.step(self.state, actions, self.streams)
        observations = self._motion.observe(self.state)
        self.times += 1
        truncated = self.times >= self._limit
        over = terminated | truncated
        if not np.count_nonzero(over):
            return observations, rewards, terminated, truncated, None
        rows = np.flatnonzero(over)
        final = observations.copy()
        first, observations[rows] = self._motion.begin([self.streams[row] for row in rows])
        self.state[:, rows] = first
        self.times[rows] = 0
        return observations, rewards, terminated, truncated, final


class MovingVector(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """A vector environment that begins anew in the step that ends an episode.

    Environment i draws from a stream of its own, which ``reset(seed=...)`` seeds as it does that
    of the lone environment: with ``seed + i``, or with the i-th of a list.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any], motion: Motion, count: int) -> None:
        """Make the vector.

        Args:
            environment: a lone one, whose spaces and limit these have.
            motion: what it does.
            count: how many.
        """
        limit = limit_of(environment)
        self.num_envs = count
        self.spec = environment.spec
        self.metadata = {**environment.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = environment.observation_space
        self.single_action_space = environment.action_space
        self.observation_space = batch_space(environment.observation_space, count)
        self.action_space = batch_space(environment.action_space, count)
        self._masks = _masks_of(motion)
        self._endless = Endless(motion, limit)
        self._endless.streams = streams([None] * count)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in each.

        Returns:
            the observations, (N, size), and what :meth:`step` says of masks.
        """
        if seed is not None:
            seeds = seeds_of(seed, self.num_envs)
            fresh = streams(seeds)
            self._endless.streams = [
                old if given is None else new
                for old, new, given in zip(self._endless.streams, fresh, seeds, strict=True)
            ]
        return self._endless.begin(), self._said()

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all of them.

        Returns:
            observations (N, size), rewards (N,), terminated (N,), truncated (N,), and what
            Gymnasium's vectors say: ``final_obs`` where an episode is over, and masks of the
            actions where there are.
        """
        observations, rewards, terminated, truncated, final = self._endless.step(actions)
        info = self._said()
        if final is not None:
            info |= {"final_obs": final, "_final_obs": terminated | truncated}
        return observations, rewards, terminated, truncated, info

    def _said(self) -> dict[str, Any]:
        masks = self._masks(self._endless.state)
        if masks is None:
            return {}
        return {KEY: masks, f"_{KEY}": np.ones(self.num_envs, dtype=bool)}
