"""Plain spaces: what a network reads and answers, whatever an environment observes and takes.

A network reads numbers and answers with numbers. Observations that are no Box become a flat one, in
the order of :func:`gymnasium.spaces.utils.flatten`: choices one-hot, the parts of a Dict or Tuple
one after another. Actions are counted from 0 and have one axis.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlidim.errors import RlidimError

Space = spaces.Space[Any]


def plain_observations(space: Space) -> spaces.Box:
    """Return the Box that a network observes: a Box as it is, anything else flat, float32.

    Raises:
        RlidimError: a space that cannot be flattened.
    """
    if isinstance(space, spaces.Box) and space.shape:
        _check_size(space, "observations")
        return space
    _check(space, space)  # a Box without an axis gets one
    flat: Any = flatten_space(space)
    with np.errstate(over="ignore"):  # a bound beyond float32 is none
        low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def _check(space: Space, whole: Space) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        for part in parts:
            _check(part, whole)
    elif not isinstance(
        space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary
    ):
        raise RlidimError(
            "observations must be a Box, Discrete, MultiDiscrete or MultiBinary, or a Dict or "
            f"Tuple of these, this environment's are {whole}"
        )


def _check_size(space: spaces.Box, what: str) -> None:
    if 0 in space.shape:
        raise RlidimError(f"{what} of the shape {space.shape} hold no number")


def plain_actions(space: Space) -> Space:
    """Return the space of a network's answers: choices from 0, on one axis.

    A Box is as it is, and so is what is plain already.

    Raises:
        RlidimError: a space that no network here answers in.
    """
    if isinstance(space, spaces.Discrete):
        return space if space.start == 0 else spaces.Discrete(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        if space.nvec.ndim == 1 and not np.any(space.start):
            return space
        return spaces.MultiDiscrete(space.nvec.ravel())
    if isinstance(space, spaces.MultiBinary):
        return space if len(space.shape) == 1 else spaces.MultiBinary(math.prod(space.shape))
    if isinstance(space, spaces.Box):
        _check_size(space, "actions")
        return space
    raise RlidimError(
        "actions must be Discrete, MultiDiscrete, MultiBinary or a Box, this environment's are "
        f"{space}"
    )


def own_actions(space: Space, actions: Any) -> Any:
    """Make plain actions those of an environment.

    Args:
        space: the environment's own, of one action.
        actions: one of them or many, with the space's plain form on the last axis.
    """
    if isinstance(space, spaces.Discrete):
        return np.asarray(actions, dtype=np.int64)[()] + space.start
    if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
        array = np.asarray(actions)
        shaped = array.reshape(*array.shape[:-1], *space.shape)
        if isinstance(space, spaces.MultiDiscrete):
            shaped = shaped + space.start
        return shaped.astype(space.dtype)
    return actions


def flat_batch(space: Space, observations: Any, count: int) -> NDArray[np.float32]:
    """Flatten a vector's observations: row i is ``flatten(space, ...)`` of the i-th.

    Args:
        space: of one observation.
        observations: of ``count`` environments, batched as Gymnasium does.
        count: how many.

    Returns:
        float32 (count, size).
    """
    if isinstance(space, spaces.Dict):
        parts = [flat_batch(part, observations[key], count) for key, part in space.spaces.items()]
        return np.concatenate(parts, axis=1)
    if isinstance(space, spaces.Tuple):
        pairs = zip(space.spaces, observations, strict=True)
        return np.concatenate([flat_batch(part, each, count) for part, each in pairs], axis=1)
    array = np.asarray(observations).reshape(count, -1)
    if isinstance(space, spaces.Discrete):
        return _one_hot(array[:, 0] - space.start, int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        choices = array - space.start.ravel()
        hot = [_one_hot(choices[:, at], int(n)) for at, n in enumerate(space.nvec.ravel())]
        return np.concatenate(hot, axis=1)
    return array.astype(np.float32)


def _one_hot(choices: NDArray[Any], n: int) -> NDArray[np.float32]:
    hot = np.zeros((len(choices), n), dtype=np.float32)
    hot[np.arange(len(choices)), choices] = 1.0
    return hot


class Plain(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment with plain spaces."""

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        """Find the plain spaces.

        Raises:
            RlidimError: there are none.
        """
        super().__init__(environment)
        self._own, self._taken = environment.observation_space, environment.action_space
        self.observation_space = plain_observations(self._own)
        self.action_space = plain_actions(self._taken)
        self._flattens = self.observation_space is not self._own

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._flat(observation), info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take a plain action."""
        observation, *rest = self.env.step(own_actions(self._taken, action))
        return self._flat(observation), *rest

    def _flat(self, observation: Any) -> Any:
        if not self._flattens:
            return observation
        return np.asarray(flatten(self._own, observation), dtype=np.float32)


class PlainVector(VectorWrapper):
    """A vector environment with plain spaces."""

    def __init__(self, environments: VectorEnv[Any, Any, Any]) -> None:
        """Find the plain spaces.

        Raises:
            RlidimError: there are none.
        """
        super().__init__(environments)
        self._own = environments.single_observation_space
        self._taken = environments.single_action_space
        self.single_observation_space = plain_observations(self._own)
        self.single_action_space = plain_actions(self._taken)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._flattens = self.single_observation_space is not self._own

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environments."""
        observations, info = self.env.reset(seed=seed, options=options)
        return self._flat(observations), info

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take plain actions, one for each environment."""
        taken = own_actions(self._taken, actions)
        observations, rewards, terminated, truncated, info = self.env.step(taken)
        if self._flattens and "final_obs" in info:
            final = np.zeros(self.observation_space.shape or (), dtype=np.float32)
            for row in np.flatnonzero(info["_final_obs"]):
                flat: Any = flatten(self._own, info["final_obs"][row])
                final[row] = flat
            info = {**info, "final_obs": final}
        return self._flat(observations), rewards, terminated, truncated, info

    def _flat(self, observations: Any) -> Any:
        if not self._flattens:
            return observations
        return flat_batch(self._own, observations, self.num_envs)


def is_plain(observations: Space, actions: Space) -> bool:
    """Say whether spaces are plain as they are.

    Raises:
        RlidimError: they have no plain form.
    """
    return plain_observations(observations) is observations and plain_actions(actions) is actions


def plain(environment: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return an environment with plain spaces: itself, where its own are.

    Raises:
        RlidimError: its spaces have no plain form.
    """
    if is_plain(environment.observation_space, environment.action_space):
        return environment
    return Plain(environment)


def plain_vector(environments: VectorEnv[Any, Any, Any]) -> VectorEnv[Any, Any, Any]:
    """Return a vector environment with plain spaces: itself, where its own are.

    Raises:
        RlidimError: its spaces have no plain form.
    """
    if is_plain(environments.single_observation_space, environments.single_action_space):
        return environments
    return PlainVector(environments)
