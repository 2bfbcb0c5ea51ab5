"""A reading: an intrinsic dimension with its interval, by whichever definition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression


@dataclass(frozen=True)
class Reading:
    """An intrinsic dimension with its interval.

    Attributes:
        D: the network's number of parameters.
        d_int: the smallest integer d that passes; None if no tested d does.
        crossing: where the isotonic fit over log d begins to pass, a real number.
        interval: 95 %, inclusive; None at the end that the tested d leave open.
        censored: ``above`` (no tested d passes), ``below`` (all do, and d = 1 is untested), None.
        fit: (d, isotonic value) at the tested d that the reading rests on.
        tested: every d, ascending.
    """

    D: int
    d_int: int | None
    crossing: float | None
    interval: tuple[int | None, int | None]
    censored: str | None
    fit: tuple[tuple[int, float], ...]
    tested: tuple[int, ...]

    @property
    def unreached(self) -> bool:
        """Whether not even d = D passes: then training in any basis but its own falls short."""
        return self.censored == "above" and self.tested[-1] == self.D

    @property
    def ratio(self) -> float:
        """The ratio of the interval's ends, an open one at 1 or at D."""
        low, high = self.interval
        return (self.D if high is None else high) / (1 if low is None else low)

    @property
    def closed(self) -> bool:
        """Whether the tested d bound it on both sides."""
        return None not in self.interval

    def holds(self, d: int) -> bool | None:
        """Return whether the interval holds d; None where an end that is open would decide."""
        low, high = self.interval
        if (low is not None and d < low) or (high is not None and d > high):
            return False
        # An open end leaves every d beyond the reading undecided on its side.
        reading = self.tested[-1] if self.d_int is None else self.d_int
        below = d < reading or (d == reading and self.censored == "below")
        above = d > reading
        return None if (low is None and below) or (high is None and above) else True


def censoring(d_int: int | None, tested: Sequence[int]) -> str | None:
    """Return on which side the tested d only bound a dimension, None if they hold it."""
    if d_int is None:
        return "above"
    return "below" if d_int == tested[0] and d_int > 1 else None


def isotonic_fit(values: Sequence[float], weight: Sequence[float]) -> NDArray[np.float64]:
    """Return the closest non-decreasing values, by weighted least squares."""
    return np.asarray(isotonic_regression(values, weights=weight).x)


def crossing_of(dims: Sequence[int], fit: NDArray[np.float64], level: float) -> float | None:
    """Return where the fit, linear over log d between rungs, first reaches the level."""
    if fit[-1] < level:
        return None
    index = int(np.argmax(fit >= level))
    if index == 0:
        return float(dims[0])
    low, high = fit[index - 1], fit[index]
    share = (level - low) / (high - low)
    return float(math.exp((1 - share) * math.log(dims[index - 1]) + share * math.log(dims[index])))


def whole(crossing: float) -> int:
    """Return the smallest integer that is at least the crossing, up to rounding."""
    return max(1, math.ceil(crossing - 1e-9))
