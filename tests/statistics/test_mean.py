"""The reading by the mean, on examples that can be worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlidim.errors import RlidimError
from rlidim.statistics.mean import read_mean
from rlidim.statistics.reading import Reading, crossing_of, isotonic_fit

BASELINE = [1.0] * 5


def read(scores: dict[int, list[float]], **changes: object) -> Reading:
    values = {"baseline": BASELINE, "random": 0.0, "D": 562, **changes}
    return read_mean(scores, **values)  # type: ignore[arg-type]


def test_a_step_between_neighbours_is_its_upper_rung() -> None:
    found = read({8: [0.0] * 5, 9: [0.1] * 5, 10: [1.0] * 5, 12: [1.0] * 5})
    assert found.d_int == 10
    assert found.interval == (10, 10)
    assert found.censored is None


def test_interpolation_is_linear_over_log_d() -> None:
    found = read({4: [0.8] * 5, 16: [1.0] * 5})
    assert found.crossing == pytest.approx(8.0)  # halfway from 4 to 16
    assert found.d_int == 8


def test_a_dip_does_not_move_the_crossing_back() -> None:
    fit = isotonic_fit([0.2, 0.95, 0.9, 1.0], [3, 3, 3, 3])
    np.testing.assert_allclose(fit, [0.2, 0.925, 0.925, 1.0])
    assert crossing_of([2, 4, 8, 16], fit, 0.9) is not None


def test_where_not_even_D_passes_there_is_no_reading() -> None:
    short, whole = ({d: [0.1] * 5 for d in dims} for dims in ((8, 64), (8, 562)))
    assert not read(short).unreached
    assert read(whole).unreached
    assert read(whole).censored == "above"


def test_weights_are_seeds() -> None:
    np.testing.assert_allclose(isotonic_fit([1.0, 0.0], [3, 1]), [0.75, 0.75])


def test_nothing_passes() -> None:
    found = read({2: [0.1] * 3, 4: [0.2] * 3})
    assert found.d_int is None
    assert found.censored == "above"
    assert found.interval[1] is None
    assert found.interval[0] is not None
    assert found.interval[0] >= 2


def test_everything_passes() -> None:
    found = read({2: [1.0] * 3, 4: [1.0] * 3})
    assert (found.d_int, found.censored) == (2, "below")
    assert found.interval[0] is None
    at_one = read({1: [1.0] * 3, 2: [1.0] * 3})
    assert (at_one.d_int, at_one.censored, at_one.interval[0]) == (1, None, 1)


def test_an_open_end_neither_holds_nor_excludes() -> None:
    above = read({4: [0.1] * 3, 8: [0.2] * 3})
    low, _ = above.interval
    assert low is not None
    assert [above.holds(d) for d in (1, low - 1, max(low, 9), 100)] == [False, False, None, None]
    below = read({d: [1.0] * 20 for d in (4, 8, 16)})
    _, high = below.interval
    assert high is not None
    assert [below.holds(d) for d in (1, 4, 5, high + 1)] == [None, None, high >= 5, False]
    between = read({4: [0.2] * 5, 8: [1.0] * 5, 16: [1.0] * 5})
    low, high = between.interval
    assert low is not None
    assert high is not None
    assert [between.holds(d) for d in (low - 1, low, high, high + 1)] == [False, True, True, False]


def test_three_solved_runs_prove_less_than_ten() -> None:
    """Where seeds are solved or not, few solved ones leave room above; a bootstrap sees none."""

    def high(seeds: int) -> float:
        way_up = {2: [0.1] * 6, 4: [1.0, 0.1] * 3, 8: [1.0] * seeds, 16: [1.0] * seeds}
        return read(way_up).interval[1] or math.inf

    assert high(3) > high(10)


def test_an_uncertain_baseline_widens_the_interval() -> None:
    scores = {2: [0.3] * 5, 4: [0.6] * 5, 8: [0.85] * 5, 16: [0.95] * 5, 32: [1.0] * 5}

    def width(baseline: list[float]) -> float:
        low, high = read(scores, baseline=baseline).interval
        return (high or 562) / (low or 1)

    assert width([1.0] * 5) < width([0.7, 1.3, 0.8, 1.2, 1.0])


def test_a_baseline_that_learned_nothing_is_refused() -> None:
    with pytest.raises(RlidimError, match="no better than random"):
        read({2: [1.0]}, baseline=[0.1], random=0.1)


scores_at = st.lists(st.floats(-0.2, 1.2), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 500), scores_at, min_size=1, max_size=8))
def test_any_scores_give_a_consistent_estimate(scores: dict[int, list[float]]) -> None:
    found = read(scores)
    low, high = found.interval
    fit = [value for _, value in found.fit]
    assert fit == sorted(fit)
    if found.d_int is None:
        assert found.censored == "above"
        assert max(fit) < 0.9
    else:
        assert (low or 1) <= found.d_int <= (high or 562)
        assert min(scores) <= found.d_int <= max(scores)
    assert (low or 1) <= (high or 562) <= 562
    assert found == read(dict(reversed(scores.items())))


# MNIST's first measurement: seeds differ by 0.003, and the accuracy rises slowly.
ACCURACIES = {
    384: [0.8526, 0.8467, 0.8483, 0.8485],
    512: [0.8687, 0.8772, 0.8748, 0.8719, 0.8722, 0.8789],
    768: [0.8947, 0.9041, 0.9039, 0.9016, 0.8957, 0.9065],
    1024: [0.9128, 0.913, 0.9137, 0.9134],
}


def test_seeds_that_hardly_differ_leave_little_doubt() -> None:
    found = read(ACCURACIES, baseline=[0.9826, 0.9807, 0.9826, 0.9828], random=0.1, D=199_210)
    low, high = found.interval
    assert 513 < low < found.d_int < high
    assert high / low < 1.5  # which is the gap between two rungs


def test_the_same_scores_with_one_failure_leave_much() -> None:
    """A run that never leaves the start says that seeds do differ."""
    scores = {**ACCURACIES, 768: [*ACCURACIES[768][:-1], 0.1]}
    found = read(scores, baseline=[0.9826, 0.9807, 0.9826, 0.9828], random=0.1, D=199_210)
    low, high = found.interval
    assert high is None or high / (low or 1) > 2
