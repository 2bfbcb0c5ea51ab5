"""TRPO in a subspace: the natural gradient and its line search move theta_d (Schulman et al. 2015).

sb3-contrib's TRPO writes its steps into the network itself, past the optimizer, and so out of any
subspace. Here the policy is a function of coordinates z: theta_d, and what the actor has beside the
confined network (the deviation of its actions). With J = dx/dz, which is P and an identity, the
gradient is J^T g and the Fisher matrix J^T F J; the conjugate gradients, the trust region and the
line search are sb3-contrib's, in z. For an orthonormal square P the steps are those it makes alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TRPO
from sb3_contrib.common.utils import conjugate_gradient_solver, flat_grad
from stable_baselines3.common.distributions import kl_divergence
from stable_baselines3.common.utils import explained_variance
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from rlidim.errors import RlidimError
from rlidim.subspace import Subspace, SubspaceOptimizer

TINY = 1e-8  # as in sb3-contrib


@dataclass
class Coordinates:
    """The actor's parameters x as a function of z, (d + rest,).

    Attributes:
        subspace: of the confined ones.
        actor: all of them, in the order of x.
    """

    subspace: Subspace
    actor: list[nn.Parameter]

    def __post_init__(self) -> None:
        """Find the actor's parameters that are not confined."""
        confined = {id(parameter) for parameter in self.subspace.parameters}
        self.rest = [parameter for parameter in self.actor if id(parameter) not in confined]
        self._sizes = [parameter.numel() for parameter in self.rest]

    def value(self) -> Tensor:
        """Return z as it is."""
        parts = [self.subspace.theta_d, *self.rest]
        return torch.cat([part.detach().reshape(-1) for part in parts])

    def set(self, z: Tensor) -> None:
        """Move the network to z."""
        theta_d, *rest = torch.split(z, [self.subspace.projection.d, *self._sizes])
        with torch.no_grad():
            self.subspace.theta_d.copy_(theta_d)
            self.subspace.write()
            for parameter, part in zip(self.rest, rest, strict=True):
                parameter.copy_(part.view_as(parameter))

    def push(self, z: Tensor) -> Tensor:
        """Return J z, in the order of x."""
        theta_d, *rest = torch.split(z, [self.subspace.projection.d, *self._sizes])
        D_part = self.subspace.projection.forward(theta_d.contiguous())
        sizes = [parameter.numel() for parameter in self.subspace.parameters]
        places = [id(parameter) for parameter in (*self.subspace.parameters, *self.rest)]
        parts = dict(zip(places, (*torch.split(D_part, sizes), *rest), strict=True))
        return torch.cat([parts[id(parameter)] for parameter in self.actor])

    def pull(self, x: Tensor) -> Tensor:
        """Return J^T x."""
        sizes = [parameter.numel() for parameter in self.actor]
        parts = dict(zip(map(id, self.actor), torch.split(x, sizes), strict=True))
        D_part = torch.cat(
            [
                parts.get(id(parameter), torch.zeros_like(parameter).reshape(-1))
                for parameter in self.subspace.parameters
            ]
        )
        rest = [parts[id(parameter)] for parameter in self.rest]
        return torch.cat([self.subspace.projection.adjoint(D_part), *rest])


class ConfinedTRPO(TRPO):
    """sb3-contrib's TRPO, its policy confined by ``confine`` to a subspace."""

    def train(self) -> None:
        """Make a natural step of theta_d within the trust region, then fit the critic."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        # All of the rollout at once.
        (rollout,) = self.rollout_buffer.get(batch_size=None)
        actor = self._step(rollout)
        losses = []
        for _ in range(self.n_critic_updates):
            for batch in self.rollout_buffer.get(self.batch_size):
                values = self.policy.predict_values(batch.observations)
                loss = mse_loss(batch.returns, values.flatten())
                losses.append(loss.item())
                self.policy.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                for parameter in actor:  # that features share with the critic: they have moved
                    parameter.grad = None
                self.policy.optimizer.step()
        self._n_updates += 1
        buffer = self.rollout_buffer
        self.logger.record("train/value_loss", np.mean(losses))
        self.logger.record(
            "train/explained_variance",
            explained_variance(buffer.values.flatten(), buffer.returns.flatten()),
        )
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _step(self, rollout: Any) -> list[nn.Parameter]:
        """Move the policy to where it is better, within the trust region; return its parameters."""
        every = slice(None, None, self.sub_sampling_factor)
        observations, actions = rollout.observations[every], rollout.actions[every]
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        advantages = rollout.advantages[every]
        if self.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (rollout.advantages.std() + TINY)
        with torch.no_grad():
            before = copy.copy(self.policy.get_distribution(observations))

        def objectives() -> tuple[Tensor, Tensor]:
            """Return the surrogate objective and the divergence from the old policy."""
            now = self.policy.get_distribution(observations)
            ratio = torch.exp(now.log_prob(actions) - rollout.old_log_prob[every])
            return (advantages * ratio).mean(), kl_divergence(now, before).mean()

        objective, divergence = objectives()
        self.policy.optimizer.zero_grad()
        actor, gradient, divergence_gradient, _ = self._compute_actor_grad(divergence, objective)
        optimizer = self.policy.optimizer
        assert isinstance(optimizer, SubspaceOptimizer)
        z = Coordinates(optimizer.subspace, actor)

        def fisher(vector: Tensor) -> Tensor:
            product = (divergence_gradient * z.push(vector)).sum()
            curved = z.pull(flat_grad(product, actor, retain_graph=True))
            return curved + self.cg_damping * vector

        direction = conjugate_gradient_solver(fisher, z.pull(gradient), max_iter=self.cg_max_steps)
        length = float(2 * self.target_kl / torch.dot(direction, fisher(direction))) ** 0.5
        improved = self._search(z, length * direction, objectives, float(objective.detach()))
        self.logger.record("train/is_line_search_success", float(improved))
        return actor

    def _search(
        self,
        z: Coordinates,
        step: Tensor,
        objectives: Callable[[], tuple[Tensor, Tensor]],
        objective: float,
    ) -> bool:
        """Go the step, or a share of it that improves the objective near the start, or nowhere."""
        start, share = z.value(), 1.0
        for _ in range(self.line_search_max_iter):
            z.set(start + share * step)
            with torch.no_grad():
                now, divergence = map(float, objectives())
            if divergence < self.target_kl and now > objective:
                self.logger.record("train/policy_objective", now)
                self.logger.record("train/kl_divergence_loss", divergence)
                return True
            share *= self.line_search_shrinking_factor
        z.set(start)
        return False


def confined(model: Any) -> None:
    """Have a TRPO whose optimizer is a SubspaceOptimizer take its steps in the subspace.

    Raises:
        RlidimError: see :func:`check`.
    """
    check(model)
    model.__class__ = ConfinedTRPO


def check(model: Any) -> None:
    """Make sure that a model's steps are TRPO's.

    Raises:
        RlidimError: its class is derived from TRPO, and may step otherwise.
    """
    if type(model) not in (TRPO, ConfinedTRPO):
        raise RlidimError(
            f"{type(model).__name__} is derived from TRPO, whose steps are made anew in a "
            "subspace: confine a TRPO"
        )
