"""The 95 % interval of d_int90: quasi-likelihood over monotone curves, checked for coverage.

It must hold the truth in at least 93 % of cases, with Gaussian, bimodal and precise scores at 3, 5
and 10 seeds a rung (:mod:`rlidim.statistics.coverage`). Resampling seeds within a rung fails that:
where all seeds of a rung pass, it sees no doubt at all. Here the rungs speak together. The expected
normalised score is a curve of log d through the crossing c, m(c) = t, logistic or straight, on
either side of it with a slope of its own: what happens on the way up says nothing of how the curve
goes on to its plateau A. Shapes, slopes and plateaus are summed over on a grid. A score at d has
variance V(m) = e + v m (1 - m): e is the noise that every run has, v says how far the scores are
bimodal (1: solved or not, nothing between). Both are read off the scatter within the rungs, so that
rungs on the way up teach how little three solved runs prove; where many runs hardly scatter, as
classifiers do, both are as small as that scatter allows. Rungs are weighed by Wedderburn's quasi-
likelihood (Biometrika 1974), the integral of (y - m) / V(m), which is Bernoulli's for solved-or-not
scores and the normal one for pure noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp
from scipy.stats import chi2

Array = NDArray[np.float64]

LOCATIONS = 24  # of the crossing in each gap between tested rungs, and on either side of them
WIDTHS = 24  # of either side's curve: how many, and from where to where in units of log d
NARROWEST, WIDEST = 0.005, 4.0
STEP = 0.02  # of the narrowest gap between rungs: a curve this narrow is a step within it
PLATEAUS = np.array([0.92, 0.95, 0.98, 1.0])  # shares of the highest rung, if that is above 1
BEYOND = 1.02  # times a threshold that no plateau reaches: the plateau that is then supposed
MARGIN = 1.5  # of log d, how far beyond the tested rungs the crossing may lie
THRESHOLD_NODES = np.array([-1.7320508, 0.0, 1.7320508])  # Gauss-Hermite, for the baseline's doubt
THRESHOLD_WEIGHTS = np.array([1 / 6, 2 / 3, 1 / 6])
LEAST_THRESHOLD = 1e-3  # a baseline in so much doubt that it may be no better than random
LEAST_NOISE = 0.02**2  # unless many runs show less
FINEST = 0.002**2  # no score is known better than that: ten thousand test images say no more
SURE = 1e-3  # the chance that so little scatter hides more noise or bimodality than that
HIGH, SEVERAL = 0.3, 2  # a rung's mean, and how many such rungs it takes to see that
LEFT_OUT = 20.0  # in log-likelihood below the best: crossings that the second grid need not cover
PRIOR_BIMODALITY = 0.5  # assumed of v where no rung on the way up has been seen,
PRIOR_STRENGTH = 0.1  # with the strength of one run at m = 0.5
SHAPE = 0.3  # how far a rung's mean may leave the curve, as a share of its distance below the
INNER = 0.2  # threshold: the way up may be of any shape; a typical m (1 - m) in between
SCORES = np.linspace(-1.0, 2.0, 1501)  # the range that quasi-likelihoods are integrated over


@dataclass(frozen=True)
class Posterior:
    """Where the crossing lies: candidate values of log d, ascending, and their weights."""

    crossing: Array
    weight: Array

    def quantile(self, probability: float) -> float:
        """Return the log d below which the crossing lies with this probability."""
        cumulative = np.cumsum(self.weight)
        index = int(np.searchsorted(cumulative, probability * cumulative[-1]))
        return float(self.crossing[min(index, len(self.crossing) - 1)])


def posterior(
    scores: Mapping[int, Sequence[float]], fraction: float, baseline_error: float
) -> Posterior:
    """Return the posterior of the crossing.

    Args:
        scores: normalised scores of each tested d.
        fraction: the threshold, 0.9 for d_int90.
        baseline_error: standard error of the baseline's mean, in normalised units.
    """
    dims = sorted(scores)
    # Runs in a subspace may do better than the baseline: solved is then what they reach.
    highest = max(1.0, *(float(np.mean(scores[d])) for d in dims))
    x = np.log(np.array(dims, dtype=np.float64))
    count = np.array([len(scores[d]) for d in dims], dtype=np.float64)
    mean = np.array([np.mean(scores[d]) for d in dims]) / highest
    squares = np.array([np.var(scores[d]) * len(scores[d]) for d in dims]) / highest**2
    noise, bimodality = scatter(count, mean, squares)
    threshold = fraction / highest
    drift = (SHAPE * np.clip(threshold - mean, 0, None)) ** 2
    rungs = Rungs(
        x, mean, count / (1 + count * drift / (noise + bimodality * INNER)), noise, bimodality
    )

    nodes, weights = np.zeros(1), np.ones(1)
    if baseline_error > 0:
        nodes, weights = THRESHOLD_NODES, THRESHOLD_WEIGHTS
    thresholds = np.clip(threshold * (1.0 + nodes * baseline_error), LEAST_THRESHOLD, None)

    def weigh(crossings: Array) -> Array:
        return np.array([log_likelihood(crossings, t, rungs) for t in thresholds])

    crossings, prior = grid(np.concatenate(([x[0] - MARGIN], x, [x[-1] + MARGIN])))
    likelihood = weigh(crossings)
    # Precise scores leave a few points of the grid: it is laid again over what is left.
    left = (likelihood > likelihood.max(1, keepdims=True) - LEFT_OUT).any(0)
    crossings, prior = grid(_ends(crossings, left, x))
    # Each threshold by itself: the scores say nothing of the baseline.
    likelihood = weigh(crossings)
    weight = np.exp(likelihood - likelihood.max(1, keepdims=True)) * prior
    weight = weights @ (weight / weight.sum(1, keepdims=True))
    return Posterior(crossings, weight)


@dataclass(frozen=True)
class Rungs:
    """What the scores say, an entry for each tested d.

    Attributes:
        x: log d, ascending.
        mean: of the scores, 1 being solved.
        trust: seeds, fewer where the curve may be of another shape.
        noise: e of all scores' variance.
        bimodality: its v.
    """

    x: Array
    mean: Array
    trust: Array
    noise: float
    bimodality: float


def log_likelihood(crossings: Array, threshold: float, rungs: Rungs) -> Array:
    """Return the log-likelihood of each crossing, the curve's other parameters summed over.

    Rungs below a crossing know nothing of the curve above it, and the other way round, so that each
    side is summed over by itself.
    """
    gap = float(np.diff(rungs.x).min(initial=1.0))
    widths = np.geomspace(min(NARROWEST, STEP * gap), WIDEST, WIDTHS)[:, None, None]
    plateaus = PLATEAUS[threshold < PLATEAUS]
    if plateaus.size == 0:
        plateaus = np.array([BEYOND * threshold])
    below = rungs.x < crossings[:, None]  # (crossing, rung)
    # (crossing, width, plateau, rung); the shapes stand before the widths
    z = (rungs.x - crossings[:, None])[:, None, None, :] / widths

    def side(levels: Array, mine: NDArray[np.bool_]) -> Array:
        levels = levels[:, None]
        logistic = levels * expit(z + logit(threshold / levels))
        slope = threshold * (1.0 - threshold / levels)  # the logistic curve's at the crossing
        straight = np.clip(threshold + slope * z, 0.0, levels)
        fit = rungs.trust * quasi_likelihood(
            rungs.mean, np.stack((logistic, straight), 1), rungs.noise, rungs.bimodality
        )
        fit = np.where(mine[:, None, None, None, :], fit, 0.0).sum(-1)
        return np.asarray(logsumexp(fit, axis=(1, 2, 3)))

    return side(plateaus[-1:], below) + side(plateaus, ~below)


def grid(ends: Array) -> tuple[Array, Array]:
    """Return locations in the gaps between ascending ends, and the length that each stands for.

    Every gap has as many, however narrow it is, so that the quantiles within it are smooth.
    """
    gaps = np.diff(ends)
    middles = (np.arange(LOCATIONS) + 0.5) / LOCATIONS
    locations = ends[:-1, None] + gaps[:, None] * middles
    return locations.ravel(), np.repeat(gaps / LOCATIONS, LOCATIONS)


def _ends(locations: Array, kept: NDArray[np.bool_], x: Array) -> Array:
    """Return the ends of the gaps that cover the kept locations, the rungs among them."""
    indices = np.flatnonzero(kept)
    low = locations[max(indices[0] - 1, 0)]
    high = locations[min(indices[-1] + 1, len(locations) - 1)]
    return np.concatenate(([low], x[(x > low) & (x < high)], [high]))


def scatter(count: Array, mean: Array, squares: Array) -> tuple[float, float]:
    """Return the noise e and the bimodality v that the scatter within the rungs shows.

    Args:
        count: seeds of each rung.
        mean: of its scores.
        squares: sum of its squared deviations.
    """
    freedom = count - 1
    inner = np.clip(mean * (1 - mean), 0.0, None)
    flat = inner < 0.05
    # Several rungs high on the way up that do not scatter, where solved-or-not runs would: seeds
    # hardly differ. Then noise and bimodality are the most that so little scatter can hide.
    smooth = ~flat & (mean > HIGH)
    precise = smooth.sum() >= SEVERAL
    noise = LEAST_NOISE
    if precise:
        noise = min(noise, _most(float(squares.sum()), float(freedom.sum())))
    if freedom[flat].sum() > 0:
        noise = max(noise, float(squares[flat].sum() / freedom[flat].sum()))
    # v by moments from the rungs on the way up, shrunk towards the prior.
    excess = float((squares - freedom * noise)[~flat].sum())
    spread = float((freedom * inner)[~flat].sum())
    v = (max(excess, 0.0) + PRIOR_BIMODALITY * PRIOR_STRENGTH) / (spread + PRIOR_STRENGTH)
    if precise:
        hidden = _most(float(squares[smooth].sum()), float(freedom[smooth].sum()))
        v = min(v, hidden / float(inner[smooth].mean()))
    return noise, min(v, 1.0)


def _most(squares: float, freedom: float) -> float:
    """Return the largest variance that so small a sum of squared deviations does not rule out."""
    if freedom <= 0:
        return np.inf
    return max(squares / float(chi2.ppf(SURE, freedom)), FINEST)


def quasi_likelihood(y: Array, m: Array, noise: float, bimodality: float) -> Array:
    """Return the integral of (y - t) / V(t) from y to m, an array like m; y are the rungs'."""
    variance = noise + bimodality * np.clip(SCORES * (1 - SCORES), 0, None)
    step = SCORES[1] - SCORES[0]
    first = np.cumsum(1 / variance) * step
    second = np.cumsum(SCORES / variance) * step
    y = np.clip(y, SCORES[0], SCORES[-1])

    def at(table: Array, where: Array) -> Array:
        return np.interp(where, SCORES, table)

    return np.asarray(y * (at(first, m) - at(first, y)) - (at(second, m) - at(second, y)))
