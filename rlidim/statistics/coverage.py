"""The interval's coverage in simulation: how often it holds the true dimension.

Curves and scores are none of the interval's own model: expected scores of five shapes, around which
runs scatter in six ways; the truth is the smallest d at which at least half of the runs reach the
fraction, by the scores' distribution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from rlidim.errors import RlidimError, nearest
from rlidim.statistics.estimate import estimate

LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
LARGEST = 64  # a truth beyond is drawn anew: the ladder must reach well past it
D = 10 * LADDER[-1]
FRACTION = 0.9
Array = NDArray[np.float64]
Curve = Callable[[Array], Array]  # the expected normalised score, of log d
Draw = Callable[[float, int], Array]  # so many scores around an expected one
Share = Callable[[Array], Array]  # the chance to reach the fraction, of the expected score
Interval = tuple[int | None, int | None]


def logistic(generator: np.random.Generator) -> Curve:
    """Draw a logistic rise to 1 that crosses the fraction between d = 3 and 64."""
    return _rise(*_crossing(generator), 1.0)


def step(generator: np.random.Generator) -> Curve:
    """Draw a step from a low plateau to 1."""
    at, _ = _crossing(generator)
    low = generator.uniform(0.0, 0.3)
    return lambda x: np.where(x >= at, 1.0, low)


def power(generator: np.random.Generator) -> Curve:
    """Draw an error that falls as a power of d, as classifiers' do, slowly at the least."""
    at, _ = _crossing(generator)
    exponent = math.exp(generator.uniform(math.log(0.3), math.log(2.0)))
    return lambda x: np.clip(1 - (1 - FRACTION) * np.exp((at - x) * exponent), 0, 1)


def plateau(generator: np.random.Generator) -> Curve:
    """Draw a rise that ends barely above the fraction."""
    return _rise(*_crossing(generator), generator.uniform(0.92, 0.97))


def dip(generator: np.random.Generator) -> Curve:
    """Draw a rise to 1 that sinks again three to eight times further on."""
    at, width = _crossing(generator)
    rise = _rise(at, width, 1.0)
    far = at + math.log(generator.uniform(3, 8))
    depth = generator.uniform(0.3, 0.8)
    return lambda x: rise(x) * (1 - depth * expit((x - far) / 0.2))


def _crossing(generator: np.random.Generator) -> tuple[float, float]:
    """Draw log d where the fraction is crossed, and a logistic's width."""
    at = generator.uniform(math.log(3), math.log(64))
    return at, math.exp(generator.uniform(math.log(0.05), math.log(0.6)))


def _rise(at: float, width: float, top: float) -> Curve:
    return lambda x: top * expit((x - at) / width + logit(FRACTION / top))


def gaussian(generator: np.random.Generator) -> tuple[Draw, Share]:
    """Draw the same normal noise at every d."""
    return _normal(generator, generator.uniform(0.05, 0.15))


def precise(generator: np.random.Generator) -> tuple[Draw, Share]:
    """Draw the noise of a classifier: seeds hardly differ."""
    return _normal(generator, math.exp(generator.uniform(math.log(0.002), math.log(0.02))))


def heteroscedastic(generator: np.random.Generator) -> tuple[Draw, Share]:
    """Draw noise that is far larger on the way up than at its ends."""
    base, inner = generator.uniform(0.01, 0.04), generator.uniform(0.2, 0.6)

    def deviation(mean: Any) -> Any:
        return base + inner * np.clip(mean * (1 - mean), 0, 1)

    return (
        lambda mean, count: mean + deviation(mean) * generator.standard_normal(count),
        lambda mean: stats.norm.sf((FRACTION - mean) / deviation(mean)),
    )


def heavy_tailed(generator: np.random.Generator) -> tuple[Draw, Share]:
    """Draw Student's noise with three degrees of freedom."""
    scale = generator.uniform(0.03, 0.1)
    return (
        lambda mean, count: mean + scale * generator.standard_t(3, size=count),
        lambda mean: stats.t.sf((FRACTION - mean) / scale, 3),
    )


def bimodal(generator: np.random.Generator) -> tuple[Draw, Share]:
    """Draw runs that are solved, at 1, or end somewhere below."""
    share = generator.uniform(0.1, 0.8)

    def low(mean: Any) -> Any:
        return np.minimum(share * mean, 0.44)  # the mean of a uniform score from 0 to twice that

    def solved(mean: Any) -> Any:
        return np.clip((mean - low(mean)) / (1 - low(mean)), 0, 1)

    def draw(mean: float, count: int) -> Array:
        luck = generator.uniform(size=count) < solved(mean)
        return np.where(luck, 1.0, generator.uniform(0, 2 * low(mean), count))

    return draw, solved


def rare_failure(generator: np.random.Generator) -> tuple[Draw, Share]:
    """Draw precise scores, but for 8 % of runs at every d that fail."""
    chance, deviation = 0.08, generator.uniform(0.01, 0.05)

    def draw(mean: float, count: int) -> Array:
        failed = generator.uniform(size=count) < chance
        good = mean + deviation * generator.standard_normal(count)
        return np.where(failed, generator.uniform(0, 0.3, count), good)

    return draw, lambda mean: (1 - chance) * stats.norm.sf((FRACTION - mean) / deviation)


def _normal(generator: np.random.Generator, deviation: float) -> tuple[Draw, Share]:
    return (
        lambda mean, count: mean + deviation * generator.standard_normal(count),
        lambda mean: stats.norm.sf((FRACTION - mean) / deviation),
    )


CURVES = {curve.__name__: curve for curve in (logistic, step, power, plateau, dip)}
SCORES = {
    scores.__name__: scores
    for scores in (gaussian, precise, heteroscedastic, heavy_tailed, bimodal, rare_failure)
}
SEEDS = (3, 5, 10)


@dataclass(frozen=True)
class Simulated:
    """A simulated task: its true dimension, and runs of it.

    Attributes:
        truth: the smallest d at which at least half of the runs reach the fraction.
        draw: draws so many scores at a d.
    """

    truth: int
    draw: Callable[[int, int], Array]


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        curve: one of :data:`CURVES`.
        scores: one of :data:`SCORES`.
        seeds: at each d.
        natives: native runs that make the scale; 0: a declared target.
        deviation: of their scores, around 1.
    """

    curve: str
    scores: str
    seeds: int
    natives: int = 0
    deviation: float = 0.0

    @property
    def baseline(self) -> str:
        """What 1 is, in words."""
        return "target" if self.natives == 0 else f"{self.natives} native, sd {self.deviation:g}"


def cases() -> Iterator[Case]:
    """Yield every case of the table: those of a declared target, then the local ones."""
    baselines = [(0, 0.0), *itertools.product(SEEDS, (0.0, 0.1, 0.3))]
    for natives, deviation in baselines:
        for seeds, curve, scores in itertools.product(SEEDS, CURVES, SCORES):
            yield Case(curve, scores, seeds, natives, deviation)


def simulate(curve: str, scores: str, generator: np.random.Generator) -> Simulated:
    """Draw a task of a known dimension of at most 64.

    Raises:
        RlidimError: an unknown curve or kind of scores.
    """
    for name, known in ((curve, CURVES), (scores, SCORES)):
        if name not in known:
            raise RlidimError(f"unknown kind '{name}'{nearest(name, known)}")
    logs = np.log(np.arange(1, LADDER[-1] + 1))
    while True:
        expected = CURVES[curve](generator)
        draw, share = SCORES[scores](generator)
        solving = np.flatnonzero(share(expected(logs)) >= 0.5)
        if solving.size and solving[0] < LARGEST:
            return Simulated(
                int(solving[0]) + 1,
                lambda d, count, expected=expected, draw=draw: draw(  # type: ignore[misc]
                    float(expected(np.asarray(math.log(d)))), count
                ),
            )


def natives_of(case: Case, generator: np.random.Generator) -> list[float]:
    """Draw the native runs of a case; of a declared target one that reaches it."""
    deviations = case.deviation * generator.standard_normal(max(case.natives, 1))
    return [1 + float(deviation) for deviation in deviations]


def interval_of(
    scores: Mapping[int, Sequence[float]], case: Case, natives: Sequence[float]
) -> Interval:
    """Return the suite's interval of a case's scores; None at an open end."""
    target = 1.0 if case.natives == 0 else None
    return estimate(scores, baseline=natives, random=0.0, D=D, target=target).interval


def coverage_study(case: Case, repetitions: int, seed: int = 0) -> dict[str, Any]:
    """Simulate measurements of known dimensions on the whole ladder; count which intervals hold.

    An open end leaves nothing out on its side.

    Args:
        case: what is simulated.
        repetitions: simulated measurements.
        seed: of the simulation.

    Returns:
        The case, its coverage, the shares of misses on either side, the share of open intervals and
        the median ratio of the others' ends.
    """
    generator = np.random.default_rng(seed)
    intervals = []
    for _ in range(repetitions):
        task = simulate(case.curve, case.scores, generator)
        scores = {d: task.draw(d, case.seeds).tolist() for d in LADDER}
        intervals.append((task.truth, interval_of(scores, case, natives_of(case, generator))))
    return {**asdict(case), "baseline": case.baseline, **tally(intervals)}


def tally(intervals: Sequence[tuple[int, Interval]]) -> dict[str, Any]:
    """Return the coverage of intervals, each after the truth that it should hold."""
    below = sum(low is not None and truth < low for truth, (low, _) in intervals)
    above = sum(high is not None and truth > high for truth, (_, high) in intervals)
    ratios = [high / low for _, (low, high) in intervals if low is not None and high is not None]
    count = len(intervals)
    return {
        "repetitions": count,
        "coverage": 1.0 - (below + above) / count,
        "truth_below": below / count,
        "truth_above": above / count,
        "open": 1.0 - len(ratios) / count,
        "median_ratio": float(np.median(ratios)) if ratios else None,
    }
