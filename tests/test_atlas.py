"""Many measurements in one sitting: which is next, when it ends, and that it stands still."""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.executors.job import Job, JobError, More, no_more
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.executors.pausing import pausing, stand_still
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.record import Outcome, RunRecord
from rlidim.sweep import natives, row, tiers
from rlidim.sweep.atlas import Sitting, work
from rlidim.sweep.page import page, state
from rlidim.sweep.plan import Plan
from rlidim.tasks.names import find_task
from rlidim.tasks.settings import TRAINERS, TrainerSettings
from rlidim.tasks.task import Search, Target, Task
from rlidim.trainers.run import Run
from tests.factory import make_record, make_task


@dataclass(frozen=True)
class Step(TrainerSettings):
    """Solves its task from ``reach`` dimensions on, after some seconds; natively scores so much."""

    trains = "control"

    n_timesteps: int = 5_000
    reach: int = 3
    seconds: float = 0.0
    native: float = 100.0


def train(run: Run) -> Outcome:
    settings, d = run.settings, run.cell.d
    end = time.process_time() + settings.seconds
    while time.process_time() < end:  # seconds of a core
        pass
    assert settings.reach > 0, "a defect"
    score = settings.native if d is None else 100.0 if d >= settings.reach else 25.0
    return Outcome(
        status="ok",
        returns=(score,),
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


def task_of(name: str, target: Target | None = None, **settings: float) -> Task:
    return make_task(
        name,
        target=target,
        trainers={"step": Step(**settings)},  # type: ignore[arg-type]
        search=Search(seeds=2, baseline_seeds=2, precision=1.5),
    )


def plans_of(*tasks: Task) -> list[Plan]:
    return [Plan.of(task, "step", projection="rademacher") for task in tasks]


def test_every_row_is_brought_to_its_end(tmp_path: Path) -> None:
    plans = plans_of(task_of("low", reach=2), task_of("high", reach=16))
    rows = work(plans, Results(tmp_path), executor=InProcess(), seconds=60)
    assert [row.missing for row in rows] == [0, 0]
    found = [row.measurement.estimate.d_int for row in rows if row.measurement is not None]  # type: ignore[union-attr]
    assert found == [2, 14]
    assert page(rows).count("settled") == 2


def test_what_was_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = plans_of(task_of("low", reach=2))
    work(plans, Results(tmp_path), executor=InProcess(), seconds=60)
    monkeypatch.setattr(InProcess, "run", lambda *_: pytest.fail("a run was made"))
    (row,) = work(plans, Results(tmp_path), executor=InProcess(), seconds=60)
    assert row.missing == 0


def test_the_cheap_row_goes_first_and_the_time_ends_it(tmp_path: Path) -> None:
    """Once runs of each are on record, the row of short runs is the more urgent."""
    told: list[str] = []
    sitting = Sitting(Results(tmp_path), None, 1, math.inf, tell=told.append)
    guessed = 500  # steps: 0.1 seconds of a run
    slow = task_of("slow", reach=5, seconds=0.3, n_timesteps=guessed)
    for plan in plans_of(slow, task_of("fast", reach=5, n_timesteps=guessed)):
        sitting.open(plan)
    for _ in range(5):
        make_round(sitting)
    assert [line.split()[0] for line in told] == ["slow", "fast", "fast", "fast", "fast"]
    assert all(row.missing for row in sitting.rows)
    sitting.end = time.monotonic()
    assert not sitting.more()


def test_a_row_that_cannot_be_measured_keeps_no_other_from_it(tmp_path: Path) -> None:
    broken, sound = task_of("broken", reach=-1), task_of("sound", reach=2)
    refused: list[str] = []
    rows = work(
        plans_of(broken, sound),
        Results(tmp_path),
        executor=InProcess(),
        seconds=60,
        refuse=refused.append,
    )
    assert rows[1].measurement is not None
    assert rows[0].measurement is None
    assert len(refused) == 1
    assert refused[0].startswith("broken step: no estimate: ")
    said = page(rows, refused).splitlines()
    assert said[:3] == ["not measured here: 1", f"  {refused[0]}", ""]
    assert [line.split()[0] for line in said[3:]] == ["sound"]


def test_records_of_other_settings_keep_no_other_row_from_its_own(tmp_path: Path) -> None:
    results, refused = Results(tmp_path), []
    before = plans_of(task_of("changed", reach=2))
    work(before, results, executor=InProcess(), seconds=60)
    now = plans_of(task_of("changed", reach=3), task_of("sound", reach=2))
    (row,) = work(
        now, results, executor=InProcess(), seconds=60, refuse=lambda line: refused.append(line)
    )
    assert row.name == "sound step"
    assert row.missing == 0
    assert [line.partition(":")[0] for line in refused] == ["changed step"]


class TwoAtATime(InProcess):
    """Makes one run after another, but asks for further jobs as two workers would."""

    workers = 2

    def __init__(self) -> None:
        super().__init__()
        self.queues: list[list[str]] = []  # the tasks that runs wait for, at each run

    def run(self, jobs: Sequence[Job], more: More = no_more) -> Iterator[RunRecord]:
        queue = list(jobs)
        while queue or (queue := list(more())):
            if len(queue) < self.workers:
                queue += more()
            self.queues.append([job.task.name for job in queue])
            job = queue.pop(0)
            if job.task.name == "broken":
                raise JobError(job.cell, RlidimError("a mistake"))
            yield from InProcess.run(self, [job])


def test_no_worker_waits_for_the_end_of_another_s_round(tmp_path: Path) -> None:
    """And each row's path is the one that it has by itself."""
    plans = plans_of(task_of("low", reach=2), task_of("high", reach=16))
    two = TwoAtATime()
    work(plans, Results(tmp_path / "two"), executor=two, seconds=60)
    work(plans, Results(tmp_path / "one"), executor=InProcess(), seconds=60)
    cells = [{record.cell for record in Results(tmp_path / n).scan()[0]} for n in ("one", "two")]
    assert cells[0] == cells[1]
    assert {"low", "high"} in [set(queue) for queue in two.queues]
    last = max(i for i, queue in enumerate(two.queues) if set(queue) == {"low", "high"})
    assert all(len(queue) >= 2 for queue in two.queues[:last])


def test_a_mistake_ends_its_own_row_alone(tmp_path: Path) -> None:
    plans, refused = plans_of(task_of("broken"), task_of("sound", reach=2)), []
    rows = work(plans, Results(tmp_path), executor=TwoAtATime(), seconds=60, refuse=refused.append)
    assert refused == ["broken step: a mistake"]
    assert "sound step" in page(rows, refused)
    assert rows[1].measurement is not None


def test_a_row_whose_native_training_does_not_solve_it_ends(tmp_path: Path) -> None:
    unsolved = task_of("unsolved", target=Target(100.0, "ours"), native=60.0)
    plan = Plan.of(unsolved, "step", projection="rademacher", baseline_seeds=8)
    (ended,) = work([plan], Results(tmp_path), executor=InProcess(), seconds=60)
    assert ended.unsolved
    assert {record.cell.d for record in Results(tmp_path).scan()[0]} == {None}
    assert re.fullmatch(
        r"unsolved step +- +native unsolved: 0 of 8 native runs get 0.9 of the way to the target",
        page([ended]),
    )


@pytest.mark.parametrize(
    ("reaching", "runs", "ends"),
    [(0, 8, True), (1, 8, True), (2, 8, False), (4, 8, False), (4, 10, True), (5, 10, False)],
)
def test_native_runs_that_leave_it_in_doubt_end_no_row(
    reaching: int, runs: int, ends: bool
) -> None:
    """Ten are enough, fewer where all but a fifth say the same."""
    task = make_task(target=Target(100.0, "ours"))
    plan = Plan.of(task, "es", projection="rademacher", baseline_seeds=8)
    scores = {Cell.random(task.name): 0.0}
    scores |= {plan.native(seed): 95.0 if seed < reaching else 40.0 for seed in range(runs)}
    records = {cell: make_record(task, cell, score) for cell, score in scores.items()}
    assert natives.reaching(plan, records) == (reaching, runs)
    assert natives.unsolved(plan, records) is ends
    few = dict(list(records.items())[:5])
    assert not natives.unsolved(plan, few)
    failed = {
        plan.native(seed): make_record(task, plan.native(seed), None, status="failed")
        for seed in range(4, runs)
    }
    assert not natives.unsolved(plan, {**few, **failed})


def test_rows_of_long_runs_rest_on_fewer_native_ones(tmp_path: Path) -> None:
    tasks, results = {name: find_task(name) for name in ("cartpole", "pong")}, Results(tmp_path)
    for seed in range(2):
        took = {"cpu_seconds": 1300.0, "versions": {}, "hardware": {}}
        cell = Cell.baseline("pong", "ppo", seed)
        results.write(make_record(tasks["pong"], cell, 19.0, provenance=took))
    found = {plan.task.name: plan for plan in tiers.plans(tasks, "atlas", results=results)}
    assert found["cartpole"].baseline_seeds == 8
    assert found["pong"].baseline_seeds == 4


def test_the_page_says_what_an_open_row_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        return state(*sitting.rows)

    sitting = Sitting(Results(tmp_path), None, 1, time.monotonic() + 60)
    sitting.open(*plans_of(task_of("high", reach=16)))
    assert said() == "open, no reading yet"
    make_round(sitting)  # native runs
    make_round(sitting)  # those at the first d
    assert said() == (
        "open, no forecast before it is bracketed; its lower end open: the runs at d = 8 (0 of 2) "
        "are too few; its upper end open: no tested d up to 8 passes"
    )
    while "bracketed" in said():
        make_round(sitting)
    monkeypatch.setattr(row, "forecast", lambda *_: 90_000.0)
    make_round(sitting)
    assert said().startswith("open, about 25 core hours more")
    monkeypatch.setattr(row, "forecast", lambda *_: None)
    make_round(sitting)
    assert said().startswith("open, not to be had by 16 times as many runs")


def make_round(sitting: Sitting) -> None:
    for record in InProcess().run(sitting.more()):
        sitting.take(record)


def test_a_pool_stands_still_while_the_file_is_there(tmp_path: Path) -> None:
    pool, file, told = ProcessPool(1), tmp_path / "pause", []
    try:
        pool._start().submit(time.sleep, 0).result()
        (process,) = (each.pid for each in pool._processes())
        assert process is not None
        pool._start().submit(time.sleep, 2.0)
        with pausing(pool, file, told.append):
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


def test_the_main_process_stands_still_too(tmp_path: Path) -> None:
    file, steps = tmp_path / "pause", []
    file.write_text("")
    plans, results = plans_of(task_of("low", reach=2)), Results(tmp_path / "results")

    def step() -> None:
        stand_still(file)
        steps.append(time.monotonic())

    worker = threading.Thread(
        target=lambda: work(plans, results, executor=InProcess(), seconds=60, stand_still=step)
    )
    worker.start()
    time.sleep(0.3)
    assert not steps
    file.unlink()
    worker.join(60)
    records, _ = results.scan()
    assert len(steps) > len(records) > 0  # after every record, and before every round


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


def test_the_atlas_s_process_stands_back_and_says_what_it_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from rlidim.cli import cli, suite

    def plans(
        tasks: object, tier: str, refuse: Callable[[str], None], results: object
    ) -> list[Plan]:
        refuse("fetch es: pip install it")
        return plans_of(task_of("low"), task_of("high"))

    niceness: list[int] = []
    monkeypatch.setattr(os, "nice", niceness.append)
    monkeypatch.setattr(tiers, "plans", plans)
    monkeypatch.setattr(suite, "tasks_of", lambda context: {})
    monkeypatch.setattr(suite, "write_tables", lambda context: None)
    words = ["--results", str(tmp_path), "bench", "--tier", "atlas", "--until", "0.001s"]
    done = CliRunner().invoke(cli, [*words, "--log-dir", str(tmp_path)])
    assert niceness == [19]
    assert "not measured here: 1\n  fetch es: pip install it\n\nhigh step" in done.stdout
    assert str(done.exception) == (
        "2 rows stand as shown above, their runs on record; 1 could not be measured: "
        "fetch es: pip install it"
    )
