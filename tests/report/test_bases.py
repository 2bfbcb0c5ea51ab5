"""Runs at d = D in two bases: which rows are asked, and what the table says of their trainers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlidim.executors.job import Job
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.records.record import RunRecord
from rlidim.report import bases
from rlidim.sweep import calibration
from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.tasks.task import Target, Task
from tests.factory import make_record, make_task
from tests.report.synthetic import baseline, random, runs

TASK = make_task()


SOLVED, FAILED = 500.0, 20.0


def measured(
    native: Sequence[float] = (SOLVED,) * 5, full: Sequence[float] = (), task: Task = TASK
) -> Measurement:
    """Return a row, with runs of its own at d = D where there are scores of these."""
    scores = {4: [FAILED] * 4, 8: [SOLVED] * 4, **({562: full} if full else {})}
    records = [random(task), *baseline(task, native), *runs(task, scores)]
    (found,) = gather(records, {task.name: task}, results_folder=Path("results"))
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
        (2, 3, "solves it in both"),
        (3, 0, "minds the basis"),  # one in twenty, by chance
        (3, 1, "undecided"),  # one in five
        (2, 0, "undecided"),
        (0, 0, "fails in both"),
        (0, 3, "better in the random basis"),
    ],
)
def test_what_it_says_of_the_trainer(permuted: int, dense: int, said: str) -> None:
    scores = [[SOLVED] * solving + [FAILED] * (3 - solving) for solving in (permuted, dense)]
    (row,) = bases.table([measured()], at_full(*scores)).rows
    solved = [f"{solving} of 3" for solving in (permuted, dense)]
    assert row == (TASK.name, "es", "rademacher", "562", "5 of 5", *solved, said)


def test_a_row_s_own_runs_count_each_seed_once() -> None:
    """Five more seeds in the row itself undo what three alone would say."""
    made = at_full([SOLVED] * 3, [FAILED] * 3)
    own = measured(full=[FAILED] * 3 + [SOLVED] * 5)
    (row,) = bases.table([own], made).rows
    assert row[5:] == ("3 of 3", "5 of 8", "solves it in both")
    # Those of the row's own seeds alone are enough.
    permuted = [record for record in made if record.cell.projection == bases.PERMUTATION]
    assert bases.table([own], permuted).rows == (row,)


@pytest.mark.parametrize(("solving", "said"), [(7, "undecided"), (8, "minds the basis")])
def test_no_verdict_where_native_training_often_fails(solving: int, said: str) -> None:
    task = dataclasses.replace(TASK, target=Target(SOLVED, "a test's"))
    row = measured([SOLVED] * solving + [FAILED] * (10 - solving), task=task)
    (found,) = bases.table([row], at_full([SOLVED] * 3, [FAILED] * 3)).rows
    assert found[4:] == (f"{solving} of 10", "3 of 3", "0 of 3", said)


def test_every_column_counts_against_the_target() -> None:
    """Native training that reaches 300 solves nothing, and no more do runs at d = D."""
    task = dataclasses.replace(TASK, target=Target(SOLVED, "a test's"))
    row = measured([300.0] * 5, task=task)
    assert row.estimate is not None
    assert row.estimate.scale.unsolved
    (found,) = bases.table([row], at_full([300.0] * 3, [SOLVED, 300.0, 300.0])).rows
    assert found[4:] == ("0 of 5", "0 of 3", "1 of 3", "undecided")


def test_a_run_made_with_other_settings_is_none_of_the_row_s() -> None:
    first, *others = at_full([SOLVED] * 3, [FAILED] * 3)
    before = dataclasses.replace(first, config_hash="0" * 16)
    assert bases.table([measured()], [first, *others]).rows
    assert not bases.table([measured()], [before, *others]).rows


def test_a_row_whose_task_has_other_settings_now_is_refused_before_runs_are_made(
    tmp_path: Path,
) -> None:
    now = make_task(trainers={"es": EvolutionStrategySettings(n_timesteps=5)})
    row = dataclasses.replace(measured(), task=now)
    scripted, refused = Scripted(), list[str]()
    calibration.try_bases(
        [row],
        Results(tmp_path),
        executor=scripted,
        log_dir=tmp_path,
        tell=lambda line: None,
        refuse=refused.append,
    )
    assert not scripted.asked
    assert "was made with trainer.n_timesteps = 1000, now it is 5" in refused[0]


def test_a_row_that_lacks_a_run_is_left_out() -> None:
    assert bases.table([measured()], at_full([500.0] * 3, [500.0] * 3)[:-1]).rows == ()


def test_a_run_that_diverged_does_not_pass_and_one_that_failed_is_not_counted() -> None:
    made = at_full([500.0] * 3, [500.0] * 3)
    cells = [cell for basis in bases.cells(measured()).values() for cell in basis]
    made[1] = make_record(TASK, cells[1], None, status="diverged")
    made[2] = make_record(TASK, cells[2], None, status="failed", error="no memory")
    (row,) = bases.table([measured()], made).rows
    assert row[5:] == ("1 of 2", "3 of 3", "solves it in both")


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
