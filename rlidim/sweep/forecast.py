"""What closing an interval would cost, if further runs go on as those on record went."""

from __future__ import annotations

import math

from rlidim.records.measurement import Measurement, total_seconds
from rlidim.report import text
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.reading import Reading
from rlidim.statistics.scale import thresholds
from rlidim.statistics.shares import read_shares
from rlidim.statistics.wording import rungs_that_speak
from rlidim.sweep.plan import Plan
from rlidim.sweep.search import Ended

TIMES = (2, 3, 4, 6, 8, 12, 16)  # the runs on record


def seconds_to_close(estimate: Estimate, seconds: float, precision: float) -> float | None:
    """Return the core seconds of the runs that an interval lacks to be as narrow as wanted.

    The shares of runs that solve are supposed to stay as they are while every rung around the
    crossing, and native training, gets so many times its runs; where the interval then ends at
    neighbouring rungs, so many more are supposed in between as halve it until it is narrow.

    Args:
        estimate: what the records say.
        seconds: of a run.
        precision: the ratio of the interval's ends that is wanted.

    Returns:
        None if even sixteen times the runs leave it wider, or no tested d is near the reading.
    """
    around = rungs_that_speak(estimate)
    if not around:
        return None
    runs = sum(len(rung.scores) for rung in around) + estimate.scale.native[1]
    for times in TIMES:
        more = read_shares(
            {rung.d: rung.normalised * times for rung in around},
            estimate.fraction,
            thresholds(estimate.scale, estimate.baseline * times, estimate.fraction),
            estimate.D,
            estimate.confidence,
        )
        between = _midpoints(more, precision)
        if between is not None:
            return ((times - 1) * runs + between * times * runs / len(around)) * seconds
    return None


def _midpoints(reading: Reading, precision: float) -> int | None:
    """Return how many rungs halve an interval until it is narrow; None if no rung would."""
    if not reading.closed:
        return None
    if reading.ratio <= precision:
        return 0
    low, high = reading.interval
    if low is None or high is None or any(low <= d < high for d in reading.tested):
        return None  # runs of a tested d leave it wide
    # Of whole numbers no two ends are closer than neighbours.
    narrow_enough = max(math.log(precision), math.log1p(1 / low))
    return math.ceil(math.log2(math.log(reading.ratio) / narrow_enough))


def forecast(measurement: Measurement, plan: Plan) -> float | None:
    """Return the core seconds that a measurement lacks, by its own runs; None if unforeseen.

    Nothing is lacked by one that is as narrow as its plan wants; a grid is foreseen by nobody.
    """
    estimate = measurement.estimate
    if estimate is None or plan.dims is not None:
        return None
    if narrow(estimate, plan.precision):
        return 0.0
    runs = [*measurement.runs, *measurement.baseline]
    return seconds_to_close(estimate, total_seconds(runs) / len(runs), plan.precision)


def narrow(estimate: Estimate, precision: float) -> bool:
    """Return whether an interval is closed, and as narrow as wanted."""
    return estimate.closed and estimate.ratio <= precision


def ending(ended: Ended, plan: Plan) -> str:
    """Return on what a search ended, and what of its budget it took, a line."""
    estimate = ended.measurement.estimate
    is_narrow = estimate is not None and narrow(estimate, plan.precision)
    unreached = estimate is not None and estimate.unreached
    took = text.core_time(ended.measurement.seconds)
    if ended.spent:
        before = ", before fresh seeds confirmed the interval" if is_narrow else ""
        return f"search: {took}; its budget, {text.core_time(plan.budget)}, is spent{before}"
    why = "no further run would tell more"
    if is_narrow:
        why = f"the interval's ends have a ratio of at most {plan.precision:g}, by fresh seeds too"
    elif unreached:
        why = "not even d = D passes, by fresh seeds too"
    return f"search: {took} of its budget, {text.core_time(plan.budget)}; it ended because {why}"


def advice(measurement: Measurement, plan: Plan) -> str | None:
    """Return what narrowing a measurement would cost and how, a line; None if it is narrow."""
    estimate = measurement.estimate
    if estimate is None or estimate.unreached or narrow(estimate, plan.precision):
        return None
    wanted = f"an interval whose ends have a ratio of {plan.precision:g}"
    if plan.dims is not None:
        return f"{wanted}: leave --dims out and a search looks for it, or give more --seeds"
    if estimate.censored == "above" and plan.largest == estimate.tested[-1]:
        return (
            f"{wanted}: its search goes no further than d = {plan.largest:,}; a greater 'largest:' "
            "under search: in the task's file lets it"
        )
    if estimate.censored:
        further = "larger" if estimate.censored == "above" else "smaller"
        return (
            f"{wanted}: the search has yet to find its way to {further} d, whose runs will tell "
            f"what it costs; --budget {math.ceil(2 * measurement.seconds / 60)}m lets the same "
            "command go on"
        )
    lacking = forecast(measurement, plan)
    if lacking is None:
        return (
            f"{wanted}: not to be had by {TIMES[-1]} times as many runs, if they go on like these"
        )
    minutes = math.ceil((measurement.seconds + lacking) / 60.0)
    return (
        f"{wanted}: about {lacking / 60.0:,.0f} core minutes more, if runs go on like these; "
        f"--budget {minutes}m lets the same command go on"
    )
