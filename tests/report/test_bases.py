"""Runs at d = D in two bases: which rows are asked, and what the table says of their trainers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rlidim.executors.job import Job
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.records.record import RunRecord
from rlidim.report import bases
from rlidim.sweep import calibration
from tests.factory import make_record, make_task
from tests.report.synthetic import baseline, random, runs

TASK = make_task()


def measured() -> Measurement:
    records = [random(TASK), *baseline(TASK), *runs(TASK, {4: [20.0] * 4, 8: [500.0] * 4})]
    (found,) = gather(records, {TASK.name: TASK}, results_folder=Path("results"))
    return found


def at_full(permuted: Sequence[float], dense: Sequence[float]) -> list[RunRecord]:
    cells = bases.cells(measured())
    scores = {bases.PERMUTATION: permuted, measured().projection: dense}
    return [
        make_record(TASK, cell, score)
        for family, values in scores.items()
        for cell, score in zip(cells[family], values, strict=True)
    ]


@pytest.mark.parametrize(
    ("permuted", "dense", "said"),
    [
        ([500.0, 500.0, 20.0], [500.0] * 3, "does not mind"),
        ([500.0] * 3, [500.0, 20.0, 20.0], "minds the basis"),
        ([20.0] * 3, [20.0] * 3, "fails in both"),
        ([20.0] * 3, [500.0] * 3, "better in the random basis"),
    ],
)
def test_what_it_says_of_the_trainer(permuted: list[float], dense: list[float], said: str) -> None:
    (row,) = bases.table([measured()], at_full(permuted, dense)).rows
    solved = [f"{sum(score > 400 for score in scores)} of 3" for scores in (permuted, dense)]
    assert row == (TASK.name, "es", "rademacher", "562", "5 of 5", *solved, said)


def test_a_row_that_lacks_a_run_is_left_out() -> None:
    assert bases.table([measured()], at_full([500.0] * 3, [500.0] * 3)[:-1]).rows == ()


def test_a_run_that_diverged_does_not_pass_and_one_that_failed_is_not_counted() -> None:
    made = at_full([500.0] * 3, [500.0] * 3)
    cells = [cell for basis in bases.cells(measured()).values() for cell in basis]
    made[1] = make_record(TASK, cells[1], None, status="diverged")
    made[2] = make_record(TASK, cells[2], None, status="failed", error="no memory")
    (row,) = bases.table([measured()], made).rows
    assert row[5:] == ("1 of 2", "3 of 3", "does not mind")


def test_a_row_whose_basis_is_the_permutation_is_not_asked() -> None:
    scores: dict[int, list[float | None]] = {4: [20.0] * 4, 8: [500.0] * 4}
    records = [random(TASK), *baseline(TASK), *runs(TASK, scores, projection=bases.PERMUTATION)]
    found = gather(records, {TASK.name: TASK}, results_folder=Path("results"))
    assert bases.cells(found[0]) == {}
    assert bases.table(found, []).rows == ()


def test_a_large_network_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "LARGEST", 561)
    assert bases.cells(measured()) == {}


class Scripted:
    """Makes every run at once, and remembers which were asked for."""

    def __init__(self) -> None:
        self.asked: list[Job] = []

    def run(self, jobs: Sequence[Job]) -> list[RunRecord]:
        self.asked += jobs
        records = [make_record(job.task, job.cell, 500.0) for job in jobs]
        for job, record in zip(jobs, records, strict=True):
            Results(job.results).write(record)
        return records

    def close(self) -> None:
        pass


def test_only_what_is_missing_is_made(tmp_path: Path) -> None:
    results, executor = Results(tmp_path), Scripted()
    told: list[str] = []

    def work() -> None:
        calibration.try_bases(
            [measured()],
            results,
            executor=executor,  # type: ignore[arg-type]
            log_dir=tmp_path / "logs",
            tell=told.append,
            refuse=pytest.fail,
        )

    work()
    assert len(executor.asked) == 2 * bases.SEEDS
    assert {job.cell.d for job in executor.asked} == {562}
    work()
    assert len(executor.asked) == 2 * bases.SEEDS
    assert len(bases.table([measured()], results.scan()[0]).rows) == 1
