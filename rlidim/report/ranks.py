"""Do two lists of readings rank alike?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEWEST = 4  # pairs of which a rank correlation is told


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation of pairs; None of too few, or where all of one are equal.

    Args:
        first: the pairs' first numbers.
        second: the second ones, in the same order.
    """
    from scipy.stats import rankdata

    if len(first) < FEWEST or len({*first}) == 1 or len({*second}) == 1:
        return None
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
