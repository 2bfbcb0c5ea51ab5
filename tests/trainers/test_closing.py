"""Environments are closed, whatever happens while they are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.environments import atari, making
from rlidim.environments.trial import trials
from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.solutions import playback
from rlidim.tasks.problems import Atari, Environment
from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.tasks.task import Task
from tests.factory import made, make_task
from tests.trainers.faulty import Held


def task_of(what: str = "nothing") -> Task:
    return make_task(
        environment=Environment(id="tests.trainers.faulty:Held-v0", kwargs={"what": what}),
        trainers={"es": EvolutionStrategySettings(n_timesteps=40, population=2)},
    )


@pytest.fixture(autouse=True)
def none_held() -> None:
    Held.held.clear()


def test_a_trial_leaves_none_open() -> None:
    assert {trial.form for trial in trials(task_of())} == {"one environment", "4 side by side"}
    assert not Held.held
    with pytest.raises(RlidimError, match="one environment: an observation is not finite"):
        trials(task_of("observation"))
    assert not Held.held


def test_a_check_of_masks_leaves_none_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Held, "broken", True)
    with pytest.raises(RuntimeError, match="broken"):
        making.check_masks(task_of())
    assert not Held.held


def test_playing_leaves_none_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of()
    _, path = made(task, Cell(task.name, "es", "rademacher", 3, 0), tmp_path)
    Held.held.clear()
    monkeypatch.setattr(Held, "broken", True)
    with pytest.raises(RuntimeError, match="broken"):
        playback.play(task, path, video=None, episodes=1, seed=0, log_dir=tmp_path)
    assert not Held.held


@pytest.mark.parametrize("broken", [False, True])
def test_playing_a_game_closes_both_consoles(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Console:
        """One step of a game."""

        def __init__(self) -> None:
            self.closed = False

        def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
            return np.zeros((1, 4, 84, 84), np.uint8), {}

        def step(self, actions: Any) -> Any:
            if broken:
                raise RuntimeError("broken")
            return np.zeros((1, 4, 84, 84), np.uint8), np.ones(1), [True], [False], {}

        def close(self) -> None:
            self.closed = True

    class Idle:
        def act(self, observations: Any) -> Any:
            return np.zeros(1, int)

    consoles = []

    def make(game: Atari, count: int, *, picture: bool = False) -> Console:
        consoles.append(Console())
        return consoles[-1]

    monkeypatch.setattr(atari, "make", make)
    policy: Any = Idle()
    try:
        playback._play_game(Atari("pong"), policy, 1, 0, tmp_path / "video.gif")
    except RuntimeError:
        assert broken
    assert [console.closed for console in consoles] == [True, True]
