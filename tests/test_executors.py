"""Cells run once, wherever they run, and a run that was killed at any moment costs nothing else."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.executors import making
from rlidim.executors.job import Executor, Job, JobError
from rlidim.executors.ledger import ATTEMPTS, DEATH, finished, record_end, run, run_when_free
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.executors.making import DIED, one_thread
from rlidim.records import checkpoints
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.lock import claim
from rlidim.records.record import Outcome, RunRecord
from rlidim.sweep.plan import Plan
from rlidim.sweep.search import search
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Environment
from rlidim.tasks.task import Task
from rlidim.trainers.parent import starting_workers
from tests.factory import make_record

TASK = "codimension-1"
CELLS = [Cell(TASK, "cmaes", "rademacher", d, seed) for d in (1, 2) for seed in range(3)]


def quick() -> Task:
    return find_task(TASK).replace_settings("cmaes", {"n_timesteps": 2000})


def jobs(folder: Path, cells: list[Cell] = CELLS) -> list[Job]:
    return [Job(quick(), cell, folder) for cell in cells]


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    executor = ProcessPool(2)
    yield executor
    executor.close()


def results_of(folder: Path) -> dict[Cell, RunRecord]:
    records, problems = Results(folder).scan()
    assert not problems
    return {record.cell: record for record in records}


def trainer_that(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setattr(making, "train", function)


def outcome(score: float = 1.0) -> Outcome:
    return Outcome(
        status="ok",
        returns=(score,),
        D=10,
        environment_steps=1,
        curve=(),
        stopped="budget",
        theta_d=np.zeros(1, np.float32),
        theta=None,
        spec={"family": "rademacher", "D": 10, "d": 1, "seed": 0},
        network={},
    )


def test_any_number_of_workers_makes_the_same_records(tmp_path: Path, pool: ProcessPool) -> None:
    executors: dict[str, Executor] = {"one": InProcess(), "two": pool}
    for name, executor in executors.items():
        assert {record.cell for record in executor.run(jobs(tmp_path / name))} == set(CELLS)
    one, two = (results_of(tmp_path / name) for name in executors)
    assert one.keys() == two.keys() == set(CELLS)
    for cell in CELLS:
        assert one[cell].same_result(two[cell]), cell


def test_what_is_on_record_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(jobs(tmp_path)[0])
    trainer_that(monkeypatch, lambda *_: pytest.fail("ran again"))
    assert run(jobs(tmp_path)[0]) == first


def test_what_a_report_raises_is_no_failure_of_the_run(tmp_path: Path) -> None:
    def report(steps: int, score: float | None) -> None:
        raise BrokenPipeError("nobody listens")

    with pytest.raises(BrokenPipeError, match="nobody listens"):
        run(jobs(tmp_path)[0], report=report)
    assert not results_of(tmp_path)


def test_other_settings_are_refused_not_mixed(tmp_path: Path) -> None:
    run(jobs(tmp_path)[0])
    other = quick().replace_settings("cmaes", {"population": 12})
    with pytest.raises(RlidimError, match=r"population = .* now it is 12"):
        run(Job(other, CELLS[0], tmp_path))


def test_a_failure_is_tried_twice_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fail(*arguments: Any) -> Outcome:
        calls.append(1)
        raise ZeroDivisionError("a defect")

    trainer_that(monkeypatch, fail)
    for attempt in (1, 2, 3):
        record = run(jobs(tmp_path)[0])
        assert record is not None
        assert record.status == "failed"
        assert record.score is None
        assert "ZeroDivisionError: a defect" in str(record.error)
        assert record.attempts == min(attempt, ATTEMPTS)
    assert len(calls) == ATTEMPTS


def test_logs_that_cannot_be_written_are_named_before_a_run(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    job = Job(quick(), CELLS[0], tmp_path / "results", blocked)
    with pytest.raises(RlidimError, match=r"file: cannot be written .* --log-dir"):
        run(job)
    assert not results_of(tmp_path / "results")


def test_a_failed_run_keeps_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another attempt goes on from it."""
    job = Job(quick(), CELLS[0], tmp_path / "results", tmp_path / "runs")
    checkpoint = tmp_path / "runs" / str(CELLS[0]) / checkpoints.FILE

    def fails(*arguments: Any) -> Outcome:
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"the last one")
        raise MemoryError

    trainer_that(monkeypatch, fails)
    record = run(job)
    assert record is not None
    assert record.status == "failed"
    assert checkpoint.exists()
    monkeypatch.undo()
    assert run_when_free(job).status == "ok"
    assert not checkpoint.exists()


def test_what_a_killed_run_left_half_written_in_its_logs_goes(tmp_path: Path) -> None:
    job = Job(quick(), CELLS[0], tmp_path / "results", tmp_path / "runs")
    logs = tmp_path / "runs" / str(CELLS[0])
    logs.mkdir(parents=True)
    (logs / f".{checkpoints.FILE}.x1.tmp").write_text("half")
    (logs / ".solution.safetensors.x2.tmp").write_text("half")
    (logs / "mine.csv").write_text("whole")
    assert run_when_free(job).status == "ok"
    assert [path.name for path in logs.iterdir()] == ["mine.csv"]


def test_a_second_try_may_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([RuntimeError("once"), outcome()])

    def sometimes(*arguments: Any) -> Outcome:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    trainer_that(monkeypatch, sometimes)
    first, second = run(jobs(tmp_path)[0]), run(jobs(tmp_path)[0])
    assert first is not None
    assert second is not None
    assert (first.status, second.status, second.attempts) == ("failed", "ok", 2)


def test_settings_that_failed_do_not_block_those_that_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer_that(monkeypatch, lambda *_: 1 / 0)
    failed = run(jobs(tmp_path)[0])
    assert failed is not None
    assert failed.status == "failed"
    trainer_that(monkeypatch, lambda *_: outcome())
    mended = run(Job(quick().replace_settings("cmaes", {"population": 12}), CELLS[0], tmp_path))
    assert mended is not None
    assert (mended.status, mended.attempts) == ("ok", 1)


def test_force_replaces_a_record_only_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(jobs(tmp_path)[0])

    def interrupt(*arguments: Any) -> Outcome:
        raise KeyboardInterrupt

    trainer_that(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(jobs(tmp_path)[0], force=True)
    assert Results(tmp_path).load(CELLS[0]) == first


@pytest.mark.slow
def test_a_worker_that_dies_while_idle_costs_nothing(tmp_path: Path, pool: ProcessPool) -> None:
    records = []
    for record in pool.run(jobs(tmp_path)):
        if not records:
            assert pool._pool is not None
            for process in list((pool._pool._processes or {}).values()):
                process.kill()
            time.sleep(0.5)
        records.append(record)
    assert {record.cell for record in records} == set(CELLS)
    assert {record.status for record in records} == {"ok"}


def test_a_users_mistake_is_raised_and_leaves_no_record(tmp_path: Path, pool: ProcessPool) -> None:
    too_many = [Cell(TASK, "cmaes", "rademacher", 10**6, 0)]
    for executor in (InProcess(), pool):
        with pytest.raises(RlidimError, match="between 1 and D = 25"):
            list(executor.run(jobs(tmp_path, too_many)))
    assert not results_of(tmp_path)


def test_whoever_has_many_jobs_is_told_whose_the_mistake_is(
    tmp_path: Path, pool: ProcessPool
) -> None:
    too_many = Cell(TASK, "cmaes", "rademacher", 10**6, 0)
    with pytest.raises(JobError, match="between 1 and D = 25") as caught:
        list(pool.run(jobs(tmp_path, [CELLS[0], too_many])))
    assert caught.value.cell == too_many


def test_more_is_asked_for_before_a_worker_has_nothing_to_do(
    tmp_path: Path, pool: ProcessPool
) -> None:
    waiting = jobs(tmp_path)
    events: list[str] = []

    def more() -> list[Job]:
        events.append("asked")
        return [waiting.pop(0)] if waiting else []

    made = []
    for record in pool.run([waiting.pop(0)], more):
        events.append("made")
        made.append(record.cell)
    assert sorted(made, key=str) == sorted(CELLS, key=str)
    assert events[0] == "asked"  # one job for two workers
    assert events[-1] == "asked"  # in vain


@pytest.mark.slow
def test_a_closed_pool_works_again_after_a_mistake(tmp_path: Path, pool: ProcessPool) -> None:
    too_many = Cell(TASK, "cmaes", "rademacher", 10**6, 0)
    with pytest.raises(RlidimError, match="between 1 and D = 25"):
        # The other worker is at a run while the mistake is raised.
        list(pool.run(jobs(tmp_path / "before", [too_many, *CELLS])))
    pool.close()
    after = jobs(tmp_path / "after", CELLS[:2])
    assert len(list(pool.run(after))) == len(after)


def test_a_cell_held_elsewhere_is_waited_for(tmp_path: Path) -> None:
    results = Results(tmp_path)
    with claim(results.folder, CELLS[0]) as mine:
        assert mine
        assert run(jobs(tmp_path)[0]) is None
    assert run_when_free(jobs(tmp_path)[0]).status == "ok"


@pytest.mark.slow
def test_a_dying_worker_costs_only_its_own_cell(tmp_path: Path) -> None:
    """In a process of its own, since workers are started fresh and see no monkeypatch of ours."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import os, signal, sys
from pathlib import Path
from rlidim.executors import making
from rlidim.executors.local import ProcessPool
from tests.test_executors import CELLS, jobs

real = making.train

def deadly(run):
    if run.cell == CELLS[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(run)

making.train = deadly

if __name__ == "__main__":
    pool = ProcessPool(2)
    list(pool.run(jobs(Path(sys.argv[1]))))
    pool.close()
"""
    )
    root = Path(__file__).parent.parent
    subprocess.run(
        [sys.executable, script, tmp_path / "results"],
        env={**os.environ, "PYTHONPATH": str(root)},
        check=True,
        timeout=120,
    )
    records = results_of(tmp_path / "results")
    assert records.keys() == set(CELLS)
    for cell, record in records.items():
        assert record.status == ("failed" if cell == CELLS[1] else "ok")
    assert "worker process died" in str(records[CELLS[1]].error)


COMMAND = [sys.executable, "-m", "rlidim"]
MEASURE = [TASK, "measure", "--trainer", "cmaes", "--dims", "1,2,3", "--seeds", "4", "--json"]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--results", folder / "results", *MEASURE, "--workers", "2"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.slow
def test_killed_at_any_moment_is_never_killed(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert start(whole).wait(120) == 0
    expected = results_of(whole / "results")
    assert len(expected) == 1 + 4 + 12
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = start(killed)
        before = len(list((killed / "results").rglob("*.json")))
        deadline = time.monotonic() + 60
        # Once it is at work, at a moment that chance decides.
        while len(list((killed / "results").rglob("*-s*.json"))) <= before:
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.1)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(killed).wait(120) == 0
    found = results_of(killed / "results")
    assert found.keys() == expected.keys()
    for cell, record in found.items():
        assert record.same_result(expected[cell])
    assert not list((killed / "results").rglob("*.tmp"))


def state_of(process: int) -> tuple[str, int]:
    """Return a process's state (Z: ended, not yet reaped) and its parent; X if there is none."""
    try:
        state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "X", 0
    return state, int(parent)


def workers_of(parent: int) -> list[int]:
    """Return the processes whose parent a process is."""
    every = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [process for process in every if state_of(process)[1] == parent]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.slow
def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    process = start(tmp_path)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "results").rglob("*-s*.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = workers_of(process.pid)
    assert len(workers) >= 2
    os.kill(process.pid, signal.SIGKILL)  # the parent alone
    process.wait()
    while any(state_of(worker)[0] not in "XZ" for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_two_sweeps_on_one_folder_share_the_work(tmp_path: Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    assert first.wait(120) == 0
    assert second.wait(120) == 0
    records = results_of(tmp_path / "results")
    assert len(records) == 1 + 4 + 12
    assert {record.attempts for record in records.values()} == {1}


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--results", tmp_path / "results", "cartpole", "measure", "--trainer", "es"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A job in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "results").rglob("*-s*.json"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip().endswith("the same command goes on from here")
    assert "Traceback" not in said
    assert len(results_of(tmp_path / "results")) >= 3


def test_a_search_resumes_from_any_prefix(tmp_path: Path) -> None:
    """The records decide what comes next, not the history of the process."""
    plan = Plan.of(quick(), "cmaes", dims=(1, 2), seeds=2)
    found = search(plan, Results(tmp_path), executor=InProcess()).measurement
    again = search(plan, Results(tmp_path), executor=NeverRuns()).measurement
    assert again == found


class NeverRuns:
    """An executor that must not be asked."""

    def run(self, jobs: Any) -> Iterator[RunRecord]:
        raise AssertionError("something was run again")

    def close(self) -> None:
        """Do nothing."""


def test_one_thread_is_given_back() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_workers_must_be_at_least_one() -> None:
    with pytest.raises(RlidimError, match="--workers must be at least 1, got 0"):
        ProcessPool(0)


def test_a_record_at_another_version_is_not_overwritten(tmp_path: Path) -> None:
    path = Results(tmp_path).write(make_record(quick(), CELLS[0], 1.0))
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 99'))
    before = path.read_bytes()
    with pytest.raises(RlidimError, match=str(path)):
        run(jobs(tmp_path)[0])
    assert path.read_bytes() == before


def test_a_worker_s_death_leaves_what_another_sweep_has_made(tmp_path: Path) -> None:
    job = jobs(tmp_path)[0]
    good = run(job)
    assert record_end(job, DIED, DEATH, 3.0) == good
    assert Results(tmp_path).load(job.cell) == good


def test_a_death_is_recorded_and_tried_again_by_the_next_command(tmp_path: Path) -> None:
    job = jobs(tmp_path)[0]
    death = record_end(job, DIED, DEATH, 3.0)
    assert death is not None
    assert (death.status, death.stopped, finished(death)) == ("failed", "death", True)
    assert death.provenance["seconds"] == 3.0  # which a budget counts
    assert Results(tmp_path).load(job.cell) == death
    again = run(job)
    assert again is not None
    assert (again.status, again.attempts) == ("ok", 1)


def test_a_death_waits_for_whoever_makes_the_cell(tmp_path: Path) -> None:
    job = jobs(tmp_path)[0]
    with claim(tmp_path, job.cell) as mine:
        assert mine
        assert record_end(job, DIED, DEATH, 3.0) is None
    assert Results(tmp_path).load(job.cell) is None


@pytest.mark.parametrize("end", [SystemExit(0), SystemExit("bye"), GeneratorExit()])
def test_whatever_ends_a_trainer_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    def leave(run: Any) -> Outcome:
        raise end

    trainer_that(monkeypatch, leave)
    record = run(jobs(tmp_path)[0])
    assert record is not None
    assert record.status == "failed"
    assert type(end).__name__ in (record.error or "")


def test_ctrl_c_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(run: Any) -> Outcome:
        raise KeyboardInterrupt

    trainer_that(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(jobs(tmp_path)[0])
    assert Results(tmp_path).load(CELLS[0]) is None


def test_numbers_that_json_has_not_are_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = dataclasses.replace(outcome(), details={"width": math.inf})
    trainer_that(monkeypatch, lambda run: endless)
    record = run(jobs(tmp_path)[0])
    assert record is not None
    assert record.status == "failed"
    assert "the record cannot be written: Out of range float values" in (record.error or "")
    assert Results(tmp_path).load(CELLS[0]) == record


@pytest.mark.parametrize("value", [math.inf, datetime.date(2026, 1, 1)])
def test_a_setting_that_no_record_can_hold_is_refused_before_training(
    tmp_path: Path, value: object
) -> None:
    environment = Environment(id="CartPole-v1", kwargs={"sutton_barto_reward": value})
    task = quick().replace_problem(environment=environment)
    with pytest.raises(RlidimError, match="a value that no record can hold"):
        run(Job(task, CELLS[0], tmp_path))


def test_a_worker_does_not_hear_ctrl_c_from_its_first_moment() -> None:
    """Before its own first line, while it imports; this process hears it when the start is over."""
    # In a fresh process: the first worker of all starts the tracker of resources too.
    code = (
        "from tests.test_executors import blocked_in_workers\n"
        "if __name__ == '__main__': print(*blocked_in_workers())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False"]
    with pytest.raises(KeyboardInterrupt), starting_workers():
        os.kill(os.getpid(), signal.SIGINT)


def tell_blocked(answers: Any) -> None:
    answers.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


def blocked_in_workers() -> list[bool]:
    """Say of two workers, and of a process that is none, whether Ctrl-C was kept from them."""
    context = get_context("spawn")
    found = []
    for keeping in (starting_workers(), starting_workers(), nullcontext()):
        ours, theirs = context.Pipe()
        process = context.Process(target=tell_blocked, args=(theirs,))
        with keeping:
            process.start()
        found.append(ours.recv())
        process.join()
    return found
