"""A trained classifier as a file of a few hundred bytes, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlidim import compression, data, description, executors
from rlidim import task as tasks
from rlidim.cli import cli
from rlidim.errors import RlidimError
from rlidim.executors import Job
from rlidim.records import Cell, Results, RunRecord
from rlidim.task import Task
from rlidim.trainers import classification
from tests.factory import bars, make_record

CELL = Cell("mnist-fc", "adam", "stacked_fastfood", 300, 0)


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give MNIST's name a few images."""
    monkeypatch.setattr(data, "load", lambda name: bars(data.SHAPES[name]))
    classification.sets.cache_clear()
    yield
    classification.sets.cache_clear()


@pytest.fixture
def task() -> Task:
    return tasks.find("mnist-fc").replace_settings("adam", {"n_epochs": 10, "batch_size": 50})


@pytest.fixture
def record(task: Task, tmp_path: Path) -> RunRecord:
    found = executors.run(Job(task, CELL, tmp_path / "results", tmp_path / "runs"))
    assert found is not None
    return found


def describe(task: Task, record: RunRecord, folder: Path) -> list[description.Description]:
    return description.describe(
        task, record, Path("record.json"), folder / "runs", folder / "out", (0.0, 0.05)
    )


def test_a_file_keeps_the_accuracy_and_is_far_shorter(
    task: Task, record: RunRecord, tmp_path: Path
) -> None:
    assert record.score is not None
    assert record.score > 0.5
    found = describe(task, record, tmp_path)
    assert [entry.loss for entry in found] == [0.0, 0.05]
    for entry in found:
        assert entry.original == record.score
        assert entry.score >= entry.original - entry.loss
        file = tmp_path / "out" / f"mnist-fc-d300-s0-{entry.loss * 100:g}.rlz"
        assert file.stat().st_size == entry.bytes
        assert entry.bytes == entry.header + entry.codebook + entry.numbers
        assert entry.bytes < entry.bound == 4 * 300 + 8
        assert entry.factor == pytest.approx(4 * 199_210 / entry.bytes)
        assert description.decode(task, file) == entry.score
    assert found[1].bytes <= found[0].bytes


def test_the_file_alone_is_enough(task: Task, record: RunRecord, tmp_path: Path) -> None:
    """Nothing but the file and the suite: no record, no folder of logs."""
    found = describe(task, record, tmp_path)
    file = tmp_path / "out" / "mnist-fc-d300-s0-0.rlz"
    header, theta_d = compression.read(file)
    assert set(header) == {"task", "theta_0_seed", "spec"}
    assert theta_d.shape == (300,)
    assert description.decode(task, file) == found[0].score


def test_another_tasks_file_is_refused(task: Task, record: RunRecord, tmp_path: Path) -> None:
    describe(task, record, tmp_path)
    file = tmp_path / "out" / "mnist-fc-d300-s0-0.rlz"
    with pytest.raises(RlidimError, match="describes 'mnist-fc', not 'other'"):
        description.decode(dataclasses.replace(task, name="other"), file)


def test_native_runs_and_acting_tasks_are_refused(task: Task, tmp_path: Path) -> None:
    native = executors.run(
        Job(task, Cell.baseline("mnist-fc", "adam", 0), tmp_path / "results", tmp_path / "runs")
    )
    assert native is not None
    with pytest.raises(RlidimError, match="a native run"):
        describe(task, native, tmp_path)
    cartpole = tasks.find("cartpole")
    played = make_record(cartpole, Cell("cartpole", "es", "rademacher", 4, 0), 500.0)
    with pytest.raises(RlidimError, match="compress describes classifiers"):
        describe(cartpole, played, tmp_path)


def test_a_solution_too_long_for_its_record_lies_beside_the_logs(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "RECORDED", 100)
    found = executors.run(Job(task, CELL, tmp_path / "results", tmp_path / "runs"))
    assert found is not None
    assert found.solution is not None
    assert found.solution["theta_d"] is None
    assert describe(task, found, tmp_path)[0].original == found.score
    with pytest.raises(RlidimError, match="--dim 300 --projection stacked_fastfood --seed 0"):
        description.describe(task, found, Path("record.json"), tmp_path / "other", tmp_path, (0.0,))


def test_the_command(record: RunRecord, tmp_path: Path) -> None:
    path = Results(tmp_path / "results").path(CELL)
    arguments = ["--results", str(tmp_path / "results"), "mnist-fc", "compress"]
    made = CliRunner().invoke(cli, [*arguments, str(path), "--json"], catch_exceptions=False)
    rows = json.loads(made.stdout)["descriptions"]
    assert rows[0]["original"] == record.score
    file = tmp_path / "results" / "descriptions" / "mnist-fc-d300-s0-0.rlz"
    decoded = CliRunner().invoke(cli, [*arguments, str(file), "--json"], catch_exceptions=False)
    assert json.loads(decoded.stdout)["score"] == rows[0]["score"]
