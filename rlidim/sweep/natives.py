"""The native runs of a row of the atlas: how many it has."""

from __future__ import annotations

AT_LEAST, OF_LONG_RUNS = 8, 4
LONG = 20 * 60.0  # core seconds of a run


def wanted(seconds: float) -> int:
    """Return how many native runs a row has at least, by the core seconds that one takes."""
    return OF_LONG_RUNS if seconds > LONG else AT_LEAST
