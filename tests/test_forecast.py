"""What closing an interval would cost: the forecast, held against the runs that it promises."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from rlidim.cli import cli, refused, suite
from rlidim.records.cell import Cell
from rlidim.records.measurement import Measurement
from rlidim.records.record import RunRecord
from rlidim.statistics.wording import why_open
from rlidim.sweep import tiers
from rlidim.sweep.closing import reasons
from rlidim.sweep.forecast import advice, ending, forecast, narrow
from rlidim.sweep.plan import Plan
from rlidim.sweep.search import Ended
from rlidim.sweep.walk import reading
from rlidim.tasks.task import Target
from tests.factory import make_record, make_task

NATIVES = 4
TASK = make_task(target=Target(100.0, "made up"))
PLAN = Plan.of(TASK, "es", projection="rademacher")


def measured(seeds: int, solved: dict[int, int]) -> Measurement:
    """Return a measurement of so many runs at each d, of whose first four so many solve."""
    records: dict[Cell, RunRecord] = {}

    def add(cell: Cell, score: float) -> None:
        records[cell] = make_record(TASK, cell, score)

    add(Cell.random(TASK.name), 0.0)
    for seed in range(NATIVES):
        add(PLAN.native(seed), 100.0)
    for d, passes in solved.items():
        for seed in range(seeds):
            add(PLAN.cell(d, seed), 100.0 if seed % 4 < passes else 10.0)
    return reading(PLAN, records)


def test_the_runs_that_were_forecast_make_it_narrow() -> None:
    shares = {4: 0, 6: 1, 8: 3, 12: 4}
    now = measured(4, shares)
    lacking = forecast(now, PLAN)
    assert now.estimate is not None
    assert not narrow(now.estimate, PLAN.precision)
    assert lacking is not None
    times = 1 + round(lacking / now.seconds)  # a run took a second
    assert times in range(2, 9)
    later = measured(4 * times, shares)
    assert later.estimate is not None
    assert narrow(later.estimate, PLAN.precision)
    assert advice(later, PLAN) is None
    assert forecast(later, PLAN) == 0.0


def test_advice_names_the_cost_and_the_budget() -> None:
    now = measured(4, {4: 0, 6: 1, 8: 3, 12: 4})
    said = advice(now, PLAN)
    assert said is not None
    assert f"a ratio of {PLAN.precision:g}: about" in said
    assert "core minutes more" in said
    assert "--budget" in said


def test_a_search_says_on_what_it_ended() -> None:
    narrow_now = measured(32, {4: 0, 6: 1, 8: 3, 12: 4})
    wide = measured(4, {4: 0, 6: 1, 8: 3, 12: 4})
    plan = dataclasses.replace(PLAN, budget=600.0)
    assert re.fullmatch(
        r"search: [\d.]+ core minutes of its budget, 10 core minutes; it ended because the "
        "interval's ends have a ratio of at most 2, by fresh seeds too",
        ending(Ended(narrow_now, spent=False), plan),
    )
    assert "is spent, before fresh seeds confirmed" in ending(Ended(narrow_now, spent=True), plan)
    assert ending(Ended(wide, spent=True), plan).endswith("10 core minutes, is spent")
    beyond = measured(16, {562: 0})
    assert "not even d = D passes" in ending(Ended(beyond, spent=False), plan)


def test_where_no_d_fails_the_search_has_yet_to_go_there() -> None:
    said = advice(measured(4, {8: 4, 16: 4}), PLAN)
    assert said is not None
    assert "yet to find its way to smaller d" in said
    assert "--budget" in said


def test_where_the_file_ends_the_search_no_budget_lets_it_go_on() -> None:
    said = advice(measured(8, {4: 0, 8: 0}), dataclasses.replace(PLAN, largest=8))
    assert said is not None
    assert "no further than d = 8; a greater 'largest:' under search:" in said
    assert "--budget" not in said


def test_rungs_in_between_are_priced_where_only_they_narrow() -> None:
    now = measured(16, {40: 0, 60: 4})
    assert now.estimate is not None
    assert now.estimate.interval == (41, 60)
    fine = dataclasses.replace(PLAN, precision=1.1)
    coarse = dataclasses.replace(PLAN, precision=1.4)
    lacking, less = forecast(now, fine), forecast(now, coarse)
    assert lacking is not None
    assert less is not None
    assert 0 < less < lacking


@pytest.mark.parametrize("seeds", [1, 2, 4, 8])
def test_rungs_far_apart_leave_nothing_near_the_reading(seeds: int) -> None:
    far = measured(seeds, {1: 0, 64: 4})
    assert far.estimate is not None
    assert forecast(far, PLAN) is None
    assert forecast(far, dataclasses.replace(PLAN, dims=(1, 64))) is None
    said = why_open(far.estimate)
    assert said is None or f"between d = 1 (0 of {seeds}) and d = 64 ({seeds} of {seeds})" in said
    assert (said is None) == far.estimate.closed


def test_a_flat_curve_has_no_forecast() -> None:
    flat = measured(4, {3: 1, 4: 2, 6: 2, 8: 2, 12: 2})
    assert forecast(flat, dataclasses.replace(PLAN, precision=1.2)) is None
    assert "not to be had" in str(advice(flat, dataclasses.replace(PLAN, precision=1.2)))


def test_a_row_that_is_left_open_says_which_end_why_and_what_closing_it_costs() -> None:
    command = "rlidim synthetic measure --trainer es"
    open_end, narrower = reasons(measured(4, {4: 0, 6: 0, 8: 0}), PLAN, command)
    assert open_end == "its upper end open: no tested d up to 8 passes"
    assert narrower.startswith(f"{command}: an interval whose ends have a ratio of 2: ")
    assert reasons(measured(40, {4: 0, 6: 0, 8: 4, 12: 4}), PLAN, command) == []


def test_bench_says_it_of_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_open = measured(4, {4: 0, 6: 1, 8: 3, 12: 4})
    monkeypatch.setattr(tiers, "plans", lambda *_: [PLAN])
    monkeypatch.setattr(refused, "search_and_gather", lambda *_, **__: Ended(left_open, spent=True))
    monkeypatch.setattr(suite, "write_tables", lambda context: None)
    done = CliRunner().invoke(cli, ["--results", str(tmp_path), "bench"])
    first, open_end, narrower = done.stdout.splitlines()
    assert first.startswith("synthetic by es: about 7 of 562 numbers are enough (open)")
    assert open_end.startswith("  both ends open: the runs between d = 4 (0 of 4) and d = 12")
    assert narrower.strip().startswith(
        f"rlidim --results {tmp_path} synthetic measure --trainer es: an interval whose ends"
    )
    assert narrower.endswith("lets the same command go on")
