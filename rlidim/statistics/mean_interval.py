"""The 95 % interval of the reading by the mean: quasi-likelihood over monotone curves.

It must hold the truth in at least 93 % of cases, with Gaussian, bimodal and precise scores at 3, 5
and 10 seeds a rung (:mod:`rlidim.statistics.mean_coverage`). Resampling seeds within a rung fails
that: where all seeds of a rung pass, it sees no doubt at all. Here the rungs speak together. The
expected normalised score is a curve of log d through the crossing c, m(c) = t, logistic or
straight, on either side of it with a slope of its own: the way up tells nothing of the way on to
the plateau A. Shapes, slopes and plateaus are summed over on a grid. A score at d has the variance
V(m) = e + v m (1 - m): e is the noise that every run has, v says how far the scores are bimodal (1:
solved or not, nothing between). Both are read off the scatter within the rungs, so that rungs on
the way up teach how little three solved runs prove; where many runs hardly scatter, as classifiers
do, both are as small as that scatter allows. Rungs are weighed by Wedderburn's quasi-likelihood
(Biometrika 1974), the integral of (y - m) / V(m), which is Bernoulli's for solved-or-not scores and
the normal one for pure noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp
from scipy.stats import chi2

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """The grid of curves that are summed over.

    Attributes:
        locations: of the crossing in each gap between tested rungs, and on either side of them.
            Quantiles are read off between them: with so many, an interval's end is far finer than
            the gap that it lies in.
        margin: of log d: how far beyond the tested rungs the crossing may lie. The scores cannot
            tell, so that a bound is supposed.
        widths: how many slopes each side of a curve may have. One side's are summed over without
            the other's, so that many cost little.
        narrowest: of the widths, in units of log d: practically a step.
        step: a share of the narrowest gap between rungs. A curve of this width is a step within the
            gap, and where rungs are close together ``narrowest`` alone would not be one.
        widest: of the widths, in units of log d: hardly a slope over all the rungs that are tested.
        plateaus: of the upper side of a curve, as shares of solved: of the baseline, or of the
            highest rung's mean if that is above it.
        beyond: times the threshold: the one plateau that is supposed where the threshold lies above
            all the others, because a curve must reach the threshold to cross it.
        left_out: of log-likelihood. Crossings that lie so far below the best have no weight that
            would show, and the second grid need not cover them.
        nodes: of the Gauss-Hermite rule of three points, in standard errors of the baseline: where
            the baseline is in doubt, the threshold is taken at each.
        weights: of the nodes.
        least_threshold: a baseline may be in so much doubt that a node lies at or below random
            actions' score, where no curve has a crossing; the threshold is never taken below this.
        lowest: normalised score from which quasi-likelihoods are integrated. Scores below it are
            read as this one.
        highest: normalised score up to which they are, likewise.
        points: from one to the other, in steps of 0.002, as fine as ``Prior.finest`` is.
    """

    locations: int = 24
    margin: float = 1.5
    widths: int = 24
    narrowest: float = 0.005
    step: float = 0.02
    widest: float = 4.0
    plateaus: tuple[float, ...] = (0.92, 0.95, 0.98, 1.0)
    beyond: float = 1.02
    left_out: float = 20.0
    nodes: tuple[float, ...] = (-1.7320508, 0.0, 1.7320508)
    weights: tuple[float, ...] = (1 / 6, 2 / 3, 1 / 6)
    least_threshold: float = 1e-3
    lowest: float = -1.0
    highest: float = 2.0
    points: int = 1501

    @property
    def scores(self) -> Array:
        """The points over which quasi-likelihoods are integrated, (points,)."""
        return np.linspace(self.lowest, self.highest, self.points)


@dataclass(frozen=True)
class Prior:
    """The prior of the scores' variance e + v m (1 - m), for where too few scores show it.

    Attributes:
        flat: a rung whose m (1 - m) is below this is at the bottom or on the plateau: its scatter
            is all noise. The others are on the way up, where bimodality shows.
        noise: e, unless many runs show less: a standard deviation of 0.02.
        finest: the least e that any runs can show, a standard deviation of 0.002: ten thousand test
            images tell no more of a classifier.
        high: a rung on the way up is high from this mean on. Lower rungs scatter little even where
            runs are solved or not, because hardly any is solved.
        several: so many high rungs must hardly scatter before that is taken as the rule: one may
            have been lucky.
        sure: the chance that so little scatter hides more noise or bimodality than is then
            believed. A smaller one inflates a classifier's scatter, up to fourfold at 0.001.
        bimodality: v where no rung on the way up has been seen: halfway between noise alone and
            solved or not.
        strength: of that belief in v, in runs at m = 0.5: a tenth of one, so that the first rungs
            on the way up decide.
        shape: the way up may be of any shape. A rung's mean may leave the curve by this share of
            its distance below the threshold, so that no number of seeds there outweighs the rungs
            at the crossing.
        inner: the m (1 - m) of a typical rung on the way up, by which that liberty is weighed
            against the variance of a score.
    """

    flat: float = 0.05
    noise: float = 0.02**2
    finest: float = 0.002**2
    high: float = 0.3
    several: int = 2
    sure: float = 0.05
    bimodality: float = 0.5
    strength: float = 0.1
    shape: float = 0.3
    inner: float = 0.2


GRID, PRIOR = Grid(), Prior()


@dataclass(frozen=True)
class Posterior:
    """The posterior of the crossing: candidate values of log d, ascending, and their weights."""

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
    # Runs in a subspace may do better than the baseline: solved is then their highest mean.
    highest = max(1.0, *(float(np.mean(scores[d])) for d in dims))
    x = np.log(np.array(dims, dtype=np.float64))
    count = np.array([len(scores[d]) for d in dims], dtype=np.float64)
    mean = np.array([np.mean(scores[d]) for d in dims]) / highest
    squares = np.array([np.var(scores[d]) * len(scores[d]) for d in dims]) / highest**2
    noise, bimodality = scatter(count, mean, squares)
    threshold = fraction / highest
    drift = (PRIOR.shape * np.clip(threshold - mean, 0, None)) ** 2
    rungs = Rungs(
        x, mean, count / (1 + count * drift / (noise + bimodality * PRIOR.inner)), noise, bimodality
    )

    nodes, weights = np.zeros(1), np.ones(1)
    if baseline_error > 0:
        nodes, weights = np.array(GRID.nodes), np.array(GRID.weights)
    thresholds = np.clip(threshold * (1.0 + nodes * baseline_error), GRID.least_threshold, None)

    def weigh(crossings: Array) -> Array:
        return np.array([log_likelihood(crossings, t, rungs) for t in thresholds])

    crossings, prior = grid(np.concatenate(([x[0] - GRID.margin], x, [x[-1] + GRID.margin])))
    likelihood = weigh(crossings)
    # Precise scores rule out most of the grid: a second one covers the rest.
    left = (likelihood > likelihood.max(1, keepdims=True) - GRID.left_out).any(0)
    crossings, prior = grid(_ends(crossings, left, x))
    # Each threshold by itself: the scores say nothing of the baseline.
    likelihood = weigh(crossings)
    weight = np.exp(likelihood - likelihood.max(1, keepdims=True)) * prior
    weight = weights @ (weight / weight.sum(1, keepdims=True))
    return Posterior(crossings, weight)


@dataclass(frozen=True)
class Rungs:
    """The scores' statistics, an entry for each tested d.

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
    widths = np.geomspace(min(GRID.narrowest, GRID.step * gap), GRID.widest, GRID.widths)
    widths = widths[:, None, None]
    plateaus = np.array([level for level in GRID.plateaus if threshold < level])
    if plateaus.size == 0:
        plateaus = np.array([GRID.beyond * threshold])
    below = rungs.x < crossings[:, None]  # (crossing, rung)
    # (crossing, width, plateau, rung); the shapes stand before the widths
    z = (rungs.x - crossings[:, None])[:, None, None, :] / widths

    def side(levels: Array, on_side: NDArray[np.bool_]) -> Array:
        levels = levels[:, None]
        logistic = levels * expit(z + logit(threshold / levels))
        slope = threshold * (1.0 - threshold / levels)  # the logistic curve's at the crossing
        straight = np.clip(threshold + slope * z, 0.0, levels)
        fit = rungs.trust * quasi_likelihood(
            rungs.mean, np.stack((logistic, straight), 1), rungs.noise, rungs.bimodality
        )
        fit = np.where(on_side[:, None, None, None, :], fit, 0.0).sum(-1)
        return np.asarray(logsumexp(fit, axis=(1, 2, 3)))

    return side(plateaus[-1:], below) + side(plateaus, ~below)


def grid(ends: Array) -> tuple[Array, Array]:
    """Return locations in the gaps between ascending ends, and the length that each stands for.

    Every gap has as many, however narrow it is, so that the quantiles within it are smooth.
    """
    gaps = np.diff(ends)
    middles = (np.arange(GRID.locations) + 0.5) / GRID.locations
    locations = ends[:-1, None] + gaps[:, None] * middles
    return locations.ravel(), np.repeat(gaps / GRID.locations, GRID.locations)


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
    flat = inner < PRIOR.flat
    # Several rungs high on the way up that do not scatter, where solved-or-not runs would: seeds
    # hardly differ. Then noise and bimodality are the most that so little scatter can hide.
    smooth = ~flat & (mean > PRIOR.high)
    precise = smooth.sum() >= PRIOR.several
    noise = PRIOR.noise
    if precise:
        noise = min(noise, _most(float(squares.sum()), float(freedom.sum())))
    if freedom[flat].sum() > 0:
        noise = max(noise, float(squares[flat].sum() / freedom[flat].sum()))
    # v by moments from the rungs on the way up, shrunk towards the prior.
    excess = float((squares - freedom * noise)[~flat].sum())
    spread = float((freedom * inner)[~flat].sum())
    v = (max(excess, 0.0) + PRIOR.bimodality * PRIOR.strength) / (spread + PRIOR.strength)
    if precise:
        hidden = _most(float(squares[smooth].sum()), float(freedom[smooth].sum()))
        v = min(v, hidden / float(inner[smooth].mean()))
    return noise, min(v, 1.0)


def _most(squares: float, freedom: float) -> float:
    """Return the largest variance that so small a sum of squared deviations does not rule out."""
    if freedom <= 0:
        return np.inf
    return max(squares / float(chi2.ppf(PRIOR.sure, freedom)), PRIOR.finest)


def quasi_likelihood(y: Array, m: Array, noise: float, bimodality: float) -> Array:
    """Return the integral of (y - t) / V(t) from y to m, like m; y are the rungs' means."""
    scores = GRID.scores
    variance = noise + bimodality * np.clip(scores * (1 - scores), 0, None)
    step = scores[1] - scores[0]
    first = np.cumsum(1 / variance) * step
    second = np.cumsum(scores / variance) * step
    y = np.clip(y, scores[0], scores[-1])

    def at(table: Array, score: Array) -> Array:
        return np.interp(score, scores, table)

    return np.asarray(y * (at(first, m) - at(first, y)) - (at(second, m) - at(second, y)))
