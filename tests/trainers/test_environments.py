"""The calibration problems have the dimension they claim: linear algebra says so."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from numpy.typing import NDArray

from rlidim.environments.one_step import INPUTS, observation, reward, target
from rlidim.networks.acting import architecture
from rlidim.projections import projection
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.names import find_task
from rlidim.trainers.evolution.train import train
from rlidim.trainers.run import Run

CODIMENSIONS = (1, 3, 10)


def best_reward(codimension: int, d: int, seed: int, trainer: str = "cmaes") -> float:
    """Return the best reward inside a cell's subspace: the action is affine in theta_d."""
    task = find_task(f"codimension-{codimension}")
    network = architecture(task)
    seeds = Seeds.of(Cell(task.name, trainer, "rademacher", d, seed))
    theta_0 = network.initial_parameters(seeds.theta_0).astype(np.float64)
    P = projection("rademacher", network.D, d, seeds.projection, dtype=torch.float64)
    layer: NDArray[Any] = np.zeros((codimension, network.D))  # theta_D to action
    for output in range(codimension):
        layer[output, output * INPUTS : (output + 1) * INPUTS] = observation()
        layer[output, codimension * INPUTS + output] = 1.0
    matrix = layer @ P.to_dense().numpy()
    wanted = target(codimension) - layer @ theta_0
    theta_d = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    return float(reward(layer @ theta_0 + matrix @ theta_d, codimension))


@pytest.mark.parametrize("codimension", CODIMENSIONS)
def test_k_dimensions_suffice_and_fewer_do_not(codimension: int) -> None:
    at = [best_reward(codimension, codimension, seed) for seed in range(20)]
    np.testing.assert_allclose(at, 1.0, atol=1e-6)
    if codimension > 1:
        below = [best_reward(codimension, codimension - 1, seed) for seed in range(20)]
        assert np.mean(below) < 0.8


@pytest.mark.parametrize("seed", range(3))
def test_evolution_reaches_the_best_reward_of_a_subspace(seed: int) -> None:
    """Below the known dimension too, where the best is no solution."""
    cell = Cell("codimension-3", "cmaes", "rademacher", 2, seed)
    task = find_task("codimension-3").replace_settings("cmaes", {"n_timesteps": 20_000})
    outcome = train(Run(task, cell, Seeds.of(cell)))
    assert outcome.returns[0] == pytest.approx(best_reward(3, 2, seed), abs=0.01)


@pytest.mark.parametrize("codimension", CODIMENSIONS)
def test_gymnasium_accepts_it(codimension: int) -> None:
    environment = gymnasium.make("OneStep-v0", codimension=codimension)
    check_env(environment.unwrapped, skip_render_check=True)
    assert np.linalg.norm(target(codimension)) == pytest.approx(2.0)
    assert np.linalg.norm(observation()) == pytest.approx(1.0)


def test_the_vector_form_is_the_same_game() -> None:
    vector = gymnasium.make_vec(
        "OneStep-v0", num_envs=5, vectorization_mode="vector_entry_point", codimension=3
    )
    single = gymnasium.make("OneStep-v0", codimension=3)
    observations, _ = vector.reset(seed=0)
    actions = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    _, rewards, terminated, truncated, _ = vector.step(actions)
    assert terminated.all()
    assert not truncated.any()
    for index, action in enumerate(actions):
        first, _ = single.reset()
        np.testing.assert_array_equal(observations[index], first)
        assert single.step(action)[1] == pytest.approx(rewards[index])


def test_the_reward_is_sharp_and_slopes_everywhere() -> None:
    away = np.array([0.0, 0.03, 0.07, 0.5, 2.0, 9.0])
    rewards = reward(target(1) + away[:, None], 1)
    assert rewards[0] == 1.0
    assert rewards[1] > 0.97
    assert rewards[2] == pytest.approx(0.9, abs=0.01)
    assert (np.diff(rewards) < 0).all()
    assert rewards[-1] > 0
