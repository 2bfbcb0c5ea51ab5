"""The search: deterministic, bounded, resumable; its path depends on the records alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.sweep.plan import Plan
from rlidim.sweep.search import Search, State, on_disk, repetitions
from rlidim.sweep.walk import CONFIRMING, REPLICATES, Walk, ladder, reading
from rlidim.tasks.settings import PPOSettings
from rlidim.tasks.task import Target, Task
from tests.factory import make_record, make_task

Score = Callable[[Cell], float]


def play(plan: Plan, score: Score, stop_after: int | None = None) -> dict[Cell, RunRecord]:
    """Run a plan, as sweep.search does, on made-up scores; D = 562, random 0, baseline 1."""
    return carry_on(plan, {}, score, stop_after)


def carry_on(
    plan: Plan,
    records: dict[Cell, RunRecord],
    score: Score,
    stop_after: int | None = None,
    *,
    walk: Walk | None = None,
    native: Score = lambda cell: 1.0,
) -> dict[Cell, RunRecord]:
    records, walk = dict(records), walk or Walk(plan)
    while cells := walk.next():
        assert len(set(cells)) == len(cells)
        assert not walk.records.keys() & set(cells)
        for cell in cells:
            if cell in records:
                continue
            scored = native if cell.d is None else score
            value = 0.0 if cell.trainer == "random" else scored(cell)
            records[cell] = make_record(plan.task, cell, value)
            if stop_after is not None and len(records) >= stop_after:
                return records
        walk.add({cell: records[cell] for cell in cells})
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
    found = reading(plan, play(plan, step(truth))).estimate
    assert found is not None
    assert found.holds(truth)
    assert found.ratio <= plan.precision


def test_precision_one_finds_a_step_exactly(task: Task) -> None:
    plan = Plan.of(task, "es", precision=1.0, budget=1000.0)
    found = reading(plan, play(plan, step(10))).estimate
    assert found is not None
    assert found.d_int == 10
    assert {9, 10} <= {rung.d for rung in found.rungs}


def test_a_narrow_interval_is_believed_once_fresh_seeds_confirm_it(task: Task) -> None:
    plan = Plan.of(task, "es", precision=100.0)
    records = play(plan, step(20))
    counts = {d: sum(cell.d == d for cell in records) for d in (16, 24)}
    assert counts == {d: plan.seeds + CONFIRMING for d in (16, 24)}


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_a_confirming_round_that_the_budget_cuts_short_confirms_nothing(
    task: Task, cut: int
) -> None:
    whole = play(Plan.of(task, "es", precision=100.0), step(20))
    walk = Walk(Plan.of(task, "es", precision=100.0, budget=float(len(whole) - cut)))
    assert len(carry_on(walk.plan, {}, step(20), walk=walk)) == len(whole) - cut
    assert walk.spent


def test_a_rung_that_passes_by_luck_is_tested_again_where_not_even_the_largest_does(
    task: Task,
) -> None:
    """Its luck, not the failures at d = D, is what keeps the interval's lower end below it."""
    plan = Plan.of(task, "es", hint=8, budget=1000.0)
    walk = Walk(plan)
    lucky = carry_on(
        plan, {}, lambda cell: float(cell.d == 16 and cell.seed < plan.seeds), walk=walk
    )
    found = reading(plan, lucky).estimate
    assert found is not None
    assert found.unreached
    assert found.interval[0] == found.D
    assert sum(cell.d == 16 for cell in lucky) > plan.seeds
    assert len(lucky) < 100
    assert not walk.spent


def test_what_fresh_seeds_put_in_doubt_is_confirmed_anew(task: Task) -> None:
    """Two of the four that confirm the failures at d = D pass: more must fail, and four more."""
    plan = Plan.of(task, "es", hint=562, budget=1000.0)
    records = play(plan, lambda cell: float(cell.seed in (6, 7)))
    found = reading(plan, records).estimate
    assert found is not None
    assert found.unreached
    rounds = (plan.seeds, REPLICATES, CONFIRMING, REPLICATES, CONFIRMING)
    assert sum(cell.d == 562 for cell in records) == sum(rounds)


def test_seeds_that_were_lucky_at_first_do_not_end_a_search(task: Task) -> None:
    plan = Plan.of(task, "es", hint=8)

    def lucky(cell: Cell) -> float:
        """Pass at 8 with the first four seeds and never again below 24."""
        assert cell.d is not None
        return 1.0 if cell.d >= 24 or (cell.d == 8 and cell.seed < plan.seeds) else 0.0

    found = reading(plan, play(plan, lucky)).estimate
    assert found is not None
    assert found.d_int is not None
    assert found.d_int > 12
    assert found.ratio <= plan.precision


@pytest.mark.parametrize("budget", [1.0, 6.0, 20.0, 57.0])
def test_the_budget_is_core_time(task: Task, budget: float) -> None:
    """Every record took a second; the baseline and the first rung are made in any case."""
    plan = Plan.of(task, "es", budget=budget, precision=1.0)
    walk = Walk(plan)
    records = carry_on(plan, {}, noisy, walk=walk)
    least = len(plan.baselines()) + plan.seeds
    assert len(records) == max(budget, least)
    assert walk.spent
    assert walk.next() == []


def test_a_search_that_is_settled_has_not_spent_its_budget(task: Task) -> None:
    walk = Walk(Plan.of(task, "es"))
    carry_on(walk.plan, {}, step(20), walk=walk)
    assert not walk.spent


def test_a_dear_run_is_not_begun_that_the_budget_has_no_time_for(task: Task) -> None:
    """But for one at a time, so that no time is left unused."""
    plan = Plan.of(task, "es", budget=1000.0, hint=8)
    walk, made = Walk(plan), 0
    while cells := walk.next():
        made += sum(cell.d is not None for cell in cells)
        walk.add(
            {
                cell: make_record(
                    task,
                    cell,
                    0.0 if cell.trainer == "random" else 1.0,
                    provenance={"seconds": 1.0 if cell.d is None else 180.0},
                )
                for cell in cells
            }
        )
    assert walk.spent
    assert made == 6  # four at 8 in any case, 274 of the 1,000 seconds left: one, and one more


def test_doubtful_native_runs_are_added_to(task: Task) -> None:
    """Three of five reach the target: five more show whether half do."""
    task = make_task(target=Target(1.0, "a test"))
    plan = Plan.of(task, "es")

    def native(cell: Cell) -> float:
        return 1.0 if cell.seed < 3 else 0.4

    records = carry_on(plan, {}, step(20), native=native)
    found = reading(plan, records).estimate
    assert found is not None
    assert found.scale.native == (3, 10)
    assert found.scale.unsolved
    assert found.scale.kind == "local"


def test_native_runs_are_added_where_the_local_scale_is_what_is_in_doubt(task: Task) -> None:
    plan = Plan.of(task, "es", baseline_seeds=3)

    def slow(cell: Cell) -> float:
        """Reach 0.8 at d = 8 and 1 at 64, each seed alike."""
        assert cell.d is not None
        return min(0.8 + 0.2 * math.log(cell.d / 8) / math.log(8), 1.1)

    def native(cell: Cell) -> float:
        return (0.9, 1.0, 1.1)[cell.seed % 3]

    records = carry_on(plan, {}, slow, native=native)
    assert sum(cell.d is None for cell in records) > 1 + 3 + 10


def test_the_baseline_can_be_local_on_demand() -> None:
    task = make_task(target=Target(2.0, "a test"))
    scores = play(Plan.of(task, "es", dims=(1, 8), seeds=2), step(8))
    for local, unsolved in ((False, True), (True, False)):
        found = reading(Plan.of(task, "es", dims=(1, 8), seeds=2, local=local), scores).estimate
        assert found is not None
        assert (found.scale.kind, found.scale.unsolved) == ("local", unsolved)


def test_replications_have_seeds_of_their_own(task: Task) -> None:
    first, third = (Plan.of(task, "es", replication=number) for number in (0, 2))
    one, three = play(first, noisy), play(third, noisy)
    assert not {cell for cell in one if cell.trainer == "es"} & set(three)
    assert {cell.seed // 10_000 for cell in three if cell.trainer == "es"} == {2}
    both = {**one, **three}
    assert reading(first, both) == reading(first, one)
    assert reading(third, both) == reading(third, three)


def test_repetitions_on_record_are_counted_by_their_native_runs(task: Task, tmp_path: Path) -> None:
    results = Results(tmp_path)
    first, third = (Plan.of(task, "es", replication=number) for number in (0, 2))
    assert repetitions(first, results) == 0
    alone = third.cell(8, 0)
    results.write(make_record(task, alone, 1.0))
    assert repetitions(first, results) == 0  # by itself: of no search
    results.write(make_record(task, third.native(0), 1.0))
    assert (repetitions(first, results), repetitions(third, results)) == (1, 0)
    assert on_disk(first, results) == {}
    assert on_disk(third, results).keys() == {alone, third.native(0)}


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
    return play(Plan.of(make_task(), "es", budget=66.0), noisy)


@pytest.mark.parametrize(
    "killed_after",
    [n if n % 15 == 1 else pytest.param(n, marks=pytest.mark.slow) for n in range(1, 60, 3)],
)
def test_a_killed_search_goes_on_as_if_nothing_had_happened(
    task: Task, whole: dict[Cell, RunRecord], killed_after: int
) -> None:
    plan = Plan.of(task, "es", budget=66.0)
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
    walk = Walk(plan)
    for _ in range(10):
        cells = walk.next()
        walk.add(
            {cell: make_record(task, cell, None, status="failed", attempts=2) for cell in cells}
        )
    assert walk.next() == []
    assert reading(plan, walk.records).estimate is None


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
    walk = Walk(plan)
    walk.add(records)
    with pytest.raises(RlidimError, match="baseline"):
        walk.next()


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
        ({"budget": -1.0}, "--budget must be above 0 seconds and finite, got -1"),
        ({"replication": -1}, "a replication is a whole number from 0"),
        ({"fraction": 1.5}, "--fraction must be between 0 and 1"),
        ({"budget": math.inf}, "--budget must be above 0 seconds and finite, got inf"),
        ({"precision": math.inf}, "--precision is a ratio of at least 1, and finite, got inf"),
        ({"precision": 0.5}, "--precision is a ratio of at least 1"),
        ({"dims": (0, 1)}, "--dims must be whole numbers of at least 1"),
        ({"scope": "critic"}, "--scope must be policy or all, got 'critic'"),
    ],
)
def test_bad_plans(task: Task, choices: dict[str, object], expected: str) -> None:
    with pytest.raises(RlidimError, match=expected.replace("(", r"\(")):
        Plan.of(task, "es", **choices)


def test_a_target_that_random_actions_reach_is_refused_before_native_runs_are_made(
    tmp_path: Path,
) -> None:
    task = make_task(target=Target(20.0, "a test's"))
    plan, made = Plan.of(task, "es"), []

    class OneByOne:
        workers = 1

        def run(self, jobs: Sequence[Job], more: object = None) -> Iterator[RunRecord]:
            for job in jobs:
                made.append(job.cell)
                yield make_record(task, job.cell, 22.0 if job.cell.trainer == "random" else 500.0)

        def close(self) -> None:
            pass

    search = Search(plan, Results(tmp_path))
    with pytest.raises(RlidimError, match="target: score: 20 is no better than random actions, 22"):
        search.make(search.round(), OneByOne(), None)
    assert [cell.trainer for cell in made] == ["random"]
    for cell in made:
        Results(tmp_path).write(make_record(task, cell, 22.0))
    with pytest.raises(RlidimError, match="no better than random actions"):
        Search(plan, Results(tmp_path))
    Search(dataclasses.replace(plan, local=True), Results(tmp_path))


def test_a_state_is_what_listeners_get(task: Task) -> None:
    state = State(Plan.of(task, "es"), {}, [], None, 0)
    assert state.estimate is None


def test_a_listener_ends_no_search_whose_native_runs_read_nothing_yet(
    task: Task, tmp_path: Path
) -> None:
    """Half a round of native runs may be no better than random actions, and the whole may be."""
    search = Search(Plan.of(task, "es"), Results(tmp_path), log_dir=None)
    for cell in search.plan.baselines():
        search.records[cell] = make_record(task, cell, 1.0 if cell.trainer == "random" else 0.0)
    cell = search.plan.cell(8, 0)
    search.records[cell] = make_record(task, cell, 1.0)
    with pytest.raises(RlidimError, match="no better than random"):
        search.reading()
    heard: list[State] = []
    search.tell(heard.append, [])
    assert heard[0].estimate is None


def test_the_scope_all_may_need_more_dimensions_than_the_acting_network_has() -> None:
    """D is what is confined: the critic too."""
    task = make_task(trainers={"ppo": PPOSettings(n_timesteps=1000)})
    plan = Plan.of(task, "ppo", scope="all", hint=400)
    walk = Walk(plan)
    while cells := walk.next():
        for cell in cells:
            value = 0.0 if cell.trainer == "random" else 1.0 if cell.d is None else 0.0
            value = 1.0 if cell.d is not None and cell.d >= 800 else value
            D = 1000 if cell.d is not None else 562
            walk.add({cell: make_record(plan.task, cell, value, D=D)})
    found = reading(plan, walk.records).estimate
    assert found is not None
    assert found.d_int is not None
    assert 562 < found.d_int <= 800


def test_lucky_seeds_do_not_keep_the_search_from_the_crossing(task: Task) -> None:
    """A rung that passes by luck, below one that fails: the fit's crossing gets the seeds."""
    plan = Plan.of(task, "es", hint=8)
    known = {
        cell: make_record(plan.task, cell, 0.0 if cell.trainer == "random" else 1.0)
        for cell in plan.baselines()
    }
    for d, passing in {6: 0, 8: 3, 12: 0, 16: 4}.items():
        for seed in range(plan.seeds):
            score = 1.0 if seed < passing else 0.5
            known[plan.cell(d, seed)] = make_record(plan.task, plan.cell(d, seed), score)
    found = reading(plan, known).estimate
    assert found is not None
    assert found.first_passing_d == 8
    walk = Walk(plan)
    walk.add(known)
    assert found.d_int == 13
    assert {cell.d for cell in walk.next()} <= {8, 12, 16, 24}


def test_a_network_smaller_than_the_hint(task: Task) -> None:
    plan = Plan.of(task, "es", hint=8)
    walk = Walk(plan)
    while cells := walk.next():
        for cell in cells:
            assert (cell.d or 0) <= 3
            score = 0.0 if cell.trainer == "random" else 1.0
            walk.add({cell: make_record(plan.task, cell, score, D=3)})
    found = reading(plan, walk.records).estimate
    assert found is not None
    assert found.d_int == 1


def test_one_seed_still_means_two_native_runs(task: Task) -> None:
    assert Plan.of(task, "es", seeds=1).baseline_seeds == 2
