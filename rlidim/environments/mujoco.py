"""Gymnasium's MuJoCo environments, many at a time: their simulations, without what is around each.

Around a simulated step Gymnasium's Python takes about as long as the step itself. Here each
environment's own model and data are stepped, and what is observed and earned is computed for all
of them at once, by the formulas of Gymnasium's version 5. Where an episode begins, and under
which constants, stays Gymnasium's: only what comes after ``reset`` is done here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.bare import bare_of, limit_of, reset

MODULES = "gymnasium.envs.mujoco."
VELOCITY_CLIP = 10.0  # of the velocities that Hopper, Walker2d and InvertedDoublePendulum observe
Numbers = NDArray[np.floating[Any]]


class Rules(Protocol):
    """What an environment makes of a simulation's state.

    ``fields`` names the arrays of MuJoCo's data that it reads; ``state`` holds a row of each for
    every simulation, ``before`` the first coordinate, (n,), as it was before the step.
    """

    fields: tuple[str, ...]

    def observe(self, state: dict[str, Numbers]) -> Numbers:
        """Return the observations, (n, size)."""
        ...

    def rewards(
        self, state: dict[str, Numbers], before: Numbers, actions: NDArray[Any]
    ) -> tuple[Numbers, NDArray[np.bool_]]:
        """Return the rewards of a step and whether the episodes end with it, (n,) each."""
        ...


class Locomotion:
    """HalfCheetah, Hopper, Walker2d and Swimmer: forwards, at little cost, without falling."""

    fields: tuple[str, ...] = ("qpos", "qvel")

    def __init__(self, environment: Any, *, clips: bool, falls: bool) -> None:
        """Read the environment's constants.

        Args:
            environment: Gymnasium's, unwrapped.
            clips: whether observed velocities are clipped.
            falls: whether there is a healthy state to leave.
        """
        self._skipped: int = environment.observation_structure["skipped_qpos"]
        self._forward_reward_weight: float = environment._forward_reward_weight
        self._ctrl_cost_weight: float = environment._ctrl_cost_weight
        self._dt: float = environment.dt
        self._clips = clips
        self._ranges: list[tuple[float, float]] = []
        if falls:
            self._ranges = [environment._healthy_z_range, environment._healthy_angle_range]
            self._state_range = getattr(environment, "_healthy_state_range", None)
            self._healthy_reward: float = environment._healthy_reward
            self._terminates = bool(environment._terminate_when_unhealthy)

    def observe(self, state: dict[str, Numbers]) -> Numbers:
        """Positions, those that the environment leaves out left out, and velocities."""
        velocity = state["qvel"]
        if self._clips:
            velocity = np.clip(velocity, -VELOCITY_CLIP, VELOCITY_CLIP)
        return np.concatenate((state["qpos"][:, self._skipped :], velocity), axis=1)

    def rewards(
        self, state: dict[str, Numbers], before: Numbers, actions: NDArray[Any]
    ) -> tuple[Numbers, NDArray[np.bool_]]:
        """Speed, less the actions' squares, and a reward for standing."""
        rewards: Numbers = self._forward_reward_weight * ((state["qpos"][:, 0] - before) / self._dt)
        ended = np.zeros(len(before), dtype=bool)
        if self._ranges:
            healthy = self._healthy(state)
            rewards += healthy * self._healthy_reward
            ended = ~healthy & self._terminates
        rewards -= self._ctrl_cost_weight * np.sum(np.square(actions), axis=1)
        return rewards, ended

    def _healthy(self, state: dict[str, Numbers]) -> NDArray[np.bool_]:
        healthy = np.ones(len(state["qpos"]), dtype=bool)
        for column, (low, high) in enumerate(self._ranges, start=1):  # height, then angle
            value = state["qpos"][:, column]
            healthy &= (low < value) & (value < high)
        if self._state_range is not None:
            low, high = self._state_range
            for values in (state["qpos"][:, 2:], state["qvel"]):
                healthy &= ((low < values) & (values < high)).all(axis=1)
        return healthy


class Pendulum:
    """InvertedPendulum: upright."""

    fields: tuple[str, ...] = ("qpos", "qvel")
    LEAN = 0.2

    def observe(self, state: dict[str, Numbers]) -> Numbers:
        """Positions and velocities."""
        return np.concatenate((state["qpos"], state["qvel"]), axis=1)

    def rewards(
        self, state: dict[str, Numbers], before: Numbers, actions: NDArray[Any]
    ) -> tuple[Numbers, NDArray[np.bool_]]:
        """One for each step upright."""
        finite = np.isfinite(state["qpos"]).all(axis=1) & np.isfinite(state["qvel"]).all(axis=1)
        ended = ~finite | (np.abs(state["qpos"][:, 1]) > self.LEAN)
        return 1.0 - ended, ended


class DoublePendulum:
    """InvertedDoublePendulum: the tip high, in the middle and slow."""

    fields: tuple[str, ...] = ("qpos", "qvel", "qfrc_constraint", "site_xpos")
    FALLEN, TOP = 1.0, 2.0

    def __init__(self, environment: Any) -> None:
        """Read the environment's constants."""
        self._healthy_reward: float = environment._healthy_reward

    def observe(self, state: dict[str, Numbers]) -> Numbers:
        """The cart's position, the angles' sines and cosines, velocities, and the cart's force."""
        angles = state["qpos"][:, 1:]
        return np.concatenate(
            (
                state["qpos"][:, :1],
                np.sin(angles),
                np.cos(angles),
                np.clip(state["qvel"], -VELOCITY_CLIP, VELOCITY_CLIP),
                np.clip(state["qfrc_constraint"][:, :1], -VELOCITY_CLIP, VELOCITY_CLIP),
            ),
            axis=1,
        )

    def rewards(
        self, state: dict[str, Numbers], before: Numbers, actions: NDArray[Any]
    ) -> tuple[Numbers, NDArray[np.bool_]]:
        """A reward for each step upright, less the tip's distance from the top and its speed."""
        x, y = state["site_xpos"][:, 0], state["site_xpos"][:, 2]
        first, second = state["qvel"][:, 1], state["qvel"][:, 2]
        ended = y <= self.FALLEN
        distance = 0.01 * x**2 + (y - self.TOP) ** 2
        speed = 1e-3 * first**2 + 5e-3 * second**2
        return self._healthy_reward * ~ended - distance - speed, ended


def rules_of(environment: gymnasium.Env[Any, Any]) -> Rules | None:
    """Return an environment's rules, or None where only Gymnasium knows them."""
    bare = bare_of(environment)
    module = type(bare).__module__
    if bare is None or not module.startswith(MODULES):
        return None
    match module.removeprefix(MODULES):
        case "half_cheetah_v5" | "swimmer_v5":
            return Locomotion(bare, clips=False, falls=False)
        case "hopper_v5" | "walker2d_v5":
            return Locomotion(bare, clips=True, falls=True)
        case "inverted_pendulum_v5":
            return Pendulum()
        case "inverted_double_pendulum_v5":
            return DoublePendulum(bare)
    return None


class Simulations:
    """The simulations of environments, stepped side by side."""

    whole = False

    def __init__(self, environments: Sequence[gymnasium.Env[Any, Any]], rules: Rules) -> None:
        """Take hold of the environments' models and data.

        Args:
            environments: of one kind, as ``gymnasium.make`` returns them.
            rules: of :func:`rules_of`.
        """
        from mujoco import mj_step

        self._environments = environments
        self._rules = rules
        self._mj_step = mj_step
        bare: list[Any] = [environment.unwrapped for environment in environments]
        self._frames: int = bare[0].frame_skip
        self._pairs = [(each.model, each.data) for each in bare]
        self._controls = [each.data.ctrl for each in bare]
        self._views = [
            [getattr(each.data, name).reshape(-1) for each in bare] for name in rules.fields
        ]
        limit = limit_of(environments[0])
        self._limit = math.inf if limit is None else limit
        self._time = 0

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        self._time = 0
        return reset(self._environments, seeds)[0]

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], Numbers, NDArray[np.bool_]]:
        """Step some of them, always those whose episodes are not over.

        Args:
            active: which, (n,).
            actions: theirs, (n, size).

        Returns:
            observations float32 (n, size), rewards (n,) and whether the episodes are over (n,).
        """
        self._time += 1
        positions = self._views[0]
        before = np.array([positions[index][0] for index in active])
        for index, action in zip(active, actions, strict=True):
            self._controls[index][:] = action
            self._mj_step(*self._pairs[index], self._frames)
        state = {
            name: np.stack([views[index] for index in active])
            for name, views in zip(self._rules.fields, self._views, strict=True)
        }
        rewards, over = self._rules.rewards(state, before, actions)
        return (
            self._rules.observe(state).astype(np.float32),
            rewards,
            over | (self._time >= self._limit),
        )

    def close(self) -> None:
        """Close the environments."""
        for environment in self._environments:
            environment.close()
