"""OpenAI-ES: antithetic perturbations, centred ranks, Adam (Salimans et al. 2017, algorithm 1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.trainers.evolution.searches import Vector

ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


class Perturbations:
    """Standard normal numbers for each generation, a pure function of a seed.

    They are one stream, generation after generation: whoever holds the seed draws the same ones
    and need not be sent any. A generation may be asked for again, but going back starts the stream
    anew, and going ahead draws what lies between.
    """

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        """Fix the stream and a generation's shape, (pairs, n)."""
        self.shape = shape
        self._seed = seed
        self._restart()

    def _restart(self) -> None:
        self._generator = np.random.default_rng(self._seed)
        self._before = self._generator.bit_generator.state  # the last generation was drawn
        self._generation = -1
        self._drawn = np.zeros(self.shape)

    def of(self, generation: int) -> Vector:
        """Return a generation's numbers, (pairs, n); the first generation is 0."""
        if generation < self._generation:
            self._restart()
        while self._generation < generation:
            self._before = self._generator.bit_generator.state
            self._drawn = self._generator.standard_normal(self.shape)
            self._generation += 1
        return self._drawn

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from: where in the stream the last generation is."""
        return {"generation": max(self._generation, 0), "generator": self._before}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same seed and shape stood."""
        self._generator.bit_generator.state = state["generator"]
        self._generation = int(state["generation"]) - 1
        self.of(self._generation + 1)


class OpenAIEvolutionStrategy:
    """Antithetic perturbations, centred ranks, Adam (Salimans et al. 2017, algorithm 1)."""

    def __init__(
        self, n: int, scale: float, settings: EvolutionStrategySettings, seed: int
    ) -> None:
        """Start at zero.

        Args:
            n: dimensions searched.
            scale: the length, in the searched space, that ``sigma`` and ``learning_rate`` count in.
            settings: see there.
            seed: of the perturbations.
        """
        self.settings = settings
        self.sigma = settings.sigma * scale / math.sqrt(n)
        self.rate = settings.learning_rate * scale / math.sqrt(n)
        self._perturbations = Perturbations(seed, (settings.population // 2, n))
        self._mean = np.zeros(n)
        self._moments = np.zeros((2, n))
        self._step = 0

    @property
    def mean(self) -> Vector:
        """The centre of the perturbations, (n,)."""
        return self._mean

    def ask(self) -> Vector:
        """Return pairs mean + sigma e and mean - sigma e, (population, n)."""
        return self.candidates(self._step, self._mean, np.arange(self.settings.population))

    def candidates(self, generation: int, centre: Vector, members: NDArray[np.intp]) -> Vector:
        """Return some members of a generation around a centre (n,), drawn anew: (members, n).

        The first half of the population is centre + sigma e, the second centre - sigma e.
        """
        noise = self._perturbations.of(generation)
        steps = np.where(members < len(noise), self.sigma, -self.sigma)
        return np.asarray(centre + steps[:, None] * noise[members % len(noise)])

    def tell(self, returns: Vector) -> None:
        """Follow the ranks."""
        noise = self._perturbations.of(self._step)
        ranks = centred_ranks(returns)
        half = len(noise)
        ascent = (ranks[:half] - ranks[half:]) @ noise / len(returns)
        ascent -= self.settings.weight_decay * self._mean
        self._step += 1
        first, second = ADAM_DECAYS
        self._moments[0] += (1 - first) * (ascent - self._moments[0])
        self._moments[1] += (1 - second) * (ascent**2 - self._moments[1])
        mean = self._moments[0] / (1 - first**self._step)
        spread = np.sqrt(self._moments[1] / (1 - second**self._step))
        self._mean = self._mean + self.rate * mean / (spread + ADAM_EPSILON)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from."""
        return {
            "mean": self._mean,
            "moments": self._moments,
            "step": self._step,
            "perturbations": self._perturbations.state(),
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same arguments stood.

        Raises:
            ValueError: it searched another number of dimensions.
        """
        self._mean[:], self._moments[:] = state["mean"], state["moments"]
        self._step = int(state["step"])
        self._perturbations.take_up(state["perturbations"])


def centred_ranks(returns: Vector) -> Vector:
    """Map returns to ranks between -1/2 and 1/2; equal returns share their mean rank."""
    order = np.argsort(returns, kind="stable")
    ranks = np.empty(len(returns))
    ranks[order] = np.arange(len(returns))
    _, inverse, counts = np.unique(returns, return_inverse=True, return_counts=True)
    shared = np.bincount(inverse, weights=ranks) / counts
    return np.asarray(shared[inverse] / (len(returns) - 1) - 0.5)
