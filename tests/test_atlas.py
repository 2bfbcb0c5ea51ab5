"""Many measurements in one sitting: which is next, when it ends, and that it stands still."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.record import Outcome
from rlidim.sweep import atlas, tiers
from rlidim.sweep.plan import Plan
from rlidim.tasks.names import find_task
from rlidim.tasks.settings import TRAINERS, TrainerSettings
from rlidim.tasks.task import Search, Task
from rlidim.trainers.run import Run
from tests.factory import make_record, make_task


@dataclass(frozen=True)
class Step(TrainerSettings):
    """Solves its task from ``reach`` dimensions on, after some seconds."""

    trains = "control"

    n_timesteps: int = 5_000
    reach: int = 3
    seconds: float = 0.0


def train(run: Run) -> Outcome:
    settings, d = run.settings, run.cell.d
    end = time.process_time() + settings.seconds
    while time.process_time() < end:  # seconds of a core
        pass
    assert settings.reach > 0, "a defect"
    return Outcome(
        status="ok",
        returns=(100.0 if d is None or d >= settings.reach else 25.0,),
        D=30,
        environment_steps=1,
        curve=(),
        stopped="budget",
        theta_d=None if d is None else np.zeros(d, np.float32),
        theta=None,
        spec=None if d is None else {"family": "rademacher", "D": 30, "d": d, "seed": 0},
        network={},
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRAINERS, "step", Step)


def task_of(name: str, **settings: float) -> Task:
    return make_task(
        name,
        trainers={"step": Step(**settings)},  # type: ignore[arg-type]
        search=Search(seeds=2, baseline_seeds=2, precision=1.5),
    )


def plans_of(*tasks: Task) -> list[Plan]:
    return [Plan.of(task, "step", projection="rademacher") for task in tasks]


def test_every_row_is_brought_to_its_end(tmp_path: Path) -> None:
    plans = plans_of(task_of("low", reach=2), task_of("high", reach=16))
    rows = atlas.work(plans, Results(tmp_path), executor=InProcess(), seconds=60)
    assert [row.missing for row in rows] == [0, 0]
    found = [row.measurement.estimate.d_int for row in rows if row.measurement is not None]  # type: ignore[union-attr]
    assert found == [2, 14]
    assert atlas.page(rows).count("settled") == 2


def test_what_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = plans_of(task_of("low", reach=2))
    atlas.work(plans, Results(tmp_path), executor=InProcess(), seconds=60)
    monkeypatch.setattr(InProcess, "run", lambda *_: pytest.fail("a run was made"))
    (row,) = atlas.work(plans, Results(tmp_path), executor=InProcess(), seconds=60)
    assert row.missing == 0


@pytest.mark.slow
def test_the_cheap_row_goes_first_and_the_time_ends_it(tmp_path: Path) -> None:
    """Once runs of each are on record, the row of short runs is the more urgent."""
    plans = plans_of(task_of("slow", reach=5, seconds=3.0), task_of("fast", reach=5))
    told: list[str] = []
    rows = atlas.work(plans, Results(tmp_path), executor=InProcess(), seconds=45, tell=told.append)
    names = [line.split()[0] for line in told]
    assert rows[1].missing == 0
    assert rows[0].missing > 0
    fast = names.count("fast")
    turns = [index for index, name in enumerate(names) if name == "slow"]
    assert turns[:2] == [0, fast + 1]
    assert re.search(
        r"slow step .*open; (about [\d,]+ core minutes|no forecast yet)", atlas.page(rows)
    )


def test_a_row_that_cannot_be_measured_keeps_no_other_from_it(tmp_path: Path) -> None:
    broken, sound = task_of("broken", reach=-1), task_of("sound", reach=2)
    refused: list[str] = []
    rows = atlas.work(
        plans_of(broken, sound),
        Results(tmp_path),
        executor=InProcess(),
        seconds=60,
        refuse=refused.append,
    )
    assert rows[1].measurement is not None
    assert rows[0].measurement is None
    assert "broken step" in atlas.page(rows)
    assert len(refused) == 1
    assert refused[0].startswith("broken step: ")


def test_records_of_other_settings_keep_no_other_row_from_its_own(tmp_path: Path) -> None:
    results, refused = Results(tmp_path), []
    before = plans_of(task_of("changed", reach=2))
    atlas.work(before, results, executor=InProcess(), seconds=60)
    now = plans_of(task_of("changed", reach=3), task_of("sound", reach=2))
    (row,) = atlas.work(
        now, results, executor=InProcess(), seconds=60, refuse=lambda line: refused.append(line)
    )
    assert row.name == "sound step"
    assert row.missing == 0
    assert [line.partition(":")[0] for line in refused] == ["changed step"]


def test_rows_of_long_runs_rest_on_fewer_native_ones(tmp_path: Path) -> None:
    tasks, results = {name: find_task(name) for name in ("cartpole", "pong")}, Results(tmp_path)
    for seed in range(2):
        took = {"cpu_seconds": 1300.0, "versions": {}, "hardware": {}}
        cell = Cell.baseline("pong", "ppo", seed)
        results.write(make_record(tasks["pong"], cell, 19.0, provenance=took))
    found = {plan.task.name: plan for plan in tiers.plans(tasks, "atlas", results=results)}
    assert found["cartpole"].baseline_seeds == 8
    assert found["pong"].baseline_seeds == 4


def test_a_pool_stands_still_while_the_file_is_there(tmp_path: Path) -> None:
    pool, file, told = ProcessPool(1, nice=7), tmp_path / "pause", []
    try:
        pool._start().submit(time.sleep, 0).result()
        (process,) = (each.pid for each in pool._processes())
        assert process is not None
        niceness = os.getpriority(os.PRIO_PROCESS, process)
        assert niceness == min(os.getpriority(os.PRIO_PROCESS, 0) + 7, 19)
        pool._start().submit(time.sleep, 2.0)
        with atlas.pausing(pool, file, told.append):
            file.write_text("")
            wait_for(lambda: state_of(process) == "T")
            file.unlink()
            wait_for(lambda: state_of(process) != "T")
        assert [line.split(":")[-1].strip() for line in told] == [
            "paused until it is gone",
            "going on",
        ]
    finally:
        pool.close()


def state_of(process: int) -> str:
    """Return a letter: T of a process that was stopped (proc(5))."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_has_no_time_to_end_at() -> None:
    from click.testing import CliRunner

    from rlidim.cli import cli

    done = CliRunner().invoke(cli, ["bench", "--until", "1s", "--executor", "ray"])
    assert isinstance(done.exception, RlidimError)
    assert "--until works on this machine" in str(done.exception)
    refused = CliRunner().invoke(cli, ["bench", "--until", "soon"])
    assert "expected a time such as 3h, 20m or 90s, got 'soon'" in refused.output
