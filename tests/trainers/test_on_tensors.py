"""Runs on tensors learn as the others do, in environments that are Gymnasium's."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from rlidim.errors import RlidimError
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.names import find_task
from rlidim.tasks.settings import PPOSettings
from rlidim.trainers.many import kernels
from rlidim.trainers.many.on_tensors import (
    TensorExperience,
    TensorLearners,
    TensorRuns,
    tensor_advantages,
)
from rlidim.trainers.many.policy_gradient import Experience, PolicyLearner
from rlidim.trainers.many.rollout import advantages_of
from rlidim.trainers.many.tensor_environments import CartPoleTensors

CPU = torch.device("cpu")
STEPS = 80
NETWORK = Architecture(4, 2, (20, 20), "relu", "he_normal", 1.0, "argmax")


def cells(*dimensions: int | None) -> list[Cell]:
    return [
        Cell.baseline("cartpole", "ppo-many", seed)
        if d is None
        else Cell("cartpole", "ppo-many", "rademacher", d, seed)
        for seed, d in enumerate(dimensions)
    ]


def test_the_cart_moves_as_gymnasium_s() -> None:
    bare: Any = gymnasium.make("CartPole-v1").unwrapped
    generator = torch.Generator().manual_seed(0)
    rows = CartPoleTensors(generator, limit=30)
    rows.begin(50)
    actions = torch.randint(2, (100, 50), generator=generator)
    ends = {"terminated": 0, "truncated": 0}
    for chosen in actions:
        before, times = rows.state.clone(), rows.times.clone()
        stepped = rows.step(chosen)
        for row in range(50):
            bare.reset()
            bare.state = before[:, row].numpy()
            observation, reward, terminated, _, _ = bare.step(int(chosen[row]))
            np.testing.assert_allclose(stepped.final[row], observation, rtol=0, atol=1e-7)
            assert float(stepped.rewards[row]) == reward
            assert bool(stepped.terminated[row]) == terminated
            truncated = int(times[row]) + 1 >= 30
            assert bool(stepped.truncated[row]) == truncated
            ends["terminated"] += terminated
            ends["truncated"] += truncated
            over = terminated or truncated
            assert int(rows.times[row]) == (0 if over else int(times[row]) + 1)
            if over:
                assert float(stepped.observations[row].abs().max()) <= 0.05
            else:
                assert torch.equal(stepped.observations[row], stepped.final[row])
    assert min(ends.values()) > 10


@pytest.mark.skipif(bool(kernels.MISSING), reason=kernels.MISSING or "there")
@pytest.mark.parametrize("dimensions", [(3, 7, 5), (None, None)], ids=["subspaces", "native"])
@pytest.mark.parametrize("longest", [None, 0.05])
def test_ten_updates_are_those_of_the_kernels(
    dimensions: tuple[int | None, ...], longest: float | None
) -> None:
    settings = PPOSettings(
        n_timesteps=10_000,
        batch_size=32,
        n_epochs=4,
        learning_rate="lin_0.003",
        ent_coef=0.02,
        max_grad_norm=longest,
    )
    own = cells(*dimensions)
    ours = TensorLearners(NETWORK, settings, own, CPU)
    others = [PolicyLearner(NETWORK, settings, cell, Seeds.of(cell)) for cell in own]
    generator = np.random.default_rng(0)
    experiences, orders = [], []
    for other in others:
        observations = generator.standard_normal((STEPS, 4)).astype(np.float32)
        actions = generator.integers(2, size=(STEPS, 1)).astype(np.float32)
        off = generator.uniform(-0.4, 0.4, STEPS).astype(np.float32)
        old = other.log_probabilities(observations, actions) + off
        advantages, returns = generator.standard_normal((2, STEPS)).astype(np.float32)
        experiences.append(Experience(observations, actions, advantages, returns, old))
        order = np.stack([generator.permutation(STEPS) for _ in range(settings.n_epochs)])
        orders.append(order.astype(np.int32))
    before = ours.theta.clone()
    ours.learn(together(experiences), torch.from_numpy(np.stack(orders, axis=1)).long(), 0.6)
    for place, (other, experience) in enumerate(zip(others, experiences, strict=True)):
        other.learn(experience, orders[place], 0.6)
        size = other.actor_size
        close = {"rtol": 0.0, "atol": 1e-5}
        np.testing.assert_allclose(ours.theta[place], other.theta, **close)
        np.testing.assert_allclose(ours.critics[place], other.parameters[size:], **close)
    assert float((ours.theta - before).abs().max()) > 1e-3


def together(experiences: list[Experience]) -> TensorExperience:
    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(each, name) for each in experiences]))

    actions = stacked("actions")[..., 0].long()
    return TensorExperience(
        stacked("observations"), actions, *map(stacked, ("advantages", "returns", "old"))
    )


def test_advantages_are_those_of_arrays() -> None:
    generator = np.random.default_rng(1)
    rewards, values = (generator.standard_normal((n, 3)).astype(np.float32) for n in (9, 10))
    over = generator.random((9, 3)) < 0.2
    found = tensor_advantages(*map(torch.from_numpy, (rewards, values, over)), 0.9, 0.8)
    np.testing.assert_allclose(found, advantages_of(rewards, values, over, 0.9, 0.8), atol=1e-6)


def test_it_learns_within_its_subspaces() -> None:
    settings = find_task("cartpole").settings("ppo-many")
    assert isinstance(settings, PPOSettings)
    runs = TensorRuns(NETWORK, settings, cells(25, 25, 25, 2), CPU)
    first = runs.returns(10)
    for _ in range(40):
        runs.advance()
    assert runs.steps == 40 * settings.n_steps * settings.n_envs
    assert float((runs.returns(10) - first)[:3].max()) > 100
    assert not bool(runs.learners.moved[3, 2:].any())  # beyond the run's own d
    assert bool(runs.learners.moved[3, :2].all())


@pytest.mark.parametrize(
    ("changes", "own", "words"),
    [
        ({}, cells(3, None), "or all natively"),
        ({"normalize": True}, cells(3), "normalize"),
        ({}, [Cell("cartpole", "ppo-many", "rademacher", 3, 0, "all")], "alone are confined"),
    ],
)
def test_what_is_not_served(changes: dict[str, Any], own: list[Cell], words: str) -> None:
    settings = PPOSettings(n_timesteps=100, **changes)
    with pytest.raises(RlidimError, match=words):
        TensorRuns(NETWORK, settings, own, CPU)
