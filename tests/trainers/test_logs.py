"""Scores shown while runs train: in Weights & Biases, offline, and in TensorBoard."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run, run_together
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.tasks.names import find_task
from rlidim.tasks.task import Task
from rlidim.trainers import logs

SHORT: dict[str, dict[str, Any]] = {
    "es": {"n_timesteps": 3_000, "population": 8, "eval_freq": 1},
    "ppo": {"n_timesteps": 512, "n_envs": 2, "n_steps": 64, "batch_size": 64, "eval_freq": 128},
    "ppo-many": {"n_timesteps": 512, "n_envs": 2, "n_steps": 64, "eval_freq": 128},
    "supervised": {"n_iterations": 40},
}
TASKS = {"supervised": "toy"}
PATIENCE = 20.0  # seconds for what is written late
HEAD, BLOCK, HEADER = 7, 2**15, 7  # bytes: of the file, of a block, before each piece


def job_of(trainer: str, folder: Path, seed: int = 0, log: str = "wandb") -> Job:
    task: Task = find_task(TASKS.get(trainer, "cartpole"))
    task = task.replace_settings(trainer, SHORT[trainer])
    cell = Cell(task.name, trainer, "rademacher", 3, seed)
    return Job(task, cell, folder / "results", folder / "runs", log=(log,))


def offline_records(file: Path) -> Iterator[Any]:
    """Yield what a run has left: LevelDB's log format around Weights & Biases' own messages."""
    from wandb.proto import wandb_internal_pb2

    content = file.read_bytes()
    place, whole = HEAD, b""
    while place + HEADER <= len(content):
        if BLOCK - place % BLOCK < HEADER:  # too short for another piece: zeros
            place += BLOCK - place % BLOCK
            continue
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        kind = content[place + 6]  # 1: all of it; 2, 3, 4: first, in the middle, last
        whole += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def shown(folder: Path) -> tuple[dict[str, Any], list[dict[str, float]], dict[str, Any]]:
    """Return a run's name, group and settings, its points, and its summary's numbers."""
    end = time.monotonic() + PATIENCE
    while "exit" not in (found := written(folder))[0] and time.monotonic() < end:
        time.sleep(0.05)  # a process of the package's writes on after the run's end
    return found


def written(folder: Path) -> tuple[dict[str, Any], list[dict[str, float]], dict[str, Any]]:
    """Return what of it is in the file by now."""
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    about: dict[str, Any] = {}
    points, summary = [], {}
    for record in offline_records(file):
        if record.HasField("run"):
            about["name"], about["group"] = record.run.display_name, record.run.run_group
            for item in record.run.config.update:
                about[item.key] = json.loads(item.value_json)
        if record.HasField("history"):
            points.append(
                {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item}
            )
        if record.HasField("summary"):
            for item in record.summary.update:
                summary[item.key or item.nested_key[0]] = json.loads(item.value_json)
        if record.HasField("exit"):
            about["exit"] = record.exit.exit_code
    return about, points, summary


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.parametrize("trainer", SHORT)
def test_a_runs_curve_is_shown_in_weights_and_biases(trainer: str, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    job = job_of(trainer, tmp_path)
    record = run(job)
    assert record is not None
    about, points, summary = shown(tmp_path / "runs" / str(job.cell))
    assert about["name"] == str(job.cell)
    assert about["group"] == f"{job.task.name}/{trainer}-rademacher"
    assert (about["d"], about["seed"], about["exit"]) == (3, 0, 0)
    curve = [(point["steps"], point["score"]) for point in points if "score" in point]
    assert curve == [pytest.approx(point) for point in record.curve]
    assert summary["final_score"] == pytest.approx(record.score)
    losses = any("train/loss" in point for point in points)
    assert losses == (trainer == "ppo")  # of those four it alone says more


def test_what_is_shown_changes_no_result(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    silent, heard = (
        run(Job(job.task, job.cell, tmp_path / str(log), job.log_dir, log=log))
        for job in [job_of("es", tmp_path)]
        for log in ((), ("wandb",))
    )
    assert silent is not None
    assert heard is not None
    assert (silent.returns, silent.curve) == (heard.returns, heard.curve)
    assert silent.config_hash == heard.config_hash


def test_runs_side_by_side_are_shown_apart(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    jobs = [job_of("ppo-many", tmp_path, seed) for seed in range(2)]
    for job, record in run_together(jobs):
        assert record is not None
        about, points, _ = shown(tmp_path / "runs" / str(job.cell))
        assert about["seed"] == job.cell.seed
        assert len([point for point in points if "score" in point]) == len(record.curve)


@pytest.mark.parametrize("trainer", ["es", "ppo"])
def test_a_runs_curve_is_shown_in_tensorboard(trainer: str, tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    job = job_of(trainer, tmp_path, log="tensorboard")
    record = run(job)
    assert record is not None
    (file,) = (tmp_path / "runs" / str(job.cell)).glob("events.out.tfevents.*")
    events = event_accumulator.EventAccumulator(str(file)).Reload()
    curve = [(event.step, event.value) for event in events.Scalars("score")]
    assert curve == [pytest.approx(point) for point in record.curve]
    assert ("train/loss" in events.Tags()["scalars"]) == (trainer == "ppo")


class Full:
    """A place that has become full once the run has ended."""

    package = "json"
    closed: ClassVar[list[float | None]] = []

    def __init__(self, folder: Path, cell: Cell, settings: Mapping[str, Any]) -> None:
        """Nothing is opened."""

    def write(self, steps: int, values: Mapping[str, float]) -> None:
        """Nothing is written."""

    def close(self, score: float | None, *, failed: bool) -> None:
        """Note the score."""
        self.closed.append(score)
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("trainer", ["es", "ppo-many"])
def test_a_log_that_cannot_be_finished_costs_no_run(
    trainer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Full, "closed", [])
    monkeypatch.setattr(logs, "WRITERS", {"first": Full, "second": Full})
    jobs = [
        replace(job_of(trainer, tmp_path, seed), log=("first", "second"))
        for seed in range(1 if trainer == "es" else 2)
    ]
    scores = []
    for job, record in run_together(jobs):
        assert record is not None
        assert Results(tmp_path / "results").load(job.cell) == record
        scores += 2 * [record.score]
        assert Full.closed == scores  # both places, once the record is there
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(scores)
    for line, job in zip(said, [job for job in jobs for _ in range(2)], strict=True):
        assert line.startswith(f"{job.cell}: ")
        assert "cannot be written (No space left on device)" in line


class Gone(Full):
    """A place that takes one point and no more."""

    taken: ClassVar[list[int]] = []

    def write(self, steps: int, values: Mapping[str, float]) -> None:
        """Take the first."""
        self.taken.append(steps)
        if len(self.taken) > 1:
            raise RuntimeError("the service\nis gone")


def test_a_log_that_takes_no_more_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Gone, "taken", [])
    monkeypatch.setattr(logs, "WRITERS", {"gone": Gone})
    job = replace(job_of("es", tmp_path), log=("gone",))
    ((_, record),) = run_together([job])
    assert record is not None
    assert record.status == "ok"
    assert len(Gone.taken) == 2 < len(record.curve)
    assert capsys.readouterr().err.splitlines() == [f"{job.cell}: the service is gone"]


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("log", lambda writer: writer.write(1, {"score": 1.0})),
        ("finish", lambda writer: writer.close(1.0, failed=False)),
    ],
)
def test_an_error_of_weights_and_biases_is_a_line(
    method: str,
    call: Callable[[logs.Writer], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wandb = pytest.importorskip("wandb")

    def broken(*arguments: object, **named: object) -> None:
        raise wandb.errors.Error("the service\nis gone")

    job = job_of("es", tmp_path)
    writer = logs.WeightsAndBiases(tmp_path, job.cell, job.configuration)
    end = writer._run.finish
    with monkeypatch.context() as patched:
        patched.setattr(type(writer._run), method, broken)
        with pytest.raises(RlidimError, match=r"--log wandb: the service is gone$"):
            call(writer)
    end()


def test_without_an_account_a_line_says_what_needs_none(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    # A process of its own: the package keeps its mode. No key of the tester's, no other host.
    environment = {name: value for name, value in os.environ.items() if "WANDB" not in name}
    command = "cartpole train --dim 3 --trainer es --set eval_freq=1 --log wandb --log-dir"
    done = subprocess.run(
        [sys.executable, "-m", "rlidim", *command.split(), tmp_path / "runs"],
        env={**environment, "HOME": str(tmp_path), "RLIDIM_RESULTS": str(tmp_path / "results")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: --log wandb: ")
    assert said.endswith("(WANDB_MODE=offline needs no account)")
    assert not list(tmp_path.glob("results/**/*.json"))


def test_a_name_a_folder_and_a_package_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RlidimError, match="did you mean 'wandb'"):
        logs.check(["wandb.ai"], tmp_path)
    with pytest.raises(RlidimError, match="--log-dir"):
        logs.check(["wandb"], None)
    monkeypatch.setattr(logs, "find_spec", lambda package: None)
    with pytest.raises(RlidimError, match=r"'wandb' is missing: pip install 'rlidim\[wandb\]'"):
        logs.check(["wandb"], tmp_path)


@pytest.mark.parametrize("command", ["train --dim 3", "measure"])
def test_a_missing_package_is_said_at_once(command: str, tmp_path: Path) -> None:
    code = (
        "import sys, rlidim.cli\n"
        "from rlidim.trainers import logs\n"
        "logs.find_spec = lambda package: None\n"
        "try: rlidim.cli.main(sys.argv[1:])\n"
        "finally: print('torch' in sys.modules)"
    )
    words = ["--results", str(tmp_path), "cartpole", *command.split(), "--log", "wandb"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --log wandb: the package 'wandb' is missing")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout.split() == ["False"]
    assert list(tmp_path.iterdir()) == []
