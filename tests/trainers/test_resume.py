"""A run that was killed and taken up ends as the one that was not."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re
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
from rlidim.records import checkpoints, state
from rlidim.records.cell import Cell, Seeds
from rlidim.records.checkpoints import ACTIONS, FILE, Checkpoints, Spent, clear
from rlidim.records.record import Outcome
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Atari, Environment, Evaluation, Network, PixelNetwork
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.evolution.antithetic import Perturbations
from rlidim.trainers.evolution.cma_es import CovarianceAdaptation
from rlidim.trainers.run import Run, train
from tests.factory import make_task
from tests.marks import slow_but
from tests.trainers import faulty  # noqa: F401  (registers the environments)

ABOUT = {"settings": "these"}
PPO = {"n_timesteps": 1024, "n_envs": 2, "n_steps": 64, "batch_size": 32, "n_epochs": 2}
EVALUATION = Evaluation(episodes=4, checkpoint_episodes=2)
CARTPOLE = {"environment": Environment("CartPole-v1"), "network": Network((8, 8))}
PENDULUM = {"environment": Environment("Pendulum-v1"), "network": Network((8, 8))}
RECALLING = {**PENDULUM, "network": Network((8,), memory=4)}
TAXI = {
    "environment": Environment("Taxi-v4", {"max_episode_steps": 50}),
    "network": Network((8,)),
}
LAKE = {"environment": Environment("FrozenLake-v1"), "network": Network((8, 8))}
PONG = {
    "environment": Atari("pong", max_frames=400, repeat_action_probability=0.25),
    "network": PixelNetwork("paper", batch_norm=True),
}
SMALL = {"n_timesteps": 96, "n_envs": 2, "n_steps": 12, "batch_size": 12, "n_epochs": 1}
ES = {"n_timesteps": 9600, "population": 8, "eval_freq": 2}
OFF_POLICY = {
    "n_timesteps": 600,
    "train_freq": 2,
    "learning_starts": 150,
    "buffer_size": 300,
    "batch_size": 32,
}
# Opportunities for a checkpoint between two: so that it is past the warm-up, its buffer full.
EVERY = {
    "dqn on CartPole": 7,
    "dqn-many on CartPole": 7,
    "qrdqn on CartPole": 7,
    "dqn on Pong": 3,
    "sac on Pendulum": 60,
    "td3 with normalisation": 60,
    "ddpg on Pendulum": 60,
    "tqc on Pendulum": 60,
    "crossq on Pendulum": 60,
}
DQN = {**OFF_POLICY, "train_freq": 4, "target_update_interval": 50, "exploration_fraction": 0.5}
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "ppo on CartPole": ("ppo", CARTPOLE, PPO),
    "ppo with normalisation": ("ppo", PENDULUM, {**PPO, "normalize": True}),
    "a2c on CartPole": ("a2c", CARTPOLE, {"n_timesteps": 800, "n_envs": 2}),
    "ppo on Pong": ("ppo", PONG, SMALL),
    "dqn on CartPole": ("dqn", CARTPOLE, {**DQN, "n_envs": 4, "n_steps": 3}),
    "sac on Pendulum": ("sac", PENDULUM, {**OFF_POLICY, "use_sde": True}),
    "td3 with normalisation": ("td3", PENDULUM, {**OFF_POLICY, "normalize": True}),
    "qrdqn on CartPole": ("qrdqn", CARTPOLE, {**DQN, "n_envs": 4, "n_quantiles": 5}),
    "ddpg on Pendulum": ("ddpg", PENDULUM, OFF_POLICY),
    "tqc on Pendulum": ("tqc", PENDULUM, OFF_POLICY),
    "crossq on Pendulum": ("crossq", PENDULUM, OFF_POLICY),
    "trpo on Pendulum": ("trpo", PENDULUM, {"n_timesteps": 1024, "n_envs": 2, "n_steps": 64}),
    "recurrent_ppo on Pendulum": (
        "recurrent_ppo",
        RECALLING,
        {**PPO, "n_timesteps": 512, "normalize": True},
    ),
    "maskable_ppo on Taxi": ("maskable_ppo", TAXI, {**PPO, "n_envs": 4}),
    "maskable_ppo on lone environments": ("maskable_ppo", TAXI, {**PPO, "normalize": True}),
    "dqn on Pong": (
        "dqn",
        PONG,
        {**DQN, "n_timesteps": 120, "learning_starts": 40, "n_envs": 2, "buffer_size": 48},
    ),
    "ppo-many on CartPole": ("ppo-many", CARTPOLE, PPO),
    "ppo-many with normalisation": ("ppo-many", PENDULUM, {**PPO, "normalize": True}),
    "ppo-many on lone environments": ("ppo-many", LAKE, {**PPO, "normalize": True}),
    "a2c-many on CartPole": ("a2c-many", CARTPOLE, {"n_timesteps": 800, "n_envs": 2}),
    "dqn-many on CartPole": ("dqn-many", CARTPOLE, {**DQN, "n_envs": 4, "n_steps": 3}),
    "es on CartPole": ("es", CARTPOLE, {**ES, "n_timesteps": 1500}),
    "es with normalisation": ("es", PENDULUM, {**ES, "normalize": True}),
    "es on Pong": ("es", PONG, {"n_timesteps": 800, "population": 2, "eval_freq": 2}),
    "cmaes on Pendulum": ("cmaes", PENDULUM, ES),
    "sepcmaes on Pendulum": ("sepcmaes", PENDULUM, ES),
    "ars with normalisation": ("ars", PENDULUM, {**ES, "normalize": True}),
}
# One of each kind: what the others add are other settings and other algorithms of a kind.
EXAMPLES = [
    *(("ppo with normalisation", 5), ("dqn on CartPole", 5), ("sac on Pendulum", 5)),
    *(("trpo on Pendulum", 5), ("ppo-many with normalisation", 5), ("dqn-many on CartPole", 5)),
    *(("es with normalisation", 5), ("cmaes on Pendulum", 5), ("maskable_ppo on Taxi", 5)),
]


class KilledError(Exception):
    """In place of kill -9: nothing is tidied up."""


class Clock(Checkpoints):
    """Due at every so manieth opportunity; ends the run after some checkpoints."""

    def __init__(
        self, folder: Path, *, resume: bool, lives: int | None = None, every: int = 1
    ) -> None:
        super().__init__(folder, ABOUT, resume=resume, seconds=0.0)
        self.lives, self.every = lives, every
        self.opportunities = 0

    def due(self) -> bool:
        self.opportunities += 1
        return self.opportunities % self.every == 0

    def save(self, content: Any, here: Spent | None = None) -> None:
        if self.lives == 0:
            raise KilledError
        super().save(content, here)
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
        *slow_but(EXAMPLES, ((name, 5) for name in CASES)),
        ("ppo on CartPole", None),
        ("es on CartPole", None),
    ],
)
def test_a_killed_run_ends_as_the_one_that_was_not(
    name: str, d: int | None, tmp_path: Path
) -> None:
    untouched = run(name, d, None)
    every = EVERY.get(name, 1)
    for lives in (1, 2):  # killed twice, each time between two checkpoints
        with pytest.raises(KilledError):
            run(name, d, Clock(tmp_path, resume=lives > 1, lives=lives, every=every))
    last = Clock(tmp_path, resume=True, every=every)
    assert_same(run(name, d, last), untouched)
    assert last.resumed is not None
    assert last.resumed > case(name)[0].settings(CASES[name][0]).__dict__.get("buffer_size", 0)
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


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def foreign(path: Path) -> None:
    """Write what a stranger may: a checksum that is right, and a state that is none."""
    saved = state.decode(path.read_bytes())
    path.write_bytes(state.encode({**saved, "state": {"steps": "many"}}))


def half_foreign(path: Path) -> None:
    """Write a state that fails once most of it was taken up."""
    saved = state.decode(path.read_bytes())
    del saved["state"]["more"]["champion"]["score"]
    path.write_bytes(state.encode(saved))


def shortened(path: Path) -> None:
    actions = path.parent / ACTIONS
    actions.write_bytes(actions.read_bytes()[:-2000])


def linked(path: Path) -> None:
    actions = path.parent / ACTIONS
    elsewhere = actions.rename(path.parent / "elsewhere")
    actions.symlink_to(elsewhere)


def changed(path: Path) -> None:
    actions = path.parent / ACTIONS
    content = np.frombuffer(actions.read_bytes(), np.int64)
    actions.write_bytes((1 - content).tobytes())


@pytest.mark.parametrize(
    ("harm", "note"),
    [
        (damaged, "not a checkpoint that can be read (damaged: its checksum differs)"),
        (flipped, "not a checkpoint that can be read (damaged: its checksum differs)"),
        (piped, "not a checkpoint that can be read (not a regular file)"),
        (foreign, "not a checkpoint that this run can take up"),
        (half_foreign, "not a checkpoint that this run can take up"),
        (shortened, "holds fewer steps than the checkpoint"),
        (linked, "holds fewer steps than the checkpoint"),
        (changed, "the environment is not deterministic"),
    ],
)
def test_what_cannot_be_taken_up_begins_anew_and_says_so(
    harm: Any, note: str, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        run("ppo on CartPole", 5, Clock(tmp_path, resume=False, lives=3))
    actions = (tmp_path / ACTIONS).read_bytes()
    harm(tmp_path / FILE)
    again = Clock(tmp_path, resume=True)
    assert_same(run("ppo on CartPole", 5, again), run("ppo on CartPole", 5, None))
    assert again.resumed is None
    assert again.note is not None
    assert note in again.note
    assert len(again.note.splitlines()) == 1
    if harm is linked:  # what a link leads to is not written to
        assert (tmp_path / "elsewhere").read_bytes() == actions


@pytest.mark.parametrize("name", ["es with normalisation", "cmaes on Pendulum"])
@pytest.mark.parametrize("lost", ["search", "point", "generation"])
def test_a_strange_state_of_a_search_begins_anew(name: str, lost: str, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run(name, 5, Clock(tmp_path, resume=False, lives=2))
    saved = state.decode((tmp_path / FILE).read_bytes())
    saved["state"][lost] = "lost"
    (tmp_path / FILE).write_bytes(state.encode(saved))
    again = Clock(tmp_path, resume=True)
    assert_same(run(name, 5, again), run(name, 5, None))
    assert again.resumed is None
    assert "not a checkpoint that this run can take up" in str(again.note)


def test_a_flipped_bit_anywhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("cmaes on Pendulum", 5, Clock(tmp_path, resume=False, lives=1))
    path = tmp_path / FILE
    content = path.read_bytes()
    places = np.linspace(0, 8 * len(content) - 1, 200, dtype=int)
    for place in places.tolist():
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        found = Checkpoints(tmp_path, ABOUT, resume=True)
        assert found.load() is None
        assert str(found.note).startswith(f"{path}: not a checkpoint that can be read (")


class Payload:
    """A pickle of it makes a file when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["checkpoint.pkl", FILE])
def test_a_pickle_is_not_opened(name: str, tmp_path: Path) -> None:
    task, trainer = case("cmaes on Pendulum")
    cell = Cell(task.name, trainer, "rademacher", 5, 0)
    made = tmp_path / "made"
    logs = tmp_path / "runs" / str(cell)
    logs.mkdir(parents=True)
    payload = pickle.dumps(({}, (0.0, 0.0), Payload(made)))
    (logs / name).write_bytes(payload)
    assert ledger.run(Job(task, cell, tmp_path / "results", tmp_path / "runs")) is not None
    assert not made.exists()
    pickle.loads(payload)
    assert made.exists()


def test_what_a_kill_left_half_written_is_cleared(tmp_path: Path) -> None:
    checkpoint = tmp_path / f".{FILE}.abcdefgh.tmp"
    solution = tmp_path / ".solution.rlz.abcdefgh.tmp"
    log = tmp_path / "progress.csv"
    for path in (checkpoint, solution, log):
        path.touch()
    Checkpoints(tmp_path, ABOUT, resume=False).save({"steps": 1})
    assert sorted(tmp_path.iterdir()) == [tmp_path / FILE, log]
    solution.touch()
    clear(tmp_path)
    assert list(tmp_path.iterdir()) == [log]


def test_a_search_by_cma_es_goes_on_over_a_restart() -> None:
    """Converged and restarted, killed at any generation: the same candidates, bit by bit."""
    task, _ = case("cmaes on Pendulum")

    def begun() -> CovarianceAdaptation:
        return CovarianceAdaptation(3, 1.0, task.settings("cmaes"), seed=1)

    untouched, killed = begun(), begun()
    restarts = 0
    for generation in range(300):
        before = len(untouched._told)
        points = untouched.ask()
        restarts += len(untouched._told) < before
        np.testing.assert_array_equal(killed.ask(), points)
        returns = -np.square(points).sum(axis=1)
        untouched.tell(returns)
        killed.tell(returns)
        if generation % 7 == 0:
            other = begun()
            other.take_up(state.decode(state.encode(killed.state())))
            killed = other
    assert restarts > 0


def test_perturbations_go_on_without_drawing_what_was() -> None:
    drawn = Perturbations(0, (3, 4))
    for generation in (0, 1, 7):
        numbers = drawn.of(generation).copy()
        other = Perturbations(0, (3, 4))
        other.take_up(state.decode(state.encode(drawn.state())))
        for later in (generation, generation + 1, generation - 1, generation + 2):
            expected = Perturbations(0, (3, 4)).of(max(later, 0))
            np.testing.assert_array_equal(other.of(max(later, 0)), expected)
        np.testing.assert_array_equal(drawn.of(generation), numbers)


def test_another_run_s_checkpoint_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("ppo on CartPole", 5, Clock(tmp_path, resume=False, lives=2))
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
    often = Checkpoints(tmp_path, ABOUT, resume=False, seconds=0.0)
    assert often.due()
    often.save({})
    often._took = 100.0  # seconds, as a large buffer may on a slow disk
    assert not often.due()


def test_a_checkpoint_that_could_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LARGEST", 1000)
    large = Checkpoints(tmp_path, ABOUT, resume=False, seconds=0.0)
    large.save(np.zeros(1000))
    assert list(tmp_path.iterdir()) == []
    assert re.search(
        r"checkpoint.*: of 8,\d+ bytes, too large to be read again$", str(large.unwritten)
    )
    assert large.note is None
    assert not large.due()


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


@pytest.mark.slow
def test_kill_9_and_the_record(tmp_path: Path) -> None:
    """A process that dies between two steps leaves what another ends, on record alike."""
    runs = tmp_path / "runs"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "killed"), str(runs)])
    checkpoint = runs / "cartpole/ppo-rademacher/d25-s0" / FILE
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
