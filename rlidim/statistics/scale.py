"""The scale of scores: random actions are 0, a declared target or native training is 1."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from rlidim.errors import RlidimError

TARGET, LOCAL = "target", "local"
HALF = 0.5  # the share of runs that must reach the fraction: the median run does
NODES = 19  # of the distribution of a median that few native runs leave in doubt


@dataclass(frozen=True)
class Scale:
    """What 0 and 1 stand for.

    Attributes:
        random: the mean score of random actions, which is 0.
        solved: the score that is 1.
        kind: ``target``, the score that the task declares as solved, or ``local``, the median of
            native training.
        target: the score that the task declares, None if it declares none. Of a local scale: the
            one that too few native runs reach.
        native: (k, n): k of n native runs reach the fraction of the target, or where there is none
            of their own median.
    """

    random: float
    solved: float
    kind: str
    target: float | None
    native: tuple[int, int]

    @property
    def unsolved(self) -> bool:
        """Whether a target is declared that fewer than half of the native runs reach."""
        return self.kind == LOCAL and self.target is not None

    def __call__(self, score: float) -> float:
        """Return the normalised score; 0 for NaN, a run that diverged."""
        return normalise(score, self.random, self.solved)


def normalise(score: float, random: float, solved: float) -> float:
    """Return (score - random) / (solved - random); 0 for a score that is NaN."""
    return 0.0 if math.isnan(score) else (score - random) / (solved - random)


def scale_of(
    baseline: Sequence[float], random: float, target: float | None, fraction: float
) -> Scale:
    """Return the scale that a measurement is read on.

    The target's, where at least half of the native runs reach the fraction of it, else the local
    one.

    Args:
        baseline: raw scores of native runs, at least one.
        random: the mean score of random actions.
        target: the score that the task declares as solved, or None.
        fraction: of the scale that counts as solved.

    Raises:
        RlidimError: the target, or the median of native training, is no better than random.
    """
    if target is not None:
        if not target > random:
            raise RlidimError(
                f"the target {target:.4g} is no better than random actions ({random:.4g})"
            )
        count = _reaching(baseline, random, target, fraction)
        if count >= HALF * len(baseline):
            return Scale(random, target, TARGET, target, (count, len(baseline)))
    median = float(np.median(baseline))
    if not median > random:
        raise RlidimError(
            f"the native baseline scores {median:.4g}, no better than random actions "
            f"({random:.4g}): nothing can be measured; raise the trainer's budget"
        )
    count = _reaching(baseline, random, median if target is None else target, fraction)
    return Scale(random, median, LOCAL, target, (count, len(baseline)))


def _reaching(baseline: Sequence[float], random: float, solved: float, fraction: float) -> int:
    return sum(normalise(score, random, solved) >= fraction for score in baseline)


def thresholds(scale: Scale, baseline: Sequence[float], fraction: float) -> list[float]:
    """Return the normalised scores that may be the fraction of the true scale, equally likely.

    A declared target leaves no doubt. Of a local scale they follow the distribution of the median
    that the order of the native scores gives without any assumption on their shape: the k-th of n
    lies below it with the probability that a fair coin shows heads at least k times in n (the sign
    test). Beyond the lowest and the highest it falls off exponentially, on the scale of their mean
    distance.

    Args:
        scale: of the measurement.
        baseline: raw scores of native runs.
        fraction: of the scale that counts as solved.
    """
    if scale.kind == TARGET or len(baseline) < 2:
        return [fraction]
    values = np.sort([scale(score) for score in baseline])
    if values[0] == values[-1]:
        return [fraction * float(values[0])]
    count = len(values)
    below = binom.cdf(np.arange(count), count, 0.5)  # of the median, at each value
    probability = (np.arange(NODES) + 0.5) / NODES
    medians = np.interp(probability, below, values)
    distance = (values[-1] - values[0]) / (count - 1)
    low, high = probability < below[0], probability > below[-1]
    medians[low] = values[0] + distance * np.log(probability[low] / below[0])
    medians[high] = values[-1] - distance * np.log((1 - probability[high]) / (1 - below[-1]))
    return [fraction * float(median) for median in medians]
