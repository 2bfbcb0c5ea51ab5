"""The torch operators of a projection: derivatives, compilation, fake tensors, vmap, keys."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES
from rlidim.projections.base import Projection
from rlidim.projections.operators import adjoint, find, forward

every_family = pytest.mark.parametrize("family", FAMILIES)


def make(family: str) -> Projection:
    return projection(family, 50, 6, 2**40 + 1, dtype=torch.float64)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@every_family
def test_operators_pass_torchs_own_checks(family: str) -> None:
    P = make(family)
    torch.library.opcheck(forward, (normal(6).requires_grad_(), P.key))
    torch.library.opcheck(forward, (normal(6, 3).requires_grad_(), P.key))
    torch.library.opcheck(adjoint, (normal(50).requires_grad_(), P.key))
    torch.library.opcheck(adjoint, (normal(50, 3).requires_grad_(), P.key))


@every_family
@pytest.mark.parametrize("members", [(), (2,)])
def test_derivatives(family: str, members: tuple[int, ...]) -> None:
    P = make(family)
    theta = normal(6, *members).requires_grad_()
    g = normal(50, *members).requires_grad_()
    for operator, x in ((forward, theta), (adjoint, g)):
        assert torch.autograd.gradcheck(lambda x, f=operator: f(x, P.key), (x,))
        assert torch.autograd.gradgradcheck(lambda x, f=operator: f(x, P.key), (x,))


@every_family
@pytest.mark.parametrize("members", [(), (2,)])
def test_the_products_themselves_are_differentiable(family: str, members: tuple[int, ...]) -> None:
    P = make(family)
    theta = normal(6, *members).requires_grad_()
    g, base = normal(50, *members).requires_grad_(), normal(50).requires_grad_()
    rows = P.rows(7, 31)
    both_ways = partial(torch.autograd.gradcheck, check_forward_ad=True)
    assert both_ways(lambda x, y: P.forward(x, base=y), (theta, base))
    assert both_ways(lambda x: P.T @ x, (g,))
    assert both_ways(rows.forward, (theta,))
    assert both_ways(rows.adjoint, (g.detach()[7:31].requires_grad_(),))
    torch.testing.assert_close(rows.forward(theta), rows.forward(theta.detach()))
    torch.testing.assert_close(rows.adjoint(g[7:31]), rows.adjoint(g.detach()[7:31]))
    with pytest.raises(RlidimError, match="cannot be written to out"):
        P.forward(theta, out=torch.empty(50, *members, dtype=torch.float64))


@pytest.mark.parametrize("device", ["mps", "banana", "meta", 7.5])
def test_a_device_that_is_not_served_is_one_line(device: object) -> None:
    with pytest.raises(RlidimError, match="projections live on cpu or cuda"):
        projection("rotation", 50, 6, 0, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line() -> None:
    with pytest.raises(RlidimError, match="no CUDA device is visible"):
        projection("rotation", 50, 6, 0, device="cuda")


def test_what_is_no_dense_tensor_and_no_range_is_one_line() -> None:
    P = make("rademacher")
    with pytest.raises(RlidimError, match=r"theta must be dense, got torch\.sparse_coo"):
        P @ normal(6).to_sparse()
    with pytest.raises(RlidimError, match="start must be a whole number, got '0'"):
        P.rows("0", 3)  # type: ignore[arg-type]
    with pytest.raises(RlidimError, match="unknown projection"):
        projection(["gaussian"], 50, 6, 0)  # type: ignore[arg-type]


def test_sizes_are_whole_numbers() -> None:
    with pytest.raises(RlidimError, match=r"D must be a whole number, got 10\.9"):
        projection("rotation", 10.9, 6, 0)  # type: ignore[arg-type]
    with pytest.raises(RlidimError, match="entries must be a whole number, got '3'"):
        projection("hashed", 50, 6, 0, entries="3")


@every_family
def test_compiled_in_one_piece(family: str) -> None:
    P = make(family)

    def loss(theta: Tensor) -> Tensor:
        return (P.apply(2 * theta) ** 3).sum()

    theta, again = normal(6).requires_grad_(), normal(6).requires_grad_()
    loss(theta).backward()
    torch.compile(loss, backend="aot_eager", fullgraph=True)(again).backward()
    torch.testing.assert_close(again.grad, theta.grad)


def test_compiled_forwards_too() -> None:
    P = make("rademacher")
    theta, v = normal(2, 6)

    def tangent(theta: Tensor) -> Tensor:
        return torch.func.jvp(P.apply, (theta,), (v,))[1]

    torch.testing.assert_close(torch.compile(tangent, backend="eager")(theta), P @ v)
    columns = torch.compile(torch.func.jacfwd(P.apply), backend="eager")(theta)
    torch.testing.assert_close(columns, P.to_dense())


@every_family
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_transformed_by_torch_func(family: str, backend: str) -> None:
    P = projection(family, 50, 6, 2**40 + 1, dtype=torch.float64, backend=backend)
    dense, theta, v = P.to_dense(), normal(6), normal(2, 6)[1]

    def loss(product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda x: (product(x) ** 3).sum()

    ours, theirs = loss(P.apply), loss(lambda x: dense @ x)
    for transform in (torch.func.grad, torch.func.hessian, torch.func.jacfwd, torch.func.jacrev):
        torch.testing.assert_close(transform(ours)(theta), transform(theirs)(theta))
    batch = torch.stack([theta, v])
    mapped = torch.vmap(torch.func.grad(ours))(batch)
    torch.testing.assert_close(mapped, torch.vmap(torch.func.grad(theirs))(batch))
    # A product outside apply has its tangents too: none is lost in a kernel.
    torch.testing.assert_close(torch.func.jvp(lambda x: P @ x, (theta,), (v,))[1], dense @ v)
    g = dense @ theta
    torch.testing.assert_close(torch.func.jvp(lambda x: P.T @ x, (g,), (g,))[1], dense.T @ g)


def test_mapped_over_members() -> None:
    P = make("rademacher")
    batch = normal(4, 6)
    expected = torch.stack([P @ theta for theta in batch])
    torch.testing.assert_close(torch.vmap(P.apply)(batch), expected)
    blocks = normal(6, 4, 3)
    mapped = torch.vmap(P.apply, in_dims=1, out_dims=1)(blocks)
    torch.testing.assert_close(mapped[:, 2], P @ blocks[:, 2].contiguous())


@every_family
def test_a_key_outlives_its_projection(family: str) -> None:
    P = make(family)
    assert find(P.key) is P
    key, expected = P.key, P @ normal(6)
    del P
    gc.collect()
    torch.testing.assert_close(forward(normal(6), key), expected)
    assert find(key).key == key
    assert find(key) is find(key)


def test_entries_are_in_the_key() -> None:
    key = projection("hashed", 50, 6, 0, entries=3).key
    gc.collect()
    assert find(key).options == {"entries": 3}


@pytest.mark.parametrize("key", ["", "rademacher", "[]", "{}"])
def test_what_is_no_key_is_named(key: str) -> None:
    with pytest.raises(RlidimError, match="not the key of a projection"):
        forward(torch.zeros(6), key)


def test_a_key_of_an_unknown_family() -> None:
    content = json.loads(make("rotation").key)
    content["spec"]["family"] = "rotatoin"
    with pytest.raises(RlidimError, match="unknown projection 'rotatoin'"):
        forward(torch.zeros(6, dtype=torch.float64), json.dumps(content))
