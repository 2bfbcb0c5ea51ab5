"""Observation normalisation of evolution strategies (Salimans et al. 2017, section 2.2).

A policy sees (observation - mean) / deviation, clipped; mean and deviation are those of all
observations that training has acted on. They change between generations, never within one, and
the solution that they were scored with keeps them: they are part of its recorded architecture.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rlidim.environments.moments import Moments
from rlidim.networks.perceptron import Architecture

# OpenAI's es_distributed: the weight of a first observation of mean 0 and variance 1, the
# smallest variance (a sensor that hardly moves is not blown up), and where inputs are cut off.
PRIOR_COUNT = 1e-2
SMALLEST_VARIANCE = 1e-2
CLIP = 5.0


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

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from."""
        return {"count": self._count, "total": self._total, "squares": self._squares}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another stood, of as many numbers an observation.

        Raises:
            ValueError: it was of another number.
        """
        self._count = float(state["count"])
        self._total[:], self._squares[:] = state["total"], state["squares"]
