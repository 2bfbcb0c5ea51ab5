"""d_int90 from scores: by the median run, beside it by the mean and by the paper's rule.

README, "How it measures"; Li et al. 2018, section 2.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from rlidim.errors import RlidimError
from rlidim.statistics.mean import read_mean
from rlidim.statistics.reading import Reading
from rlidim.statistics.scale import HALF, Scale, scale_of, thresholds
from rlidim.statistics.shares import read_shares


@dataclass(frozen=True)
class Rung:
    """The scores at one tested subspace dimension, and whether they pass.

    Attributes:
        d: the dimension.
        scores: one a seed; NaN for a run that diverged.
        normalised: on the estimate's scale; a run that diverged counts 0.
        mean: of the normalised scores.
        solved: how many runs reach the fraction.
        passes: whether at least half of them do.
    """

    d: int
    scores: tuple[float, ...]
    normalised: tuple[float, ...]
    mean: float
    solved: int
    passes: bool

    @property
    def share(self) -> float:
        """The share of runs that reach the fraction."""
        return self.solved / len(self.scores)


@dataclass(frozen=True)
class Estimate(Reading):
    """An intrinsic dimension with its interval: the smallest d at which half of the runs solve.

    ``fit`` is the isotonic fit of the shares of runs that do.

    Attributes:
        fraction: of the scale that counts as solved.
        scale: what 0 and 1 stand for.
        rungs: the scores at each tested d.
        baseline: the raw scores of native runs.
        first_passing_d: the smallest tested d that passes by its own runs.
        paper_rule_d: by the rule of the paper, see :func:`paper_rule`.
        confidence: of the intervals.
    """

    fraction: float
    scale: Scale
    rungs: tuple[Rung, ...]
    baseline: tuple[float, ...]
    first_passing_d: int | None
    paper_rule_d: int | None
    confidence: float

    @functools.cached_property
    def mean(self) -> Reading | None:
        """The reading by the mean; None where native training is no better than random."""
        try:
            return read_mean(
                {rung.d: rung.scores for rung in self.rungs},
                baseline=self.baseline,
                random=self.scale.random,
                D=self.D,
                fraction=self.fraction,
                confidence=self.confidence,
            )
        except RlidimError:
            return None

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        mean = self.mean
        return {
            "fraction": self.fraction,
            "d_int": self.d_int,
            "crossing": self.crossing,
            "interval": list(self.interval),
            "censored": self.censored,
            "first_passing_d": self.first_passing_d,
            "scale": {
                "kind": self.scale.kind,
                "solved": self.scale.solved,
                "target": self.scale.target,
                "native_reaching": self.scale.native[0],
                "native_runs": self.scale.native[1],
                "native_unsolved": self.scale.unsolved,
            },
            "mean": None
            if mean is None
            else {
                "d_int": mean.d_int,
                "crossing": mean.crossing,
                "interval": list(mean.interval),
                "censored": mean.censored,
            },
            "paper_rule_d": self.paper_rule_d,
            "dims": [
                {
                    "d": rung.d,
                    "seeds": len(rung.scores),
                    "scores": [None if math.isnan(score) else score for score in rung.scores],
                    "normalised": list(rung.normalised),
                    "mean": rung.mean,
                    "solved": rung.solved,
                    "share": rung.share,
                    "passes": rung.passes,
                }
                for rung in self.rungs
            ],
        }


def estimate(
    scores: Mapping[int, Sequence[float]],
    *,
    baseline: Sequence[float],
    random: float,
    D: int,
    target: float | None = None,
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
        target: the score that counts as solved; None: the median of the native runs, as also where
            fewer than half of them reach the fraction of the target.
        fraction: of the way from random actions to there that a run must reach.
        confidence: of the interval.
        minimum_score: the lowest possible score, which the paper's rule shifts to zero; the score
            of random actions where that is lower.

    Raises:
        RlidimError: the target, or native training, is no better than random.
    """
    scale = scale_of(baseline, random, target, fraction)
    rungs = tuple(_rung(d, values, scale, fraction) for d, values in sorted(scores.items()))
    reading = read_shares(
        {rung.d: rung.normalised for rung in rungs},
        fraction,
        thresholds(scale, baseline, fraction),
        D,
        confidence,
    )
    return Estimate(
        **vars(reading),
        fraction=fraction,
        scale=scale,
        rungs=rungs,
        baseline=tuple(float(score) for score in baseline),
        first_passing_d=next((rung.d for rung in rungs if rung.passes), None),
        paper_rule_d=paper_rule(
            scores, float(np.mean(baseline)), fraction, min(minimum_score, random)
        ),
        confidence=confidence,
    )


def _rung(d: int, values: Sequence[float], scale: Scale, fraction: float) -> Rung:
    normalised = tuple(map(scale, values))
    solved = sum(value >= fraction for value in normalised)
    return Rung(
        d=d,
        scores=tuple(float(value) for value in values),
        normalised=normalised,
        mean=float(np.mean(normalised)),
        solved=solved,
        passes=solved >= HALF * len(values),
    )


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
