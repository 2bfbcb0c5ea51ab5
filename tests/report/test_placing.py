"""A reading's place among the suite's tasks: apart where intervals are, and of no bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.report import placing
from rlidim.report.placing import Known, known, neighbours, of_suite, placed, to_csv
from rlidim.tasks.names import find_tasks
from rlidim.tasks.task import Target
from tests.report.synthetic import baseline, make_task, random, runs

ROOT = Path(__file__).parent.parent.parent
SOLVED, LOST = [500.0] * 8, [20.0] * 8
CURVE = {4: LOST, 8: LOST, 12: SOLVED, 16: SOLVED}  # reads 10 [9, 12]


def measured(
    name: str = "mine",
    curve: dict[int, list[float]] = CURVE,
    native: list[float] = SOLVED,
    target: float | None = 500.0,
) -> Measurement:
    """Return a task's measurement by es."""
    task = make_task(name, target=None if target is None else Target(target, "its own"))
    records = [*runs(task, curve), *baseline(task, native), random(task)]
    (measurement,) = gather(records, {name: task}, results_folder=Path("results"))
    return measurement


def of(*arguments: Any, **changes: Any) -> str | None:
    """Return the place of a task's reading by es."""
    return placed(measured(*arguments, **changes))


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> list[Known]:
    rows = [
        Known("easy", "es", 2, 1, 3),
        Known("easier", "es", 7, 5, 8),
        Known("alike", "es", 10, 8, 24),
        Known("near", "es", 12, 12, 12),
        Known("touching", "es", 6, 4, 9),
        Known("wide", "es", 40, 2, 90),
        Known("hard", "es", 30, 13, 40),
        Known("harder", "es", 90, 60, 99),
        Known("other", "ppo", 11, 9, 12),
    ]
    monkeypatch.setattr(placing, "of_suite", lambda: rows)
    return rows


def test_tasks_are_easier_and_harder_where_the_intervals_lie_apart(suite: list[Known]) -> None:
    assert of() == (
        "among the suite's tasks, by es: harder than easier (7); about as hard as alike (10), "
        "near (12), touching (6); easier than hard (30)"
    )


def test_neighbours_begin_with_the_nearest(suite: list[Known]) -> None:
    found = neighbours(measured())
    assert found is not None
    assert found.to_json() == {
        "algorithm": "es",
        "easier": ["easier", "easy"],
        "alike": ["alike", "near", "touching", "wide"],
        "harder": ["hard", "harder"],
    }


def test_a_task_is_not_placed_beside_itself(suite: list[Known]) -> None:
    said = of("near")
    assert said is not None
    assert "near" not in said


def test_of_a_bound_and_of_no_target_nothing_is_said(suite: list[Known]) -> None:
    assert of(target=None) is None
    assert of(curve={4: LOST, 8: LOST}) is None
    assert of(native=[500.0] * 3 + [20.0] * 5) is None


def test_the_package_has_what_the_records_say() -> None:
    """As ``make tables`` copies it."""
    records, _ = Results(ROOT / "results").scan()
    tasks = find_tasks({record.cell.task for record in records})
    rows = known(gather(records, tasks, results_folder=ROOT / "results"))
    assert len(rows) > 50
    assert placing.SUITE.read_text() == to_csv(rows)
    assert of_suite() == rows
