"""Searches that are repeated with fresh seeds: each read by itself, and all of them pooled."""

from __future__ import annotations

from pathlib import Path

from rlidim.records.measurement import Measurement, gather
from rlidim.records.record import RunRecord
from rlidim.report import replications
from rlidim.tasks.task import Task
from tests.factory import make_record, make_task
from tests.report.synthetic import baseline, random, runs

FIRST = 10_000


def search(task: Task, number: int, at: int) -> list[RunRecord]:
    """Return the records of one repetition, which solve the task from d = at on."""
    scores = {d: [500.0 if d >= at else 20.0] * 8 for d in (4, 6, 8, 12, 16, 24)}
    return [
        make_record(
            task,
            type(record.cell)(**{**vars(record.cell), "seed": number * FIRST + record.cell.seed}),
            record.score,
        )
        for record in [*runs(task, scores), *baseline(task)]
    ]


def gathered(*steps: int) -> Measurement:
    task = make_task()
    records = [random(task)]
    for number, at in enumerate(steps):
        records += search(task, number, at)
    (found,) = gather(records, {task.name: task}, results_folder=Path("results"))
    return found


def test_each_is_read_by_itself_and_against_the_others_pooled() -> None:
    found = replications.replicated(gathered(8, 8, 8, 16))
    assert found is not None
    assert [each.estimate.d_int for each in found.readings.values() if each.estimate] == [
        7, 7, 7, 14,
    ]  # fmt: skip
    assert [found.holds(number) for number in range(4)] == [True, True, True, False]
    assert (found.held, found.decided) == (3, 4)
    assert all(len(each.baseline) == 5 for each in found.readings.values())
    assert found.pooled.estimate is not None
    assert len(found.pooled.runs) == 4 * 6 * 8


def test_one_search_is_no_repetition() -> None:
    assert replications.replicated(gathered(8)) is None
    assert replications.table([gathered(8)]).rows == ()


def test_the_table_counts_over_all() -> None:
    table = replications.table([gathered(8, 8), gathered(8, 16)])
    assert [row[3] for row in table.rows] == ["2", "2", "4"]
    assert [row[6] for row in table.rows] == ["2 of 2", "0 of 2", "2 of 4"]
    assert table.rows[1][4] == "7 [7, 8]"
