"""Sums of observations, from which a policy's inputs are standardised."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Sums over the observations of each member of a population.

    They are kept apart by member so that their total, taken in the members' order, has the same
    bits however the population was split.

    Attributes:
        count: observations, float64 (N,).
        total: their sums, float64 (N, observation_size).
        squares: the sums of their squares, likewise.
    """

    def __init__(self, members: int, observation_size: int) -> None:
        """Start without observations."""
        self.count = np.zeros(members)
        self.total = np.zeros((members, observation_size))
        self.squares = np.zeros((members, observation_size))

    def add(self, rows: NDArray[np.intp], observations: NDArray[np.float32]) -> None:
        """Take in one observation each of some members.

        Args:
            rows: the members, (n,), none twice.
            observations: (n, observation_size).
        """
        exact = np.asarray(observations, dtype=np.float64)
        self.count[rows] += 1
        self.total[rows] += exact
        self.squares[rows] += np.square(exact)

    def put(self, rows: NDArray[np.intp], part: Moments) -> None:
        """Write the sums of a part of the population, whose members are the rows."""
        self.count[rows] = part.count
        self.total[rows] = part.total
        self.squares[rows] = part.squares
