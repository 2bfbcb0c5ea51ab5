"""A SubspaceOptimizer trains exactly what autograd through theta_0 + P theta_d would train."""

from __future__ import annotations

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

import rlidim
from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES
from rlidim.subspace import LARGE, Subspace

D, d, SEED = 102, 7, 3  # D: of the network below


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6))


def flat(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])


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


def test_a_network_that_has_moved_takes_its_subspace_along() -> None:
    """As Stable-Baselines3 loads: an optimizer is built, the network moved, the state loaded."""
    whole = make_network().double()
    before = optimizer_of(whole)

    def go_on(network: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            optimizer.zero_grad()
            (network(batch(step).double()) - 1.0).square().mean().backward()
            optimizer.step()

    go_on(whole, before, range(8))
    moved = make_network()
    again = optimizer_of(moved, seed=99)
    moved.double()
    again.load_state_dict(copy.deepcopy(before.state_dict()))
    assert again.theta_d.dtype == torch.float64
    for network, optimizer in ((whole, before), (moved, again)):
        go_on(network, optimizer, range(8, 12))
    assert torch.equal(flat(moved), flat(whole))


def test_a_network_that_has_moved_keeps_its_frozen_parameters_frozen() -> None:
    network = make_network()
    network[0].requires_grad_(False)
    optimizer = optimizer_of(network)
    state = copy.deepcopy(optimizer.state_dict())
    network.double()
    optimizer.load_state_dict(state)
    network[0].requires_grad_(True)
    network(batch(0).double()).sum().backward()
    with pytest.raises(RlidimError, match="was frozen, or thawed"):
        optimizer.step()


def _with(state: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(state)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return changed


def test_a_state_that_is_refused_changes_nothing() -> None:
    network, twin = make_network(), make_network()
    optimizer, its = optimizer_of(network), optimizer_of(twin)
    for one, other in ((network, optimizer), (twin, its)):
        train(one, other, range(3))
    stranger = make_network()
    other_kind = optimizer_of(stranger, seed=7, inner=torch.optim.SGD)
    train(stranger, other_kind, range(2))
    good = optimizer_of(make_network(), seed=7).state_dict()
    unknown = {**good["subspace"]["spec"], "family": "gausian"}
    for wrong, why in (
        (other_kind.state_dict(), "knows no 'betas'"),
        (_with(good, "subspace", "spec", value=unknown), "did you mean 'gaussian'|unknown"),
        (_with(good, "subspace", "theta_0", value=torch.zeros(3)), "theta_0 .3,."),
        (_with(good, "subspace", "theta_d", value=None), "not a SubspaceOptimizer's"),
        ({name: value for name, value in good.items() if name != "inner"}, "not a Subspace"),
        (_with(good, "inner", "param_groups", value=[]), "other groups than the state itself"),
        (None, "not a SubspaceOptimizer's"),
    ):
        with pytest.raises(RlidimError, match=why):
            optimizer.load_state_dict(wrong)
    for one, other in ((network, optimizer), (twin, its)):
        train(one, other, range(3, 6))
    assert torch.equal(flat(network), flat(twin))
    network[1:].double()  # half of it moved
    seed = optimizer.subspace.projection.seed
    with pytest.raises(RlidimError, match="make them the same"):
        optimizer.load_state_dict(good)
    assert optimizer.subspace.projection.seed == seed != good["subspace"]["spec"]["seed"]


def test_a_state_of_a_torch_that_knew_fewer_keys_is_taken_up() -> None:
    first, second = make_network(), make_network()
    optimizer = optimizer_of(first)
    train(first, optimizer, range(3))
    state = copy.deepcopy(optimizer.state_dict())
    for groups in (state["inner"]["param_groups"], state["param_groups"]):
        for name in ("decoupled_weight_decay", "fused", "maximize"):
            groups[0].pop(name)
    again = optimizer_of(second)
    again.load_state_dict(state)
    train(first, optimizer, range(3, 6))
    train(second, again, range(3, 6))
    assert torch.equal(flat(second), flat(first))


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


def test_lbfgs_tries_points_of_the_subspace() -> None:
    """Its closure is evaluated at theta_0 + P theta_d for every theta_d tried."""
    network = make_network()
    optimizer = optimizer_of(
        network,
        lr=1.0,
        scale_lr=False,
        inner=torch.optim.LBFGS,
        inner_kwargs={"line_search_fn": "strong_wolfe"},
    )
    theta_0, P = flat(network), optimizer.subspace.projection
    losses = []

    def closure() -> float:
        torch.testing.assert_close(flat(network), theta_0 + P @ optimizer.theta_d.detach())
        optimizer.zero_grad()
        loss = loss_of(network, 0)
        loss.backward()
        losses.append(float(loss.detach()))
        return losses[-1]

    first = optimizer.step(closure)
    assert first == losses[0]
    assert len(set(losses)) > 3
    assert float(loss_of(network, 0).detach()) < 0.9 * first


@pytest.mark.parametrize("later", [False, True])
def test_all_that_a_group_says_reaches_the_inner_optimizer(later: bool) -> None:
    says: dict[str, Any] = {"weight_decay": 0.3, "betas": (0.5, 0.9)}
    network = make_network()
    group = {"params": list(network.parameters()), **({} if later else says)}
    optimizer = rlidim.SubspaceOptimizer(
        [group], d=d, projection="rademacher", seed=SEED, lr=1e-2, inner=torch.optim.AdamW
    )
    assert optimizer.param_groups[0]["eps"] == optimizer.defaults["eps"] == 1e-8
    if later:
        optimizer.param_groups[0].update(says)
    train(network, optimizer, range(20))
    expected = train_reparameterised("rademacher", torch.optim.AdamW, says, 20)
    torch.testing.assert_close(flat(network), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize(
    "scheduler",
    [
        lambda optimizer: OneCycleLR(optimizer, max_lr=1e-1, total_steps=10),
        lambda optimizer: CyclicLR(optimizer, base_lr=1e-3, max_lr=1e-1, step_size_up=4),
    ],
    ids=["OneCycleLR", "CyclicLR"],
)
def test_schedules_of_momentum(inner: Any, scheduler: Callable[[Any], LRScheduler]) -> None:
    network, native = make_network(), make_network()
    arguments = {"momentum": 0.9} if inner is torch.optim.SGD else {}
    optimizer = optimizer_of(network, inner=inner, inner_kwargs=arguments)
    reference = inner(native.parameters(), lr=1e-2, **arguments)
    schedules = [scheduler(each) for each in (optimizer, reference)]
    seen = set()
    for step in range(8):
        for each, its, schedule in zip(
            (network, native), (optimizer, reference), schedules, strict=True
        ):
            train(each, its, range(step, step + 1))
            group = (optimizer.inner if its is optimizer else reference).param_groups[0]
            key = "momentum" if arguments else "betas"
            seen.add((step, group[key]))
            schedule.step()
    assert len(seen) == 8  # a step's two are the same
    assert len({value for _, value in seen}) > 2


def test_an_inner_optimizer_may_count_in_its_groups() -> None:
    class Counting(torch.optim.SGD):
        def __init__(self, params: Any, lr: float = 1e-3) -> None:
            super().__init__(params, lr)
            self.defaults["steps"] = 0
            self.param_groups[0].setdefault("steps", 0)

        def step(self, closure: Any = None) -> Any:
            self.param_groups[0]["steps"] += 1
            return super().step(closure)

    network = make_network()
    optimizer = optimizer_of(network, inner=Counting)
    train(network, optimizer, range(3))
    optimizer.param_groups[0]["weight_decay"] = 0.1
    train(network, optimizer, range(3, 5))
    assert optimizer.inner.param_groups[0]["steps"] == 5
    assert optimizer.inner.param_groups[0]["weight_decay"] == 0.1


def test_states_whose_groups_had_the_rate_alone_are_taken_up() -> None:
    first, second = make_network(), make_network()
    optimizer = optimizer_of(first, inner_kwargs={"betas": (0.5, 0.9)})
    train(first, optimizer, range(3))
    state = copy.deepcopy(optimizer.state_dict())
    state["param_groups"] = [{"lr": 1e-2, "native": False, "params": [0, 1, 2, 3]}]
    again = optimizer_of(second)
    again.load_state_dict(state)
    assert again.param_groups[0]["betas"] == (0.5, 0.9)
    train(first, optimizer, range(3, 6))
    train(second, again, range(3, 6))
    assert torch.equal(flat(second), flat(first))


def test_an_optimizer_without_parameters_is_refused_in_one_line() -> None:
    with pytest.raises(RlidimError, match="nothing to train: params is empty"):
        rlidim.SubspaceOptimizer([], d=1)


def test_a_native_optimizer_refuses_the_state() -> None:
    for network in (make_network(), nn.Linear(4, 2, bias=False)):
        state = optimizer_of(network).state_dict()
        with pytest.raises(ValueError, match="doesn't match the size"):
            torch.optim.Adam(network.parameters()).load_state_dict(state)


def test_frozen_parameters_stay() -> None:
    network = make_network()
    network[0].requires_grad_(False)
    before = flat(network)
    optimizer = optimizer_of(network)
    assert optimizer.subspace.projection.D == 54  # of the last layer
    train(network, optimizer, range(3))
    moved = flat(network) != before
    assert not moved[:48].any()
    assert moved[48:].all()


@pytest.mark.parametrize("change", ["frozen", "thawed"])
def test_freezing_comes_before_confining(change: str) -> None:
    network = make_network()
    network[0].bias.requires_grad_(False)
    optimizer = optimizer_of(network)
    train(network, optimizer, range(2))
    loss_of(network, 2).backward()
    layer = network[2] if change == "frozen" else network[0]
    layer.bias.requires_grad_(change == "thawed")
    with pytest.raises(RlidimError, match="frozen, or thawed"):
        optimizer.step()


def through_torch_save(pair: Any) -> Any:
    file = io.BytesIO()
    torch.save(pair, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair)), through_torch_save],
    ids=["deepcopy", "pickle", "torch.save"],
)
@pytest.mark.parametrize("inner", [torch.optim.Adam, torch.optim.LBFGS])
def test_copies_of_network_and_optimizer_stay_tied(
    copied: Callable[[Any], Any], inner: Any
) -> None:
    def go_on(network: nn.Module, optimizer: rlidim.SubspaceOptimizer, step: int) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(network, step)
            loss.backward()
            return loss

        optimizer.step(closure)  # type: ignore[call-overload]

    network = make_network()
    body, head = list(network[0].parameters()), list(network[2].parameters())
    groups = [{"params": body}, {"params": head, "native": True, "lr": 3e-3}]
    if inner is torch.optim.LBFGS:  # which takes one group
        groups = [{"params": body + head}]
    optimizer = rlidim.SubspaceOptimizer(groups, d=5, lr=1e-2, inner=inner, max_grad_norm=1.0)
    go_on(network, optimizer, 0)
    twin, its = copied((network, optimizer))
    assert its.gradient_share is None  # as gradients, which are not copied
    its.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"] = 2e-2
    before = flat(network)
    go_on(twin, its, 1)
    assert torch.equal(flat(network), before)
    go_on(network, optimizer, 1)
    assert not torch.equal(flat(network), before)
    assert torch.equal(flat(twin), flat(network))
    assert its.state_dict().keys() == optimizer.state_dict().keys()


def test_a_copy_of_a_changed_network_is_noticed() -> None:
    network = make_network()
    optimizer = optimizer_of(network)
    network[0].weight.data.add_(1.0)
    twin, its = copy.deepcopy((network, optimizer))
    loss_of(twin, 0).backward()
    with pytest.raises(RlidimError, match="changed outside the subspace"):
        its.step()


@pytest.mark.parametrize("change", ["in place", "replaced", "data", "one number", "dtype"])
def test_changes_from_outside_are_noticed(change: str) -> None:
    network = make_network()
    optimizer = optimizer_of(network)
    train(network, optimizer, range(2))
    loss_of(network, 2).backward()
    with torch.no_grad():
        weight = network[0].weight
        if change == "in place":
            weight.add_(1.0)
        elif change == "replaced":
            weight.data = weight.data + 1.0
        elif change == "data":
            weight.data.clamp_(-1e-3, 1e-3)
        elif change == "one number":
            weight.data[3, 2] += 1e-6
        else:
            network.double()
    with pytest.raises(RlidimError, match="changed outside the subspace"):
        optimizer.step()


@pytest.mark.parametrize("where", [(slice(None), slice(None)), (7, slice(None))])
def test_changes_of_a_large_parameters_data_are_noticed(where: Any) -> None:
    network = nn.Linear(LARGE // 8, 16)
    optimizer = optimizer_of(network)
    for step in range(3):
        optimizer.zero_grad()
        network(torch.ones(2, LARGE // 8)).square().mean().backward()
        if step == 2:
            network.weight.data[where] *= 1.001
            with pytest.raises(RlidimError, match="changed outside the subspace"):
                optimizer.step()
        else:
            optimizer.step()


@pytest.mark.parametrize("network", [make_network(), nn.Linear(5, 2 * LARGE)], ids=["", "large"])
@pytest.mark.parametrize("way", ["in place", "data"])
def test_weights_swapped_out_and_back_do_no_harm(network: nn.Module, way: str) -> None:
    """As a moving average is for an evaluation; NaN are no change either."""
    reference = copy.deepcopy(network)
    optimizers = [optimizer_of(each) for each in (network, reference)]
    for step in range(4):
        for each, optimizer in zip((network, reference), optimizers, strict=True):
            train(each, optimizer, range(step, step + 1))
        kept = copy.deepcopy(network.state_dict())
        averaged = {name: value + math.nan for name, value in kept.items()}
        for state in (averaged, kept):
            if way == "in place":
                network.load_state_dict(state)
            else:
                for name, parameter in network.named_parameters():
                    parameter.data = state[name].clone()
    assert torch.equal(flat(network), flat(reference))


def test_diverged_weights_are_not_taken_for_changed_ones() -> None:
    network = make_network()
    optimizer = optimizer_of(network)
    loss_of(network, 0).backward()
    network[0].bias.grad.fill_(math.nan)
    for _ in range(3):
        optimizer.step()
    assert flat(network).isnan().all()


def test_parameters_keep_their_storages() -> None:
    network = make_network().to(torch.float64)
    convolution = nn.Conv2d(3, 4, 3).double().to(memory_format=torch.channels_last)
    network.append(convolution)
    network.share_memory()
    before = [
        (p.data_ptr(), p.stride(), p.untyped_storage().nbytes()) for p in network.parameters()
    ]
    optimizer = optimizer_of(network)
    theta_0, P = flat(network), optimizer.subspace.projection
    loss_of_all = sum(p.square().sum() for p in network.parameters())
    loss_of_all.backward()  # type: ignore[union-attr]
    optimizer.step()
    after = [(p.data_ptr(), p.stride(), p.untyped_storage().nbytes()) for p in network.parameters()]
    assert after == before
    assert all(parameter.is_shared() for parameter in network.parameters())
    assert torch.equal(flat(network), P.forward(optimizer.theta_d.detach(), base=theta_0))
    assert not torch.equal(flat(network), theta_0)


def test_a_backward_after_the_step_sees_that_weights_moved() -> None:
    """As with native optimizers: the graph's weights are gone, and autograd says so."""
    network = make_network()
    optimizer = optimizer_of(network)
    loss = loss_of(network, 0)
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_given_twice_counts_once() -> None:
    layer = nn.Linear(4, 2)
    subspace = Subspace([layer.weight, layer.bias, layer.weight], projection("gaussian", 10, 3, 0))
    assert subspace.parameters == [layer.weight, layer.bias]


def test_parameters_that_share_memory_are_refused() -> None:
    first, second, last = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 3)
    second.weight.data = first.weight.data[1:]
    with pytest.raises(RlidimError, match=r"\(3, 4\) and \(2, 4\), share memory"):
        optimizer_of(nn.Sequential(first, second), d=3)
    one = torch.zeros(24)
    first.weight.data, last.weight.data = one[:12].view(3, 4), one[12:].view(3, 4)
    optimizer_of(nn.Sequential(first, last), d=3)  # side by side


def test_sparse_gradients_are_made_dense() -> None:
    tables = [nn.Embedding(20, 8, sparse=sparse) for sparse in (True, False)]
    tables[1].load_state_dict(tables[0].state_dict())
    for table in tables:
        table.register_parameter("unused", nn.Parameter(torch.ones(3)))
        optimizer = optimizer_of(table)
        table(torch.tensor([1, 3, 3])).square().mean().backward()
        optimizer.step()
    assert tables[0].weight.grad.is_sparse
    assert torch.equal(flat(tables[0]), flat(tables[1]))


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
    with pytest.raises(RlidimError, match="knows no 'momentum': it is no SGD"):
        optimizer_of(network, inner=torch.optim.SGD).load_state_dict(optimizer.state_dict())
    other: dict[str, Any] = {"params": nn.Parameter(torch.zeros(1)), "native": True}
    two = rlidim.SubspaceOptimizer([{"params": network.parameters()}, other], d=d)
    with pytest.raises(RlidimError, match="of 1 parameter groups, the optimizer has 2"):
        two.load_state_dict(optimizer.state_dict())
    with pytest.raises(RlidimError, match=r"'weight_decey'.*did you mean 'weight_decay'"):
        rlidim.SubspaceOptimizer([{"params": network.parameters(), "weight_decey": 0.1}], d=d)
    with pytest.raises(RlidimError, match="unknown key 'betas'"):
        rlidim.SubspaceOptimizer(
            [{"params": network.parameters(), "betas": (0.5, 0.9)}], d=d, inner=torch.optim.SGD
        )
    for wrong in ({"lr": -1.0}, {"lr": math.nan}, {"max_grad_norm": -1.0}, {"max_grad_norm": 0.0}):
        (name,) = wrong
        with pytest.raises(RlidimError, match=f"{name} must be finite and"):
            optimizer_of(network, **wrong)
    with pytest.raises(RlidimError, match="lr must be finite and at least 0, got -2"):
        rlidim.SubspaceOptimizer([{"params": network.parameters(), "lr": -2.0}], d=d)
    for wrong in (
        {"lr": "1e-3"},
        {"lr": None},
        {"max_grad_norm": "a"},
        {"inner": "adam"},
        {"inner_kwargs": {"foo": 1}},
        {"inner_kwargs": {"betas": (2, 0)}},
        {"inner_kwargs": 3},
        {"lr": 10**400},
        {"projection": None},
        {"projection": 3},
    ):
        (name,) = wrong
        with pytest.raises(RlidimError, match=f"{name}.* must be|inner_kwargs, for Adam"):
            optimizer_of(network, **wrong)
    for nothing in (None, nn.Linear(2, 2)):
        with pytest.raises(RlidimError, match="params must be parameters"):
            rlidim.SubspaceOptimizer(nothing, d=1)  # type: ignore[arg-type]
    with pytest.raises(RlidimError, match="needs a projection, got None"):
        rlidim.Subspace(network.parameters(), None)  # type: ignore[arg-type]
    with pytest.raises(RlidimError, match="all are frozen"):
        optimizer_of(make_network().requires_grad_(False))
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


@pytest.mark.parametrize("again", ["state_dict", "deepcopy"])
def test_what_a_scheduler_has_set_since_the_last_step_is_saved(again: str) -> None:
    """One that cycles momentum has changed the groups when the state is taken."""

    def scheduled(optimizer: rlidim.SubspaceOptimizer) -> torch.optim.lr_scheduler.OneCycleLR:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=10)

    def go_on(network: nn.Module, optimizer: Any, scheduler: Any, steps: range) -> None:
        for step in steps:
            train(network, optimizer, range(step, step + 1))
            scheduler.step()

    network = make_network()
    optimizer = optimizer_of(network)
    scheduler = scheduled(optimizer)
    go_on(network, optimizer, scheduler, range(4))
    if again == "deepcopy":
        twin, its = copy.deepcopy((network, optimizer))
        its_scheduler = scheduled(copy.deepcopy(its))
        its_scheduler.optimizer = its
    else:
        twin = make_network()
        its = optimizer_of(twin)
        its_scheduler = scheduled(its)
        its.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    its_scheduler.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    its_scheduler.optimizer = its
    go_on(network, optimizer, scheduler, range(4, 8))
    go_on(twin, its, its_scheduler, range(4, 8))
    assert torch.equal(flat(network), flat(twin))


def test_a_quasi_newton_step_is_not_lengthened() -> None:
    assert optimizer_of(make_network(), inner=torch.optim.LBFGS, lr=1.0).lr_factor == 1.0
    assert optimizer_of(make_network()).lr_factor > 1.0
    assert optimizer_of(make_network(), inner=torch.optim.LBFGS, scale_lr=True).lr_factor > 1.0


def test_d_beside_a_projection_is_the_projections() -> None:
    parameters = [nn.Parameter(torch.zeros(30))]
    P = projection("rademacher", 30, 3, 0)
    with pytest.raises(RlidimError, match="d = 5 beside a projection of d = 3: leave d out"):
        rlidim.SubspaceOptimizer(parameters, d=5, projection=P)
    for d in (None, 3):
        assert rlidim.SubspaceOptimizer(parameters, d=d, projection=P).theta_d.numel() == 3
