"""One-step control problems whose intrinsic dimension is known, for calibration.

The policy sees one constant observation and answers with an action of k numbers; the reward depends
on the action's squared distance from a target alone. The policies that solve it therefore form a
set of codimension k among all parameters: its intrinsic dimension is k (Li et al. 2018, section 2,
where the toy problem is the same idea). The reward must be sharp: a random subspace of k - 1
dimensions often comes near the target.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

INPUTS = 24  # of the observation, all equal, so that D is far larger than k
DISTANCE = 2.0  # of the target from the zero action
SHARPNESS = 400.0  # per unit of squared distance: the reward falls by a tenth within 0.07
FARTHEST = 10.0  # the distance at which it is zero
BOUND = 10.0  # of each component of the action


def target(codimension: int) -> NDArray[np.float32]:
    """Return the rewarded action, float32 (codimension,), at the fixed distance from zero."""
    signs = np.where(np.arange(codimension) % 2 == 0, 1.0, -1.0)
    return np.asarray(signs * DISTANCE / np.sqrt(codimension), dtype=np.float32)


def reward(actions: NDArray[Any], codimension: int) -> NDArray[np.float64]:
    """Return the reward of actions (..., codimension), from 0 to 1.

    It falls with the logarithm of the squared distance: steep at the target, so that a subspace
    that misses it fails, and yet sloping everywhere, so that gradients find the way.
    """
    error = np.square(np.asarray(actions, dtype=np.float64) - target(codimension)).sum(axis=-1)
    lost = np.log1p(SHARPNESS * error) / np.log1p(SHARPNESS * FARTHEST**2)
    return np.asarray(np.clip(1.0 - lost, 0.0, 1.0))


def observation() -> NDArray[np.float32]:
    """Return the one observation, float32 (INPUTS,), of length one."""
    return np.full(INPUTS, 1.0 / np.sqrt(INPUTS), dtype=np.float32)


def observation_space() -> spaces.Box:
    """Return the space of the one observation."""
    return spaces.Box(-1.0, 1.0, (INPUTS,), np.float32)


def action_space(codimension: int) -> spaces.Box:
    """Return the space of actions of k numbers."""
    return spaces.Box(-BOUND, BOUND, (codimension,), np.float32)


class OneStep(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """The problem of codimension k: one observation, one action, one reward."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]

    def __init__(self, codimension: int, render_mode: str | None = None) -> None:
        """Fix k; nothing can be rendered."""
        self.codimension = codimension
        self.observation_space = observation_space()
        self.action_space = action_space(codimension)
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the observation."""
        super().reset(seed=seed)
        return observation(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Reward the action and end the episode."""
        return observation(), float(reward(action, self.codimension)), True, False, {}


class OneStepVector(VectorEnv[NDArray[np.float32], NDArray[np.float32], NDArray[Any]]):
    """Many of them at once."""

    def __init__(
        self, num_envs: int, codimension: int, max_episode_steps: int | None = None
    ) -> None:
        """Fix how many, and k."""
        self.num_envs = num_envs
        self.codimension = codimension
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.single_observation_space = observation_space()
        self.single_action_space = action_space(codimension)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Return the observations (N, INPUTS)."""
        super().reset(seed=seed)
        return np.tile(observation(), (self.num_envs, 1)), {}

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[
        NDArray[np.float32], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Reward the actions (N, k); every episode ends."""
        observations = np.tile(observation(), (self.num_envs, 1))
        over = np.ones(self.num_envs, dtype=bool)
        return observations, reward(actions, self.codimension), over, ~over, {}


gymnasium.register(
    id="OneStep-v0",
    entry_point="rlidim.environments.one_step:OneStep",
    vector_entry_point="rlidim.environments.one_step:OneStepVector",
)
