"""Augmented Random Search: the best directions, steps by the returns' deviation.

Mania et al. 2018, "Simple random search provides a competitive approach to reinforcement learning",
algorithm 2: V1-t, and with ``normalize`` V2-t. Its linear policy that starts at zero is here any
network at theta_0.
"""

from __future__ import annotations

import math

import numpy as np

from rlidim.tasks.settings import RandomSearchSettings
from rlidim.trainers.evolution.antithetic import Antithetic
from rlidim.trainers.evolution.searches import Vector


class AugmentedRandomSearch(Antithetic):
    """Steps along the directions in which a pair's better member earned most."""

    def __init__(self, n: int, scale: float, settings: RandomSearchSettings, seed: int) -> None:
        """Start at zero; see :class:`OpenAIEvolutionStrategy` for the arguments."""
        super().__init__(n, scale, settings.sigma, settings.population, seed)
        self.rate = settings.learning_rate * scale / math.sqrt(n)
        self.n_top = settings.n_top or settings.population // 2

    def move(self, noise: Vector, ahead: Vector, behind: Vector) -> None:
        """Go rate / (b s) sum of (ahead - behind) e over the b best pairs; s: their deviation.

        Returns that are all the same say nothing, and move nothing.
        """
        best = np.argsort(-np.maximum(ahead, behind), kind="stable")[: self.n_top]
        deviation = float(np.concatenate([ahead[best], behind[best]]).std())
        if deviation > 0.0:
            step = (ahead[best] - behind[best]) @ noise[best] / (len(best) * deviation)
            self._mean = self._mean + self.rate * step
