"""Runs that their trainer makes side by side have the records that they would have one by one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from rlidim.errors import RlidimError
from rlidim.executors.job import Job, batches, limited
from rlidim.executors.ledger import run, run_together
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.executors.making import Attempt, make_together
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.lock import claim
from rlidim.records.record import RunRecord
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import PPOManySettings, PPOSettings
from rlidim.tasks.task import Task
from rlidim.trainers.many import kernels
from tests.factory import make_task
from tests.trainers import faulty

if kernels.MISSING:
    pytest.skip(kernels.MISSING, allow_module_level=True)

SETTINGS: dict[str, Any] = {"n_timesteps": 1024, "n_envs": 4, "n_steps": 64, "n_epochs": 2}


def task_of(environment: str = "CartPole-v1", **settings: Any) -> Task:
    settings = {**SETTINGS, **settings}
    return make_task(
        environment=Environment(environment),
        network=Network((8,)),
        evaluation=Evaluation(episodes=4, checkpoint_episodes=2),
        trainers={"ppo": PPOSettings(**settings), "ppo-many": PPOManySettings(**settings)},
    )


def jobs(folder: Path, task: Task | None = None, trainer: str = "ppo-many") -> list[Job]:
    chosen = task or task_of()
    cells = [Cell(chosen.name, trainer, "rademacher", d, seed) for d in (2, 6) for seed in (0, 1)]
    native = [Cell.baseline(chosen.name, trainer, seed) for seed in (0, 1)]
    return [Job(chosen, cell, folder, folder / "runs") for cell in [*native, *cells]]


def by_cell(records: Iterator[RunRecord]) -> dict[Cell, RunRecord]:
    return {record.cell: record for record in records}


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    executor = ProcessPool(2)
    yield executor
    executor.close()


def test_runs_are_dealt_out_to_the_workers(tmp_path: Path) -> None:
    several, others = jobs(tmp_path), jobs(tmp_path, trainer="ppo")
    assert batches([*others, *several], 2) == [several[0::2], several[1::2], *([j] for j in others)]
    assert batches(several[:1], 2) == [several[:1]]
    assert batches(several, 1) == [several]
    assert batches(limited(several, 60.0), 2) == [[job] for job in limited(several, 60.0)]


@pytest.mark.slow
def test_the_records_are_those_of_one_by_one(tmp_path: Path, pool: ProcessPool) -> None:
    alone = {job.cell: run(job) for job in jobs(tmp_path / "alone")}
    together = by_cell(InProcess().run(jobs(tmp_path / "together")))
    assert together.keys() == alone.keys()
    for cell, record in together.items():
        assert record.status == "ok"
        assert record.same_result(alone[cell])  # type: ignore[arg-type]
        assert Results(tmp_path / "together").load(cell) == record
    shared: dict[Cell, RunRecord] = {}
    for record in pool.run(jobs(tmp_path / "pool")):
        if not shared:  # the others are made again, each by itself
            for process in pool._processes():
                os.kill(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
        shared[record.cell] = record
    assert shared.keys() == alone.keys()
    for cell, record in shared.items():
        assert record.same_result(alone[cell])  # type: ignore[arg-type]


def test_the_seconds_of_a_batch_are_shared_among_its_runs(tmp_path: Path) -> None:
    records = list(InProcess().run(jobs(tmp_path)))
    alone = run(jobs(tmp_path / "alone")[0])
    assert alone is not None
    together = sum(record.provenance["cpu_seconds"] for record in records)
    assert together < 10 * len(records) * alone.provenance["cpu_seconds"]
    assert min(record.provenance["cpu_seconds"] for record in records) > 0


def test_what_is_on_record_or_held_elsewhere_is_left(tmp_path: Path) -> None:
    asked = jobs(tmp_path)
    first = run(asked[0])
    with claim(tmp_path, asked[1].cell):
        made = {job.cell: record for job, record in run_together(asked)}
    assert made[asked[0].cell] == first
    assert made[asked[1].cell] is None
    assert all(made[job.cell] is not None for job in asked[2:])


class Moody(faulty.Uneven):
    """Breaks down at a step that its seed decides."""

    def step(self, action: Any) -> Any:
        if self.np_random.random() < 0.001:
            raise ZeroDivisionError("a mood")
        return super().step(action)


class Shy(faulty.Uneven):
    """Breaks down where some policies are scored, at one in eight of the seeds for that."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.shy = seed is not None and seed >= 2**29 and seed % 8 == 0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        if self.shy:
            raise ZeroDivisionError("a mood")
        return super().step(action)


class Asleep(faulty.Uneven):
    """Does not begin at some of the seeds that runs are trained at."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None and seed < 2**29 and seed // 16 % 2:
            raise ZeroDivisionError("a mood")
        return super().reset(seed=seed, options=options)


gymnasium.register("Asleep-v0", entry_point=Asleep, disable_env_checker=True)
gymnasium.register("Moody-v0", entry_point=Moody, disable_env_checker=True)
gymnasium.register("Shy-v0", entry_point=Shy, disable_env_checker=True)


@pytest.mark.parametrize("name", ["Moody-v0", "Shy-v0", "Asleep-v0"])
def test_an_environment_that_breaks_ends_its_run_alone(name: str, tmp_path: Path) -> None:
    asked = jobs(tmp_path, task_of(name))
    records = by_cell(InProcess().run(asked))
    failed = {cell for cell, record in records.items() if record.status == "failed"}
    assert 0 < len(failed) < len(records)
    for cell in failed:
        assert "ZeroDivisionError: a mood" in str(records[cell].error)
    for job in jobs(tmp_path / "alone", task_of(name)):
        alone = run(job)
        assert alone is not None
        assert alone.status == records[job.cell].status
        if alone.status == "ok":
            assert alone.same_result(records[job.cell])


def test_what_a_report_raises_is_no_failure_of_the_runs(tmp_path: Path) -> None:
    def report(steps: int, score: float | None) -> None:
        raise BrokenPipeError("nobody listens")

    attempts = [Attempt(job, 1, None) for job in jobs(tmp_path)]
    with pytest.raises(BrokenPipeError, match="nobody listens"):
        list(make_together(attempts, report))


def test_a_users_mistake_is_raised(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="NaN or infinite"):
        list(InProcess().run(jobs(tmp_path, task_of("NotANumber-v0"))))
