"""Environments of one kind side by side: the fastest way there is to play episodes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.bare import limit_of, reset
from rlidim.environments.gate import one_action, one_number
from rlidim.environments.motions import motion_of
from rlidim.environments.moving import Moving
from rlidim.environments.mujoco import Numbers, Simulations, rules_of


class Rows(Protocol):
    """Environments that are reset at a seed each, and of which some are stepped."""

    whole: bool  # whether they are the faster the more they are

    def reset(self, seeds: Sequence[int]) -> NDArray[Any]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        ...

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[Any], Numbers, NDArray[np.bool_]]:
        """Step some of them, always those whose episodes are not over.

        Args:
            active: which, (n,).
            actions: theirs, plain, (n, ...).

        Returns:
            observations float32 (n, size), rewards (n,) and whether the episodes are over (n,).
        """
        ...

    def close(self) -> None:
        """Close the environments."""
        ...


class Separate:
    """Environments of any kind, each stepped by itself."""

    whole = False

    def __init__(self, environments: Sequence[gymnasium.Env[Any, Any]]) -> None:
        """Take hold of the environments."""
        self._environments = environments
        self._fit = one_action(environments[0].action_space)
        specification = environments[0].spec
        self._identity = "" if specification is None else specification.id

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        return reset(self._environments, seeds)

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], Numbers, NDArray[np.bool_]]:
        """Step some of them; see :class:`Rows`."""
        observations, rewards, over = [], [], []
        for index, action in zip(active, actions, strict=True):
            environment = self._environments[index]
            observation, reward, terminated, truncated, _ = environment.step(self._fit(action))
            observations.append(np.ravel(observation))
            rewards.append(one_number(reward, self._identity))
            over.append(bool(terminated or truncated))
        return np.array(observations, dtype=np.float32), np.array(rewards), np.array(over)

    def close(self) -> None:
        """Close the environments."""
        for environment in self._environments:
            environment.close()


def side_by_side(make: Callable[[int], gymnasium.Env[Any, Any]], count: int) -> Rows:
    """Return the fastest way to play environments of one kind.

    Args:
        make: makes one of them, by its number: one is enough where only its constants are needed.
        count: how many are played.
    """
    first = make(0)
    motion = motion_of(first)
    if motion is not None:
        return Moving(motion, limit_of(first))
    environments = [first, *(make(index) for index in range(1, count))]
    rules = rules_of(first)
    return Separate(environments) if rules is None else Simulations(environments, rules)
