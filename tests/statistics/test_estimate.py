"""d_int90 from scores: the median run, on examples that can be worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlidim.errors import RlidimError
from rlidim.statistics.estimate import Estimate, estimate, interquartile_mean, paper_rule
from rlidim.statistics.scale import scale_of, thresholds
from rlidim.statistics.shares import first_passing

BASELINE = [1.0] * 5
GOOD, BAD = 1.0, 0.2


def read(scores: dict[int, list[float]], **changes: object) -> Estimate:
    values = {"baseline": BASELINE, "random": 0.0, "D": 562, **changes}
    return estimate(scores, **values)  # type: ignore[arg-type]


def runs(counts: dict[int, tuple[int, int]]) -> dict[int, list[float]]:
    """Return scores of which k of n reach the fraction at each d."""
    return {d: [GOOD] * solved + [BAD] * (n - solved) for d, (solved, n) in counts.items()}


def test_a_step_between_neighbours_is_its_upper_rung() -> None:
    found = read(runs({8: (0, 6), 9: (0, 6), 10: (6, 6), 12: (6, 6)}))
    assert (found.d_int, found.first_passing_d, found.paper_rule_d) == (10, 10, 10)
    assert found.interval == (10, 10)
    assert found.censored is None


def test_it_is_where_half_of_the_runs_reach_the_fraction() -> None:
    """The mean demands that nearly all do."""
    found = read(runs({4: (0, 10), 8: (5, 10), 16: (8, 10), 32: (10, 10)}))
    assert found.d_int == 8
    assert found.mean is not None
    assert found.mean.d_int is not None
    assert found.mean.d_int > 16
    below = read(runs({4: (0, 10), 8: (4, 10), 16: (8, 10), 32: (10, 10)}))
    assert below.d_int == math.ceil(8 * 2**0.25)  # a quarter of the way from 0.4 to 0.8


def test_a_run_must_get_the_fraction_of_the_way_from_random_to_the_target() -> None:
    exact = read({4: [-110.0] * 3}, baseline=[-90.0] * 3, random=-200.0, target=-100.0)
    assert exact.rungs[0].normalised == pytest.approx((0.9, 0.9, 0.9))
    assert exact.scale.kind == "target"
    assert exact.rungs[0].passes
    short = read({4: [-110.1] * 3}, baseline=[-90.0] * 3, random=-200.0, target=-100.0)
    assert not short.rungs[0].passes


def test_a_target_that_native_training_misses_is_not_read_against() -> None:
    scores = {4: [40.0] * 4, 8: [95.0] * 4}
    missed = read(scores, baseline=[100.0, 100.0, 400.0], target=400.0)
    assert missed.scale.unsolved
    assert (missed.scale.kind, missed.scale.solved, missed.scale.native) == ("local", 100.0, (1, 3))
    assert missed.d_int == 6
    met = read(scores, baseline=[100.0, 400.0, 400.0], target=400.0)
    assert (met.scale.kind, met.scale.unsolved, met.scale.native) == ("target", False, (2, 3))
    assert met.d_int is None


def test_without_a_target_the_median_of_native_training_is_1() -> None:
    found = read({4: [95.0] * 3}, baseline=[0.0, 100.0, 104.0])
    assert (found.scale.kind, found.scale.solved, found.scale.unsolved) == ("local", 100.0, False)


def test_runs_that_diverged_solve_nothing() -> None:
    found = read({4: [1.0, math.nan, math.nan], 8: [1.0, 1.0]})
    assert found.rungs[0].normalised == (1.0, 0.0, 0.0)
    assert (found.rungs[0].solved, found.rungs[0].share) == (1, pytest.approx(1 / 3))
    assert found.to_json()["dims"][0]["scores"] == [1.0, None, None]


def test_lucky_runs_do_not_make_a_rung_pass_whose_neighbours_fail() -> None:
    found = read(runs({2: (2, 4), 3: (0, 4), 4: (0, 4), 6: (1, 4), 8: (4, 4), 12: (4, 4)}))
    assert found.first_passing_d == 2
    assert found.d_int is not None
    assert found.d_int > 6
    assert found.interval[0] == 5


def test_failures_far_beyond_do_not_keep_a_rung_from_passing() -> None:
    counts = {2: (0, 6), 4: (6, 6), 8: (6, 6), 64: (0, 6), 128: (0, 6), 256: (0, 6), 512: (0, 6)}
    found = read(runs(counts))
    assert found.d_int is not None
    assert found.d_int <= 4
    assert [d for d, _ in found.fit] == [2, 4, 8]
    assert found.mean is not None
    assert found.mean.d_int is None  # the mean's fit takes all rungs together


def test_the_first_passing_rung() -> None:
    assert first_passing([1, 2, 4], [0, 2, 4], [4, 4, 4]) == 1
    assert first_passing([1, 2, 4], [0, 1, 1], [4, 4, 4]) is None
    assert first_passing([1, 2, 4, 8], [3, 0, 0, 4], [4, 4, 4, 4]) == 3
    assert first_passing([1], [1], [1]) == 0


def test_more_runs_narrow_the_interval() -> None:
    shares = {2: 0.1, 4: 0.3, 8: 0.6, 16: 0.9, 32: 1.0}

    def ratio(n: int) -> float:
        return read(runs({d: (round(share * n), n) for d, share in shares.items()})).ratio

    assert ratio(10) > ratio(40) > ratio(160)


def test_native_runs_that_scatter_widen_the_local_interval_alone() -> None:
    scores = {d: [value] * 5 for d, value in {4: 0.6, 8: 0.85, 16: 0.95, 32: 1.0}.items()}
    scattered = [0.7, 1.3, 0.8, 1.2, 1.0]
    assert read(scores).ratio < read(scores, baseline=scattered).ratio
    assert read(scores, baseline=scattered, target=1.0).ratio == read(scores).ratio


def test_the_doubt_of_a_median_is_that_of_the_sign_test() -> None:
    """Three runs bracket their distribution's median with a probability of 3/4."""
    native = [0.8, 1.0, 1.2]
    levels = np.array(thresholds(scale_of(native, 0.0, None, 0.9), native, 0.9)) / 0.9
    assert np.mean((levels > 0.8) & (levels < 1.2)) == pytest.approx(3 / 4, abs=0.06)
    assert np.median(levels) == pytest.approx(1.0)
    assert thresholds(scale_of(native, 0.0, 1.0, 0.9), native, 0.9) == [0.9]
    assert thresholds(scale_of([1.0] * 9, 0.0, None, 0.9), [1.0] * 9, 0.9) == [0.9]


def test_nothing_passes() -> None:
    found = read(runs({2: (0, 6), 4: (0, 6)}))
    assert (found.d_int, found.censored, found.interval) == (None, "above", (5, None))
    assert not found.unreached
    assert read(runs({8: (0, 6), 562: (0, 6)})).unreached


def test_everything_passes() -> None:
    found = read(runs({2: (6, 6), 4: (6, 6)}))
    assert (found.d_int, found.censored) == (2, "below")
    assert found.interval[0] is None
    at_one = read(runs({1: (6, 6), 2: (6, 6)}))
    assert (at_one.d_int, at_one.censored, at_one.interval) == (1, None, (1, 1))


def test_an_open_end_neither_holds_nor_excludes() -> None:
    above = read(runs({4: (0, 6), 8: (0, 6)}))
    assert [above.holds(d) for d in (1, 8, 9, 100)] == [False, False, None, None]
    between = read(runs({4: (0, 8), 8: (8, 8), 16: (8, 8)}))
    assert [between.holds(d) for d in (4, 5, 8, 9)] == [False, True, True, False]


def test_the_papers_rule_counts_from_random_actions_where_they_score_below_the_minimum() -> None:
    """A task without a lowest return leaves it at 0: 90 % of 1000 above -500 is 850."""
    found = read({4: [860.0] * 3}, baseline=[1000.0] * 3, random=-500.0)
    assert found.paper_rule_d == 4


def test_the_papers_rule_shifts_and_is_strict() -> None:
    scores = {2: [-100.0], 4: [-90.0], 8: [-80.0]}
    # Shifted by the lowest score -500: the threshold is 0.9 * 400 = 360, so -140.
    assert paper_rule(scores, baseline=-100.0, fraction=0.9, minimum=-500.0) == 2
    assert paper_rule({2: [0.9]}, 1.0, 0.9, 0.0) is None  # not above
    assert paper_rule({2: [0.95], 4: [0.1], 8: [1.0]}, 1.0, 0.9, 0.0) == 2  # no monotonicity


def test_what_learned_nothing_is_refused() -> None:
    with pytest.raises(RlidimError, match=r"baseline scores 0.1, no better than random"):
        read({2: [1.0]}, baseline=[0.1], random=0.1)
    with pytest.raises(RlidimError, match=r"the target 0.1 is no better than random"):
        read({2: [1.0]}, random=0.1, target=0.1)


def test_interquartile_mean() -> None:
    assert interquartile_mean([0.0, 1.0, 2.0, 100.0]) == 1.5


scores_at = st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.integers(1, 500), scores_at, min_size=1, max_size=8),
    st.lists(st.floats(0.5, 1.5), min_size=1, max_size=5),
)
def test_any_scores_give_a_consistent_estimate(
    scores: dict[int, list[float]], native: list[float]
) -> None:
    found = read(scores, baseline=native)
    low, high = found.interval
    fit = [value for _, value in found.fit]
    assert fit == sorted(fit)
    if found.d_int is None:
        assert found.censored == "above"
        assert max(fit) < 0.5
    else:
        assert (low or 1) <= found.d_int <= (high or 562)
        assert min(scores) <= found.d_int <= max(scores)
    assert (low or 1) <= (high or 562) <= 562
    assert found == read(dict(reversed(scores.items())), baseline=native)
