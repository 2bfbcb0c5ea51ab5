"""The search: deterministic, bounded, resumable; its path depends on the records alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.record import RunRecord
from rlidim.sweep.plan import Plan
from rlidim.sweep.search import CROSSING_SEEDS, State, ladder, next_cells, reading
from rlidim.tasks.settings import PPOSettings
from rlidim.tasks.task import Task
from tests.factory import make_record, make_task

Score = Callable[[Cell], float]


def play(plan: Plan, score: Score, stop_after: int | None = None) -> dict[Cell, RunRecord]:
    """Run a plan, as sweep.search does, on made-up scores; D = 562, random 0, baseline 1."""
    return carry_on(plan, {}, score, stop_after)


def carry_on(
    plan: Plan, records: dict[Cell, RunRecord], score: Score, stop_after: int | None = None
) -> dict[Cell, RunRecord]:
    records, known = dict(records), {}
    while cells := next_cells(plan, known):
        assert len(set(cells)) == len(cells)
        assert not known.keys() & set(cells)
        for cell in cells:
            if cell in records:
                continue
            value = 0.0 if cell.trainer == "random" else 1.0 if cell.d is None else score(cell)
            records[cell] = make_record(plan.task, cell, value)
            if stop_after is not None and len(records) >= stop_after:
                return records
        known.update((cell, records[cell]) for cell in cells)
    return records


def step(at: int) -> Score:
    return lambda cell: 1.0 if cell.d is not None and cell.d >= at else 0.1


@pytest.fixture
def task() -> Task:
    return make_task()


def test_ladder() -> None:
    assert ladder(100) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 100]
    assert ladder(1) == [1]
    assert ladder(4) == [1, 2, 3, 4]
    assert ladder(562)[-1] == 562


@pytest.mark.parametrize("truth", [1, 2, 3, 5, 10, 23, 60, 300, 562])
@pytest.mark.parametrize("hint", [1, 8, 200])
def test_a_step_is_found_from_any_hint(task: Task, truth: int, hint: int) -> None:
    plan = Plan.of(task, "es", hint=hint)
    records = play(plan, step(truth))
    found = reading(plan, records).estimate
    assert found is not None
    low, high = found.interval
    assert (low or 1) <= truth <= (high or 562)
    assert sum(cell.d is not None for cell in records) <= plan.most_runs


def test_precision_one_finds_a_step_exactly(task: Task) -> None:
    plan = Plan.of(task, "es", precision=1.0, most_runs=400, most_seeds=30)
    found = reading(plan, play(plan, step(10))).estimate
    assert found is not None
    assert found.d_int == 10
    assert {9, 10} <= {rung.d for rung in found.rungs}


def test_at_least_five_seeds_around_the_crossing(task: Task) -> None:
    plan = Plan.of(task, "es", precision=100.0)
    records = play(plan, step(20))
    counts = {d: sum(cell.d == d for cell in records) for d in (16, 24)}
    assert counts == {16: CROSSING_SEEDS, 24: CROSSING_SEEDS}
    assert CROSSING_SEEDS >= 5


def test_the_budget_holds_but_for_the_seeds_around_the_crossing(task: Task) -> None:
    generator = np.random.default_rng(0)
    plan = Plan.of(task, "es", most_runs=18, precision=1.0)
    records = play(plan, lambda cell: float(generator.uniform()))
    made = sum(cell.d is not None for cell in records)
    assert 18 <= made <= 18 + 2 * CROSSING_SEEDS


@pytest.mark.parametrize("truth", [1, 5, 60, 562])
@pytest.mark.parametrize("most_runs", [1, 5, 12, 20])
def test_a_small_budget_still_gives_the_crossing_its_seeds(
    task: Task, truth: int, most_runs: int
) -> None:
    plan = Plan.of(task, "es", most_runs=most_runs)
    found = reading(plan, play(plan, step(truth))).estimate
    assert found is not None
    passing = [rung for rung in found.rungs if rung.passes][:1]
    failing = [rung for rung in found.rungs if not rung.passes][-1:]
    assert all(len(rung.scores) >= CROSSING_SEEDS for rung in passing + failing)


def test_nothing_passes_up_to_the_largest(task: Task) -> None:
    plan = Plan.of(task, "es", largest=64)
    records = play(plan, lambda cell: 0.2)
    found = reading(plan, records).estimate
    assert found is not None
    assert (found.d_int, found.censored) == (None, "above")
    assert max(cell.d or 0 for cell in records) == 64


def noisy(cell: Cell) -> float:
    """Return a bimodal score that is a function of the cell alone."""
    assert cell.d is not None
    generator = np.random.default_rng([cell.d, cell.seed])
    solved = generator.uniform() < 1 / (1 + math.exp(-3 * math.log(cell.d / 20)))
    return 1.0 if solved else float(generator.uniform(0, 0.8))


@pytest.fixture(scope="module")
def whole() -> dict[Cell, RunRecord]:
    """Return the records of a search that was not killed."""
    return play(Plan.of(make_task(), "es", most_runs=60), noisy)


@pytest.mark.parametrize(
    "killed_after",
    [n if n % 15 == 1 else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 60, 3)],
)
def test_a_killed_search_goes_on_as_if_nothing_had_happened(
    task: Task, whole: dict[Cell, RunRecord], killed_after: int
) -> None:
    plan = Plan.of(task, "es", most_runs=60)
    part = play(plan, noisy, stop_after=killed_after)
    assert len(part) == killed_after
    assert carry_on(plan, part, noisy) == whole


def test_a_grid_runs_what_it_is_told(task: Task) -> None:
    plan = Plan.of(task, "es", dims=(1, 2, 4), seeds=2)
    records = play(plan, step(2))
    assert {(cell.d, cell.seed) for cell in records if cell.d} == {
        (d, seed) for d in (1, 2, 4) for seed in (0, 1)
    }
    assert sum(cell.d is None for cell in records) == 3


def test_failed_runs_are_no_scores_and_diverged_ones_are_the_worst(task: Task) -> None:
    plan = Plan.of(task, "es", dims=(4, 8), seeds=4)
    records = play(plan, step(1))
    failed, diverged = plan.cell(4, 0), plan.cell(8, 0)
    records[failed] = make_record(task, failed, None, status="failed", attempts=2)
    records[diverged] = make_record(task, diverged, None, status="diverged")
    found = reading(plan, records).estimate
    assert found is not None
    by_d = {rung.d: rung for rung in found.rungs}
    assert len(by_d[4].scores) == 3
    assert by_d[8].normalised == (0.0, 1.0, 1.0, 1.0)


def test_everything_failing_ends_the_search(task: Task) -> None:
    plan = Plan.of(task, "es")
    records: dict[Cell, RunRecord] = {}
    for _ in range(10):
        cells = next_cells(plan, records)
        for cell in cells:
            records[cell] = make_record(task, cell, None, status="failed", attempts=2)
    assert next_cells(plan, records) == []
    assert reading(plan, records).estimate is None


def test_a_reading_says_what_is_missing(task: Task) -> None:
    plan = Plan.of(task, "es")
    assert reading(plan, {}).missing == "no run in a subspace was made"
    run = make_record(task, plan.cell(8, 0), 1.0)
    assert reading(plan, {run.cell: run}).missing == "no record of random actions"
    records = play(plan, step(1))
    found = reading(plan, records)
    assert found.missing is None
    assert len(found.runs) + len(found.baseline) + 1 == len(records)


def test_a_baseline_no_better_than_random_is_said(task: Task) -> None:
    plan = Plan.of(task, "es")
    records = {cell: make_record(task, cell, 0.0) for cell in plan.baselines()}
    records |= {plan.cell(8, s): make_record(task, plan.cell(8, s), 0.0) for s in range(plan.seeds)}
    with pytest.raises(RlidimError, match="baseline"):
        next_cells(plan, records)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"most_runs": -1}, "--most-runs must be at least 1"),
        ({"fraction": 1.5}, "--fraction must be between 0 and 1"),
        ({"precision": 0.5}, "--precision is a ratio of at least 1"),
        ({"dims": (0, 1)}, "--dims must be whole numbers of at least 1"),
        ({"scope": "critic"}, "--scope must be policy or all, got 'critic'"),
    ],
)
def test_bad_plans(task: Task, choices: dict[str, object], expected: str) -> None:
    with pytest.raises(RlidimError, match=expected.replace("(", r"\(")):
        Plan.of(task, "es", **choices)


def test_a_state_is_what_listeners_get(task: Task) -> None:
    state = State(Plan.of(task, "es"), {}, [], None, 0)
    assert state.estimate is None


def test_the_scope_all_may_need_more_dimensions_than_the_acting_network_has() -> None:
    """D is what is confined: the critic too."""
    task = make_task(trainers={"ppo": PPOSettings(n_timesteps=1000)})
    plan = Plan.of(task, "ppo", scope="all", hint=400)
    records: dict[Cell, RunRecord] = {}
    while cells := next_cells(plan, records):
        for cell in cells:
            value = 0.0 if cell.trainer == "random" else 1.0 if cell.d is None else 0.0
            value = 1.0 if cell.d is not None and cell.d >= 800 else value
            D = 1000 if cell.d is not None else 562
            records[cell] = make_record(plan.task, cell, value, D=D)
    found = reading(plan, records).estimate
    assert found is not None
    assert found.d_int is not None
    assert 562 < found.d_int <= 800


def test_lucky_seeds_do_not_keep_the_search_from_the_crossing(task: Task) -> None:
    """A rung that passes by luck, below one that fails: the fit's crossing gets the seeds."""
    plan = Plan.of(task, "es", hint=8, most_runs=60)
    known = {
        cell: make_record(plan.task, cell, 0.0 if cell.trainer == "random" else 1.0)
        for cell in plan.baselines()
    }
    for d, score in {6: 0.1, 8: 0.95, 12: 0.5, 16: 1.0}.items():
        for seed in range(plan.seeds):
            known[plan.cell(d, seed)] = make_record(plan.task, plan.cell(d, seed), score)
    found = reading(plan, known).estimate
    assert found is not None
    assert found.first_passing_d == 8
    assert {cell.d for cell in next_cells(plan, known)} == {12, 16}


def test_a_network_smaller_than_the_hint(task: Task) -> None:
    plan = Plan.of(task, "es", hint=8)
    known: dict[Cell, RunRecord] = {}
    while cells := next_cells(plan, known):
        for cell in cells:
            assert (cell.d or 0) <= 3
            score = 0.0 if cell.trainer == "random" else 1.0
            known[cell] = make_record(plan.task, cell, score, D=3)
    found = reading(plan, known).estimate
    assert found is not None
    assert found.d_int == 1


def test_one_seed_still_means_two_native_runs(task: Task) -> None:
    assert Plan.of(task, "es", seeds=1).baseline_seeds == 2
