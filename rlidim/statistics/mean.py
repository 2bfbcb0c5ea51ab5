"""The reading by the mean: the smallest d whose expected normalised score reaches the fraction.

It stands beside the headline reading (:mod:`rlidim.statistics.shares`), and it is the one that is
compared with published numbers: Li et al. 2018, section 2, read means.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from rlidim.errors import RlidimError
from rlidim.statistics.mean_interval import Posterior, posterior
from rlidim.statistics.reading import Reading, censoring, crossing_of, isotonic_fit, whole
from rlidim.statistics.scale import normalise

EDGE = 0.125  # of the gap between two tested rungs, see _to_rung
REMEMBERED = 256  # posteriors: the tables ask about the same scores again


def read_mean(
    scores: Mapping[int, Sequence[float]],
    *,
    baseline: Sequence[float],
    random: float,
    D: int,
    fraction: float = 0.9,
    confidence: float = 0.95,
) -> Reading:
    """Read the smallest d whose expected score reaches a fraction of the native runs' mean.

    Args:
        scores: raw scores at each tested d, NaN for runs that diverged, which count as random.
        baseline: raw scores of native runs; their mean is 1.
        random: the mean score of random actions, which is 0.
        D: the network's number of parameters.
        fraction: of the baseline's normalised score.
        confidence: of the interval.

    Raises:
        RlidimError: the baseline is no better than random.
    """
    reached = float(np.mean(baseline))
    if not reached > random:
        raise RlidimError(
            f"the native baseline scores {reached:.4g}, no better than random actions "
            f"({random:.4g}): nothing can be measured; raise the trainer's budget"
        )
    dims = sorted(scores)
    normalised = {d: [normalise(score, random, reached) for score in scores[d]] for d in dims}
    means = [float(np.mean(normalised[d])) for d in dims]
    fit = isotonic_fit(means, [len(scores[d]) for d in dims])
    crossing = crossing_of(dims, fit, fraction)
    d_int = None if crossing is None else whole(crossing)
    error = float(np.std(baseline, ddof=1) / math.sqrt(len(baseline))) if len(baseline) > 1 else 0.0
    return Reading(
        D=D,
        d_int=d_int,
        crossing=crossing,
        interval=interval_of(
            normalised, fraction, error / (reached - random), confidence, d_int, D
        ),
        censored=censoring(d_int, dims),
        fit=tuple((d, float(value)) for d, value in zip(dims, fit, strict=True)),
        tested=tuple(dims),
    )


def interval_of(
    normalised: Mapping[int, Sequence[float]],
    fraction: float,
    baseline_error: float,
    confidence: float,
    d_int: int | None,
    D: int,
) -> tuple[int | None, int | None]:
    """Return the interval of the integer dimension; an end that the tested d leave open is None.

    The interval always holds d_int itself.
    """
    dims = sorted(normalised)
    scores = tuple((d, tuple(normalised[d])) for d in dims)
    belief = _posterior(scores, fraction, baseline_error)
    tail = (1.0 - confidence) / 2.0
    low_log = _to_rung(belief.quantile(tail), dims)
    high_log = _to_rung(belief.quantile(1.0 - tail), dims)
    low: int | None = whole(math.exp(low_log))
    high: int | None = whole(math.exp(min(high_log, math.log(D))))
    if low_log <= math.log(dims[0]) and dims[0] > 1:
        low = None
    if high_log > math.log(dims[-1]) and dims[-1] < D:
        high = None
    if d_int is None:
        return (min(low, D) if low is not None else None), None
    low = None if low is None else min(low, d_int)
    high = None if high is None else max(high, d_int)
    return low, high


@functools.lru_cache(maxsize=REMEMBERED)
def _posterior(
    scores: tuple[tuple[int, tuple[float, ...]], ...], fraction: float, baseline_error: float
) -> Posterior:
    """Return the crossing's posterior, cached: it takes most of an estimate's time."""
    return posterior(dict(scores), fraction, baseline_error)


def _to_rung(log_d: float, dims: Sequence[int]) -> float:
    """Move an interval's end in the outer eighth of a gap between tested rungs to the rung there.

    The curve may be a step that rises anywhere in the gap, up to its ends.
    """
    for low, high in itertools.pairwise(math.log(d) for d in dims):
        edge = EDGE * (high - low)
        if low < log_d < low + edge:
            return low + 1e-6
        if high - edge < log_d < high:
            return high
    return log_d
