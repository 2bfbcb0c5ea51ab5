"""A run that was killed and taken up ends as the one that was not."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.devices import device
from rlidim.errors import RlidimError
from rlidim.executors import ledger, making
from rlidim.executors.job import Job
from rlidim.records.cell import Cell, Seeds
from rlidim.records.checkpoints import ACTIONS, Checkpoints, clear
from rlidim.records.record import Outcome
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Atari, Environment, Evaluation, Network, PixelNetwork
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.run import Run, train
from tests.factory import make_task
from tests.trainers import faulty  # noqa: F401  (registers the environments)

ABOUT = {"settings": "these"}
PPO = {"n_timesteps": 1024, "n_envs": 2, "n_steps": 64, "batch_size": 32, "n_epochs": 2}
EVALUATION = Evaluation(episodes=4, checkpoint_episodes=2)
CARTPOLE = {"environment": Environment("CartPole-v1"), "network": Network((8, 8))}
PENDULUM = {"environment": Environment("Pendulum-v1"), "network": Network((8, 8))}
PONG = {
    "environment": Atari("pong", max_frames=400, repeat_action_probability=0.25),
    "network": PixelNetwork("paper", batch_norm=True),
}
SMALL = {"n_timesteps": 96, "n_envs": 2, "n_steps": 12, "batch_size": 12, "n_epochs": 1}
ES = {"n_timesteps": 9600, "population": 8, "eval_freq": 2}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "ppo on CartPole": ("ppo", CARTPOLE, PPO),
    "ppo with normalisation": ("ppo", PENDULUM, {**PPO, "normalize": True}),
    "a2c on CartPole": ("a2c", CARTPOLE, {"n_timesteps": 800, "n_envs": 2}),
    "ppo on Pong": ("ppo", PONG, SMALL),
    "es on CartPole": ("es", CARTPOLE, {**ES, "n_timesteps": 1500}),
    "es with normalisation": ("es", PENDULUM, {**ES, "normalize": True}),
    "es on Pong": ("es", PONG, {"n_timesteps": 800, "population": 2, "eval_freq": 2}),
    "cmaes on Pendulum": ("cmaes", PENDULUM, ES),
}


class KilledError(Exception):
    """In place of kill -9: nothing is tidied up."""


class Clock(Checkpoints):
    """Due at every opportunity but the first few; ends the run after some checkpoints."""

    def __init__(self, folder: Path, *, resume: bool, lives: int | None = None) -> None:
        super().__init__(folder, ABOUT, resume=resume, seconds=0.0)
        self.lives = lives

    def save(self, state: Any) -> None:
        if self.lives == 0:
            raise KilledError
        super().save(state)
        if self.lives is not None:
            self.lives -= 1


def case(name: str) -> tuple[Task, str]:
    trainer, places, settings = CASES[name]
    settings = {"eval_freq": 200, **settings}
    task = make_task(
        evaluation=EVALUATION, trainers={trainer: TRAINERS[trainer](**settings)}, **places
    )
    return task, trainer


def run(name: str, d: int | None, checkpoints: Checkpoints | None) -> Outcome:
    task, trainer = case(name)
    cell = Cell(task.name, trainer, "native" if d is None else "rademacher", d, 0)
    folder = None if checkpoints is None else checkpoints.folder
    return train(Run(task, cell, Seeds.of(cell), folder=folder, checkpoints=checkpoints))


def assert_same(one: Outcome, other: Outcome) -> None:
    for field in dataclasses.fields(Outcome):
        left, right = getattr(one, field.name), getattr(other, field.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right, err_msg=field.name)
        else:
            assert left == right, field.name


@pytest.mark.parametrize(
    ("name", "d"),
    [
        *(
            pytest.param(name, 5, marks=pytest.mark.slow if "Pong" in name else [])
            for name in CASES
        ),
        ("ppo on CartPole", None),
        ("es on CartPole", None),
    ],
)
def test_a_killed_run_ends_as_the_one_that_was_not(
    name: str, d: int | None, tmp_path: Path
) -> None:
    untouched = run(name, d, None)
    for lives in (1, 2):  # killed twice, each time between two checkpoints
        with pytest.raises(KilledError):
            run(name, d, Clock(tmp_path, resume=lives > 1, lives=lives))
    last = Clock(tmp_path, resume=True)
    assert_same(run(name, d, last), untouched)
    assert last.resumed is not None
    assert last.resumed > 0
    assert last.note is None
    (checkpoint,) = tmp_path.glob("checkpoint*")
    if name == "ppo on Pong":
        # The policy, whose features stand in it three times, the critic's moments, and the best
        # policy so far with its parameters: never a whole vector for each of its parts.
        assert checkpoint.stat().st_size < 10 * 4 * untouched.D
    clear(tmp_path)
    assert not list(tmp_path.glob("checkpoint*"))
    assert not (tmp_path / ACTIONS).exists()


def test_without_resume_a_run_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("ppo on CartPole", 5, Clock(tmp_path, resume=False, lives=2))
    again = Clock(tmp_path, resume=False)
    assert_same(run("ppo on CartPole", 5, again), run("ppo on CartPole", 5, None))
    assert again.resumed is None


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def garbled(path: Path) -> None:
    about, spent, _ = pickle.loads(path.read_bytes())
    path.write_bytes(pickle.dumps((about, spent, b"cnowhere\nNothing\n.")))


def shortened(path: Path) -> None:
    actions = path.parent / ACTIONS
    actions.write_bytes(actions.read_bytes()[:-2000])


def changed(path: Path) -> None:
    actions = path.parent / ACTIONS
    content = np.frombuffer(actions.read_bytes(), np.int64)
    actions.write_bytes((1 - content).tobytes())


@pytest.mark.parametrize(
    ("harm", "note"),
    [
        (damaged, "not a checkpoint that can be read"),
        (garbled, "not a checkpoint that can be read"),
        (shortened, "holds fewer steps than the checkpoint"),
        (changed, "the environment is not deterministic"),
    ],
)
def test_what_cannot_be_taken_up_begins_anew_and_says_so(
    harm: Any, note: str, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        run("ppo on CartPole", 5, Clock(tmp_path, resume=False, lives=3))
    harm(tmp_path / "checkpoint.pkl")
    again = Clock(tmp_path, resume=True)
    assert_same(run("ppo on CartPole", 5, again), run("ppo on CartPole", 5, None))
    assert again.resumed is None
    assert again.note is not None
    assert note in again.note


def test_another_run_s_checkpoint_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("ppo on CartPole", 5, Clock(tmp_path, resume=False, lives=2))
    garbled(tmp_path / "checkpoint.pkl")  # what is another run's is not opened
    other = Checkpoints(tmp_path, {"settings": "others"}, resume=True)
    assert other.load() is None
    assert other.note is not None
    assert "of a run with other settings" in other.note


def test_networks_on_frames_are_not_taken_up_on_another_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def device_of(name: str) -> str:
        task, trainer = case(name)
        cell = Cell(task.name, trainer, "rademacher", 5, 0)
        job = Job(task, cell, tmp_path, tmp_path)
        found = making._checkpoints(job, Seeds.of(cell), tmp_path)
        assert found is not None
        return str(found.about["device"])

    assert device_of("es on Pong") == str(device())
    monkeypatch.setattr(making, "device", lambda: "another")
    assert device_of("es on Pong") == "another"
    assert device_of("es on CartPole") == "cpu"


def test_a_checkpoint_that_cannot_be_written_ends_the_run_with_a_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(RlidimError, match=r"cannot be written .*; choose another .* --log-dir"):
        run("ppo on CartPole", 5, Clock(blocked / "run", resume=False))


def test_checkpoints_keep_their_distance(tmp_path: Path) -> None:
    assert not Checkpoints(tmp_path, ABOUT, resume=False, seconds=1000.0).due()
    assert Checkpoints(tmp_path, ABOUT, resume=False, seconds=0.0).due()


CHILD = """
import sys
from pathlib import Path

import rlidim.records.checkpoints
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.tasks.names import find_task
from rlidim.records.cell import Cell

rlidim.records.checkpoints.SECONDS = 0.0
one = find_task("cartpole").replace_settings("ppo", {"n_timesteps": 10_000, "eval_freq": 10**6})
cell = Cell("cartpole", "ppo", "rademacher", 25, 0)
run(Job(one, cell, Path(sys.argv[1]), Path(sys.argv[2])))
"""


def test_kill_9_and_the_record(tmp_path: Path) -> None:
    """A process that dies between two steps leaves what another ends, on record alike."""
    runs = tmp_path / "runs"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "killed"), str(runs)])
    checkpoint = runs / "cartpole/ppo-rademacher/d25-s0/checkpoint.pkl"
    actions = checkpoint.parent / ACTIONS
    deadline = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < deadline:
        if actions.exists() and actions.stat().st_size > 10_000:  # a few rollouts
            break
        time.sleep(0.05)
    child.kill()
    child.wait()
    assert checkpoint.exists()

    task = find_task("cartpole")
    task = task.replace_settings("ppo", {"n_timesteps": 10_000, "eval_freq": 10**6})
    cell = Cell("cartpole", "ppo", "rademacher", 25, 0)
    taken_up = ledger.run(Job(task, cell, tmp_path / "killed", runs))
    untouched = ledger.run(Job(task, cell, tmp_path / "untouched"))
    assert taken_up is not None
    assert untouched is not None
    assert taken_up.provenance["resumed_at"] > 0
    assert taken_up.same_result(untouched)
    assert not checkpoint.exists()


def test_a_run_that_is_not_to_be_resumed_begins_anew(tmp_path: Path) -> None:
    task, trainer = case("ppo on CartPole")
    cell = Cell(task.name, trainer, "rademacher", 5, 0)
    logs = tmp_path / str(cell)
    with pytest.raises(KilledError):
        run("ppo on CartPole", 5, Clock(logs, resume=False, lives=2))
    record = ledger.run(Job(task, cell, tmp_path / "results", tmp_path, resume=False))
    assert record is not None
    assert "resumed_at" not in record.provenance
    assert "checkpoint_not_used" not in record.provenance
