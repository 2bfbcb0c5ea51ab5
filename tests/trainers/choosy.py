"""Environments that take valid actions alone: ``tests.trainers.choosy:Choosy-v0``.

Which are valid changes with every step, and an invalid action raises, or is fined. Each is over
after ten steps, or twelve, so that of several episodes some go on.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper

ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(4),
    "discrete from -1": spaces.Discrete(4, start=-1),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(3),
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
}


class Choosy(gymnasium.Env[Any, Any]):
    """Tells its masks in ``info``, or not as it should."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        actions: str = "discrete",
        says: str = "info",
        raises: bool = True,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = ACTIONS[actions]
        self.render_mode = render_mode
        self._says, self._raises = says, raises
        self._parts = [2, 3] if actions == "multidiscrete" else [4]

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time, self.length = 0, int(self.np_random.choice([10, 12]))
        return self._seen(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        chosen = np.ravel(action) - getattr(self.action_space, "start", 0)
        starts = np.cumsum([0, *self._parts[:-1]])
        valid = self.mask[starts + chosen].all()
        assert valid or not self._raises, f"{action} is masked by {self.mask}"
        reward = float(np.cos(self.seen.sum() + chosen.sum())) - 100.0 * (not valid)
        self.time += 1
        return self._seen(), reward, self.time >= self.length, False, self._info()

    def _seen(self) -> Any:
        self.seen = self.np_random.uniform(-1.0, 1.0, 3).astype(np.float32)
        parts = [self.np_random.random(size) < 0.5 for size in self._parts]
        for part in parts:
            part[self.np_random.integers(len(part))] = True
        self.mask = np.concatenate(parts)
        return self.seen

    def _info(self) -> dict[str, Any]:
        told = {
            "info": self.mask.astype(np.int8),
            "too little": self.mask[:-1],
            "what is none": 3,
            "that none is valid": np.zeros_like(self.mask),
        }
        if self._says == "once" and self.time == 0:
            return {"action_mask": self.mask}
        return {"action_mask": told[self._says]} if self._says in told else {}

    def render(self) -> Any:
        return np.full((16, 16, 3), 20 * self.time, np.uint8)


class Methodical(Choosy):
    """Tells its masks by sb3-contrib's method."""

    def __init__(self, **constants: Any) -> None:
        super().__init__(says="method", **constants)

    def action_masks(self) -> list[bool]:
        return list(self.mask.tolist())


def side_by_side(num_envs: int, says: str = "info") -> VectorWrapper:
    """Return a vectorised form, which gives rows of masks where the lone one gives one."""
    made = [lambda: Choosy(says=says)] * num_envs
    return VectorWrapper(SyncVectorEnv(made, autoreset_mode=AutoresetMode.NEXT_STEP))


def silent(num_envs: int) -> VectorWrapper:
    """Return a vectorised form that gives no masks."""
    return side_by_side(num_envs, "nothing")


gymnasium.register("Choosy-v0", entry_point="tests.trainers.choosy:Choosy")
gymnasium.register("Methodical-v0", entry_point="tests.trainers.choosy:Methodical")
gymnasium.register(
    "Together-v0",
    entry_point="tests.trainers.choosy:Choosy",
    vector_entry_point="tests.trainers.choosy:side_by_side",
)
gymnasium.register(
    "Silent-v0",
    entry_point="tests.trainers.choosy:Methodical",
    vector_entry_point="tests.trainers.choosy:silent",
)
