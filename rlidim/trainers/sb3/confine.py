"""A Stable-Baselines3 model confined to a random subspace: only its optimizer is replaced."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from rlidim.errors import RlidimError
from rlidim.projections import projection as make_projection
from rlidim.projections.spec import ProjectionSpec
from rlidim.subspace import SubspaceOptimizer

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "a2c": A2C,
    "dqn": DQN,
    "sac": SAC,
    "td3": TD3,
}


NO_CLIPPING = 1e9


Model = TypeVar("Model", bound=BaseAlgorithm)


def acting_parameters(model: BaseAlgorithm) -> list[nn.Parameter]:
    """Return the parameters that choose actions, weight and bias layer by layer.

    Raises:
        RlidimError: an algorithm that is none of the five (TRPO moves parameters outside its
            optimizer, ARS has none).
    """
    policy: Any = model.policy
    if isinstance(model, PPO | A2C):
        modules = [policy.features_extractor, policy.mlp_extractor.policy_net, policy.action_net]
    elif isinstance(model, DQN):
        modules = [policy.q_net]
    elif isinstance(model, SAC):
        modules = [policy.actor.features_extractor, policy.actor.latent_pi, policy.actor.mu]
    elif isinstance(model, TD3):
        modules = [policy.actor.features_extractor, policy.actor.mu]
    else:
        raise RlidimError(
            f"{type(model).__name__} cannot be confined: one of {', '.join(ALGORITHMS)} can"
        )
    return [parameter for module in modules for parameter in module.parameters()]


def confine(
    model: Model,
    *,
    d: int,
    projection: str = "auto",
    seed: int = 0,
    scope: str = "policy",
    max_grad_norm: float | None = None,
) -> Model:
    """Confine a model to a random subspace around its present parameters, in place.

    Stable-Baselines3 clips gradients natively, before P^T; that is switched off here, and
    ``max_grad_norm`` clips the gradient of theta_d instead. To take a saved
    model up again use :func:`load_confined`.

    Args:
        model: PPO, A2C, DQN, SAC or TD3.
        d: the subspace dimension.
        projection: the family of P.
        seed: of P.
        scope: ``policy`` confines the acting network, the critic trains natively; ``all`` confines
            both (for SAC and TD3, actor and critic in subspaces of dimension d each).
        max_grad_norm: None does not clip.

    Raises:
        RlidimError: another algorithm, an unknown projection, d not in 1 .. D.
    """
    policy: Any = model.policy
    acting = acting_parameters(model)

    def replace(holder: Any, confined: list[nn.Parameter], seed: int) -> None:
        before = holder.optimizer
        if isinstance(before, SubspaceOptimizer):
            raise RlidimError(
                f"this {type(model).__name__} is confined already: confine a model once, as it "
                "was built or loaded"
            )
        confined = [parameter for parameter in confined if parameter.requires_grad]
        chosen = {id(parameter) for parameter in confined}
        every = [parameter for group in before.param_groups for parameter in group["params"]]
        rest = [parameter for parameter in every if id(parameter) not in chosen]
        D = sum(parameter.numel() for parameter in confined)
        groups: list[dict[str, Any]] = [{"params": confined}]
        if rest:
            groups.append({"params": rest, "native": True})
        holder.optimizer = SubspaceOptimizer(
            groups,
            projection=make_projection(projection, D, d, seed, device=confined[0].device),
            lr=before.param_groups[0]["lr"],
            inner=type(before),
            inner_kwargs=_arguments(before),
            max_grad_norm=max_grad_norm,
        )

    if isinstance(model, SAC | TD3):
        actor_confined = acting if scope == "policy" else list(policy.actor.parameters())
        replace(policy.actor, actor_confined, seed)
        if scope == "all":
            critic = [
                parameter
                for group in policy.critic.optimizer.param_groups
                for parameter in group["params"]
            ]
            replace(policy.critic, critic, critic_seed(seed))
    else:
        confined = acting if scope == "policy" else list(policy.optimizer.param_groups[0]["params"])
        replace(policy, confined, seed)
        if hasattr(model, "max_grad_norm"):
            model.max_grad_norm = NO_CLIPPING
    return model


def load_confined(
    algorithm: type[Model],
    path: str | Path,
    env: Any = None,
    *,
    max_grad_norm: float | None = None,
    **options: Any,
) -> Model:
    """Load a model that was confined when it was saved, in its subspace.

    The algorithm's own ``load`` builds the optimizer that was there before :func:`confine`, which
    refuses the state of another ("parameter groups").

    Args:
        algorithm: PPO, A2C, DQN, SAC or TD3.
        path: what ``model.save`` wrote.
        env: as in the algorithm's ``load``.
        max_grad_norm: as in :func:`confine`; it is not saved.
        options: further ones of the algorithm's ``load``.

    Raises:
        RlidimError: the file holds a model that was not confined.

    Example:
        >>> import rlidim, tempfile
        >>> from stable_baselines3 import PPO
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rlidim.confine(PPO("MlpPolicy", "CartPole-v1"), d=3).save(f"{folder}/model")
        ...     model = rlidim.load_confined(PPO, f"{folder}/model")
        >>> model.policy.optimizer.theta_d.shape
        torch.Size([3])
    """

    class Confined(algorithm):  # type: ignore[misc, valid-type]
        def set_parameters(self, load_path_or_dict: Any, *rest: Any, **named: Any) -> None:
            """Confine the model as it was, then set what was saved."""
            _confine_as(self, load_path_or_dict, max_grad_norm)
            super().set_parameters(load_path_or_dict, *rest, **named)

    model: Any = Confined.load(path, env=env, **options)
    model.__class__ = algorithm
    loaded: Model = model
    return loaded


def _confine_as(
    model: BaseAlgorithm, parameters: dict[str, Any], max_grad_norm: float | None
) -> None:
    """Confine a model as the one was whose parameters these are."""
    actor = "actor.optimizer" if isinstance(model, SAC | TD3) else "policy.optimizer"
    state = parameters[actor]
    if "subspace" not in state:
        raise RlidimError(
            f"this {type(model).__bases__[0].__name__} was not confined when it was saved: load it "
            "with the algorithm's own load"
        )
    if isinstance(model, SAC | TD3):
        whole = "subspace" in parameters["critic.optimizer"]
    else:
        whole = isinstance(model, PPO | A2C) and len(state["param_groups"]) == 1
    spec = ProjectionSpec.from_json(state["subspace"]["spec"])
    confine(
        model,
        d=spec.d,
        projection=spec.family,
        seed=spec.seed,
        scope="all" if whole else "policy",
        max_grad_norm=max_grad_norm,
    )


def critic_seed(seed: int) -> int:
    """Return the seed of the critic's P, which is another one than the actor's.

    Derived, not counted up: the next seed is that of another run's actor.
    """
    return int(np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)[0])


def _arguments(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what an optimizer was built with, the learning rate left out."""
    known = inspect.signature(type(optimizer).__init__).parameters
    return {
        name: value
        for name, value in optimizer.defaults.items()
        if name in known and name not in ("lr", "params")
    }


def actor_optimizer(model: BaseAlgorithm) -> torch.optim.Optimizer:
    """Return the optimizer that moves the acting network."""
    policy: Any = model.policy
    found: torch.optim.Optimizer = (
        policy.actor.optimizer if isinstance(model, SAC | TD3) else policy.optimizer
    )
    return found
