"""A trained classifier as a file of a few hundred bytes, and back."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rlidim.cli import cli
from rlidim.data import datasets
from rlidim.errors import RlidimError
from rlidim.executors import making
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.records.cell import Cell
from rlidim.records.folder import Results, read_record
from rlidim.records.record import RunRecord
from rlidim.report import descriptions
from rlidim.report.places import DESCRIPTIONS
from rlidim.solutions import compressed_file, description
from rlidim.solutions.file import of_record
from rlidim.tasks.fields import added_later
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Data
from rlidim.tasks.task import Task
from rlidim.trainers import images as image_sets
from tests.factory import bars, make_record

CELL = Cell("mnist-fc", "adam", "stacked_fastfood", 300, 0)
STEM = "mnist-fc-adam-stacked_fastfood-d300-s0"
LOSSES = (0.0, 0.05)
ROOT = Path(__file__).parent.parent
# The command line on the few images of ``small_data``.
PROGRAM = """
from rlidim import cli
from rlidim.data import datasets
from tests.factory import bars
datasets.load = lambda name: bars(datasets.SHAPES[name])
cli.main()
"""


def few_images(name: str) -> datasets.DataSet:
    return bars(datasets.SHAPES[name])


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give MNIST's name a few images."""
    monkeypatch.setattr(datasets, "load", few_images)
    image_sets.kept.cache_clear()
    yield
    image_sets.kept.cache_clear()


@pytest.fixture(scope="module")
def task() -> Task:
    return find_task("mnist-fc").replace_settings("adam", {"n_epochs": 10, "batch_size": 50})


Made = tuple[RunRecord, list[description.Description], Path]


@pytest.fixture(scope="module")
def made(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a run, what describes it, and the folder of both: made once, tests have copies."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", few_images)
        image_sets.kept.cache_clear()
        found = run(Job(task, CELL, folder / "results", folder / "runs"))
        assert found is not None
        described = describe(task, found, folder)
    return found, described, folder


@pytest.fixture
def record(made: Made, tmp_path: Path) -> RunRecord:
    for name in ("results", "runs"):
        if (made[2] / name).exists():
            shutil.copytree(made[2] / name, tmp_path / name)
    return made[0]


@pytest.fixture
def described(made: Made, tmp_path: Path) -> list[description.Description]:
    shutil.copytree(made[2] / "out", tmp_path / "out")
    return made[1]


def describe(task: Task, record: RunRecord, folder: Path) -> list[description.Description]:
    return description.describe(
        task, record, Path("record.json"), folder / "runs", folder / "out", LOSSES
    )[0]


def test_a_file_keeps_the_accuracy_and_is_far_shorter(
    task: Task, record: RunRecord, described: list[description.Description], tmp_path: Path
) -> None:
    assert record.score is not None
    assert record.score > 0.5
    found = described
    assert tuple(entry.loss for entry in found) == LOSSES
    for entry in found:
        assert entry.original == record.score
        assert entry.lost <= entry.loss
        file = tmp_path / "out" / f"{STEM}-{entry.loss * 100:g}.rlz"
        assert file.stat().st_size == entry.bytes
        assert entry.bytes == entry.header + entry.codebook + entry.numbers
        assert entry.bytes < entry.bound == 4 * 300 + 8
        assert entry.factor == pytest.approx(4 * 199_210 / entry.bytes, abs=0.05)
        assert description.decode(task, file) == entry.score
    assert found[1].bytes <= found[0].bytes


@pytest.mark.slow
def test_the_file_alone_is_enough(described: list[description.Description], tmp_path: Path) -> None:
    """Another process in another folder: no record, no logs, and a name that says nothing."""
    header, theta_d = compressed_file.read(tmp_path / "out" / f"{STEM}-0.rlz")
    assert set(header) == {"task", "settings", "score", "theta_0_seed", "spec"}
    assert theta_d.shape == (300,)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("E.RLZ", "solution", "found.json"):
        (elsewhere / name).write_bytes((tmp_path / "out" / f"{STEM}-0.rlz").read_bytes())
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "mnist-fc", "compress", name, "--json"],
            cwd=elsewhere,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"file": name, "score": described[0].score}


def test_the_training_images_choose(
    task: Task, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test images score the run and what was chosen, nothing in between."""
    asked: list[tuple[str, bytes]] = []
    accuracy_of = description.accuracy_of

    def spy(task: Task, spec: object, seed: int, theta_d: np.ndarray, images: str) -> float:
        asked.append((images, theta_d.tobytes()))
        return accuracy_of(task, spec, seed, theta_d, images)  # type: ignore[arg-type]

    monkeypatch.setattr(description, "accuracy_of", spy)
    describe(task, record, tmp_path)
    chosen = {
        compressed_file.read(tmp_path / "out" / f"{STEM}-{loss * 100:g}.rlz")[1].tobytes()
        for loss in LOSSES
    }
    tested = {numbers for images, numbers in asked if images == "test"}
    assert chosen < tested
    assert len(tested) == 1 + len(chosen)
    assert len({numbers for images, numbers in asked if images == "training"}) > len(tested)


def test_the_data_is_built_once(
    task: Task, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though accuracies on the training and on the test images alternate."""
    asked: list[str] = []

    def load(name: str) -> datasets.DataSet:
        asked.append(name)
        return few_images(name)

    monkeypatch.setattr(datasets, "load", load)
    image_sets.kept.cache_clear()
    describe(task, record, tmp_path)
    assert asked == ["mnist"]


@pytest.mark.slow
def test_runs_do_not_overwrite_each_others_files(task: Task, tmp_path: Path) -> None:
    """The same d and seed, of two trainers and two families."""
    task = task.replace_settings("sgd", {"n_epochs": 10, "batch_size": 50})
    names: set[str] = set()
    for trainer, family in (
        ("adam", "stacked_fastfood"),
        ("sgd", "stacked_fastfood"),
        ("adam", "hashed"),
    ):
        cell = dataclasses.replace(CELL, trainer=trainer, projection=family)
        found = run(Job(task, cell, tmp_path / "results", tmp_path / "runs"))
        assert found is not None
        assert describe(task, found, tmp_path)
        new = {path.name for path in (tmp_path / "out").iterdir()} - names
        assert all(name.startswith(f"mnist-fc-{trainer}-{family}-d300-s0-") for name in new)
        assert new
        names |= new


def test_where_no_form_passes_an_earlier_file_goes(
    task: Task,
    record: RunRecord,
    described: list[description.Description],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(description, "smallest", lambda theta_d, evaluate, least: None)
    for word in ("deleted", "not written"):
        found, problems = description.describe(
            task, record, Path("record.json"), tmp_path / "runs", tmp_path / "out", LOSSES
        )
        assert found == []
        for loss, line in zip(LOSSES, problems, strict=True):
            assert f"{STEM}-{loss * 100:g}.rlz: {word}" in line
        assert list((tmp_path / "out").iterdir()) == []
    path = Results(tmp_path / "results").path(CELL)
    arguments = ["--results", str(tmp_path / "results"), "mnist-fc", "compress", str(path)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert done.stderr.count("warning: ") == len(description.LOSSES)


def test_other_settings_are_refused(
    task: Task, record: RunRecord, described: list[description.Description], tmp_path: Path
) -> None:
    standard = dataclasses.replace(task.supervised.data, scaling="standard")
    scaled = task.replace_problem(data=standard)
    with pytest.raises(RlidimError, match="made with data or a classifier other than those in"):
        description.decode(scaled, tmp_path / "out" / f"{STEM}-0.rlz")
    with pytest.raises(RlidimError, match=r"made with data .*unit.* has .*standard"):
        describe(scaled, record, tmp_path)
    # How it was trained is in the numbers: nothing that a file's reader needs to know.
    describe(task.replace_settings("adam", {"n_epochs": 11}), record, tmp_path)


def test_a_field_that_comes_later_leaves_the_files_their_hash(task: Task) -> None:
    @dataclasses.dataclass(frozen=True)
    class Later(Data):
        noise: float = added_later(0.0)

    settings = dataclasses.asdict(task.supervised.data)
    later = task.replace_problem(data=Later(**settings))
    assert description.settings_of(later) == description.settings_of(task)
    noisy = task.replace_problem(data=Later(**settings, noise=0.1))
    assert description.settings_of(noisy) != description.settings_of(task)


def test_another_score_is_refused(
    task: Task,
    record: RunRecord,
    described: list[description.Description],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same settings, and images that are not the same."""
    assert record.score is not None
    changed = dataclasses.replace(record, score=record.score - 0.01)
    with pytest.raises(RlidimError, match="the record says"):
        describe(task, changed, tmp_path)
    monkeypatch.setattr(description, "accuracy_of", lambda *arguments: 0.1)
    with pytest.raises(RlidimError, match=r"scores 0\.1000 here, the file says"):
        description.decode(task, tmp_path / "out" / f"{STEM}-0.rlz")


def test_a_diverged_run_is_refused(
    task: Task, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(description, "accuracy_of", None)
    diverged = dataclasses.replace(record, status="diverged")
    with pytest.raises(RlidimError, match="a diverged run"):
        describe(task, diverged, tmp_path)


@pytest.mark.slow
def test_a_variants_record(tmp_path: Path) -> None:
    """By the task's command as well as by its own; not by another variant's."""
    task = find_task("mnist-fc-30x1").replace_settings("adam", {"n_epochs": 10, "batch_size": 50})
    cell = dataclasses.replace(CELL, task="mnist-fc-30x1")
    job = Job(task, cell, tmp_path / "results", tmp_path / "runs")
    assert run(job) is not None
    path = Results(tmp_path / "results").path(cell)
    said = []
    for name in ("mnist-fc", "mnist-fc-30x1"):
        arguments = ["--results", str(tmp_path / "results"), name, "compress"]
        made = CliRunner().invoke(cli, [*arguments, str(path), "--json"], catch_exceptions=False)
        said.append(json.loads(made.stdout)["descriptions"])
        file = tmp_path / "results" / "descriptions" / f"{STEM}-1.rlz".replace("fc", "fc-30x1", 1)
        decoded = CliRunner().invoke(cli, [*arguments, str(file), "--json"])
        assert json.loads(decoded.stdout)["score"] == said[0][-1]["score"]
    assert said[0] == said[1]
    for name in ("mnist-fc-40x1", "mnist-fc-lenet", "mnist-lenet"):
        refused = CliRunner().invoke(cli, [name, "compress", str(path)])
        assert isinstance(refused.exception, RlidimError)
        assert f"of task 'mnist-fc-30x1', not of '{name}'" in str(refused.exception)


def test_another_task_is_no_variant(tmp_path: Path) -> None:
    """``mnist-fc-lenet`` begins as ``mnist-fc``'s variants do."""
    lenet = find_task("mnist-fc-lenet")
    cell = dataclasses.replace(CELL, task="mnist-fc-lenet")
    path = Results(tmp_path).write(make_record(lenet, cell, 0.9))
    refused = CliRunner().invoke(cli, ["mnist-fc", "compress", str(path)])
    assert "of task 'mnist-fc-lenet', not of 'mnist-fc'" in str(refused.exception)


def test_the_table_skips_what_is_damaged(
    described: list[description.Description], tmp_path: Path
) -> None:
    rows = [entry.to_json() for entry in described]
    folder = tmp_path / DESCRIPTIONS
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(rows))
    incomplete = [rows[0], {key: rows[1][key] for key in rows[1] if key != "method"}]
    damaged = {"b": json.dumps(incomplete), "c": "[", "d": "[3]", "e": '[{"record": "x"}]'}
    for name, content in damaged.items():
        (folder / f"{name}.json").write_text(content)
    found, problems = descriptions.read(tmp_path)
    assert found == rows
    assert len(problems) == len(damaged)
    assert "b.json: not what compress writes (no 'method'); skipped" in problems[0]
    table = descriptions.table(found)
    assert len(table.rows) == len(rows)
    assert all(len(row) == len(table.header) for row in table.rows)


def test_another_tasks_file_is_refused(
    task: Task, described: list[description.Description], tmp_path: Path
) -> None:
    file = tmp_path / "out" / f"{STEM}-0.rlz"
    with pytest.raises(RlidimError, match="describes 'mnist-fc', not 'other'"):
        description.decode(dataclasses.replace(task, name="other"), file)


def test_native_runs_and_acting_tasks_are_refused(task: Task, tmp_path: Path) -> None:
    native = run(
        Job(task, Cell.baseline("mnist-fc", "adam", 0), tmp_path / "results", tmp_path / "runs")
    )
    assert native is not None
    with pytest.raises(RlidimError, match="a native run"):
        describe(task, native, tmp_path / "without its logs")
    cartpole = find_task("cartpole")
    played = make_record(cartpole, Cell("cartpole", "es", "rademacher", 4, 0), 500.0)
    with pytest.raises(RlidimError, match="compress describes classifiers"):
        describe(cartpole, played, tmp_path)


def test_a_solution_too_long_for_its_record_lies_beside_the_logs(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "RECORDED", 100)
    found = run(Job(task, CELL, tmp_path / "results", tmp_path / "runs"))
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
    file = tmp_path / "results" / "descriptions" / f"{STEM}-0.rlz"
    decoded = CliRunner().invoke(cli, [*arguments, str(file), "--json"], catch_exceptions=False)
    assert json.loads(decoded.stdout)["score"] == rows[0]["score"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "results" / "descriptions").glob("*.rlz")), ids=lambda path: path.stem
)
def test_every_committed_file_still_reads_as_its_runs_numbers(path: Path) -> None:
    """A format that forgets its own files would make them worthless."""
    name, _, _ = path.stem.rpartition("-")
    (row, *_) = [
        row
        for row in json.loads((path.parent / f"{name}.json").read_text())
        if f"{row['loss'] * 100:g}" == path.stem.rpartition("-")[2]
    ]
    recorded = ROOT / "results" / f"{row['record']}.json"
    solution = of_record(read_record(recorded), recorded, ROOT / "runs")
    assert solution.theta_d is not None
    _, numbers = compressed_file.read(path)
    assert path.stat().st_size == row["bytes"]
    assert len(np.unique(numbers)) <= row["levels"]
    assert np.corrcoef(numbers, solution.theta_d)[0, 1] > 0.99
