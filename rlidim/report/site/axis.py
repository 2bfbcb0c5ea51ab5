"""A logarithmic axis of d, in percent of a track's width."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

MARGIN = 0.045  # of the axis, on either side of what it shows
FEWEST = 2.0  # an axis spans at least this ratio
MOST_TICKS = 7


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """Return the axis that shows these values with a margin."""
        shown = sorted(values)
        low, high = shown[0], max(shown[-1], FEWEST * shown[0])
        margin = MARGIN * math.log(high / low)
        return cls(low * math.exp(-margin), high * math.exp(margin))

    def at(self, d: float) -> float:
        """Return the place of d, from 0 to 100.

        Example:
            >>> Axis(1, 100).at(10)
            50.0
        """
        return round(100 * math.log(d / self.low) / math.log(self.high / self.low), 2)

    def ticks(self) -> list[int]:
        """Return round numbers on the axis, the powers of ten among them."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            ticks = [
                step * 10**decade
                for decade in decades
                for step in steps
                if decade >= 0 and self.low <= step * 10**decade <= self.high
            ]
            if len(ticks) <= MOST_TICKS:
                break
        return ticks


def short(d: int) -> str:
    """Return a tick's label.

    Example:
        >>> short(500), short(2000), short(1_000_000)
        ('500', '2k', '1M')
    """
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if d >= size and d % size == 0:
            return f"{d // size}{letter}"
    return str(d)
