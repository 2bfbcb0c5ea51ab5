"""PPO of a thousand runs as one computation on tensors, for GPUs.

The algorithm of :mod:`rlidim.trainers.many.on_policy` on environments whose state is tensors too,
so that nothing leaves the device. All runs draw from one random stream, and a GPU's sums depend on
how many there are: a run is not the same among others, and none of these runs is put on record.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.networks.perceptron import Architecture
from rlidim.projections import projection
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.settings import PPOSettings
from rlidim.trainers.many.policy_gradient import EPSILON, Updates, first_critic
from rlidim.trainers.many.tensor_environments import CartPoleTensors
from rlidim.trainers.schedules import schedule

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True)
class TensorExperience:
    """The rollouts of R runs, S steps each; see :class:`Experience`.

    Attributes:
        observations: (R, S, size).
        actions: int64 (R, S).
        advantages: (R, S).
        returns: (R, S).
        old: (R, S).
    """

    observations: Tensor
    actions: Tensor
    advantages: Tensor
    returns: Tensor
    old: Tensor

    def to(self, device: torch.device) -> TensorExperience:
        """Return it on a device."""
        return TensorExperience(*(getattr(self, field.name).to(device) for field in fields(self)))

    def minibatch(self, order: Tensor) -> TensorExperience:
        """Return some steps of each run, (R, B)."""
        at = order[..., None].expand(-1, -1, self.observations.shape[-1])
        rest = (self.actions, self.advantages, self.returns, self.old)
        return TensorExperience(
            self.observations.gather(1, at), *(each.gather(1, order) for each in rest)
        )


class TensorLearners:
    """The networks of R runs with one choice of several actions, all in subspaces or all natively.

    Attributes:
        moved: (R, d) or (R, D), what the optimizer moves of the acting networks; where a run's d is
            less than the largest, the numbers beyond it stay 0.
        critics: (R, C).
    """

    def __init__(
        self,
        architecture: Architecture,
        settings: PPOSettings,
        cells: Sequence[Cell],
        device: torch.device,
    ) -> None:
        """Start each run at its seeds' theta_0.

        Raises:
            RlidimError: actions of another kind, some runs are native and others not, the scope is
                not the acting network's, an unknown projection, or d not in 1 .. D.
        """
        if architecture.action != "argmax":
            raise RlidimError("runs on tensors: actions must be one choice of several")
        if len({cell.d is None for cell in cells}) != 1:
            raise RlidimError("runs on tensors: all in subspaces, or all natively")
        if any(cell.scope == "all" for cell in cells):
            raise RlidimError("runs on tensors: the acting network's parameters alone are confined")
        seeds = [Seeds.of(cell) for cell in cells]
        self.updates = Updates.of(settings)
        self._settings, self._architecture = settings, architecture
        self._rate, self._clip = schedule(settings.learning_rate), schedule(self.updates.clip)
        self._sizes = architecture.sizes, (*architecture.sizes[:-1], 1)

        def placed(numbers: Sequence[object]) -> Tensor:
            return torch.from_numpy(np.stack([np.asarray(each) for each in numbers])).to(device)

        theta_0 = placed([architecture.initial_parameters(each.theta_0) for each in seeds])
        self.critics = placed([first_critic(self._sizes[1], each.training) for each in seeds])
        self._theta_0, self._P = theta_0, None
        self.moved, self._factors = theta_0.clone(), torch.ones(len(cells), 1, device=device)
        dimensions = [cell.d for cell in cells if cell.d is not None]
        if dimensions:
            D, largest = theta_0.shape[1], max(dimensions)
            self._P = torch.zeros(len(cells), largest, D, device=device)
            for place, (cell, own, d) in enumerate(zip(cells, seeds, dimensions, strict=True)):
                P = projection(cell.projection, D, d, own.projection)
                self._P[place, :d] = P.to_dense().T.to(device)
            self.moved = torch.zeros(len(cells), largest, device=device)
            self._factors = (D / torch.tensor(dimensions, device=device)).sqrt()[:, None]
        self._steps = 0
        self._moments = [
            [torch.zeros_like(each) for each in (self.moved, self.critics)] for _ in range(2)
        ]

    @property
    def theta(self) -> Tensor:
        """The acting networks' parameters, (R, D)."""
        return self._theta(self.moved)

    def _theta(self, moved: Tensor) -> Tensor:
        if self._P is None:
            return moved
        return torch.baddbmm(self._theta_0[:, None], moved[:, None], self._P)[:, 0]

    def log_probabilities(self, observations: Tensor) -> Tensor:
        """Return those of all actions, (R, B, actions), at observations (R, B, size)."""
        return self._log_probabilities(self.theta, observations)

    def _log_probabilities(self, theta: Tensor, observations: Tensor) -> Tensor:
        return self._outputs(theta, self._sizes[0], observations).log_softmax(-1)

    def values(self, observations: Tensor) -> Tensor:
        """Return what the critics say of observations (R, B, size): (R, B)."""
        return self._outputs(self.critics, self._sizes[1], observations)[..., 0]

    def _outputs(self, parameters: Tensor, sizes: Sequence[int], inputs: Tensor) -> Tensor:
        """Return the outputs (R, B, out) of networks with parameters (R, size)."""
        activation, at, last = ACTIVATIONS[self._architecture.activation], 0, len(sizes) - 2
        for layer, (width, outputs) in enumerate(itertools.pairwise(sizes)):
            weights = parameters[:, at : at + width * outputs].view(-1, outputs, width)
            at += width * outputs
            biases = parameters[:, None, at : at + outputs]
            at += outputs
            inputs = torch.baddbmm(biases, inputs, weights.transpose(1, 2))
            if layer < last:
                inputs = activation(inputs)
        return inputs

    def learn(self, of: TensorExperience, order: Tensor, remaining: float) -> None:
        """Make the epochs over the rollouts.

        Args:
            of: the rollouts.
            order: (epochs, R, S), their steps as each epoch's minibatches take them.
            remaining: the share of training that remains, for rates that fall.
        """
        rate, clip = (
            each(remaining) if callable(each) else each for each in (self._rate, self._clip)
        )
        for epoch in order:
            for some in epoch.split(self.updates.batch, dim=1):
                self._step(of.minibatch(some), rate, clip)

    def _step(self, of: TensorExperience, rate: float, clip: float) -> None:
        settings = self._settings
        moved, critics = (each.detach().requires_grad_() for each in (self.moved, self.critics))
        advantages = of.advantages
        if settings.normalize_advantage and advantages.shape[1] > 1:
            off = advantages - advantages.mean(1, keepdim=True)
            advantages = off / (advantages.std(1, keepdim=True) + 1e-8)
        log_p = self._log_probabilities(self._theta(moved), of.observations)
        ratio = (log_p.gather(-1, of.actions[..., None])[..., 0] - of.old).exp()
        held = advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
        gained = torch.minimum(advantages * ratio, held)
        entropy = -(log_p.exp() * log_p).sum(-1)
        values = self._outputs(critics, self._sizes[1], of.observations)[..., 0]
        wrong = (of.returns - values).square()
        loss = (settings.vf_coef * wrong - gained - settings.ent_coef * entropy).mean(1).sum()
        gradients = torch.autograd.grad(loss, (moved, critics))
        self._move(self._shortened(list(gradients)), rate)

    def _shortened(self, gradients: list[Tensor]) -> list[Tensor]:
        """Return no longer gradients than the settings allow, as ``clip_grad_norm_`` does each's.

        What is confined is shortened by itself, and its critic not at all.
        """
        longest = self._settings.max_grad_norm
        if longest is None:
            return gradients
        confined = self._P is not None
        which = gradients[:1] if confined else gradients
        squares = torch.stack([each.square().sum(1, keepdim=True) for each in which]).sum(0)
        share = (longest / (squares.sqrt() + 1e-6)).clamp(max=1.0)
        return [each * share for each in which] + (gradients[1:] if confined else [])

    def _move(self, gradients: list[Tensor], rate: float) -> None:
        """Make a step of Adam (Kingma and Ba 2015) with the decays that PyTorch has."""
        self._steps += 1
        length = rate / (1.0 - 0.9**self._steps)
        root = math.sqrt(1.0 - 0.999**self._steps)
        moved = (self.moved, self.critics)
        factors: tuple[Tensor | float, ...] = (self._factors, 1.0)
        for x, factor, g, mean, square in zip(
            moved, factors, gradients, *self._moments, strict=True
        ):
            mean.lerp_(g, 0.1)
            square.mul_(0.999).addcmul_(g, g, value=0.001)
            x -= length * factor * mean / (square.sqrt() / root + EPSILON)


class TensorRuns:
    """Runs of PPO in step with each other, on a device from beginning to end.

    Attributes:
        learners: of the runs.
        steps: of each run's environments so far.
    """

    def __init__(
        self,
        architecture: Architecture,
        settings: PPOSettings,
        cells: Sequence[Cell],
        device: torch.device,
        seed: int = 0,
    ) -> None:
        """Begin.

        Args:
            architecture: of the acting networks, which fit the environments.
            settings: the trainer's, without normalisation.
            cells: of the runs; their seeds give theta_0, P and the first critics.
            device: where everything is.
            seed: of the random stream from which all else is drawn.

        Raises:
            RlidimError: the settings normalise, or see :class:`TensorLearners`.
        """
        if settings.normalize:
            raise RlidimError("runs on tensors: normalize is not for them")
        self.learners = TensorLearners(architecture, settings, cells, device)
        self._settings, self._runs = settings, len(cells)
        self._generator = torch.Generator(device).manual_seed(seed)
        self._environments = CartPoleTensors(self._generator)
        self._observations = self._split(self._environments.begin(len(cells) * settings.n_envs))
        self.steps = 0

    def _split(self, of_rows: Tensor) -> Tensor:
        """Return a tensor (R N, ...) as (R, N, ...)."""
        return of_rows.view(self._runs, -1, *of_rows.shape[1:])

    def advance(self) -> None:
        """Make a rollout of every run, and let each learn from its own."""
        with torch.no_grad():
            experience = self.rollout()
        shape = self.learners.updates.epochs, *experience.returns.shape
        drawn = torch.rand(shape, generator=self._generator, device=self._generator.device)
        remaining = 1.0 - self.steps / self._settings.n_timesteps
        self.learners.learn(experience, drawn.argsort(-1), remaining)

    def rollout(self) -> TensorExperience:
        """Step every run's environments ``n_steps`` times."""
        settings, learners = self._settings, self.learners
        device, observations = self._generator.device, self._observations
        seen, taken, old, rewards, over = [], [], [], [], []
        shape = settings.n_steps, *observations.shape[:2]
        noise = torch.rand((*shape, 1), generator=self._generator, device=device)
        for draw in noise:
            log_p = learners.log_probabilities(observations)
            # The first action up to which the probabilities are more than what was drawn.
            below = log_p.exp().cumsum(-1)[..., :-1] <= draw
            actions = below.sum(-1)
            stepped = self._environments.step(actions.flatten())
            cut = self._split(stepped.truncated & ~stepped.terminated)
            ahead = learners.values(self._split(stepped.final))
            seen.append(observations)
            taken.append(actions)
            old.append(log_p.gather(-1, actions[..., None])[..., 0])
            rewards.append(self._split(stepped.rewards) + settings.gamma * ahead * cut)
            over.append(self._split(stepped.terminated | stepped.truncated))
            observations = self._split(stepped.observations)
        self._observations = observations
        self.steps += settings.n_steps * settings.n_envs

        def flat(steps: list[Tensor] | Tensor) -> Tensor:
            whole = steps if isinstance(steps, Tensor) else torch.stack(steps)
            return whole.transpose(0, 1).flatten(1, 2)  # (R, T N, ...)

        values = torch.stack([learners.values(each) for each in (*seen, observations)])
        advantages = tensor_advantages(
            torch.stack(rewards), values, torch.stack(over), settings.gamma, settings.gae_lambda
        )
        returns = flat(advantages + values[:-1])
        return TensorExperience(flat(seen), flat(taken), flat(advantages), returns, flat(old))

    def returns(self, episodes: int) -> Tensor:
        """Return the mean returns (R,) of so many episodes, the likeliest actions taken."""
        environments = CartPoleTensors(self._generator)
        observations = self._split(environments.begin(self._runs * episodes))
        earned = torch.zeros(observations.shape[:2], device=observations.device)
        going = torch.ones_like(earned, dtype=torch.bool)
        with torch.no_grad():
            while bool(going.any()):
                actions = self.learners.log_probabilities(observations).argmax(-1)
                stepped = environments.step(actions.flatten())
                earned += self._split(stepped.rewards) * going
                going &= ~self._split(stepped.terminated | stepped.truncated)
                observations = self._split(stepped.observations)
        return earned.mean(1)


def tensor_advantages(
    rewards: Tensor, values: Tensor, over: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Return the advantages of actions, (T, ...); see :func:`rollout.advantages_of`."""
    going = (~over).float()
    advantages = rewards + gamma * values[1:] * going - values[:-1]
    for at in range(len(rewards) - 2, -1, -1):
        advantages[at] += gamma * gae_lambda * going[at] * advantages[at + 1]
    return advantages
