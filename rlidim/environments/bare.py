"""A bare environment: what is left of one from ``gymnasium.make`` without what is put around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from numpy.typing import NDArray

# What gymnasium.make puts around them: checks of the first step and of the order of calls, which
# whoever plays the bare environment needs none of, and the time limit, which they keep.
PLAIN = (wrappers.PassiveEnvChecker, wrappers.OrderEnforcing, wrappers.TimeLimit)


def bare_of(environment: gymnasium.Env[Any, Any]) -> Any | None:
    """Return the environment inside; None where a step is more than its own, or draws."""
    inner = environment
    while isinstance(inner, gymnasium.Wrapper):
        if type(inner) not in PLAIN:
            return None
        inner = inner.env
    return None if inner.render_mode == "human" else inner


def limit_of(environment: gymnasium.Env[Any, Any]) -> int | None:
    """Return the steps after which an episode is cut off; None where it never is.

    An environment may have a limit of its own inside the one that its registration names: the
    smallest ends it.
    """
    limits, inner = [], environment
    while isinstance(inner, gymnasium.Wrapper):
        if isinstance(inner, wrappers.TimeLimit):
            limits.append(inner._max_episode_steps)
        inner = inner.env
    return min(limits, default=None)


def reset(
    environments: Sequence[gymnasium.Env[Any, Any]], seeds: Sequence[int]
) -> tuple[NDArray[np.float32], list[dict[str, Any]]]:
    """Begin an episode in each environment, at a seed each.

    Returns:
        the observations, (N, size), and what the environments say beside them.
    """
    pairs = zip(environments, seeds, strict=True)
    begun = [environment.reset(seed=seed) for environment, seed in pairs]
    observations = [np.ravel(observation) for observation, _ in begun]
    return np.array(observations, dtype=np.float32), [info for _, info in begun]
