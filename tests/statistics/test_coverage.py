"""The 95 % interval holds the truth as often as is promised, and the test can fail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.statistics import coverage
from rlidim.statistics.coverage import CURVES, SCORES, SEEDS, Case, coverage_study

PROMISED = 0.94
REPETITIONS = 200  # of each case
LOCAL = [(natives, deviation) for natives in SEEDS for deviation in (0.1, 0.3)]
# Median ratio of an interval's ends, by seeds: one from 1 to D would hold everything.
WIDEST = {3: 4.0, 5: 3.0, 10: 2.0}


def margin(repetitions: int) -> float:
    """What a study falls below the promise by once in a thousand, if it were the coverage."""
    return 3.09 * math.sqrt(PROMISED * (1 - PROMISED) / repetitions)


def holds(study: Mapping[str, Any]) -> bool:
    return bool(study["coverage"] >= PROMISED - margin(study["repetitions"]))


@pytest.mark.slow
@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("curve", CURVES)
def test_coverage_against_a_target(curve: str, scores: str) -> None:
    studies = [coverage_study(Case(curve, scores, seeds), REPETITIONS, seed=2) for seeds in SEEDS]
    for study in studies:
        assert holds(study), study
        if curve in ("logistic", "step"):
            assert study["median_ratio"] < WIDEST[study["seeds"]], study
    together = float(np.mean([study["coverage"] for study in studies]))
    assert together >= PROMISED - margin(REPETITIONS * len(SEEDS))


@pytest.mark.slow
@pytest.mark.parametrize(("natives", "deviation"), LOCAL)
def test_coverage_against_a_local_baseline(natives: int, deviation: float) -> None:
    """A case each of curve and scores in turn, so that every one is seen."""
    pairs = zip([*CURVES] * len(SCORES), [*SCORES] * len(CURVES), strict=True)
    for place, (curve, scores) in enumerate(sorted(set(pairs))):
        case = Case(curve, scores, SEEDS[place % len(SEEDS)], natives, deviation)
        assert holds(coverage_study(case, REPETITIONS // 2, seed=2)), case


@pytest.mark.parametrize(("curve", "scores"), [("plateau", "gaussian"), ("dip", "rare_failure")])
def test_coverage_in_brief(curve: str, scores: str) -> None:
    assert holds(coverage_study(Case(curve, scores, 5), 60, seed=2))


def test_the_study_tells_a_bad_interval_from_a_good_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rung that passes first and the one before it, whatever the number of runs."""

    def naive(scores: Any, case: Case, natives: Any) -> coverage.Interval:
        passing = [d for d, values in scores.items() if np.mean(np.array(values) >= 0.9) >= 0.5]
        if not passing:
            return None, None
        return max((d for d in scores if d < passing[0]), default=0) + 1, passing[0]

    case = Case("logistic", "bimodal", 3)
    assert holds(coverage_study(case, 60, seed=2))
    monkeypatch.setattr(coverage, "interval_of", naive)
    assert not holds(coverage_study(case, 60, seed=2))


def test_the_truth_is_where_half_of_the_runs_solve() -> None:
    """Of many runs at the truth and at the d before it."""
    for curve in CURVES:
        for scores in SCORES:
            task = coverage.simulate(curve, scores, np.random.default_rng(3))
            share = float(np.mean(task.draw(task.truth, 4000) >= coverage.FRACTION))
            assert share > 0.5 - 0.03, (curve, scores)
            if task.truth > 1:
                before = float(np.mean(task.draw(task.truth - 1, 4000) >= coverage.FRACTION))
                assert before < 0.5 + 0.03, (curve, scores)


def test_the_study_repeats_and_names_mistakes() -> None:
    case = Case("step", "precise", 3)
    assert coverage_study(case, 5, seed=1) == coverage_study(case, 5, seed=1)
    with pytest.raises(RlidimError, match="did you mean 'gaussian'"):
        coverage_study(Case("step", "gausian", 3), 5)


def test_every_case_of_the_table_is_there_once() -> None:
    cases = list(coverage.cases())
    assert len(cases) == len(set(cases)) == 10 * len(SEEDS) * len(CURVES) * len(SCORES)
