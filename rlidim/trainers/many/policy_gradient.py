"""The learner of PPO and A2C: an actor, a critic, and the steps over a rollout."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.networks.initialisation import HIDDEN_GAIN, initial_weight
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.settings import A2CSettings, PPOSettings
from rlidim.trainers.many import kernels
from rlidim.trainers.many.learner import Learner, Numbers
from rlidim.trainers.schedules import schedule

Settings = PPOSettings | A2CSettings
CRITIC = 2  # a run's random stream of the critic's first weights
EPSILON = 1e-5  # of both algorithms' optimizers


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


class PolicyLearner(Learner):
    """An actor, a critic, and of continuous actions log_std, one after another.

    Attributes:
        updates: how it learns from a rollout.
    """

    def __init__(
        self, architecture: Architecture, settings: Settings, cell: Cell, seeds: Seeds
    ) -> None:
        """Start at the seeds' theta_0.

        Raises:
            RlidimError: as :class:`Learner`.
        """
        parts = architecture.output_size if architecture.action == "clip" else 0
        critic = first_critic((*architecture.sizes[:-1], 1), seeds.training)
        others = np.concatenate((critic, np.zeros(parts, dtype=np.float32)))
        super().__init__(architecture, others, cell, seeds)
        self.updates = Updates.of(settings)
        self._rate, self._clip = schedule(settings.learning_rate), schedule(self.updates.clip)
        self.kernel = kernels.Learner(
            **self._common,
            critic=True,
            entropy=settings.ent_coef,
            value=settings.vf_coef,
            longest=settings.max_grad_norm,
            normalised=settings.normalize_advantage,
            root_mean_square=self.updates.root_mean_square,
            epsilon=EPSILON,
        )

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
            factor=self._factor,
            clip=clip,
            steps=self.steps,
            **self._products,
        )


def first_critic(sizes: tuple[int, ...], seed: int) -> Numbers:
    """Return a critic's first parameters, as Stable-Baselines3 draws them: orthogonal, biases 0."""
    generator = np.random.default_rng([seed, CRITIC])
    parts: list[NDArray[Any]] = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        gain = 1.0 if index == len(sizes) - 2 else HIDDEN_GAIN
        weight = initial_weight(generator, "orthogonal", (outputs, inputs), gain)
        parts += [weight.ravel(), np.zeros(outputs)]
    return np.concatenate(parts).astype(np.float32)
