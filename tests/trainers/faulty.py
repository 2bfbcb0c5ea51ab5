"""Environments at fault, by name as a user's own are: ``tests.trainers.faulty:NotANumber-v0``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv


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


class Held(NotANumber):
    """Knows which of its kind are open; ``broken`` makes its steps raise."""

    held: ClassVar[set[Held]] = set()
    broken: ClassVar[bool] = False

    def __init__(self, what: str = "nothing", **options: Any) -> None:
        super().__init__(what, **options)
        self.held.add(self)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.broken:
            raise RuntimeError("broken")
        return super().step(action)

    def action_masks(self) -> Any:
        return np.ones(2, dtype=bool)

    def close(self) -> None:
        self.held.discard(self)


class Pictures(gymnasium.Env[Any, Any]):
    """Observes pictures that differ."""

    observation_space: spaces.Space[Any] = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return self._seen(), 1.0, self.time >= 10, False, {}

    def _seen(self) -> Any:
        return self.np_random.integers(0, 256, (7, 7, 3), dtype=np.uint8)


gymnasium.register("Pictures-v0", entry_point="tests.trainers.faulty:Pictures")
gymnasium.register("Held-v0", entry_point="tests.trainers.faulty:Held")
gymnasium.register("NotANumber-v0", entry_point="tests.trainers.faulty:NotANumber")


class Irregular(gymnasium.Env[Any, Any]):
    """Ten steps of an environment that is right in what it means, not in how it says it."""

    observation_space: spaces.Space[Any] = spaces.Box(-np.inf, np.inf, (3,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def __init__(
        self,
        flags: str = "true",
        rewards: str = "number",
        actions: str = "choice",
        first: float = 0.0,
        exits: bool = False,
    ) -> None:
        if exits:
            sys.exit(3)
        self.flags, self.rewards, self.first = flags, rewards, first
        if actions == "whole":
            self.action_space = spaces.Box(0, 5, (2,), np.int64)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time = 0
        return np.full(3, self.first, np.float32), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.time += 1
        reward = {"number": 1.0, "array": np.ones(1), "pair": np.ones(2)}[self.rewards]
        over: Any = self.time >= 10
        if self.flags == "whole":
            over = int(over)
        return np.zeros(3, np.float32), reward, over, 0 if self.flags == "whole" else False, {}


# Gymnasium's checker looks at a lone environment's first step and mends flags there.
gymnasium.register(
    "Irregular-v0", entry_point="tests.trainers.faulty:Irregular", disable_env_checker=True
)


class Uneven(Irregular):
    """Episodes of three to eleven steps."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        first = super().reset(seed=seed, options=options)
        self.limit = int(self.np_random.integers(3, 12))
        return first

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, _, truncated, info = super().step(action)
        return observation, reward, self.time >= self.limit, truncated, info


def vector_of(mode: AutoresetMode) -> Callable[..., SyncVectorEnv]:
    """Return what makes the vectorised form with a mode of resetting."""

    def make(num_envs: int, **kwargs: Any) -> SyncVectorEnv:
        return SyncVectorEnv([lambda: Uneven(**kwargs)] * num_envs, autoreset_mode=mode)

    return make


gymnasium.register("Uneven-v0", entry_point="tests.trainers.faulty:Uneven")
for mode in AutoresetMode:
    gymnasium.register(
        f"Uneven{mode.name.title().replace('_', '')}-v0",
        entry_point="tests.trainers.faulty:Uneven",
        vector_entry_point=vector_of(mode),
    )
