"""Scores shown while runs train: in Weights & Biases, offline, and in TensorBoard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run, run_together
from rlidim.records.cell import Cell
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
