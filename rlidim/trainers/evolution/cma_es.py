"""CMA-ES by the ``cma`` package (Hansen 2016), restarted at theta_0 when it has converged."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from rlidim.tasks.settings import (
    CmaEvolutionStrategySettings,
    SeparableCmaEvolutionStrategySettings,
)
from rlidim.trainers.evolution.searches import Vector


class CovarianceAdaptation:
    """CMA-ES by the ``cma`` package, restarted at theta_0 whenever it has converged."""

    def __init__(
        self,
        n: int,
        scale: float,
        settings: CmaEvolutionStrategySettings | SeparableCmaEvolutionStrategySettings,
        seed: int,
    ) -> None:
        """Start at zero; see :class:`OpenAIEvolutionStrategy` for the arguments."""
        self.n = n
        # The package needs two dimensions: a second, without effect, stands beside a single one.
        self._searched = max(n, 2)
        self._sigma = settings.sigma0 * scale / math.sqrt(n)
        self._generator = np.random.default_rng(seed)
        self._options = {
            "popsize": settings.population,
            "verbose": -9,
            "seed": math.nan,  # no global seeding: all randomness comes from our generator
            "randn": lambda *shape: self._generator.standard_normal(shape),
            "CMA_diagonal": n > settings.diagonal_above,
            "maxiter": math.inf,
        }
        self._candidates: list[Any] = []
        self._start()

    def _start(self) -> None:
        """Begin at zero, and remember what all that follows is a function of."""
        self._beginning = self._generator.bit_generator.state
        self._told: list[Vector] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # matplotlib's absence, and the like
            import cma
        self._inner = cma.CMAEvolutionStrategy(np.zeros(self._searched), self._sigma, self._options)

    @property
    def mean(self) -> Vector:
        """The distribution's mean, (n,)."""
        return np.asarray(self._inner.mean[: self.n], dtype=np.float64)

    def ask(self) -> Vector:
        """Return candidates, (population, n)."""
        if self._inner.stop():
            self._start()
        self._candidates = self._inner.ask()
        return np.asarray(self._candidates)[:, : self.n]

    def tell(self, returns: Vector) -> None:
        """Adapt; the package minimises."""
        self._inner.tell(self._candidates, (-returns).tolist())
        self._told.append(np.array(returns, dtype=np.float64))

    def state(self) -> dict[str, Any]:
        """Return the returns told since the last restart, and the random state at that moment.

        The package's own state is theirs alone: it is not stored, and asks for no trust.
        """
        population = int(self._inner.popsize)
        told = np.array(self._told, dtype=np.float64).reshape(-1, population)
        return {"beginning": self._beginning, "told": told}

    def take_up(self, state: dict[str, Any]) -> None:
        """Ask and tell again what another of the same arguments was told."""
        self._generator.bit_generator.state = state["beginning"]
        self._start()
        for returns in state["told"]:
            self.ask()
            self.tell(returns)
