"""Environments with every kind of space: ``tests.trainers.spacious:Spacious-v0``.

Each is over after eight steps and rewards actions that agree with what was observed, so that what
reaches a policy and what it answers both decide the return.
"""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten

INFINITY = float("inf")
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-1.0, 1.0, (3,), np.float32),
    "doubles": spaces.Box(-1.0, 1.0, (2, 3), np.float64),
    "whole box": spaces.Box(-5, 5, (2, 2), np.int64),
    "image": spaces.Box(0, 255, (6, 5, 3), np.uint8),
    "channels first": spaces.Box(0, 255, (3, 6, 5), np.uint8),
    "discrete": spaces.Discrete(5),
    "discrete from 2": spaces.Discrete(5, start=2),
    "multidiscrete": spaces.MultiDiscrete([3, 4]),
    "multidiscrete of two axes": spaces.MultiDiscrete([[3, 4], [2, 2]]),
    "multibinary": spaces.MultiBinary(4),
    "dict": spaces.Dict(
        {
            "position": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "mode": spaces.Discrete(3),
            "bits": spaces.MultiBinary(2),
        }
    ),
    "tuple": spaces.Tuple([spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2, 1), np.float32)]),
    "nested": spaces.Dict(
        {"inner": spaces.Dict({"b": spaces.Discrete(2), "a": spaces.MultiDiscrete([2, 3])})}
    ),
}
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3),
    "discrete from -1": spaces.Discrete(3, start=-1),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multidiscrete of two axes": spaces.MultiDiscrete([[2, 3], [4, 2]]),
    "multidiscrete from 1": spaces.MultiDiscrete([2, 3], start=[1, 1]),
    "multibinary": spaces.MultiBinary(3),
    "multibinary of two axes": spaces.MultiBinary([2, 2]),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "box of two axes": spaces.Box(-1.0, 1.0, (2, 2), np.float32),
    "one-sided box": spaces.Box(
        np.array([0.0, -INFINITY], np.float32), np.array([INFINITY, 0.5], np.float32)
    ),
    "infinite box": spaces.Box(-INFINITY, INFINITY, (2,), np.float32),
    "whole box": spaces.Box(0, 5, (2,), np.int64),
    "unbounded whole box": spaces.Box(-INFINITY, INFINITY, (2,), np.int64),  # type: ignore[arg-type]
}


class Spacious(gymnasium.Env[Any, Any]):
    """Observes samples of one space and takes actions of another."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self, observations: str = "box", actions: str = "discrete", render_mode: str | None = None
    ) -> None:
        self.observation_space = copy.deepcopy(OBSERVATIONS[observations])
        self.action_space = copy.deepcopy(ACTIONS[actions])
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.time = 0
        self.seen = self.observation_space.sample()
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        numbers = np.asarray(flatten(self.observation_space, self.seen), dtype=np.float64)
        answer = np.clip(np.ravel(np.asarray(action, dtype=np.float64)), -9.0, 9.0)
        reward = float(np.cos(numbers[-1] + answer.sum()))
        self.time += 1
        self.seen = self.observation_space.sample()
        return self.seen, reward, self.time >= 8, False, {}

    def render(self) -> Any:
        return np.zeros((16, 16, 3), np.uint8)


class Undrawn(Spacious):
    """One whose making knows no ``render_mode``."""

    def __init__(self) -> None:
        super().__init__()


def many(num_envs: int = 1, **kwargs: Any) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Return a vectorised form, whose actions have every axis of one."""
    return gymnasium.vector.SyncVectorEnv([lambda: Spacious(**kwargs)] * num_envs)


gymnasium.register("Spacious-v0", entry_point="tests.trainers.spacious:Spacious")
gymnasium.register("Undrawn-v0", entry_point="tests.trainers.spacious:Undrawn")
gymnasium.register(
    "Vectorised-v0",
    entry_point="tests.trainers.spacious:Spacious",
    vector_entry_point="tests.trainers.spacious:many",
)
