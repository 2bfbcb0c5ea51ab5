"""An estimate and its interval in words: the same on a screen, in a table, in a figure."""

from __future__ import annotations

from rlidim.statistics.estimate import Estimate

NONE = "-"  # in place of a missing value


def name_of(fraction: float) -> str:
    """Return ``d_int90`` for 0.9."""
    return f"d_int{fraction * 100:g}"


def read(estimate: Estimate | None) -> str:
    """Return ``8``, ``> 64`` or ``<= 2`` where the tested d only bound it, ``none`` beyond D."""
    if estimate is None:
        return NONE
    if estimate.unreached:
        return "none"
    tested = [rung.d for rung in estimate.rungs]
    if estimate.censored == "above":
        return f"> {max(tested):,}"
    if estimate.censored == "below":
        return f"<= {min(tested):,}"
    return f"{estimate.d_int:,}"


def statement(estimate: Estimate) -> str:
    """Return ``d_int90 = 8``, ``d_int90 > 64`` or ``d_int90 none``."""
    sign = "" if estimate.censored else "= "
    return f"{name_of(estimate.fraction)} {sign}{read(estimate)}"


def interval(estimate: Estimate | None) -> str:
    """Return ``[6, 12]``; an end that the tested d leave open is 1 or D."""
    if estimate is None or estimate.unreached:
        return NONE
    low, high = estimate.interval
    return f"[{1 if low is None else low:,}, {'D' if high is None else f'{high:,}'}]"


def describe(estimate: Estimate) -> str:
    """Return ``d_int90 = 8 [6, 12]``, or the bound where the tested d give only one."""
    words = statement(estimate)
    if estimate.unreached:
        return f"{words}, not even at d = D = {estimate.D:,}"
    return f"{words} {interval(estimate)}"
