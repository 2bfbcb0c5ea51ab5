"""P theta and P^T g as torch operators, for autograd of any order, torch.compile and vmap.

An operator takes a tensor and the key of its projection, a string that says how to make it again.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections.base import Projection, living
from rlidim.projections.derivatives import as_members
from rlidim.projections.making import from_spec
from rlidim.projections.spec import ProjectionSpec

KEPT = 8  # projections that are made again and kept for the next call


def find(key: str) -> Projection:
    """Return the projection of a key: the one that lives, or the same made again.

    Raises:
        RlidimError: the key is none.
    """
    return living(key) or _make(key)


@lru_cache(maxsize=KEPT)
def _make(key: str) -> Projection:
    content = _content(key)
    return from_spec(
        ProjectionSpec.from_json(content["spec"]),
        dtype=getattr(torch, content["dtype"]),
        device=content["device"],
        backend=content["backend"],
    )


@lru_cache(maxsize=1024)
def _content(key: str) -> dict[str, Any]:
    try:
        content = json.loads(key)
    except ValueError:
        content = None
    if not isinstance(content, dict) or set(content) != {"spec", "dtype", "device", "backend"}:
        raise RlidimError(f"not the key of a projection: {key!r}; P.key is one")
    return content


@torch.library.custom_op("rlidim::forward", mutates_args=())
def forward(theta: Tensor, key: str) -> Tensor:
    """Return P theta for theta (d,) or (d, N).

    Raises:
        RlidimError: the key is none, or see :meth:`Projection.forward`.
    """
    return find(key).forward(theta).contiguous()


@torch.library.custom_op("rlidim::adjoint", mutates_args=())
def adjoint(g: Tensor, key: str) -> Tensor:
    """Return P^T g for g (D,) or (D, N).

    Raises:
        RlidimError: the key is none, or see :meth:`Projection.adjoint`.
    """
    return find(key).adjoint(g).contiguous()


@forward.register_fake
def _forward_shape(theta: Tensor, key: str) -> Tensor:
    return theta.new_empty((_content(key)["spec"]["D"], *theta.shape[1:]))


@adjoint.register_fake
def _adjoint_shape(g: Tensor, key: str) -> Tensor:
    return g.new_empty((_content(key)["spec"]["d"], *g.shape[1:]))


def _remember(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
    ctx.key = inputs[1]


def _forward_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return adjoint(gradient, ctx.key), None


def _adjoint_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return forward(gradient, ctx.key), None


forward.register_autograd(_forward_backward, setup_context=_remember)
adjoint.register_autograd(_adjoint_backward, setup_context=_remember)


def _map(operator: Any) -> Any:
    def rule(
        info: Any, dimensions: tuple[int | None, None], x: Tensor, key: str
    ) -> tuple[Tensor, int]:
        return as_members(lambda block: operator(block, key), dimensions[0], x)

    return rule


forward.register_vmap(_map(forward))
adjoint.register_vmap(_map(adjoint))
