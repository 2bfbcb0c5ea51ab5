"""Environments of one kind side by side: the fastest way there is to play episodes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.bare import limit_of, reset
from rlidim.environments.gate import one_action, one_number
from rlidim.environments.masks import given_by
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


@runtime_checkable
class MaskedRows(Rows, Protocol):
    """Such environments, which may say which of their actions are valid."""

    def masks(self, active: NDArray[np.intp]) -> Any | None:
        """Return the masks of some, as the environments give them, for their next step.

        Args:
            active: which, (n,), always those whose episodes are not over.

        Returns:
            one after another, None where there is none.
        """
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
        self._infos: list[dict[str, Any]] = []

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        observations, self._infos = reset(self._environments, seeds)
        return observations

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], Numbers, NDArray[np.bool_]]:
        """Step some of them; see :class:`Rows`."""
        observations, rewards, over = [], [], []
        for index, action in zip(active, actions, strict=True):
            environment = self._environments[index]
            observation, reward, terminated, truncated, info = environment.step(self._fit(action))
            self._infos[index] = info
            observations.append(np.ravel(observation))
            rewards.append(one_number(reward, self._identity))
            over.append(bool(terminated or truncated))
        return np.array(observations, dtype=np.float32), np.array(rewards), np.array(over)

    def masks(self, active: NDArray[np.intp]) -> list[Any | None]:
        """Return the masks of some; see :class:`MaskedRows`."""
        return [given_by(self._environments[index], self._infos[index]) for index in active]

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
