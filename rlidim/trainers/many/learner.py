"""What one run trains: networks in a subspace or natively, and the state of their optimizer.

The arithmetic is in C++, a learner after another, so that none sees those beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.networks.perceptron import Architecture
from rlidim.projections import projection
from rlidim.projections.base import Projection
from rlidim.records.cell import Cell, Seeds
from rlidim.trainers.many import kernels

Numbers = NDArray[np.float32]
STORED = 2**20  # entries of P that a run keeps; a larger P is made anew in every product
MOST_PARTS = 64  # of a continuous action


def check(architecture: Architecture) -> None:
    """Make sure that the kernels serve a network.

    Raises:
        RlidimError: they were not built, or its actions are neither one choice nor continuous.
    """
    if kernels.MISSING:
        raise RlidimError(f"many runs side by side need the learners' kernels: {kernels.MISSING}")
    if architecture.memory:
        raise RlidimError("many runs side by side: a network with a memory is recurrent_ppo's")
    if architecture.action not in ("argmax", "clip"):
        raise RlidimError(
            "many runs side by side: actions must be one choice of several or continuous: ppo, a2c,"
            " es and cmaes take others"
        )
    if architecture.action == "clip" and architecture.output_size > MOST_PARTS:
        raise RlidimError(
            f"many runs side by side: an action has {MOST_PARTS} parts at most, here "
            f"{architecture.output_size}"
        )


class Learner:
    """A run's networks, of which some parameters or all lie in a subspace.

    Attributes:
        parameters: float32, the acting network's first.
        gradient: of the loss by them.
        theta_d: float32 (d,), None natively.
        P: the projection, None natively.
        kernel: what the C++ calls are given.
        steps: of the optimizer, so far.
    """

    kernel: kernels.Learner

    def __init__(
        self, architecture: Architecture, others: Numbers, cell: Cell, seeds: Seeds
    ) -> None:
        """Start the acting network at the seeds' theta_0.

        Args:
            architecture: of the acting network.
            others: what is trained beside it.
            cell: the projection and the scope.
            seeds: of theta_0 and of P.

        Raises:
            RlidimError: an unknown projection, d not in 1 .. D, or see :func:`check`.
        """
        check(architecture)
        acting = architecture.initial_parameters(seeds.theta_0)
        self.parameters: Numbers = np.concatenate((acting, others))
        self.steps = 0
        self.actor_size, size = len(acting), len(self.parameters)
        self._confined = size if cell.scope == "all" and cell.d is not None else len(acting)
        self.P: Projection | None = None
        self.theta_d: Numbers | None = None
        subspace: dict[str, Any] = {}
        if cell.d is not None:
            self.P = projection(cell.projection, self._confined, cell.d, seeds.projection)
            self.theta_d = np.zeros(cell.d, dtype=np.float32)
            self._theta_0 = self.parameters[: self._confined].copy()
            self._gradient_d = np.zeros(cell.d, dtype=np.float32)
            subspace = {
                "theta_0": self._theta_0,
                "theta_d": self.theta_d,
                "gradient_d": self._gradient_d,
            }
            if self.P.D * self.P.d <= STORED:
                subspace["P"] = np.ascontiguousarray(self.P.to_dense().numpy().T)
        self._stored = "P" in subspace
        self.gradient: Numbers = np.zeros(size, dtype=np.float32)
        moved = size if cell.d is None else cell.d + size - self._confined
        self._moments: Numbers = np.zeros((2, moved), dtype=np.float32)
        # What every kernel is made with.
        self._common: dict[str, Any] = {
            "sizes": list(architecture.sizes),
            "tanh": architecture.activation == "tanh",
            "gaussian": architecture.action == "clip",
            "parameters": self.parameters,
            "gradient": self.gradient,
            "mean": self._moments[0],
            "square": self._moments[1],
            "confined": self._confined,
            **subspace,
        }

    @property
    def theta(self) -> Numbers:
        """The acting network's parameters, (D,)."""
        return self.parameters[: self.actor_size]

    @property
    def is_finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return bool(np.isfinite(self.parameters).all())

    @property
    def _factor(self) -> float:
        """The rate of theta_d in units of the native one."""
        return 1.0 if self.P is None else math.sqrt(self.P.D / self.P.d)

    @property
    def _products(self) -> dict[str, Callable[[], None]]:
        """What the kernel calls in the place of its own products with P."""
        return {} if self._stored else {"adjoint": self._adjoint, "write": self._write}

    def _adjoint(self) -> None:
        """Set theta_d's gradient by the projection's own product."""
        assert self.P is not None
        gradient = torch.from_numpy(self.gradient[: self._confined])
        self._gradient_d[:] = self.P.adjoint(gradient).numpy()

    def _write(self) -> None:
        """Set the confined parameters by the projection's own product."""
        assert self.P is not None
        assert self.theta_d is not None
        self.P.forward(
            torch.from_numpy(self.theta_d),
            base=torch.from_numpy(self._theta_0),
            out=torch.from_numpy(self.parameters[: self._confined]),
        )

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, of plain values and arrays."""
        return {
            "parameters": self.parameters,
            "theta_d": self.theta_d,
            "moments": self._moments,
            "steps": self.steps,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same run stood.

        Raises:
            ValueError: the state is of another size.
        """
        self.parameters[:], self._moments[:] = state["parameters"], state["moments"]
        if self.theta_d is not None:
            self.theta_d[:] = state["theta_d"]
        self.steps = int(state["steps"])
