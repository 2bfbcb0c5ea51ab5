"""OpenAI-ES: antithetic perturbations, centred ranks, Adam (Salimans et al. 2017, algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.trainers.evolution.antithetic import Antithetic, LowRankPerturbations
from rlidim.trainers.evolution.searches import Vector

ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


class OpenAIEvolutionStrategy(Antithetic):
    """Antithetic perturbations, centred ranks, Adam (Salimans et al. 2017, algorithm 1)."""

    def __init__(
        self,
        n: int,
        scale: float,
        settings: EvolutionStrategySettings,
        seed: int,
        shapes: Sequence[tuple[int, ...]] | None = None,
    ) -> None:
        """Start at zero.

        Args:
            n: dimensions searched.
            scale: the length, in the searched space, that ``sigma`` and ``learning_rate`` count in.
            settings: see there.
            seed: of the perturbations.
            shapes: of the parameters that are searched, natively; None in a subspace.

        Raises:
            RlidimError: perturbations of low rank are asked for in a subspace.
        """
        super().__init__(n, scale, settings.sigma, settings.population, seed)
        if shapes is None:
            settings.check_confined()
        elif settings.rank is not None:
            pairs = settings.population // 2
            self._perturbations = LowRankPerturbations(seed, pairs, settings.rank, shapes)
        self.settings = settings
        self.rate = settings.learning_rate * scale / math.sqrt(n)
        self._moments = np.zeros((2, n))

    def move(self, noise: Vector, ahead: Vector, behind: Vector) -> None:
        """Follow the ranks."""
        ranks = centred_ranks(np.concatenate([ahead, behind]))
        ascent = (ranks[: len(noise)] - ranks[len(noise) :]) @ noise / len(ranks)
        ascent -= self.settings.weight_decay * self._mean
        first, second = ADAM_DECAYS
        self._moments[0] += (1 - first) * (ascent - self._moments[0])
        self._moments[1] += (1 - second) * (ascent**2 - self._moments[1])
        mean = self._moments[0] / (1 - first**self.step)
        spread = np.sqrt(self._moments[1] / (1 - second**self.step))
        self._mean = self._mean + self.rate * mean / (spread + ADAM_EPSILON)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from."""
        return {**super().state(), "moments": self._moments}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same arguments stood.

        Raises:
            ValueError: it searched another number of dimensions.
        """
        super().take_up(state)
        self._moments[:] = state["moments"]


def centred_ranks(returns: Vector) -> Vector:
    """Map returns to ranks between -1/2 and 1/2; equal returns share their mean rank."""
    order = np.argsort(returns, kind="stable")
    ranks = np.empty(len(returns))
    ranks[order] = np.arange(len(returns))
    _, inverse, counts = np.unique(returns, return_inverse=True, return_counts=True)
    shared = np.bincount(inverse, weights=ranks) / counts
    return np.asarray(shared[inverse] / (len(returns) - 1) - 0.5)
