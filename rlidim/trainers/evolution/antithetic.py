"""Antithetic perturbations around a centre that moves: what OpenAI-ES and ARS have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.trainers.evolution.searches import Vector


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
            self._drawn = self._draw(self._generator)
            self._generation += 1
        return self._drawn

    def _draw(self, generator: np.random.Generator) -> Vector:
        """Return the next generation's numbers."""
        return generator.standard_normal(self.shape)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from: where in the stream the last generation is."""
        return {"generation": max(self._generation, 0), "generator": self._before}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same seed and shape stood."""
        self._generator.bit_generator.state = state["generator"]
        self._generation = int(state["generation"]) - 1
        self.of(self._generation + 1)


class LowRankPerturbations(Perturbations):
    """EGGROLL's perturbations (Sarkar et al. 2025, "Evolution Strategies at the Hyperscale").

    A weight matrix (m, n) is perturbed by E = A B^T / sqrt(r), where A (m, r) and B (n, r) are
    standard normal: numbers of variance 1 as full noise has, of which m n are made of r (m + n).
    A kernel (m, n, ...) is a matrix with its further axes in the second; a bias has full noise.
    """

    def __init__(self, seed: int, pairs: int, rank: int, shapes: Sequence[tuple[int, ...]]) -> None:
        """Fix the stream, a generation's pairs, the rank, and the parameters' shapes in order."""
        self._rank, self._shapes = rank, list(shapes)
        super().__init__(seed, (pairs, sum(math.prod(shape) for shape in shapes)))

    def _draw(self, generator: np.random.Generator) -> Vector:
        pairs, rank = self.shape[0], self._rank
        parts: list[Vector] = []
        for rows, *further in self._shapes:
            if further:
                left = generator.standard_normal((pairs, rows, rank))
                right = generator.standard_normal((pairs, rank, math.prod(further)))
                parts.append((left @ right / math.sqrt(rank)).reshape(pairs, -1))
            else:
                parts.append(generator.standard_normal((pairs, rows)))
        return np.concatenate(parts, axis=1)


class Antithetic:
    """A search by pairs centre + sigma e and centre - sigma e; where the centre goes is open.

    Attributes:
        sigma: the standard deviation of a perturbation's coordinate.
        step: generations told.
    """

    def __init__(self, n: int, scale: float, sigma: float, population: int, seed: int) -> None:
        """Start at zero.

        Args:
            n: dimensions searched.
            scale: the length, in the searched space, that ``sigma`` counts in.
            sigma: the expected length of a perturbation.
            population: members of a generation, an even number.
            seed: of the perturbations.
        """
        self.sigma = sigma * scale / math.sqrt(n)
        self.population = population
        self.step = 0
        self._perturbations = Perturbations(seed, (population // 2, n))
        self._mean = np.zeros(n)

    @property
    def mean(self) -> Vector:
        """The centre of the perturbations, (n,)."""
        return self._mean

    def ask(self) -> Vector:
        """Return pairs mean + sigma e and mean - sigma e, (population, n)."""
        return self.candidates(self.step, self._mean, np.arange(self.population))

    def candidates(self, generation: int, centre: Vector, members: NDArray[np.intp]) -> Vector:
        """Return some members of a generation around a centre (n,), drawn anew: (members, n).

        The first half of the population is centre + sigma e, the second centre - sigma e.
        """
        noise = self._perturbations.of(generation)
        steps = np.where(members < len(noise), self.sigma, -self.sigma)
        return np.asarray(centre + steps[:, None] * noise[members % len(noise)])

    def tell(self, returns: Vector) -> None:
        """Move the centre by what the candidates returned, (population,)."""
        noise = self._perturbations.of(self.step)
        self.step += 1
        self.move(noise, returns[: len(noise)], returns[len(noise) :])

    def move(self, noise: Vector, ahead: Vector, behind: Vector) -> None:
        """Move the centre.

        Args:
            noise: the generation's e, (pairs, n).
            ahead: the returns of centre + sigma e, (pairs,).
            behind: those of centre - sigma e.
        """
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from."""
        return {
            "mean": self._mean,
            "step": self.step,
            "perturbations": self._perturbations.state(),
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same arguments stood.

        Raises:
            ValueError: it searched another number of dimensions.
        """
        self._mean[:] = state["mean"]
        self.step = int(state["step"])
        self._perturbations.take_up(state["perturbations"])
