"""What one run trains: an actor in a subspace or natively, a critic, and how both are moved.

The arithmetic is in C++, a learner after another, so that none sees those beside it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.networks.initialisation import HIDDEN_GAIN, initial_weight
from rlidim.networks.perceptron import Architecture
from rlidim.projections import projection
from rlidim.projections.base import Projection
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.settings import A2CSettings, PPOSettings
from rlidim.trainers.many import kernels
from rlidim.trainers.schedules import schedule

Numbers = NDArray[np.float32]
Settings = PPOSettings | A2CSettings
STORED = 2**20  # entries of P that a run keeps; a larger P is made anew in every product
CRITIC = 2  # a run's random stream of the critic's first weights
MOST_PARTS = 64  # of a continuous action


@dataclass(frozen=True)
class Experience:
    """A run's rollout, its steps in any order.

    Attributes:
        observations: (steps, size).
        actions: (steps, parts), before they are clipped; a choice is a number too.
        advantages: (steps,).
        returns: (steps,), what the critic is to say.
        old: (steps,), log-probabilities of the actions when they were taken.
    """

    observations: Numbers
    actions: Numbers
    advantages: Numbers
    returns: Numbers
    old: Numbers


@dataclass(frozen=True)
class Updates:
    """How a rollout is learned from.

    Attributes:
        epochs: passes over it.
        batch: steps of a minibatch.
        clip: the range of a probability's ratio, or how it falls.
        root_mean_square: whether RMSprop moves the parameters; Adam otherwise.
    """

    epochs: int
    batch: int
    clip: float | str
    root_mean_square: bool

    @classmethod
    def of(cls, settings: Settings) -> Updates:
        """Return what a trainer's settings say: A2C makes one step of the whole rollout."""
        if isinstance(settings, A2CSettings):
            return cls(1, settings.n_steps * settings.n_envs, math.inf, settings.use_rms_prop)
        return cls(settings.n_epochs, settings.batch_size, settings.clip_range, False)


def check(architecture: Architecture) -> None:
    """Make sure that the kernels serve a network.

    Raises:
        RlidimError: they were not built, or its actions are neither one choice nor continuous.
    """
    if kernels.MISSING:
        raise RlidimError(f"many runs side by side need the learners' kernels: {kernels.MISSING}")
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
    """A run's networks and the state of their optimizer.

    Attributes:
        parameters: the actor's, the critic's, of continuous actions log_std: float32.
        theta_d: float32 (d,), None natively.
        P: the projection, None natively.
        kernel: what the C++ calls are given.
        steps: of the optimizer, so far.
        updates: how it learns from a rollout.
    """

    def __init__(
        self, architecture: Architecture, settings: Settings, cell: Cell, seeds: Seeds
    ) -> None:
        """Start at the seeds' theta_0.

        Raises:
            RlidimError: an unknown projection, d not in 1 .. D, or see :func:`check`.
        """
        check(architecture)
        self.updates = Updates.of(settings)
        self._rate, self._clip = schedule(settings.learning_rate), schedule(self.updates.clip)
        gaussian = architecture.action == "clip"
        actor = architecture.initial_parameters(seeds.theta_0)
        critic = _critic((*architecture.sizes[:-1], 1), seeds.training)
        log_std = np.zeros(architecture.output_size if gaussian else 0, dtype=np.float32)
        self.parameters: Numbers = np.concatenate((actor, critic, log_std))
        self.steps = 0
        size = len(self.parameters)
        self._confined = size if cell.scope == "all" and cell.d is not None else len(actor)
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
        self.actor_size = len(actor)
        self.kernel = kernels.Learner(
            sizes=list(architecture.sizes),
            tanh=architecture.activation == "tanh",
            gaussian=gaussian,
            parameters=self.parameters,
            gradient=self.gradient,
            mean=self._moments[0],
            square=self._moments[1],
            confined=self._confined,
            entropy=settings.ent_coef,
            value=settings.vf_coef,
            longest=settings.max_grad_norm,
            normalised=settings.normalize_advantage,
            root_mean_square=self.updates.root_mean_square,
            **subspace,
        )

    @property
    def theta(self) -> Numbers:
        """The actor's parameters, (D,)."""
        return self.parameters[: self.actor_size]

    @property
    def is_finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return bool(np.isfinite(self.parameters).all())

    def values(self, observations: Numbers) -> Numbers:
        """Return what the critic says of observations (N, size): (N,)."""
        out = np.empty(len(observations), dtype=np.float32)
        self.kernel.values(np.ascontiguousarray(observations), out)
        return out

    def log_probabilities(self, observations: Numbers, actions: Numbers) -> Numbers:
        """Return the actions' log-probabilities, (N,)."""
        out = np.empty(len(observations), dtype=np.float32)
        self.kernel.log_probabilities(observations, actions, out)
        return out

    def learn(self, of: Experience, order: NDArray[np.int32], remaining: float) -> None:
        """Make the epochs over a rollout.

        Args:
            of: the rollout.
            order: its steps as each epoch's minibatches take them, (epochs, steps).
            remaining: the share of training that remains, for rates that fall.
        """
        P = self.P
        rate, clip = (
            each(remaining) if callable(each) else each for each in (self._rate, self._clip)
        )
        self.steps += self.kernel.learn(
            observations=of.observations,
            actions=of.actions,
            advantages=of.advantages,
            returns=of.returns,
            old=of.old,
            order=order,
            batch=self.updates.batch,
            rate=rate,
            factor=1.0 if P is None else math.sqrt(P.D / P.d),
            clip=clip,
            steps=self.steps,
            adjoint=None if self._stored else self._adjoint,
            write=None if self._stored else self._write,
        )

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


def _critic(sizes: tuple[int, ...], seed: int) -> Numbers:
    """Return a critic's first parameters, as Stable-Baselines3 draws them: orthogonal, biases 0."""
    generator = np.random.default_rng([seed, CRITIC])
    parts: list[NDArray[Any]] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        gain = 1.0 if index == len(sizes) - 2 else HIDDEN_GAIN
        weight = initial_weight(generator, "orthogonal", (outputs, inputs), gain)
        parts += [weight.ravel(), np.zeros(outputs)]
    return np.concatenate(parts).astype(np.float32)
