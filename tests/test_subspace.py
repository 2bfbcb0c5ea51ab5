"""A SubspaceOptimizer trains exactly what autograd through theta_0 + P theta_d would train."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import rlidim
from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES

D, d, SEED = 102, 7, 3  # D: of the network below


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6))


def flat(network: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(network.parameters()).detach().clone()


def batch(step: int) -> Tensor:
    return torch.randn(16, 5, generator=torch.Generator().manual_seed(step))


def loss_of(network: nn.Module, step: int) -> Tensor:
    return (network(batch(step)) - 1.0).square().mean()


def optimizer_of(network: nn.Module, **changes: Any) -> rlidim.SubspaceOptimizer:
    choices = {"d": d, "seed": SEED, "lr": 1e-2, **changes}
    return rlidim.SubspaceOptimizer(network.parameters(), **choices)


def train(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        loss_of(network, step).backward()
        optimizer.step()


def train_reparameterised(
    family: str, inner: type[torch.optim.Optimizer], arguments: dict[str, Any], steps: int
) -> Tensor:
    """Train theta_d as a leaf of the graph, the textbook way; return the parameters."""
    network = make_network()
    theta_0, P = flat(network), projection(family, D, d, SEED)
    theta_d = nn.Parameter(torch.zeros(d))
    optimizer = inner([theta_d], lr=1e-2 * math.sqrt(D / d), **arguments)  # type: ignore[call-arg]
    shapes = {name: p.shape for name, p in network.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]
    for step in range(steps):
        theta = theta_0 + P.apply(theta_d)
        parts = dict(
            zip(
                shapes,
                (part.view(s) for part, s in zip(theta.split(sizes), shapes.values(), strict=True)),
                strict=True,
            )
        )
        optimizer.zero_grad()
        (functional_call(network, parts, (batch(step),)) - 1.0).square().mean().backward()
        optimizer.step()
    return (theta_0 + P @ theta_d.detach()).detach()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("inner", "arguments"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.RMSprop, {"alpha": 0.9}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_as_reparameterised(family: str, inner: Any, arguments: dict[str, Any]) -> None:
    network = make_network()
    optimizer = optimizer_of(network, projection=family, inner=inner, inner_kwargs=arguments)
    train(network, optimizer, range(20))
    expected = train_reparameterised(family, inner, arguments, 20)
    torch.testing.assert_close(flat(network), expected, rtol=1e-4, atol=1e-5)


def test_stays_in_the_subspace() -> None:
    network = make_network()
    theta_0 = flat(network)
    optimizer = optimizer_of(network)
    train(network, optimizer, range(30))
    moved = (flat(network) - theta_0).double()
    P = projection("rademacher", D, d, SEED, dtype=torch.float64).to_dense()
    residual = moved - P @ torch.linalg.lstsq(P, moved).solution
    assert moved.norm() > 0.1
    assert residual.norm() < 1e-5 * moved.norm()
    torch.testing.assert_close((P @ optimizer.theta_d.detach().double()), moved)


def test_a_full_rotation_is_the_native_network() -> None:
    """With d = D and an orthogonal P, gradient descent in the subspace is gradient descent."""
    native, confined = make_network(), make_network()
    train(native, torch.optim.SGD(native.parameters(), lr=0.1), range(20))
    optimizer = optimizer_of(confined, d=D, projection="rotation", lr=0.1, inner=torch.optim.SGD)
    train(confined, optimizer, range(20))
    torch.testing.assert_close(flat(confined), flat(native), rtol=1e-4, atol=1e-5)


def test_resumed_is_never_stopped(tmp_path: Any) -> None:
    whole = make_network()
    train(whole, optimizer_of(whole), range(20))
    first = make_network()
    optimizer = optimizer_of(first)
    train(first, optimizer, range(8))
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    second = make_network()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.zero_()  # theta_0 must come from the state
    again = optimizer_of(second, seed=99, lr=1.0)  # and so must P and the rate
    again.load_state_dict(torch.load(tmp_path / "state.pt"))
    train(second, again, range(8, 20))
    assert torch.equal(flat(second), flat(whole))


def test_schedules_set_the_native_rate() -> None:
    network = make_network()
    optimizer = optimizer_of(network)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=10)
    rates = []
    for step in range(10):
        train(network, optimizer, range(step, step + 1))
        schedule.step()
        rates.append(optimizer.inner.param_groups[0]["lr"])
    expected = [1e-2 * math.sqrt(D / d) * (1 - 0.09 * step) for step in range(10)]
    assert rates == pytest.approx(expected)


def test_an_adam_step_is_as_long_as_a_native_one() -> None:
    native, confined = make_network(), make_network()
    before = flat(native)
    train(native, torch.optim.Adam(native.parameters(), lr=1e-3), range(1))
    train(confined, optimizer_of(confined, lr=1e-3), range(1))
    lengths = [(flat(trained) - before).norm() for trained in (native, confined)]
    assert float(lengths[1] / lengths[0]) == pytest.approx(1.0, rel=0.15)


def test_native_groups_train_as_they_are() -> None:
    def build() -> tuple[nn.Sequential, list[nn.Parameter], list[nn.Parameter]]:
        network = make_network()
        return network, list(network[0].parameters()), list(network[2].parameters())

    network, body, head = build()
    optimizer = rlidim.SubspaceOptimizer(
        [{"params": body}, {"params": head, "native": True, "lr": 3e-3}], d=5, lr=1e-2
    )
    loss_of(network, 0).backward()
    optimizer.step()
    reference, _, reference_head = build()
    adam = torch.optim.Adam(reference_head, lr=3e-3)
    loss_of(reference, 0).backward()
    adam.step()
    for ours, theirs in zip(head, reference_head, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradient_clipping_acts_on_the_subspace() -> None:
    network = make_network()
    optimizer = optimizer_of(
        network, inner=torch.optim.SGD, max_grad_norm=1e-3, lr=1.0, scale_lr=False
    )
    loss_of(network, 0).backward()
    optimizer.step()
    assert float(optimizer.theta_d.detach().norm()) == pytest.approx(1e-3, rel=1e-2)


def test_the_gradients_share_is_that_before_clipping() -> None:
    shares = []
    for clip in (None, 1e-3):
        network = make_network()
        optimizer = optimizer_of(network, max_grad_norm=clip)
        assert optimizer.gradient_share is None
        loss_of(network, 0).backward()
        optimizer.step()
        shares.append(optimizer.gradient_share)
    assert shares[0] is not None
    assert 0.0 < shares[0] < 1.0
    assert shares[1] == pytest.approx(shares[0])


def test_a_parameter_without_gradient_counts_as_zero() -> None:
    network = make_network()
    optimizer = optimizer_of(network)
    before = flat(network)
    optimizer.step()
    assert torch.equal(flat(network), before)


def test_closure() -> None:
    network = make_network()
    optimizer = optimizer_of(network)

    def closure() -> float:
        optimizer.zero_grad()
        loss = loss_of(network, 0)
        loss.backward()
        return float(loss.detach())

    first = optimizer.step(closure)
    second = optimizer.step(closure)
    assert second < first


@pytest.mark.parametrize("change", ["in place", "replaced"])
def test_changes_from_outside_are_noticed(change: str) -> None:
    network = make_network()
    optimizer = optimizer_of(network)
    train(network, optimizer, range(2))
    loss_of(network, 2).backward()
    with torch.no_grad():
        weight = network[0].weight
        if change == "in place":
            weight.add_(1.0)
        else:
            weight.data = weight.data + 1.0
    with pytest.raises(RlidimError, match="changed outside the subspace"):
        optimizer.step()


def test_mistakes_are_named() -> None:
    network = make_network()
    with pytest.raises(RlidimError, match="needs d"):
        rlidim.SubspaceOptimizer(network.parameters())
    with pytest.raises(RlidimError, match=f"between 1 and D = {D}"):
        optimizer_of(network, d=D + 1)
    with pytest.raises(RlidimError, match="102 parameters, the projection 100"):
        rlidim.SubspaceOptimizer(network.parameters(), projection=projection("gaussian", 100, 3, 0))
    with pytest.raises(RlidimError, match="did you mean"):
        optimizer_of(network, projection="gausian")
    optimizer = optimizer_of(network)
    with pytest.raises(RlidimError, match="not a SubspaceOptimizer"):
        optimizer.load_state_dict(torch.optim.Adam(network.parameters()).state_dict())
    with pytest.raises(RlidimError, match="of a 102 x 5 projection"):
        optimizer.load_state_dict(optimizer_of(make_network(), d=5).state_dict())
    with pytest.raises(RlidimError, match="fixed"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


@pytest.mark.gpu
def test_on_the_gpu() -> None:
    here, there = make_network(), make_network().cuda()
    train(here, optimizer_of(here), range(5))
    optimizer = optimizer_of(there)
    for step in range(5):
        optimizer.zero_grad()
        (there(batch(step).cuda()) - 1.0).square().mean().backward()
        optimizer.step()
    torch.testing.assert_close(flat(there).cpu(), flat(here), rtol=1e-4, atol=1e-5)
