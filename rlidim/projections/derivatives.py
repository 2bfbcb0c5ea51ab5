"""P theta and P^T g as one function that autograd and the transforms of torch.func differentiate.

``torch.library`` registers no forward-mode derivative for an operator, and none for torch.func;
torch.compile, on the other hand, takes operators as they are. Both at once go forwards alone:
``torch.func.grad`` of a compiled function's own product is an error of torch's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

Dimensions = tuple[int | None, None, None]


def linear(x: Tensor, key: str, *, transposed: bool) -> Tensor:
    """Return P x, or P^T x, for the projection of a key; x is a vector or a block of them."""
    result: Tensor
    if torch.compiler.is_compiling():  # which traces no jvp of an autograd.Function
        operator = _operator(transposed)
        value, tangent = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
        result = operator(value, key)
        if tangent is not None:
            result = forward_ad.make_dual(  # type: ignore[no-untyped-call]
                result, operator(tangent, key)
            )
    else:
        result = _Product.apply(x, key, transposed)  # type: ignore[no-untyped-call]
    return result


def is_dual(x: Tensor | None) -> bool:
    """Say whether a tensor carries a tangent: forward-mode differentiation goes through it."""
    if x is None:
        return False
    parts = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    return parts.tangent is not None


def _operator(transposed: bool) -> Any:
    return torch.ops.rlidim.adjoint if transposed else torch.ops.rlidim.forward


class _Product(torch.autograd.Function):
    """The product: it is linear, so that its derivative is itself, and backwards its adjoint."""

    @staticmethod
    def forward(x: Tensor, key: str, transposed: bool) -> Tensor:
        result: Tensor = _operator(transposed)(x, key)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, str, bool], output: Tensor) -> None:
        _, ctx.key, ctx.transposed = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return linear(gradient, ctx.key, transposed=not ctx.transposed), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        return linear(tangent, ctx.key, transposed=ctx.transposed)

    @staticmethod
    def vmap(
        info: Any, dimensions: Dimensions, x: Tensor, key: str, transposed: bool
    ) -> tuple[Tensor, int]:
        return as_members(lambda block: linear(block, key, transposed=transposed), dimensions[0], x)


def as_members(operator: Any, dimension: int | None, x: Tensor) -> tuple[Tensor, int]:
    """Return an operator's product under vmap: a batch's vectors become members of a block."""
    batched = x.movedim(dimension, 1)  # type: ignore[arg-type]
    result = operator(batched.flatten(1))
    return result.unflatten(1, batched.shape[1:]), 1
