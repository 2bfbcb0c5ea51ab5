"""A reading in words: the same on a screen, in a table, in a figure."""

from __future__ import annotations

from rlidim.statistics.estimate import Estimate, Rung
from rlidim.statistics.exact import on_an_exact_scale
from rlidim.statistics.reading import Reading
from rlidim.statistics.scale import HALF, LOCAL
from rlidim.statistics.shares import CURVES

NONE = "-"  # in place of a missing value
OPEN = "open"
UNSOLVED = "native unsolved"


def name_of(fraction: float) -> str:
    """Return ``d_int90`` for 0.9."""
    return f"d_int{fraction * 100:g}"


def read(reading: Reading | None) -> str:
    """Return ``8``, ``> 64`` or ``<= 2`` where the tested d only bound it, ``none`` beyond D."""
    if reading is None:
        return NONE
    if reading.unreached:
        return "none"
    if reading.censored == "above":
        return f"> {reading.tested[-1]:,}"
    if reading.censored == "below":
        return f"<= {reading.tested[0]:,}"
    return f"{reading.d_int:,}"


def beside(reading: Reading | None) -> str:
    """Return a reading with its interval in one: ``8 [6, 12]``, ``> 64 (at least 40)``."""
    if reading is None or reading.unreached:
        return read(reading)
    words = interval(reading)
    return f"{read(reading)} {words}" if reading.closed else f"{read(reading)} ({words})"


def statement(estimate: Estimate) -> str:
    """Return ``d_int90 = 8``, ``d_int90 > 64`` or ``d_int90 none``; the local one is named so."""
    sign = "" if estimate.censored else "= "
    kind = " (local)" if estimate.scale.kind == LOCAL else ""
    return f"{name_of(estimate.fraction)}{kind} {sign}{read(estimate)}"


def in_short(estimate: Estimate | None) -> str:
    """Return a reading with its interval and, where it is not of the target, what it is of.

    ``694 [628, 768] (local)``; ``native unsolved`` where nothing is read of the task.
    """
    if estimate is None:
        return NONE
    if estimate.scale.unsolved:
        return UNSOLVED
    return f"{beside(estimate)} (local)" if estimate.scale.kind == LOCAL else beside(estimate)


def interval(reading: Reading | None) -> str:
    """Return ``[6, 12]``; an end that the tested d leave open has a word: ``[at least 7]``."""
    if reading is None or reading.unreached:
        return NONE
    low, high = reading.interval
    if low is None and high is None:
        return OPEN
    if high is None:
        return f"at least {low:,}"
    if low is None:
        return f"at most {high:,}"
    return f"[{low:,}, {high:,}]"


def describe(estimate: Estimate) -> str:
    """Return ``d_int90 = 8 [6, 12]``, or the bound where the tested d give only one."""
    words = statement(estimate)
    if estimate.unreached:
        return f"{words}, not even at d = D = {estimate.D:,}"
    return f"{words} {interval(estimate)}"


def why_open(estimate: Estimate) -> str | None:
    """Return why an interval has an open end, in a few words for each; None where it has none.

    Where not even d = D passes there is no dimension to bound.
    """
    if estimate.closed or estimate.unreached:
        return None
    exact = on_an_exact_scale(estimate).interval
    reasons = [
        _why_low(estimate, exact[0]) if estimate.interval[0] is None else None,
        _why_high(estimate, exact[1]) if estimate.interval[1] is None else None,
    ]
    if reasons[0] == reasons[1]:
        return f"both ends open: {reasons[0]}"
    ends = zip(("lower", "upper"), reasons, strict=True)
    return "; ".join(f"its {end} end open: {why}" for end, why in ends if why is not None)


def _why_low(estimate: Estimate, exact: int | None) -> str:
    if estimate.censored == "below":
        return f"every tested d from {estimate.tested[0]:,} on passes"
    return _why(estimate, exact)


def _why_high(estimate: Estimate, exact: int | None) -> str:
    if estimate.censored == "above":
        return f"no tested d up to {estimate.tested[-1]:,} passes"
    return _why(estimate, exact)


def _why(estimate: Estimate, exact: int | None) -> str:
    """Return why an end is open that tested d lie beyond.

    Args:
        estimate: that leaves it open.
        exact: the same end, were the native median known without error.
    """
    if exact is not None:
        return f"{estimate.scale.native[1]} native runs leave the scale in doubt"
    first, last = _beside(estimate)
    ends = [f"d = {each.d:,} ({each.solved} of {len(each.scores)})" for each in (first, last)]
    if first is last:
        return f"the runs at {ends[0]} are too few"
    if estimate.censored or last.share - first.share >= HALF:
        return f"the runs between {ends[0]} and {ends[1]} are too few"
    return f"the share of runs that solve hardly changes between {ends[0]} and {ends[1]}"


def _beside(estimate: Estimate) -> tuple[Rung, Rung]:
    """Return the tested rungs furthest from the reading whose runs still speak.

    Where the tested d are so far apart that none is near the reading, those on either side of it.
    """
    near = rungs_that_speak(estimate)
    if near:
        return near[0], near[-1]
    middle = _middle(estimate)
    above = next(place for place, rung in enumerate(estimate.rungs) if rung.d > middle)
    return estimate.rungs[above - 1], estimate.rungs[above]


def rungs_that_speak(estimate: Estimate) -> list[Rung]:
    """Return the tested rungs near enough to the reading to speak of it; none if all are far."""
    middle = _middle(estimate)
    return [
        rung for rung in estimate.rungs if 1 / CURVES.window <= rung.d / middle <= CURVES.window
    ]


def _middle(estimate: Estimate) -> int:
    """Return the reading, or the largest tested d where there is none."""
    return estimate.d_int or estimate.tested[-1]
