"""A Stable-Baselines3 model confined to a random subspace: only its optimizer is replaced."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import nn

from rlidim.errors import RlidimError
from rlidim.projections import projection as make_projection
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.checking import SCOPES
from rlidim.subspace import SubspaceOptimizer

NO_CLIPPING = 1e9


Model = TypeVar("Model", bound=BaseAlgorithm)


def acting_parameters(model: BaseAlgorithm) -> list[nn.Parameter]:
    """Return the parameters that choose actions, weight and bias layer by layer.

    Raises:
        RlidimError: an algorithm whose acting network has no optimizer (ARS).
    """
    modules = _acting_modules(model.policy)
    if not modules or not hasattr(_holder(model), "optimizer"):
        raise RlidimError(
            f"{type(model).__name__} cannot be confined: it has no acting network with an optimizer"
        )
    return [parameter for module in modules for parameter in module.parameters()]


def _acting_modules(policy: Any) -> list[nn.Module]:
    """Return the parts of a policy that choose actions, however its algorithm names them."""
    actor = getattr(policy, "actor", None)
    if actor is not None:  # SAC, TQC and CrossQ have layers before mu, TD3 and DDPG all in it
        before = [actor.latent_pi] if hasattr(actor, "latent_pi") else []
        return [actor.features_extractor, *before, actor.mu]
    for values in ("q_net", "quantile_net"):  # DQN, QRDQN
        if hasattr(policy, values):
            return [getattr(policy, values)]
    if hasattr(policy, "mlp_extractor"):  # PPO, A2C, TRPO; with a memory RecurrentPPO
        memory = [policy.lstm_actor] if hasattr(policy, "lstm_actor") else []
        return [
            policy.features_extractor,
            *memory,
            policy.mlp_extractor.policy_net,
            policy.action_net,
        ]
    return []


def has_actor(model: BaseAlgorithm) -> bool:
    """Say whether a model has an actor and a critic, with an optimizer each."""
    return getattr(model.policy, "actor", None) is not None


def _holder(model: BaseAlgorithm) -> Any:
    """Return the part of a model whose ``optimizer`` moves the acting network."""
    policy: Any = model.policy
    return policy.actor if has_actor(model) else policy


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
    ``max_grad_norm`` clips the gradient of theta_d instead. Saved, the model names its subspace
    among the policy's arguments: the algorithm's own ``load`` builds it again, and training goes on
    in it.

    Args:
        model: of any algorithm with an optimizer for its acting network: Stable-Baselines3's PPO,
            A2C, DQN, SAC, TD3 and DDPG, sb3-contrib's, and those derived from them.
        d: the subspace dimension.
        projection: the family of P.
        seed: of P.
        scope: ``policy`` confines the acting network, the critic trains natively; ``all`` confines
            both (where each has an optimizer, in subspaces of dimension d each).
        max_grad_norm: None does not clip.

    Raises:
        RlidimError: an algorithm that has no such optimizer, a model that is confined already, an
            unknown projection, d not in 1 .. D, TRPO with the scope ``all``, a class derived from
            TRPO; the model is then as it was.
    """
    if not isinstance(model, BaseAlgorithm):
        raise RlidimError(f"a model of Stable-Baselines3 is confined, got {type(model).__name__}")
    if scope not in SCOPES:
        raise RlidimError(f"scope must be {' or '.join(SCOPES)}, got {scope!r:.60}")
    policy: Any = model.policy
    acting = acting_parameters(model)
    if _is_trpo(model):
        _check_trpo(model, scope)
    subspaces: list[dict[str, Any]] = []
    built: list[tuple[Any, SubspaceOptimizer]] = []  # for whom; put in place when all are

    def build(holder: Any, confined: list[nn.Parameter], seed: int) -> dict[str, Any]:
        before = holder.optimizer
        if isinstance(before, SubspaceOptimizer):
            raise RlidimError(
                f"this {type(model).__name__} is confined already: confine a model once, as it "
                "was built or loaded"
            )
        confined = [parameter for parameter in confined if parameter.requires_grad]
        if not confined:
            raise RlidimError("no parameter to confine: all are frozen (requires_grad=False)")
        every = [parameter for group in before.param_groups for parameter in group["params"]]
        places = {id(parameter): place for place, parameter in enumerate(every)}
        D = sum(parameter.numel() for parameter in confined)
        P = make_projection(projection, D, d, seed, device=confined[0].device)
        arguments: dict[str, Any] = {
            "inner": type(before),
            "inner_kwargs": _arguments(before),
            "max_grad_norm": max_grad_norm,
        }
        subspaces.append(
            {
                "of": [tuple(parameter.shape) for parameter in every],
                "confined": [places[id(parameter)] for parameter in confined],
                "spec": P.spec.to_json(),
            }
        )
        optimizer = SubspaceOptimizer(
            _groups(every, subspaces[-1]["confined"]),
            projection=P,
            lr=before.param_groups[0]["lr"],
            **arguments,
        )
        built.append((holder, optimizer))
        return arguments

    if has_actor(model):
        actor_confined = acting if scope == "policy" else list(policy.actor.parameters())
        arguments = build(policy.actor, actor_confined, seed)
        if scope == "all":
            critic = [
                parameter
                for group in policy.critic.optimizer.param_groups
                for parameter in group["params"]
            ]
            arguments = build(policy.critic, critic, critic_seed(seed))
    else:
        confined = acting if scope == "policy" else list(policy.optimizer.param_groups[0]["params"])
        arguments = build(policy, confined, seed)
        if hasattr(model, "max_grad_norm"):
            model.max_grad_norm = NO_CLIPPING
    for holder, optimizer in built:
        holder.optimizer = optimizer
    model.policy_kwargs = {
        **model.policy_kwargs,
        "optimizer_class": optimizer_as_it_was,
        "optimizer_kwargs": {"subspaces": subspaces, **arguments},
    }
    _step_in_subspace(model)
    return model


def _is_trpo(model: BaseAlgorithm) -> bool:
    contrib = sys.modules.get("sb3_contrib")  # loaded where there is a model of its
    return contrib is not None and isinstance(model, contrib.TRPO)


def _check_trpo(model: BaseAlgorithm, scope: str) -> None:
    """Refuse a TRPO that cannot be confined, before anything of it is replaced."""
    from rlidim.trainers.sb3 import trpo

    trpo.check(model)
    if scope == "all":
        raise RlidimError(
            "TRPO's critic takes steps of its own, which would move a policy in the same subspace "
            "out of its trust region: scope policy"
        )


def _step_in_subspace(model: BaseAlgorithm) -> None:
    """Have an algorithm that moves parameters past their optimizer move theta_d: TRPO does so."""
    if _is_trpo(model):
        from rlidim.trainers.sb3 import trpo

        trpo.confined(model)


def optimizer_as_it_was(
    params: Iterable[nn.Parameter],
    lr: float,
    subspaces: Sequence[Mapping[str, Any]],
    inner: type[torch.optim.Optimizer],
    inner_kwargs: Mapping[str, Any],
    max_grad_norm: float | None,
) -> torch.optim.Optimizer:
    """Build the optimizer of a confined model that is loaded: a policy's ``optimizer_class``.

    A policy gives all its networks' optimizers the same arguments; which of them is confined, and
    where, is told by the shapes of its parameters.

    Args:
        params: of one network.
        lr: the native learning rate.
        subspaces: of each confined network its parameters' shapes, the places of those in the
            subspace, and the specification of P.
        inner: as in :class:`SubspaceOptimizer`.
        inner_kwargs: likewise.
        max_grad_norm: likewise.
    """
    every = list(params)
    shapes = [tuple(parameter.shape) for parameter in every]
    for subspace in subspaces:
        if subspace["of"] == shapes:
            return SubspaceOptimizer(
                _groups(every, subspace["confined"]),
                projection=ProjectionSpec.from_json(subspace["spec"]),
                lr=lr,
                inner=inner,
                inner_kwargs=inner_kwargs,
                max_grad_norm=max_grad_norm,
            )
    native: Any = inner
    built: torch.optim.Optimizer = native(every, lr=lr, **inner_kwargs)
    return built


def _groups(every: Sequence[nn.Parameter], confined: Sequence[int]) -> list[dict[str, Any]]:
    """Return a SubspaceOptimizer's groups: the parameters at these places, and the others."""
    rest = [parameter for place, parameter in enumerate(every) if place not in set(confined)]
    groups: list[dict[str, Any]] = [{"params": [every[place] for place in confined]}]
    return [*groups, {"params": rest, "native": True}] if rest else groups


def load_confined(
    algorithm: type[Model],
    path: str | Path,
    env: Any = None,
    **options: Any,
) -> Model:
    """Load a model that was confined when it was saved: the algorithm's ``load``, and a check.

    TRPO, whose own ``train`` knows no subspace, is loaded so alone.

    Args:
        algorithm: the model's: PPO, say.
        path: what ``model.save`` wrote.
        env: as in the algorithm's ``load``.
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
    model = algorithm.load(path, env=env, **options)
    if not isinstance(actor_optimizer(model), SubspaceOptimizer):
        raise RlidimError(
            f"{path}: this {algorithm.__name__} was not confined when it was saved; "
            f"{algorithm.__name__}.load loads it"
        )
    _step_in_subspace(model)
    return model


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
    found: torch.optim.Optimizer = _holder(model).optimizer
    return found
