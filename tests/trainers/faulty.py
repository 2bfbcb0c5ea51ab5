"""Environments at fault, by name as a user's own are: ``tests.trainers.faulty:NotANumber-v0``."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class NotANumber(gymnasium.Env[Any, Any]):
    """Works for three steps, then returns NaN."""

    observation_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def __init__(self, what: str = "observation", discrete: bool = True) -> None:
        self.what = what
        if not discrete:
            self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        bad = self.time == 4
        observation = np.full(3, np.nan if bad and self.what == "observation" else 0.0, np.float32)
        reward = float("inf") if bad and self.what == "reward" else 1.0
        return observation, reward, self.time >= 10, False, {}


class Images(gymnasium.Env[Any, Any]):
    """Observes pictures, as CarRacing does."""

    observation_space: spaces.Space[Any] = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros((7, 7, 3), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros((7, 7, 3), np.uint8), 1.0, True, False, {}


gymnasium.register("Images-v0", entry_point="tests.trainers.faulty:Images")
gymnasium.register("NotANumber-v0", entry_point="tests.trainers.faulty:NotANumber")
