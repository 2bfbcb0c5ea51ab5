"""Stable-Baselines3 inside a subspace: confined, otherwise unchanged, and the same twice."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from rlidim.environments.arena import evaluate
from rlidim.errors import RlidimError
from rlidim.networks.perceptron import Architecture, Policy
from rlidim.projections import projection
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.solutions import file
from rlidim.speed.sb3 import throughput
from rlidim.subspace import SubspaceOptimizer
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.run import Run
from rlidim.trainers.sb3.confine import (
    NO_CLIPPING,
    acting_parameters,
    actor_optimizer,
    confine,
    has_actor,
    load_confined,
)
from rlidim.trainers.sb3.train import Evaluations, build, train
from tests.factory import make_task
from tests.marks import slow_but
from tests.trainers import choosy, faulty  # noqa: F401  (registers the environments)

# Enough of each for some updates, few enough for a second or two.
SHORT: dict[str, dict[str, Any]] = {
    "ppo": {"n_timesteps": 512, "n_envs": 2, "n_steps": 64, "batch_size": 64, "n_epochs": 2},
    "a2c": {"n_timesteps": 300, "n_envs": 2},
    "dqn": {"n_timesteps": 400, "learning_starts": 100, "target_update_interval": 50},
    "qrdqn": {
        "n_timesteps": 400,
        "learning_starts": 100,
        "target_update_interval": 50,
        "n_quantiles": 5,
        "learning_rate": 1e-3,
    },
    "sac": {"n_timesteps": 150, "learning_starts": 100, "batch_size": 32},
    "td3": {"n_timesteps": 150, "learning_starts": 100, "batch_size": 32},
    "ddpg": {"n_timesteps": 150, "learning_starts": 100, "batch_size": 32},
    "tqc": {"n_timesteps": 150, "learning_starts": 100, "batch_size": 32},
    "recurrent_ppo": {"n_timesteps": 256, "n_envs": 2, "n_steps": 32, "n_epochs": 2},
    "crossq": {"n_timesteps": 150, "learning_starts": 100, "batch_size": 32},
    "trpo": {"n_timesteps": 512, "n_envs": 2, "n_steps": 64, "batch_size": 64},
    "maskable_ppo": {"n_timesteps": 512, "n_envs": 2, "n_steps": 64, "n_epochs": 2},
}
IDENTITY = {
    **dict.fromkeys(("sac", "td3", "ddpg", "tqc", "crossq"), "Pendulum-v1"),
    "maskable_ppo": "tests.trainers.choosy:Choosy-v0",
}
every_trainer = pytest.mark.parametrize("trainer", SHORT)


def task_of(trainer: str, identity: str | None = None, **changes: Any) -> Task:
    settings = TRAINERS[trainer](**{**SHORT[trainer], "eval_freq": 128, **changes})
    return make_task(
        environment=Environment(id=identity or IDENTITY.get(trainer, "CartPole-v1")),
        network=Network((16, 16), activation="tanh", memory=8 * (trainer == "recurrent_ppo")),
        evaluation=Evaluation(episodes=5, checkpoint_episodes=2),
        trainers={trainer: settings},
    )


def run(
    trainer: str, d: int | None, seed: int = 0, folder: Path | None = None, **changes: Any
) -> Outcome:
    task = task_of(trainer, **changes)
    cell = Cell(task.name, trainer, "native" if d is None else "rademacher", d, seed)
    return train(Run(task, cell, Seeds.of(cell), folder=folder))


def acting(model: BaseAlgorithm) -> Tensor:
    return nn.utils.parameters_to_vector(acting_parameters(model)).detach().clone()


@pytest.mark.parametrize("trainer", slow_but(["ppo", "dqn", "td3"], SHORT))
def test_runs_repeat(trainer: str) -> None:
    first, same, other = run(trainer, 5), run(trainer, 5), run(trainer, 5, seed=1)
    assert first.theta_d is not None
    assert same.theta_d is not None
    np.testing.assert_array_equal(first.theta_d, same.theta_d)
    assert first.returns == same.returns
    assert first.curve == same.curve
    assert first.returns != other.returns
    assert first.environment_steps >= SHORT[trainer]["n_timesteps"]


@every_trainer
def test_the_record_rebuilds_the_policy(trainer: str, tmp_path: Path) -> None:
    """A seed and d floats give back a policy that scores what the run scored."""
    outcome = run(trainer, 5)
    assert outcome.spec is not None
    seeds = Seeds.of(Cell("synthetic", trainer, "rademacher", 5, 0))
    spec = ProjectionSpec.from_json(outcome.spec)
    saved = file.Solution(spec, outcome.theta_d, seeds.theta_0, None, outcome.network, {})
    file.write(tmp_path / "s", file.serialise(saved))
    found = file.load(tmp_path / "s")
    network = Architecture.from_json(found.network)
    theta = found.parameters(network.initial_parameters(seeds.theta_0))
    played = evaluate(task_of(trainer), Policy(network, theta), 5, seeds.evaluation)
    np.testing.assert_allclose(played.returns, outcome.returns, rtol=1e-3)


@every_trainer
def test_the_acting_network_stays_in_its_subspace_and_the_critic_does_not(trainer: str) -> None:
    task = task_of(trainer)
    seeds = Seeds.of(Cell(task.name, trainer, "rademacher", 5, 0))
    model, architecture = build(task, trainer, seeds)
    np.testing.assert_array_equal(acting(model), architecture.initial_parameters(seeds.theta_0))
    confine(model, d=5, seed=seeds.projection)
    theta_0 = acting(model)
    rest = {id(parameter) for parameter in acting_parameters(model)}
    critic = [p for p in model.policy.parameters() if id(p) not in rest and p.requires_grad]
    before = [parameter.detach().clone() for parameter in critic]
    model.learn(SHORT[trainer]["n_timesteps"])
    moved = (acting(model) - theta_0).double()
    P = projection("rademacher", architecture.D, 5, seeds.projection, dtype=torch.float64)
    dense = P.to_dense()
    outside = moved - dense @ torch.linalg.lstsq(dense, moved).solution
    assert moved.norm() > 1e-4
    assert outside.norm() < 1e-4 * max(1.0, float(theta_0.norm()))
    if trainer not in ("dqn", "qrdqn"):  # which have no critic
        assert any((p != b).any() for p, b in zip(critic, before, strict=True))


@pytest.mark.parametrize("trainer", [name for name in SHORT if name != "trpo"])
def test_scope_all_confines_every_optimizer(trainer: str) -> None:
    task = task_of(trainer)
    model, _ = build(task, trainer, Seeds.of(Cell("synthetic", trainer, "rademacher", 5, 0)))
    confine(model, d=5, scope="all")
    policy: Any = model.policy
    optimizers = (
        [policy.actor.optimizer, policy.critic.optimizer]
        if has_actor(model)
        else [policy.optimizer]
    )
    for optimizer in optimizers:
        assert isinstance(optimizer, SubspaceOptimizer)
        assert not any(group["native"] for group in optimizer.param_groups)


@every_trainer
def test_native_runs_are_stable_baselines_own(trainer: str) -> None:
    """Without a subspace our trainer learns what the algorithm alone learns."""
    task = task_of(trainer)
    seeds = Seeds.of(Cell(task.name, trainer, "native", None, 0))
    alone, _ = build(task, trainer, seeds)
    alone.learn(SHORT[trainer]["n_timesteps"])
    together, architecture = build(task, trainer, seeds)
    watched = Evaluations(task, architecture, seeds, 128, lambda steps, score: None)
    together.learn(SHORT[trainer]["n_timesteps"], callback=watched)
    torch.testing.assert_close(acting(together), acting(alone))


@pytest.mark.parametrize(
    ("algorithm", "identity"),
    [
        *((algorithm, "CartPole-v1") for algorithm in (PPO, A2C, DQN)),
        *((algorithm, "Pendulum-v1") for algorithm in (SAC, TD3)),
    ],
)
def test_a_saved_model_is_taken_up_again(
    algorithm: type[BaseAlgorithm], identity: str, tmp_path: Path
) -> None:
    small: dict[str, Any] = {"n_steps": 64} if algorithm is PPO else {}
    model = confine(algorithm("MlpPolicy", identity, seed=0, device="cpu", **small), d=8, seed=3)
    model.learn(128)
    model.save(tmp_path / "model")
    loaded = confine(algorithm("MlpPolicy", identity, seed=1, device="cpu", **small), d=8, seed=4)
    loaded.set_parameters(tmp_path / "model", device="cpu")
    torch.testing.assert_close(acting(loaded), acting(model))
    ours, theirs = (actor_optimizer(each) for each in (loaded, model))
    assert isinstance(ours, SubspaceOptimizer)
    assert isinstance(theirs, SubspaceOptimizer)
    torch.testing.assert_close(ours.theta_d, theirs.theta_d)
    loaded.learn(128)


@pytest.mark.parametrize(
    ("algorithm", "identity", "scope"),
    [
        (PPO, "CartPole-v1", "policy"),
        (PPO, "CartPole-v1", "all"),
        (DQN, "CartPole-v1", "policy"),
        (SAC, "Pendulum-v1", "policy"),
        (TD3, "Pendulum-v1", "all"),
    ],
)
@pytest.mark.parametrize("ours", [True, False])
def test_a_confined_model_is_loaded_in_its_subspace(
    algorithm: type[BaseAlgorithm], identity: str, scope: str, ours: bool, tmp_path: Path
) -> None:
    """By our function and by the algorithm's own, which know as little of each other."""
    small: dict[str, Any] = {"n_steps": 64} if algorithm is PPO else {}
    built = algorithm("MlpPolicy", identity, seed=0, device="cpu", **small)
    model = confine(built, d=8, seed=3, scope=scope, max_grad_norm=0.3)
    model.learn(128)
    model.save(tmp_path / "model")
    load: Any = functools.partial(load_confined, algorithm) if ours else algorithm.load
    loaded = load(tmp_path / "model", env=gymnasium.make(identity), device="cpu")
    assert type(loaded) is algorithm
    torch.testing.assert_close(acting(loaded), acting(model), rtol=0, atol=0)
    again, before = (actor_optimizer(each) for each in (loaded, model))
    assert isinstance(again, SubspaceOptimizer)
    assert isinstance(before, SubspaceOptimizer)
    assert again.subspace.projection.spec == before.subspace.projection.spec
    assert len(again.param_groups) == len(before.param_groups)
    assert again.max_grad_norm == 0.3
    policies: Any = loaded.policy, model.policy
    if algorithm in (SAC, TD3):
        assert {type(policy.critic.optimizer) for policy in policies} == {
            SubspaceOptimizer if scope == "all" else torch.optim.Adam
        }
    loaded.learn(128)
    P, theta_0 = again.subspace.projection, again.subspace.theta_0
    confined = torch.cat([each.detach().reshape(-1) for each in again.subspace.parameters])
    torch.testing.assert_close(confined, P.forward(again.theta_d.detach(), base=theta_0))


def test_a_confined_model_that_was_loaded_is_saved_as_it_was(tmp_path: Path) -> None:
    first = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
    first = confine(first, d=8, seed=3).learn(64)
    first.save(tmp_path / "model")
    for _ in range(2):
        loaded = PPO.load(tmp_path / "model", device="cpu")
        loaded.save(tmp_path / "model")
    torch.testing.assert_close(acting(loaded), acting(first), rtol=0, atol=0)
    with pytest.raises(RlidimError, match="this PPO is confined already"):
        confine(loaded, d=8)


def test_a_model_that_was_not_confined_is_loaded_by_its_own_load(tmp_path: Path) -> None:
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "model")
    with pytest.raises(RlidimError, match="this PPO was not confined when it was saved"):
        load_confined(PPO, tmp_path / "model")


def test_logs_carry_the_usual_names_and_ours(tmp_path: Path) -> None:
    run("ppo", 5, folder=tmp_path)
    header = (tmp_path / "progress.csv").read_text()
    for name in ("rollout/ep_rew_mean", "eval/best_mean_reward", "subspace/theta_d_norm"):
        assert name in header
    assert list(tmp_path.glob("events.out.tfevents*"))


def test_normalised_observations_travel_with_the_solution() -> None:
    outcome = run("ppo", 5, normalize=True)
    assert outcome.network["observation_mean"] is not None
    assert len(outcome.returns) == 5


@pytest.mark.parametrize("trainer", ["ppo", "dqn"])
def test_an_environments_nan_is_named(trainer: str) -> None:
    with pytest.raises(RlidimError, match="NotANumber-v0' returned a"):
        run(trainer, 3, identity="tests.trainers.faulty:NotANumber-v0")


@pytest.mark.parametrize("trainer", ["ppo", "dqn"])
def test_natively_and_in_a_subspace_nothing_is_clipped_unless_asked(trainer: str) -> None:
    seeds = Seeds.of(Cell("synthetic", trainer, "rademacher", 5, 0))
    model: Any = build(task_of(trainer), trainer, seeds)[0]
    assert model.max_grad_norm == NO_CLIPPING
    assert confine(model, d=5).max_grad_norm == NO_CLIPPING
    asked: Any = build(task_of(trainer, max_grad_norm=0.5), trainer, seeds)[0]
    assert asked.max_grad_norm == 0.5


@pytest.mark.parametrize("trainer", ["ppo", "td3"])
def test_numbers_that_overflow_are_recorded_as_diverged(trainer: str) -> None:
    outcome = run(trainer, 5, learning_rate=1e30)
    assert outcome.status == "diverged"
    assert outcome.returns == ()


def test_sums_that_overflow_with_finite_parameters_are_divergence_too() -> None:
    outcome = run("ppo", 5, identity="Pendulum-v1", learning_rate=1e15)
    assert outcome.status == "diverged"


def test_what_is_scored_is_bounded_as_state_dependent_noise_bounds_it() -> None:
    task = task_of("sac", use_sde=True)
    model, architecture = build(task, "sac", Seeds.of(Cell("synthetic", "sac", "native", None, 0)))
    with torch.no_grad():
        for parameter in acting_parameters(model):
            parameter.mul_(5)
    observations = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    trained = model.predict(observations, deterministic=True)[0]
    theta = acting(model).numpy()
    np.testing.assert_allclose(architecture.policy(theta).act(observations), trained, atol=1e-5)
    assert np.mean(np.isclose(abs(trained), 2 * np.tanh(2.0))) > 0.1  # many are at the bound
    unbounded = dataclasses.replace(architecture, output_bound=None)  # type: ignore[type-var]
    assert abs(unbounded.policy(theta).act(observations)).max() > 1.99
    assert type(architecture).from_json(architecture.to_json()) == architecture


@pytest.mark.parametrize("trainer", ["sac", "td3", "ddpg", "tqc", "crossq", "trpo"])
def test_clipping_that_a_native_algorithm_does_not_make_is_refused(trainer: str) -> None:
    with pytest.raises(RlidimError, match="max_grad_norm is for ppo, a2c, dqn"):
        task_of(trainer, max_grad_norm=0.5)


@pytest.mark.parametrize("trainer", ["ppo", "dqn"])
def test_throughput_times_training(trainer: str) -> None:
    """However late a task begins to train."""
    late = {"learning_starts": 10_000} if trainer == "dqn" else {}
    figures = throughput(task_of(trainer, **late), trainer, projection="auto", d=4, repeats=1)
    assert figures["ratio"] == pytest.approx(
        figures["subspace_seconds"] / figures["native_seconds"]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run("dqn", 3, identity="Pendulum-v1"), "dqn needs discrete actions"),
        (lambda: run("sac", 3, identity="CartPole-v1"), "sac needs continuous actions"),
        (lambda: run("ppo", 10**6), "between 1 and D ="),
        (lambda: run("ppo", 3, learning_rate="cos_0.1"), "a number or lin_<number>"),
    ],
)
def test_mistakes_are_named(call: Any, message: str) -> None:
    with pytest.raises(RlidimError, match=message):
        call()


def test_a_model_is_confined_once() -> None:
    model = confine(PPO("MlpPolicy", "CartPole-v1", device="cpu"), d=3)
    with pytest.raises(RlidimError, match="this PPO is confined already"):
        confine(model, d=3)


def test_what_cannot_be_confined_stays_as_it_was() -> None:
    """The critic of one input and output is smaller than d: its actor is not confined either."""
    sizes = {"net_arch": {"pi": [64, 64], "qf": [2]}}
    model = SAC("MlpPolicy", "Pendulum-v1", policy_kwargs=sizes, device="cpu")
    with pytest.raises(RlidimError, match="d must be between 1 and D ="):
        confine(model, d=3000, scope="all")
    assert not isinstance(actor_optimizer(model), SubspaceOptimizer)
    confine(model, d=10, scope="all")

    frozen = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    frozen.policy.requires_grad_(False)
    with pytest.raises(RlidimError, match="no parameter to confine: all are frozen"):
        confine(frozen, d=3)


def test_frozen_parameters_of_a_model_stay_where_they_are() -> None:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu")
    frozen = model.policy.mlp_extractor.policy_net[0]
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    before = frozen.weight.detach().clone()
    trainable = sum(each.numel() for each in acting_parameters(model) if each.requires_grad)
    confine(model, d=3)
    optimizer = actor_optimizer(model)
    assert isinstance(optimizer, SubspaceOptimizer)
    assert trainable == optimizer.subspace.projection.D
    model.learn(128)
    assert torch.equal(frozen.weight, before)
    assert optimizer.theta_d.abs().max() > 0


@pytest.mark.parametrize("scope", ["Policy", "al", None])
def test_an_unknown_scope_confines_nothing(scope: Any) -> None:
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    before = model.policy.optimizer
    with pytest.raises(RlidimError, match="scope must be policy or all, got"):
        confine(model, d=4, scope=scope)
    assert model.policy.optimizer is before
    with pytest.raises(RlidimError, match="a model of Stable-Baselines3 is confined, got"):
        confine(model.policy, d=4)  # type: ignore[type-var]
