"""The headline reading: the smallest d at which at least half of the runs solve the task.

A run solves it if its normalised score reaches the fraction, so that d is read where the median run
does. The share of runs that solve is a psychometric curve of log d (Wichmann & Hill, Perception &
Psychophysics 2001): a logistic between a guess rate, of the runs that solve at any d, and a lapse
rate, of those that fail at any. Its 50 % point has a posterior by the binomial likelihood, summed
over a few widths, guess and lapse rates. The rungs within a factor of the first that passes speak,
and no others: a curve that sinks again at a large d, or lies flat far below, is no logistic.

Its coverage in simulation stands in the documentation: :mod:`rlidim.statistics.coverage`.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from rlidim.statistics.reading import Reading, censoring, crossing_of, isotonic_fit, whole
from rlidim.statistics.scale import HALF

Array = NDArray[np.float64]
REMEMBERED = 4096  # posteriors: a search asks about the same counts again, and so do the tables
GRIDS = 32  # of curves at the same rungs, half a megabyte each
LEAST = 1e-9  # a probability is never taken to be nearer to 0 or 1


@dataclass(frozen=True)
class Curves:
    """The grid of curves that are summed over, each as likely as the others beforehand.

    Attributes:
        guess: rates of solved runs far below the 50 % point: some tasks are solved by luck.
        lapse: rates of failed runs far above it. 0.3 is for plateaus near one half, as of scores
            that scatter around the fraction itself; without it such curves cover 85 to 90 %.
        widths: of the logistic, in units of log d, from a step to one decade wide.
        window: times the first passing d, and its inverse: the rungs that speak.
        locations: of the 50 % point in each gap between tested rungs, and on either side of them.
        margin: of log d: how far beyond the tested rungs the 50 % point may lie. The runs cannot
            tell, so that a bound is supposed.
    """

    guess: tuple[float, ...] = (0.0, 0.2, 0.4)
    lapse: tuple[float, ...] = (0.0, 0.05, 0.12, 0.3)
    widths: tuple[float, ...] = (0.02, 0.1, 0.25, 0.5, 1.0)
    window: float = 3.0
    locations: int = 16
    margin: float = 1.5


CURVES = Curves()


def read_shares(
    normalised: Mapping[int, Sequence[float]],
    fraction: float,
    thresholds: Sequence[float],
    D: int,
    confidence: float = 0.95,
) -> Reading:
    """Read the smallest d at which at least half of the runs reach the fraction.

    Args:
        normalised: scores at each tested d, on the scale that is read.
        fraction: of the scale that counts as solved.
        thresholds: the scores that may be the true fraction, equally likely: more than one where
            the scale is in doubt (:func:`rlidim.statistics.scale.thresholds`).
        D: the network's number of parameters.
        confidence: of the interval.
    """
    dims = tuple(sorted(normalised))
    runs = tuple(len(normalised[d]) for d in dims)

    def solved(threshold: float) -> tuple[int, ...]:
        return tuple(sum(score >= threshold for score in normalised[d]) for d in dims)

    count = solved(fraction)
    end = _reach(dims, count, runs)
    fit = isotonic_fit(
        [k / n for k, n in zip(count[:end], runs[:end], strict=True)], list(runs[:end])
    )
    crossing = crossing_of(dims[:end], fit, HALF)
    d_int = None if crossing is None else whole(crossing)
    return Reading(
        D=D,
        d_int=d_int,
        crossing=crossing,
        interval=_interval(
            dims, Counter(map(solved, thresholds)), runs, (1.0 - confidence) / 2.0, d_int, D
        ),
        censored=censoring(d_int, dims),
        fit=tuple((d, float(value)) for d, value in zip(dims, fit, strict=False)),
        tested=dims,
    )


def first_passing(
    dims: Sequence[int], solved: Sequence[int], runs: Sequence[int], window: float = CURVES.window
) -> int | None:
    """Return the index of the first rung that passes, None if none does.

    It is the first at which the isotonic fit of all rungs up to ``window`` times its own d reaches
    one half: runs that were lucky do not make a rung pass whose neighbours above it fail, and runs
    that fail again far above it do not keep it from passing.
    """
    # The fit at s is max over a <= s of min over b > s of the share in [a, b).
    excess = np.concatenate(([0.0], np.cumsum(np.array(solved) - HALF * np.array(runs))))
    for index, d in enumerate(dims):
        end = int(np.searchsorted(dims, window * d, side="right"))
        if excess[: index + 1].min() <= excess[index + 1 : end + 1].min():
            return index
    return None


def _reach(dims: Sequence[int], solved: Sequence[int], runs: Sequence[int]) -> int:
    """Return how many rungs, counted from the first, the fit is of: up to the passing one's."""
    index = first_passing(dims, solved, runs)
    if index is None:
        return len(dims)
    return int(np.searchsorted(dims, CURVES.window * dims[index], side="right"))


def _interval(
    dims: tuple[int, ...],
    counts: Mapping[tuple[int, ...], int],
    runs: tuple[int, ...],
    tail: float,
    d_int: int | None,
    D: int,
) -> tuple[int | None, int | None]:
    """Return the interval of the integer dimension; an end that the tested d leave open is None.

    Its ends are moved out to tested rungs, since the curve may be a step anywhere between two, and
    it always holds d_int itself.

    Args:
        dims: tested, ascending.
        counts: for each tuple of solved runs at each d, how many thresholds count them so.
        runs: at each d.
        tail: the probability left out at each end.
        d_int: the reading.
        D: the network's number of parameters.
    """
    both: tuple[list[tuple[Array, Array]], ...] = (
        [],
        [],
    )  # by the first passing rung of the fit, by the first of its own runs
    for solved, share in counts.items():
        for parts, (at, weight) in zip(both, _posteriors(dims, solved, runs), strict=True):
            parts.append((at, weight * share))
    quantiles = np.array([_quantiles(parts, tail) for parts in both])
    low_log, high_log = quantiles[:, 0].min(), quantiles[:, 1].max()
    below = [d for d in dims if math.log(d) <= low_log]
    above = [d for d in dims if math.log(d) >= high_log]
    low = below[-1] + 1 if below else (1 if dims[0] == 1 else None)
    high = above[0] if above else (D if dims[-1] == D else None)
    if d_int is None:
        return (None if low is None else min(low, D)), None
    return (None if low is None else min(low, d_int)), (None if high is None else max(high, d_int))


def _quantiles(parts: Sequence[tuple[Array, Array]], tail: float) -> tuple[float, float]:
    """Return the two log d beyond which a mixture of posteriors has a tail's probability."""
    at = np.concatenate([at for at, _ in parts])
    order = np.argsort(at, kind="stable")
    cumulative = np.cumsum(np.concatenate([weight for _, weight in parts])[order])
    ends = np.searchsorted(cumulative, np.array([tail, 1.0 - tail]) * cumulative[-1])
    low, high = at[order][np.minimum(ends, len(at) - 1)]
    return float(low), float(high)


@functools.lru_cache(maxsize=REMEMBERED)
def _posteriors(
    dims: tuple[int, ...], solved: tuple[int, ...], runs: tuple[int, ...]
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the posterior of the 50 % point by the rungs around each rung that may be the first.

    Those are the first whose fit passes and the first whose own runs pass, which may lie below:
    which of them is the first passing one is itself in doubt.

    Returns:
        For either, locations in log d and their weights, which sum to 1.
    """
    index = first_passing(dims, solved, runs)
    fitted = len(dims) - 1 if index is None else index
    own = [at for at, (k, n) in enumerate(zip(solved, runs, strict=True)) if k >= HALF * n]
    every = np.array(dims, float), np.array(solved, float), np.array(runs, float)

    def around(centre: int) -> tuple[Array, Array]:
        inside = np.abs(np.log(every[0] / dims[centre])) <= math.log(CURVES.window) + 1e-9
        at, weight = _posterior(*(part[inside] for part in every))
        return at, weight / weight.sum()

    first = around(fitted)
    return first, (around(own[0]) if own and own[0] < fitted else first)


def _posterior(dims: Array, solved: Array, runs: Array) -> tuple[Array, Array]:
    """Return locations of the 50 % point in log d, ascending, and their weights.

    Args:
        dims: the rungs that speak, (rungs,).
        solved: how many runs solve the task at each.
        runs: at each.
    """
    at, prior, log_share, log_rest = _grid(tuple(dims))
    fit = log_share @ solved + log_rest @ (runs - solved)
    return at, np.exp(fit - fit.max()).sum((0, 2)) * prior


@functools.lru_cache(maxsize=GRIDS)
def _grid(dims: tuple[float, ...]) -> tuple[Array, Array, Array, Array]:
    """Return locations, the length in log d of each, and the curves' log shares at the rungs.

    Returns:
        (locations,), (locations,), and of runs that solve and of those that do not
        (shapes, locations, widths, rungs).
    """
    x = np.log(dims)
    edges = np.concatenate(([x[0] - CURVES.margin], x, [x[-1] + CURVES.margin]))
    gaps = np.diff(edges)
    middles = (np.arange(CURVES.locations) + 0.5) / CURVES.locations
    at = (edges[:-1, None] + gaps[:, None] * middles).ravel()
    prior = np.repeat(gaps, CURVES.locations)
    guess, lapse = np.array([(g, m) for g in CURVES.guess for m in CURVES.lapse]).T[..., None]
    # Every curve is 1/2 at its location, whatever its rates.
    half = logit((HALF - guess) / (1.0 - guess - lapse))[:, None, :, None]
    guess, rise = guess[:, None, :, None], (1.0 - guess - lapse)[:, None, :, None]
    z = (x - at[:, None])[:, None, :] / np.array(CURVES.widths)[:, None]
    share = np.clip(guess + rise * expit(z + half), LEAST, 1.0 - LEAST)
    return at, prior, np.log(share), np.log1p(-share)
