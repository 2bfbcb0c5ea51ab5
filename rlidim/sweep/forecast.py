"""What closing an interval would cost, if further runs go on as those on record went."""

from __future__ import annotations

import math

from rlidim.statistics.estimate import Estimate
from rlidim.statistics.scale import thresholds
from rlidim.statistics.shares import CURVES, read_shares

TIMES = (2, 3, 4, 6, 8, 12, 16)  # the runs on record


def seconds_to_close(estimate: Estimate, seconds: float, precision: float) -> float | None:
    """Return the core seconds of the runs that an interval lacks to be as narrow as wanted.

    The shares of runs that solve are supposed to stay as they are while every rung around the
    crossing, and native training, gets so many times its runs.

    Args:
        estimate: what the records say.
        seconds: of a run.
        precision: the ratio of the interval's ends that is wanted.

    Returns:
        None if even sixteen times the runs leave it wider.
    """
    middle = estimate.d_int or estimate.tested[-1]
    around = [
        rung
        for rung in estimate.rungs
        if abs(math.log(rung.d / middle)) <= math.log(CURVES.window) + 1e-9
    ]
    runs = sum(len(rung.scores) for rung in around) + estimate.scale.native[1]
    for times in TIMES:
        more = read_shares(
            {rung.d: rung.normalised * times for rung in around},
            estimate.fraction,
            thresholds(estimate.scale, estimate.baseline * times, estimate.fraction),
            estimate.D,
            estimate.confidence,
        )
        if more.closed and more.ratio <= precision:
            return (times - 1) * runs * seconds
    return None
