"""A population's episodes: the same for every split, observations summed up, workers that fail."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import rlidim
from rlidim.environments import arena, making
from rlidim.environments.moments import Moments
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.configuration import configuration
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Environment
from rlidim.tasks.task import Task
from rlidim.trainers.evolution import workers
from rlidim.trainers.evolution.antithetic import LowRankPerturbations, Perturbations
from rlidim.trainers.evolution.normalisation import CLIP, SMALLEST_VARIANCE, RunningStatistics
from rlidim.trainers.evolution.openai_es import OpenAIEvolutionStrategy
from rlidim.trainers.evolution.population import Generation, Played, Player, Population
from rlidim.trainers.evolution.searches import Vector
from rlidim.trainers.run import Run, train
from tests.test_executors import state_of

POPULATION = 10
NO_MATRICES = "rank 1: perturbations of low rank are of matrices, which theta_d has none of"


def task_of(identity: str = "Pendulum-v1", **settings: Any) -> Task:
    """Return a quick task whose environments are separate ones."""
    chosen = {"population": POPULATION, "normalize": True, "n_timesteps": 4_000, **settings}
    task = find_task("pendulum").replace_settings("es", {**chosen, "eval_freq": 1})
    return task.replace_problem(
        environment=Environment(id=identity),
        evaluation=dataclasses.replace(task.control.evaluation, checkpoint_episodes=2, episodes=3),
    )


def cell_of(d: int | None = 5, trainer: str = "es") -> Cell:
    return Cell("pendulum", trainer, "native" if d is None else "rademacher", d, 0)


@contextmanager
def player_of(task: Task, cell: Cell) -> Iterator[Player]:
    player = Player(task, cell, Seeds.of(cell))
    yield player
    player.close()


class Inline:
    """A worker in this process: what an actor of a cluster would be."""

    def begin(self, task: Task, cell: Cell, seeds: Seeds) -> None:
        self.player = Player(task, cell, seeds)

    def submit(self, generation: Generation, centre: Vector, members: np.ndarray) -> None:
        self.asked = (generation, centre, members)

    def collect(self) -> Played:
        return self.player.evaluate(*self.asked)

    def close(self) -> None:
        self.player.close()


def inline(count: int) -> list[Inline]:
    found = [Inline() for _ in range(count)]
    for worker in found:
        worker.begin(task_of(), cell_of(), Seeds.of(cell_of()))
    return found


@pytest.mark.parametrize("observe", [False, True])
@pytest.mark.parametrize("others", [1, 2, 4])
def test_a_split_changes_no_bit(others: int, observe: bool) -> None:
    """A later generation too, whose perturbations the workers must find by themselves."""
    with player_of(task_of(), cell_of()) as player:
        for index in range(3):
            points = player.search.ask()
            generation = Generation(index, 17, player.architecture if observe else None)
            alone = Population(player, POPULATION, []).play(generation, points)
            if index != 1:  # the workers miss a generation
                found = inline(others)
                split = Population(player, POPULATION, list(found)).play(generation, points)
                np.testing.assert_array_equal(split.returns, alone.returns)
                assert split.steps == alone.steps
                for name in ("count", "total", "squares"):
                    if observe:
                        np.testing.assert_array_equal(
                            getattr(split.moments, name), getattr(alone.moments, name)
                        )
                assert (split.moments is not None) == observe
            player.search.tell(alone.returns)


@pytest.mark.slow
def test_worker_processes_give_the_same_outcome() -> None:
    task, cell = task_of(), cell_of()
    outcomes = [
        train(Run(task, cell, Seeds.of(cell), processes=processes)) for processes in (1, 2, 3)
    ]
    first, *others = [dataclasses.asdict(outcome) for outcome in outcomes]
    for other in others:
        for name in ("theta_d", "theta"):
            np.testing.assert_array_equal(other[name], first[name])
        assert {**other, "theta_d": None, "theta": None} == {
            **first,
            "theta_d": None,
            "theta": None,
        }


@pytest.mark.parametrize("trainer", ["es", "cmaes"])
def test_normalised_records_score_as_they_did(trainer: str, tmp_path: Path) -> None:
    """The statistics are recorded with the solution: its own episodes give its own returns."""
    task = task_of().replace_settings(trainer, {"normalize": True, "n_timesteps": 4_000})
    task = task.replace_settings(trainer, {"population": POPULATION, "eval_freq": 1})
    cell = cell_of(5, trainer)
    record = run(Job(task, cell, tmp_path))
    assert record is not None
    assert record.status == "ok", record.error
    again = run(Job(task, cell, tmp_path / "again"))
    assert again is not None
    assert again.same_result(record)
    assert record.settings["trainer"]["normalize"] is True
    policy = playback.policy_of(record, Results(tmp_path).path(cell), tmp_path)
    mean, variance = policy.architecture.observation_mean, policy.architecture.observation_variance
    assert mean is not None
    assert variance is not None
    assert min(variance) >= SMALLEST_VARIANCE
    assert policy.architecture.clip_observation == CLIP
    played = arena.evaluate(task, policy, len(record.returns), record.seeds.evaluation)
    np.testing.assert_array_equal(played.returns, record.returns)


def test_statistics_are_those_of_the_observations() -> None:
    architecture = Architecture(3, 1, (4,), "tanh", "he_normal", 1.0, "clip", (-1.0,), (1.0,))
    observations = np.random.default_rng(0).normal([0.0, 5.0, 1e3], [1.0, 2.0, 1e-3], (50, 4, 3))
    moments = Moments(4, 3)
    for step, seen in enumerate(observations):
        rows = np.arange(4) if step < 30 else np.array([0, 2])
        moments.add(rows, seen[rows].astype(np.float32))
    statistics = RunningStatistics(architecture)
    fresh = statistics.freeze()
    assert fresh.observation_mean == (0.0, 0.0, 0.0)
    assert fresh.observation_variance == (1.0, 1.0, 1.0)
    statistics.add(moments)
    frozen = statistics.freeze()
    every = np.concatenate(
        (observations[:30].reshape(-1, 3), observations[30:, [0, 2]].reshape(-1, 3))
    )
    np.testing.assert_allclose(frozen.observation_mean, every.mean(0), rtol=1e-3, atol=1e-3)
    expected = np.maximum(every.var(0), SMALLEST_VARIANCE)
    np.testing.assert_allclose(frozen.observation_variance[:2], expected[:2], rtol=1e-2)
    assert dataclasses.replace(architecture) == architecture  # nothing of it was changed


def test_finished_members_are_observed_no_more() -> None:
    task = task_of("Acrobot-v1")
    with player_of(task, cell_of()) as player:
        generation = Generation(0, 3, player.architecture)
        played = player.play(generation, player.search.ask(), np.arange(POPULATION))
        assert played.moments is not None
        assert played.moments.count.sum() == played.steps


def test_perturbations_are_a_function_of_the_generation() -> None:
    shape = (3, 4)
    one = Perturbations(5, shape)
    drawn = [one.of(index).copy() for index in range(4)]
    assert not np.array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(Perturbations(5, shape).of(3), drawn[3])
    for index in (2, 0, 3, 3):
        np.testing.assert_array_equal(one.of(index), drawn[index])


def test_perturbations_of_low_rank_are_eggroll_s() -> None:
    shapes, pairs = [(5, 7), (5,), (4, 2, 3, 3), (4,)], 4_000
    drawn = LowRankPerturbations(1, pairs, 2, shapes).of(0)
    assert drawn.shape == (pairs, 35 + 5 + 72 + 4)
    matrices, kernels = drawn[:, :35].reshape(-1, 5, 7), drawn[:, 40:112].reshape(-1, 4, 18)
    for each in (matrices, kernels):
        assert (np.linalg.matrix_rank(each[:50]) == 2).all()
    # Every number has variance 1, and none goes with another: the same steps on average.
    np.testing.assert_allclose(drawn.T @ drawn / pairs, np.eye(drawn.shape[1]), atol=0.15)


def test_low_rank_is_for_native_training(tmp_path: Path) -> None:
    task = task_of().replace_settings("es", {"rank": 1, "n_timesteps": 500})
    record = run(Job(task, Cell(task.name, "es", "native", None, 0), tmp_path))
    assert record is not None
    assert record.status == "ok", record.error
    assert record.settings["trainer"]["rank"] == 1
    assert "rank" not in configuration(task_of(), cell_of())["trainer"]
    with pytest.raises(RlidimError, match=NO_MATRICES):
        Player(task, Cell(task.name, "es", "rademacher", 3, 0), Seeds.of(cell_of()))


@pytest.mark.parametrize(
    "asked",
    [
        lambda task, folder: rlidim.train(task, "es", d=3, results=folder),
        lambda task, folder: rlidim.measure(task, "es", results=folder),
    ],
)
def test_low_rank_is_refused_before_any_run(
    asked: Callable[[Task, Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(run: Run) -> NoReturn:
        raise AssertionError(f"{run.cell} was made")

    monkeypatch.setattr("rlidim.executors.making.train", made)
    with pytest.raises(RlidimError, match=NO_MATRICES):
        asked(task_of().replace_settings("es", {"rank": 1}), tmp_path)


def test_candidates_are_what_is_asked() -> None:
    settings = task_of().settings("es")
    search = OpenAIEvolutionStrategy(6, 1.0, settings, seed=2)
    search.tell(np.arange(float(POPULATION)))
    asked = search.ask()
    members = np.array([7, 2, 9])
    other = OpenAIEvolutionStrategy(6, 1.0, settings, seed=2)
    np.testing.assert_array_equal(other.candidates(1, search.mean, members), asked[members])


@pytest.mark.parametrize(
    ("name", "trainer", "processes", "message"),
    [
        ("cartpole", "es", 2, "CartPole-v1 is one vector of environments"),
        ("inverted-pendulum", "es", 17, "population of 32 can be split over at most 16"),
        ("inverted-pendulum", "cmaes", 2, "trainer 'cmaes' takes 1; es can be split"),
    ],
)
def test_what_cannot_be_split_is_named(
    name: str, trainer: str, processes: int, message: str
) -> None:
    task, cell = find_task(name), Cell(name, trainer, "rademacher", 2, 0)
    with pytest.raises(RlidimError, match=message):
        train(Run(task, cell, Seeds.of(cell), processes=processes))


def test_failures_of_a_worker_reach_the_run() -> None:
    """An environment's fault is the user's line, another exception and a death are failures."""
    cell = cell_of()
    generation = Generation(0, 1)
    faulty, broken = (
        workers.start(task, cell, Seeds.of(cell), 1)[0]
        for task in (task_of("NoSuch-v0"), task_of())
    )
    assert isinstance(broken, workers.ProcessWorker)
    try:
        faulty.submit(generation, np.zeros(5), np.arange(2))
        broken.submit(generation, np.zeros(6), np.arange(2))  # a centre of another space
        with pytest.raises(RlidimError, match="NoSuch"):
            faulty.collect()
        with pytest.raises(RuntimeError, match="Traceback"):
            broken.collect()
        broken._process.kill()
        broken._process.join()
        with pytest.raises(RuntimeError, match="died"):  # at once, or with the answer
            _ask(broken, generation)
    finally:
        for worker in (faulty, broken):
            worker.close()
    assert not broken._process.is_alive()


ORPHANED = """
import sys, time
import numpy as np
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.problems import Environment
from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.trainers.evolution import workers
from rlidim.trainers.evolution.population import Generation
from tests.factory import make_task

if __name__ == "__main__":
    environment = Environment("tests.deadly:Patient-v0", {"gate": sys.argv[1]})
    trainers = {"es": EvolutionStrategySettings(n_timesteps=2000)}
    task = make_task("patient", environment=environment, trainers=trainers)
    cell = Cell("patient", "es", "rademacher", 3, 0)
    (worker,) = workers.start(task, cell, Seeds.of(cell), 1)
    worker.submit(Generation(0, 1), np.zeros(3), np.arange(2))
    time.sleep(3600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_worker_ends_with_a_killed_parent(tmp_path: Path) -> None:
    """Whatever it is at: it waits for a file that never comes."""
    script = tmp_path / "script.py"
    script.write_text(ORPHANED)
    root = str(Path(__file__).parent.parent.parent)
    parent = subprocess.Popen(
        [sys.executable, script, tmp_path / "gate"], env={**os.environ, "PYTHONPATH": root}
    )
    deadline = time.monotonic() + 120
    while not (waiting := list(tmp_path.glob("gate-*"))):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    worker = int(waiting[0].name.split("-")[2])
    ended = time.monotonic() + 20
    while state_of(worker)[0] not in "XZ":
        if time.monotonic() > ended:
            os.kill(worker, signal.SIGKILL)
            pytest.fail("the worker goes on")
        time.sleep(0.05)


def _ask(worker: workers.ProcessWorker, generation: Generation) -> None:
    worker.submit(generation, np.zeros(5), np.arange(2))
    worker.collect()


def test_mujoco_s_warnings_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of its model of the cheetah; a file in the working folder it would be, and a line each."""
    pytest.importorskip("mujoco")
    monkeypatch.chdir(tmp_path)
    making.make(task_of("HalfCheetah-v5")).close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
