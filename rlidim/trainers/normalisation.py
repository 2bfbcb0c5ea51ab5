"""Observation normalisation of evolution strategies (Salimans et al. 2017, section 2.2).

A policy sees (observation - mean) / deviation, clipped; mean and deviation are those of all
observations that training has acted on. They change between generations, never within one, and
the solution that they were scored with keeps them: they are part of its recorded architecture.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from rlidim.networks import Architecture

# OpenAI's es_distributed: the weight of a first observation of mean 0 and variance 1, the
# smallest variance (a sensor that hardly moves is not blown up), and where inputs are cut off.
PRIOR_COUNT = 1e-2
SMALLEST_VARIANCE = 1e-2
CLIP = 5.0


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


class RunningStatistics:
    """Mean and variance of all observations so far, those of a standard normal before the first."""

    def __init__(self, architecture: Architecture) -> None:
        """Start at mean 0 and variance 1 of what the architecture observes."""
        observation_size = architecture.observation_size
        self._architecture = architecture
        self._count = PRIOR_COUNT
        self._total = np.zeros(observation_size)
        self._squares = np.full(observation_size, PRIOR_COUNT)

    def add(self, moments: Moments) -> None:
        """Take in a generation's observations."""
        self._count += float(moments.count.sum())
        self._total += moments.total.sum(axis=0)
        self._squares += moments.squares.sum(axis=0)

    def freeze(self) -> Architecture:
        """Return the architecture with the statistics as they are now."""
        mean = self._total / self._count
        variance = np.maximum(self._squares / self._count - np.square(mean), SMALLEST_VARIANCE)
        return dataclasses.replace(
            self._architecture,
            observation_mean=tuple(mean.tolist()),
            observation_variance=tuple(variance.tolist()),
            clip_observation=CLIP,
        )
