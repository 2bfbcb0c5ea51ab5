"""Families beside each other: who differs from gaussian, and that no such family is a default."""

from __future__ import annotations

from pathlib import Path

from rlidim.projections.choice import RULE
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.report import families
from rlidim.report.places import FAMILIES
from rlidim.tasks.loading import load_task
from rlidim.tasks.names import task_files
from tests.factory import make_task
from tests.report.synthetic import baseline, random, runs

ROOT = Path(__file__).parents[2]


def step(at: int) -> dict[int, list[float | None]]:
    """Return scores of tasks that are solved at and above a d, by every one of twelve seeds."""
    return {d: [500.0 if d >= at else 20.0] * 12 for d in (4, 8, 16, 32, 64, 128)}


def compare(**half_at: int) -> list[Measurement]:
    """Return one measurement for each family, which solves the task from that d on."""
    task = make_task()
    records = [*baseline(task), random(task)]
    for family, at in half_at.items():
        records += runs(task, step(at), projection=family)
    return gather(records, {task.name: task}, results_folder=Path("results"))


def test_only_an_interval_apart_from_gaussian_s_differs() -> None:
    found = compare(gaussian=8, sparse=64, hashed=8)
    assert families.differing(found) == {"sparse": [f"{found[0].task_name} es"]}
    rows = {row[0]: row[-1] for row in families.table(found).rows}
    assert list(rows) == ["gaussian", "hashed", "sparse"]
    assert rows["sparse"] == f"{found[0].task_name} es"
    assert rows["hashed"] == rows["gaussian"]


def test_without_gaussian_nothing_differs() -> None:
    assert families.differing(compare(sparse=64, hashed=8)) == {}


def test_no_default_differs_in_the_records() -> None:
    folder = ROOT / "results" / FAMILIES
    records, problems = Results(folder).scan()
    tasks = {name: load_task(path) for name, path in task_files().items()}
    measured = gather(records, tasks, results_folder=folder)
    assert not problems
    covered = {measurement.projection for measurement in measured}
    defaults = {row.family for row in RULE}
    assert defaults | {families.REFERENCE} <= covered
    assert not defaults & set(families.differing(measured))
