"""How many times another reading a reading is, with a 95 % interval.

Zou and Donner, Statistics in Medicine 2008: the method of variance estimates recovery.
"""

from __future__ import annotations

import math

from rlidim.records.measurement import Measurement
from rlidim.report.rows import estimate_of, reading_of

Ends = tuple[float | None, float | None]  # None is an open end


def ratio_interval(first: Measurement, second: Measurement) -> Ends:
    """Return the 95 % interval of the ratio of two measurements' d_int.

    The ends of two independent intervals give that of a difference of logarithms.
    """
    one, other = reading_of(first), reading_of(second)
    low, high = estimate_of(first).interval
    other_low, other_high = estimate_of(second).interval

    def reach(end: int | None, other_end: int | None) -> float | None:
        if end is None or other_end is None:
            return None
        return math.hypot(math.log(end / one), math.log(other_end / other))

    down, up = reach(low, other_high), reach(high, other_low)
    return (
        None if down is None else one / other * math.exp(-down),
        None if up is None else one / other * math.exp(up),
    )


def lies_above(ends: Ends, bound: float) -> bool:
    """Say whether an interval lies above a number; one with an open lower end does not."""
    return ends[0] is not None and ends[0] > bound


def lies_below(ends: Ends, bound: float) -> bool:
    """Say whether an interval lies below a number; one with an open upper end does not."""
    return ends[1] is not None and ends[1] < bound


def lies_within(ends: Ends, times: float) -> bool:
    """Say whether an interval lies within a factor of 1, its ends included."""
    low, high = ends
    return low is not None and high is not None and 1 / times <= low and high <= times


def times(first: Measurement, second: Measurement) -> str:
    """Return how many times the second's reading the first's is: ``1.2 [0.93, 1.6]``."""
    low, high = ("open" if end is None else f"{end:.2g}" for end in ratio_interval(first, second))
    return f"{reading_of(first) / reading_of(second):.2g} [{low}, {high}]"
