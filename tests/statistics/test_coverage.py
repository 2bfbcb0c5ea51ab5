"""The 95 % interval holds the truth as often as is promised, and the test can fail."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.statistics.coverage import FRACTION, KINDS, coverage_study
from rlidim.statistics.estimate import crossing_of, isotonic_fit, whole

PROMISED = 0.93
REPETITIONS = 200
# Where scores are few, or solved runs exceed the baseline, an end is often open.
OPEN_ENDED = ("few", "overshoot")
# If the coverage were the promised one, a study of this size falls below once in a thousand.
MARGIN = 3.09 * math.sqrt(PROMISED * (1 - PROMISED) / REPETITIONS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_coverage(kind: str, seeds: int) -> None:
    study = coverage_study(REPETITIONS, seeds, kind, seed=2)
    assert study["coverage"] >= PROMISED - MARGIN
    # An interval from 1 to D would hold everything: it must be worth having too.
    if kind not in OPEN_ENDED:
        assert study["median_ratio"] < {3: 3.5, 5: 2.8, 10: 2.0}[seeds]


def bootstrap(scores: Mapping[int, Sequence[float]]) -> tuple[float, float]:
    """The obvious interval: resample the seeds of each rung and take percentiles."""
    generator = np.random.default_rng(0)
    dims = sorted(scores)
    found = []
    for _ in range(200):
        means = [float(np.mean(generator.choice(scores[d], len(scores[d])))) for d in dims]
        fit = isotonic_fit(means, [1.0] * len(dims))
        crossing = crossing_of(dims, fit, FRACTION)
        found.append(dims[-1] if crossing is None else crossing)
    low, high = np.percentile(found, [2.5, 97.5])
    return whole(low), whole(high)


@pytest.mark.slow
def test_the_study_tells_a_bad_interval_from_a_good_one() -> None:
    study = coverage_study(200, 3, "bimodal", seed=2, interval=bootstrap)
    assert study["coverage"] < PROMISED - MARGIN


def test_the_study_repeats_and_names_mistakes() -> None:
    assert coverage_study(5, 3, "step", seed=1) == coverage_study(5, 3, "step", seed=1)
    with pytest.raises(RlidimError, match="did you mean 'gaussian'"):
        coverage_study(5, 3, "gausian", seed=1)
