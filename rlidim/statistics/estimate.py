"""d_int90 from scores: normalisation, the isotonic crossing, its interval, the paper's rule.

Li et al. 2018, section 2; README, "How it measures".
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

from rlidim.errors import RlidimError
from rlidim.statistics.interval import Posterior, posterior

EDGE = 0.125  # of the gap between two tested rungs, see _to_rung
REMEMBERED = 256  # posteriors: a search asks about the same scores again, and so do the tables


@dataclass(frozen=True)
class Rung:
    """The scores at one tested subspace dimension, and whether they pass.

    Attributes:
        d: the dimension.
        scores: one a seed; NaN for a run that diverged.
        normalised: 0 is random, 1 the baseline; a run that diverged counts 0.
        mean: of the normalised scores.
        passes: whether the mean reaches the fraction.
        success: the share of seeds that reach it.
    """

    d: int
    scores: tuple[float, ...]
    normalised: tuple[float, ...]
    mean: float
    passes: bool
    success: float


@dataclass(frozen=True)
class Estimate:
    """An intrinsic dimension with its interval.

    Attributes:
        fraction: of the baseline's normalised score that counts as solved.
        D: the network's number of parameters.
        d_int: the smallest integer d whose expected normalised score reaches the fraction; None if
            no tested d does.
        crossing: where the isotonic fit over log d crosses the fraction.
        interval: 95 %, inclusive; None at the end that the tested d leave open.
        censored: ``above`` (no tested d passes), ``below`` (all do, and d = 1 is untested), None.
        first_passing_d: the smallest tested d whose mean passes.
        paper_rule_d: by the rule of the paper, see :func:`paper_rule`.
        fit: (d, isotonic mean) at each tested d.
        rungs: the scores at each tested d.
    """

    fraction: float
    D: int
    d_int: int | None
    crossing: float | None
    interval: tuple[int | None, int | None]
    censored: str | None
    first_passing_d: int | None
    paper_rule_d: int | None
    fit: tuple[tuple[int, float], ...]
    rungs: tuple[Rung, ...]

    @property
    def unreached(self) -> bool:
        """Whether not even d = D passes: then training in any basis but its own falls short."""
        return self.censored == "above" and self.rungs[-1].d == self.D

    def holds(self, d: int) -> bool | None:
        """Return whether the interval holds d; None where an end that is open would decide."""
        low, high = self.interval
        if (low is not None and d < low) or (high is not None and d > high):
            return False
        # An open end leaves every d beyond the estimate undecided on its side.
        reading = self.rungs[-1].d if self.d_int is None else self.d_int
        below = d < reading or (d == reading and self.censored == "below")
        above = d > reading
        return None if (low is None and below) or (high is None and above) else True

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "fraction": self.fraction,
            "d_int": self.d_int,
            "crossing": self.crossing,
            "interval": list(self.interval),
            "censored": self.censored,
            "first_passing_d": self.first_passing_d,
            "paper_rule_d": self.paper_rule_d,
            "dims": [
                {
                    "d": rung.d,
                    "seeds": len(rung.scores),
                    "scores": [None if math.isnan(score) else score for score in rung.scores],
                    "normalised": list(rung.normalised),
                    "mean": rung.mean,
                    "passes": rung.passes,
                    "success": rung.success,
                }
                for rung in self.rungs
            ],
        }


def normalise(score: float, random: float, baseline: float) -> float:
    """Return (score - random) / (baseline - random); 0 for a score that is NaN."""
    return 0.0 if math.isnan(score) else (score - random) / (baseline - random)


def isotonic_fit(mean: Sequence[float], weight: Sequence[float]) -> NDArray[np.float64]:
    """Return the closest non-decreasing means, by weighted least squares."""
    return np.asarray(isotonic_regression(mean, weights=weight).x)


def crossing_of(dims: Sequence[int], fit: NDArray[np.float64], fraction: float) -> float | None:
    """Return where the fit, linear over log d between rungs, first reaches the fraction."""
    if fit[-1] < fraction:
        return None
    index = int(np.argmax(fit >= fraction))
    if index == 0:
        return float(dims[0])
    low, high = fit[index - 1], fit[index]
    share = (fraction - low) / (high - low)
    return float(math.exp((1 - share) * math.log(dims[index - 1]) + share * math.log(dims[index])))


def estimate(
    scores: Mapping[int, Sequence[float]],
    *,
    baseline: Sequence[float],
    random: float,
    D: int,
    fraction: float = 0.9,
    confidence: float = 0.95,
    minimum_score: float = 0.0,
) -> Estimate:
    """Estimate the intrinsic dimension.

    Args:
        scores: raw scores at each tested d, NaN for runs that diverged.
        baseline: raw scores of native runs.
        random: the mean score of random actions.
        D: the network's number of parameters, which no d exceeds.
        fraction: of the baseline's normalised score that counts as solved.
        confidence: of the interval.
        minimum_score: the lowest possible score, which the paper's rule shifts to zero; the score
            of random actions where that is lower.

    Raises:
        RlidimError: the baseline is no better than random.
    """
    reached = float(np.mean(baseline))
    if not reached > random:
        raise RlidimError(
            f"the native baseline scores {reached:.4g}, no better than random actions "
            f"({random:.4g}): nothing can be measured; raise the trainer's budget"
        )
    rungs = []
    for d, values in sorted(scores.items()):
        normalised = tuple(normalise(value, random, reached) for value in values)
        mean = float(np.mean(normalised))
        rungs.append(
            Rung(
                d=d,
                scores=tuple(float(value) for value in values),
                normalised=normalised,
                mean=mean,
                passes=mean >= fraction,
                success=float(np.mean([value >= fraction for value in normalised])),
            )
        )
    dims = [rung.d for rung in rungs]
    fit = isotonic_fit([rung.mean for rung in rungs], [len(rung.scores) for rung in rungs])
    crossing = crossing_of(dims, fit, fraction)
    d_int = None if crossing is None else whole(crossing)
    error = float(np.std(baseline, ddof=1) / math.sqrt(len(baseline))) if len(baseline) > 1 else 0.0
    interval = interval_of(
        {rung.d: rung.normalised for rung in rungs},
        fraction,
        error / (reached - random),
        confidence,
        d_int,
        D,
    )
    passing = [rung.d for rung in rungs if rung.passes]
    censored = None
    if crossing is None:
        censored = "above"
    elif d_int == dims[0] and dims[0] > 1:
        censored = "below"
    return Estimate(
        fraction=fraction,
        D=D,
        d_int=d_int,
        crossing=crossing,
        interval=interval,
        censored=censored,
        first_passing_d=passing[0] if passing else None,
        paper_rule_d=paper_rule(scores, reached, fraction, min(minimum_score, random)),
        fit=tuple((d, float(value)) for d, value in zip(dims, fit, strict=True)),
        rungs=tuple(rungs),
    )


def whole(crossing: float) -> int:
    """Return the smallest integer that is at least the crossing, up to rounding."""
    return max(1, math.ceil(crossing - 1e-9))


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


def paper_rule(
    scores: Mapping[int, Sequence[float]], baseline: float, fraction: float, minimum: float
) -> int | None:
    """Return the smallest tested d whose mean score is strictly above fraction times the baseline.

    Scores are shifted so that the lowest possible is zero; no interpolation, no monotonicity
    (Li et al. 2018, as its released notebooks compute it).
    """
    for d, values in sorted(scores.items()):
        known = [minimum if math.isnan(value) else value for value in values]
        if np.mean(known) - minimum > fraction * (baseline - minimum):
            return d
    return None


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half (Agarwal et al., NeurIPS 2021)."""
    return float(stats.trim_mean(values, 0.25))
