"""The coverage of the interval of the reading by the mean, in simulation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError, nearest
from rlidim.statistics.mean import read_mean
from rlidim.statistics.reading import whole

LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
FRACTION = 0.9
BASELINE_SEEDS = 5
LOW, HIGH = 0.1, 1.05  # mean scores of unsolved and of solved runs, which overshoot the baseline
TOP = 0.92  # the share of solved runs where the others fail at every d, and so the best mean
Scores = Mapping[int, Sequence[float]]
Interval = Callable[[Scores], tuple[float, float]]


def gaussian(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw scores with the same normal noise at every rung."""
    return gaussian_around(generator, means, generator.uniform(0.05, 0.15), seeds)


def gaussian_around(
    generator: np.random.Generator, means: NDArray[np.float64], deviation: float, seeds: int
) -> Scores:
    """Draw normal scores around the means."""
    return {
        d: (mean + deviation * generator.standard_normal(seeds)).tolist()
        for d, mean in zip(LADDER, means, strict=True)
    }


def bimodal(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw bimodal scores, as in RL: a run is solved, at 1, or ends somewhere below."""
    share = generator.uniform(0.1, 0.8)
    scores = {}
    for d, mean in zip(LADDER, means, strict=True):
        unsolved = min(share * mean, 0.44)  # the mean of a uniform score from 0 to twice that
        solved = generator.uniform(size=seeds) < (mean - unsolved) / (1.0 - unsolved)
        scores[d] = np.where(solved, 1.0, generator.uniform(0.0, 2.0 * unsolved, seeds)).tolist()
    return scores


def step(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw scores of a calibration task: low below the crossing, near 1 from it on."""
    return {
        d: generator.uniform(*((0.98, 1.0) if mean >= FRACTION else (0.0, 0.3)), seeds).tolist()
        for d, mean in zip(LADDER, means, strict=True)
    }


def precise(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw scores of a classifier: seeds hardly differ, and the error falls as a power of d."""
    deviation = math.exp(generator.uniform(math.log(0.002), math.log(0.02)))
    power = math.exp(generator.uniform(math.log(0.3), math.log(2.0)))
    curve = np.clip(1 - (1 - FRACTION) * (math.exp(crossing) / np.array(LADDER)) ** power, 0, 1)
    return gaussian_around(generator, curve, deviation, seeds)


def few(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw a classifier's scores at the four rungs around the crossing alone."""
    scores = precise(generator, means, crossing, seeds)
    above = int(np.searchsorted(np.log(LADDER), crossing))
    return {d: scores[d] for d in LADDER[max(0, above - 2) : above + 2]}


def jump(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw normal scores that jump from a high plateau to solved: only a part is easy."""
    plateau = generator.uniform(0.5, 0.85)
    curve = np.where(np.log(LADDER) >= crossing, 1.0, plateau)
    return gaussian_around(generator, curve, generator.uniform(0.02, 0.1), seeds)


def bend(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw normal scores of a curve whose slope changes at the crossing."""
    x = np.log(LADDER) - crossing
    below, above = np.exp(generator.uniform(math.log(0.03), math.log(0.5), 2))
    curve = np.clip(FRACTION + np.where(x < 0, below, above) * x, 0.0, 1.0)
    deviation = math.exp(generator.uniform(math.log(0.01), math.log(0.08)))
    return gaussian_around(generator, curve, deviation, seeds)


def overshoot(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw scores whose solved runs exceed the baseline; the others are near random."""
    scores = {}
    for d, mean in zip(LADDER, means, strict=True):
        solved = generator.uniform(size=seeds) < (mean - LOW) / (HIGH - LOW)
        good = HIGH + 0.01 * generator.standard_normal(seeds)
        scores[d] = np.where(solved, good, generator.uniform(0.0, 2.0 * LOW, seeds)).tolist()
    return scores


def rare_failure(
    generator: np.random.Generator, means: NDArray[np.float64], crossing: float, seeds: int
) -> Scores:
    """Draw scores of which, at every d, now and then one is 0: the mean never exceeds ``TOP``.

    Few seeds seldom show a failure, and where they do, a rung beyond the crossing does not pass.
    """
    return {
        d: (min(mean / TOP, 1.0) * (generator.uniform(size=seeds) < TOP)).tolist()
        for d, mean in zip(LADDER, means, strict=True)
    }


_KINDS = (gaussian, bimodal, step, precise, few, jump, bend, overshoot, rare_failure)
KINDS = {kind.__name__: kind for kind in _KINDS}


def coverage_study(
    repetitions: int,
    seeds_per_rung: int,
    kind: str,
    seed: int,
    interval: Interval | None = None,
) -> dict[str, Any]:
    """Simulate measurements of a known dimension and count how often the interval holds it.

    The expected score is logistic in log d, its crossing anywhere between d = 3 and 64, its width
    between 0.05 and 0.6; the truth is the smallest integer d that reaches 0.9.

    Args:
        repetitions: simulated measurements.
        seeds_per_rung: of each.
        kind: one of :data:`KINDS`.
        seed: of the simulation.
        interval: the function to study; None: the suite's own interval.

    Returns:
        Coverage, the shares of misses on either side, and the median ratio of the interval's ends.

    Raises:
        RlidimError: an unknown kind.
    """
    if kind not in KINDS:
        raise RlidimError(f"unknown kind of scores '{kind}'{nearest(kind, KINDS)}")
    generator = np.random.default_rng(seed)
    below = above = 0
    ratios = []
    for _ in range(repetitions):
        crossing = generator.uniform(math.log(3), math.log(64))
        width = math.exp(generator.uniform(math.log(0.05), math.log(0.6)))
        location = crossing - width * math.log(FRACTION / (1 - FRACTION))
        means = 1.0 / (1.0 + np.exp(-(np.log(LADDER) - location) / width))
        if kind == "step":
            means = np.where(np.log(LADDER) >= crossing, 1.0, 0.0)
        truth = whole(math.exp(crossing))
        scores = KINDS[kind](generator, means, crossing, seeds_per_rung)
        low, high = (interval or own_interval)(scores)
        below += truth < low
        above += truth > high
        ratios.append(high / low)
    return {
        "kind": kind,
        "seeds": seeds_per_rung,
        "repetitions": repetitions,
        "coverage": 1.0 - (below + above) / repetitions,
        "truth_below": below / repetitions,
        "truth_above": above / repetitions,
        "median_ratio": float(np.median(ratios)),
    }


def own_interval(scores: Mapping[int, Sequence[float]]) -> tuple[float, float]:
    """Return the suite's interval; an open end lies just beyond the ladder."""
    reading = read_mean(scores, baseline=[1.0] * BASELINE_SEEDS, random=0.0, D=10 * LADDER[-1])
    low, high = reading.interval
    return 1 if low is None else low, 2 * LADDER[-1] if high is None else high
