"""The same reading, were native training's median known without error."""

from __future__ import annotations

from rlidim.statistics.estimate import Estimate
from rlidim.statistics.reading import Reading
from rlidim.statistics.shares import read_shares


def on_an_exact_scale(estimate: Estimate) -> Reading:
    """Return the reading on a scale in which few native runs leave no doubt.

    What of an interval's width more runs in subspaces can do away with, and what only more native
    runs can. Of a declared target it is the estimate itself.
    """
    return read_shares(
        {rung.d: rung.normalised for rung in estimate.rungs},
        estimate.fraction,
        [estimate.fraction],
        estimate.D,
        estimate.confidence,
    )
