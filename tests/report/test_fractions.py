"""Readings at other shares of the way: smaller d, from the same runs, and only where they count."""

from __future__ import annotations

from pathlib import Path

from rlidim.records.measurement import Measurement, gather
from rlidim.report import fractions
from rlidim.statistics.wording import beside
from rlidim.tasks.task import Target
from tests.report.synthetic import baseline, make_task, random, runs

# Random actions score 20, the target is 500: 0.9 of the way is 452, half of it 260.
CURVE = {2: [20.0] * 8, 4: [300.0] * 8, 8: [420.0] * 8, 12: [500.0] * 8, 16: [500.0] * 8}


def of(
    name: str, target: float | None = 500.0, native: float = 500.0, times: int = 1
) -> Measurement:
    task = make_task(name, target=None if target is None else Target(target, "its own"))
    curve = {times * d: scores for d, scores in CURVE.items()}
    records = [*runs(task, curve), *baseline(task, [native] * 8), random(task)]
    (measurement,) = gather(records, {name: task}, results_folder=Path("results"))
    return measurement


def test_a_smaller_share_asks_for_fewer_dimensions() -> None:
    table = fractions.table([of("mine")])
    assert table.header == ("task", "trainer", "0.9", "0.8", "0.7", "0.5")
    (row,) = table.rows
    usual, *others = row[2:]
    assert row[:2] == ("mine", "es")
    assert usual == beside(of("mine").estimate)
    readings = [int(cell.split()[0]) for cell in (usual, *others)]
    assert readings == sorted(readings, reverse=True)
    assert readings[0] in range(9, 13)  # 12 is the first that passes
    assert readings[2] in range(5, 9)  # 420 is past 0.7 of the way
    assert readings[3] in range(3, 5)
    assert "At 0.5: 1 of 1 rows are read" in table.notes[-1]
    assert "rank" not in table.notes[-1]  # of one row there is no correlation


def test_the_usual_share_reads_what_the_measurement_says() -> None:
    measurement = of("mine")
    assert fractions.reread(measurement, 0.9) == measurement.estimate


def test_of_four_rows_the_ranks_are_compared() -> None:
    alike = fractions.table([of(name) for name in ("a", "b", "c", "d")])
    assert "4 of 4 rows are read" in alike.notes[1]
    assert "rank" not in alike.notes[1]  # all of them read the same
    rows = [of(name, times=times) for name, times in (("a", 1), ("b", 2), ("c", 4), ("d", 8))]
    assert fractions.table(rows).notes[1].endswith("with a rank correlation of 1.00.")


def test_rows_that_are_not_compared_have_none() -> None:
    assert fractions.table([of("mine", target=None)]).rows == ()
    assert fractions.table([of("mine", native=20.0 + 100)]).rows == ()
