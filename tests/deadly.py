"""Environments that try what runs them: ``Environment("tests.deadly:Deadly-v0")``."""

from __future__ import annotations

import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import gymnasium

from rlidim.environments.one_step import OneStep


class Deadly(OneStep):
    """Kills the process it is in."""

    def step(self, action: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


class Patient(OneStep):
    """Waits for the file ``gate``; says beside it which process waits, and the parent of that."""

    def __init__(self, codimension: int, gate: str, render_mode: str | None = None) -> None:
        super().__init__(codimension, render_mode)
        while not Path(gate).exists():
            Path(f"{gate}-{os.getppid()}-{os.getpid()}").touch()
            time.sleep(0.05)


class Endless(OneStep):
    """An episode that never ends."""

    def step(self, action: Any) -> Any:
        observation, reward, *_, info = super().step(action)
        return observation, reward, False, False, info


class Hanging(OneStep):
    """A step that never comes back; ``patiently`` tells how it takes being ended."""

    def __init__(
        self, codimension: int, patiently: bool = False, render_mode: str | None = None
    ) -> None:
        super().__init__(codimension, render_mode)
        self._patiently = patiently

    def step(self, action: Any) -> Any:
        while True:
            try:
                time.sleep(3600)
            except Exception:
                if not self._patiently:
                    raise


class Stuck(OneStep):
    """A step in foreign code that holds the interpreter, and never comes back."""

    def step(self, action: Any) -> Any:
        # It counts: a call that waits would come back at the first signal.
        sum(itertools.repeat(0))


for name, kind in {"Endless-v0": Endless, "Hanging-v0": Hanging, "Stuck-v0": Stuck}.items():
    gymnasium.register(name, entry_point=kind, kwargs={"codimension": 3})

for name, kind in {"Deadly-v0": Deadly, "Patient-v0": Patient}.items():
    gymnasium.register(name, entry_point=kind, kwargs={"codimension": 3}, max_episode_steps=1)
