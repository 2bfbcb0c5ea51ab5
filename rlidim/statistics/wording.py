"""A reading in words: the same on a screen, in a table, in a figure."""

from __future__ import annotations

from rlidim.statistics.estimate import Estimate, Rung
from rlidim.statistics.reading import Reading
from rlidim.statistics.scale import HALF
from rlidim.statistics.shares import CURVES

FEW = 5  # native runs
NONE = "-"  # in place of a missing value
OPEN = "open"


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
    kind = " (local)" if estimate.scale.kind == "local" else ""
    return f"{name_of(estimate.fraction)}{kind} {sign}{read(estimate)}"


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
    """Return why an interval has an open end, in a few words; None where it has none.

    Where not even d = D passes there is no dimension to bound.
    """
    if estimate.closed or estimate.unreached:
        return None
    low, high = estimate.interval
    side = {(True, True): "both ends", (True, False): "its lower end"}.get(
        (low is None, high is None), "its upper end"
    )
    if estimate.censored == "above":
        why = f"no tested d up to {estimate.tested[-1]:,} passes"
    elif estimate.censored == "below":
        why = f"every tested d from {estimate.tested[0]:,} on passes"
    elif estimate.scale.kind == "local" and estimate.scale.native[1] < FEW:
        why = f"{estimate.scale.native[1]} native runs leave the scale in doubt"
    else:
        first, last = _beside(estimate)
        ends = [f"d = {each.d:,} ({each.solved} of {len(each.scores)})" for each in (first, last)]
        if last.share - first.share >= HALF:
            why = f"the runs between {ends[0]} and {ends[1]} are too few"
        else:
            why = f"the share of runs that solve hardly changes between {ends[0]} and {ends[1]}"
    return f"{side} open: {why}"


def _beside(estimate: Estimate) -> tuple[Rung, Rung]:
    """Return the tested rungs furthest from the reading whose runs still speak."""
    assert estimate.d_int is not None
    near = [
        rung
        for rung in estimate.rungs
        if 1 / CURVES.window <= rung.d / estimate.d_int <= CURVES.window
    ]
    return near[0], near[-1]
