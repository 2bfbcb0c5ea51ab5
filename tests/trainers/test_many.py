"""Many runs side by side: each is what it would be alone, and learns as Stable-Baselines3's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import NStepReplayBuffer, RolloutBufferSamples
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import nn

from rlidim.environments.fleets import Stepped
from rlidim.environments.making import make_fleet
from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS, PPOManySettings
from rlidim.tasks.task import Task
from rlidim.trainers.many import kernels, learner
from rlidim.trainers.many.normalisation import NormalisedFleet
from rlidim.trainers.many.policy_gradient import Experience, PolicyLearner
from rlidim.trainers.many.q_learning import ValueLearner
from rlidim.trainers.many.replay import Drawn, Memory
from rlidim.trainers.many.rollout import advantages_of
from rlidim.trainers.many.train import train, train_together
from rlidim.trainers.run import Run
from rlidim.trainers.sb3.confine import acting_parameters, confine
from rlidim.trainers.sb3.train import build, environments, logger_of
from tests.factory import make_task
from tests.trainers import spacious  # noqa: F401  (registers the environments)

if kernels.MISSING:
    pytest.skip(kernels.MISSING, allow_module_level=True)

SMALL = {"n_timesteps": 512, "n_envs": 4, "n_steps": 32, "batch_size": 48, "n_epochs": 3}
STEPS = 160  # five minibatches an epoch
UPDATES: dict[str, dict[str, Any]] = {
    "ppo": {"batch_size": 32, "n_epochs": 2, "learning_rate": 3e-3, "clip_range": 0.2},
    "a2c": {"n_envs": 4, "n_steps": STEPS // 4, "learning_rate": 3e-3},
    "dqn": {"n_envs": 4, "batch_size": STEPS, "learning_rate": 3e-3, "gamma": 0.9},
}
CARTPOLE, PENDULUM = Environment("CartPole-v1"), Environment("Pendulum-v1")
LAKE = Environment("FrozenLake-v1", kwargs={"map_name": "8x8"})  # 64 inputs, of which one is told


def task_of(
    environment: Environment, network: Network, trainer: str = "ppo", **settings: Any
) -> Task:
    return make_task(
        environment=environment,
        network=network,
        evaluation=Evaluation(episodes=4, checkpoint_episodes=3, solved=400.0),
        trainers={name: TRAINERS[name](**settings) for name in (trainer, f"{trainer}-many")},
    )


def cell_of(task: Task, d: int | None, seed: int = 0, scope: str = "policy") -> Cell:
    trainer = next(name for name in task.trainers if name.endswith("-many"))
    if d is None:
        return Cell.baseline(task.name, trainer, seed)
    return Cell(task.name, trainer, "rademacher", d, seed, scope)


def run_of(task: Task, d: int | None, seed: int = 0, scope: str = "policy") -> Run:
    cell = cell_of(task, d, seed, scope)
    return Run(task, cell, Seeds.of(cell))


def same(one: Outcome, other: Outcome) -> None:
    for field in dataclasses.fields(Outcome):
        np.testing.assert_equal(getattr(one, field.name), getattr(other, field.name), field.name)


@pytest.mark.parametrize("d", [None, 5])
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize(
    ("environment", "network"),
    [
        (CARTPOLE, Network(hidden=(20, 20), activation="relu")),
        (PENDULUM, Network(hidden=(17, 9), activation="tanh")),
        (LAKE, Network(hidden=(18,), activation="tanh")),
    ],
    ids=["discrete", "continuous", "sparse"],
)
@pytest.mark.parametrize("trainer", ["ppo", "a2c", "a2c by adam"])
def test_ten_updates_are_those_of_stable_baselines(
    trainer: str,
    environment: Environment,
    network: Network,
    clip: float | None,
    normalised: bool,
    d: int | None,
) -> None:
    trainer, _, adam = trainer.partition(" by ")
    settings = {
        **UPDATES[trainer],
        "n_timesteps": 1000,
        "ent_coef": 0.02,
        "normalize_advantage": normalised,
        "max_grad_norm": clip,
    }
    if adam:
        settings["use_rms_prop"] = False
    task = task_of(environment, network, trainer, **settings)
    cell = cell_of(task, d)
    seeds = Seeds.of(cell)
    model, architecture = build(task, trainer, seeds)
    if d is not None:
        confine(model, d=d, projection="rademacher", seed=seeds.projection, max_grad_norm=clip)
    ours = PolicyLearner(architecture, task.settings(f"{trainer}-many"), cell, seeds)  # type: ignore[arg-type]
    policy: Any = model.policy
    critic = [*policy.mlp_extractor.value_net.parameters(), *policy.value_net.parameters()]
    size = ours.actor_size
    theirs = nn.utils.parameters_to_vector(critic).detach().numpy()
    ours.parameters[size : size + len(theirs)] = theirs
    generator = np.random.default_rng(0)
    epochs = 2 if trainer == "ppo" else 10
    experience = an_experience(ours, architecture, generator, 0.4 if trainer == "ppo" else 0.0)
    order = an_order(generator, epochs)

    def minibatches(batch_size: int | None) -> Iterator[RolloutBufferSamples]:
        for chosen in np.split(next(passes), STEPS // (batch_size or STEPS)):
            yield RolloutBufferSamples(
                *(
                    torch.from_numpy(numbers[chosen])
                    for numbers in (
                        experience.observations,
                        experience.actions,
                        experience.old,  # old values, which nothing reads
                        experience.old,
                        experience.advantages,
                        experience.returns,
                    )
                )
            )

    passes = iter(order)
    model.rollout_buffer = SimpleNamespace(  # type: ignore[attr-defined]
        get=minibatches, values=experience.returns, returns=experience.returns
    )
    model.set_logger(logger_of(None))
    before = ours.parameters.copy()
    if trainer == "ppo":
        model.train()  # type: ignore[attr-defined]
        ours.learn(experience, order, 1.0)
    else:  # every update is from actions just taken
        for once in order:
            model.train()  # type: ignore[attr-defined]
            old = ours.log_probabilities(experience.observations, experience.actions)
            ours.learn(dataclasses.replace(experience, old=old), once[None], 1.0)
    assert ours.steps == 10
    assert np.abs(ours.parameters - before).max() > 1e-3
    close = {"rtol": 0.0, "atol": 1e-5}
    acting = nn.utils.parameters_to_vector(acting_parameters(model)).detach().numpy()
    np.testing.assert_allclose(ours.theta, acting, **close)
    np.testing.assert_allclose(
        ours.parameters[size : size + len(theirs)],
        nn.utils.parameters_to_vector(critic).detach().numpy(),
        **close,
    )
    if environment is PENDULUM:
        log_std = policy.log_std.detach().numpy()
        np.testing.assert_allclose(ours.parameters[-len(log_std) :], log_std, **close)


def an_experience(
    ours: PolicyLearner, architecture: Any, generator: np.random.Generator, spread: float = 0.4
) -> Experience:
    """Return a rollout; a spread of the old log-probabilities moves some ratios out of range."""
    observations = generator.standard_normal((STEPS, architecture.observation_size))
    observations = observations.astype(np.float32)
    if len(observations[0]) >= 64:  # most inputs are zero in every step
        observations[:, generator.random(len(observations[0])) < 0.7] = 0.0
    if architecture.action == "argmax":
        actions = generator.integers(architecture.output_size, size=(STEPS, 1))
    else:
        actions = generator.standard_normal((STEPS, architecture.output_size))
    actions = actions.astype(np.float32)
    off = generator.uniform(-spread, spread, STEPS).astype(np.float32)
    old = ours.log_probabilities(observations, actions) + off
    advantages, returns = generator.standard_normal((2, STEPS)).astype(np.float32)
    return Experience(observations, actions, advantages * 3 + 1, returns, old)


def an_order(generator: np.random.Generator, epochs: int = 2) -> np.ndarray:
    return np.stack([generator.permutation(STEPS).astype(np.int32) for _ in range(epochs)])


@pytest.mark.parametrize("d", [None, 5])
@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize(("tau", "interval"), [(0.1, 4), (1.0, 12)], ids=["soft", "hard"])
def test_ten_updates_of_dqn_are_those_of_stable_baselines(
    tau: float, interval: int, clip: float | None, d: int | None
) -> None:
    more = {"tau": tau, "target_update_interval": interval, "max_grad_norm": clip}
    settings = {**UPDATES["dqn"], **more, "n_timesteps": 1000}
    task = task_of(CARTPOLE, Network(hidden=(20, 20)), "dqn", **settings)
    cell = cell_of(task, d)
    seeds = Seeds.of(cell)
    model, architecture = build(task, "dqn", seeds)
    if d is not None:
        confine(model, d=d, projection="rademacher", seed=seeds.projection, max_grad_norm=clip)
    model.set_logger(logger_of(None))
    ours = ValueLearner(architecture, task.settings("dqn-many"), cell, seeds)  # type: ignore[arg-type]
    generator = np.random.default_rng(0)
    policy: Any = model.policy
    for _ in range(10):
        drawn = transitions(generator)
        samples = ReplayBufferSamples(
            *(
                torch.from_numpy(numbers.reshape(STEPS, -1))
                for numbers in (
                    drawn.observations,
                    drawn.actions,
                    drawn.following,
                    (drawn.discounts == 0.0).astype(np.float32),
                    drawn.rewards,
                    np.full(STEPS, 0.81, np.float32),
                )
            )
        )
        model.replay_buffer = SimpleNamespace(  # type: ignore[attr-defined]
            sample=lambda *_, samples=samples, **__: samples
        )
        model.train(1, STEPS)  # type: ignore[attr-defined]
        model._on_step()  # type: ignore[attr-defined]
        ours.learn(drawn, 1.0)
        ours.follow()
    assert ours.steps == 10
    for network, found in ((policy.q_net, ours.theta), (policy.q_net_target, ours.target)):
        theirs = nn.utils.parameters_to_vector(network.parameters()).detach().numpy()
        np.testing.assert_allclose(found, theirs, rtol=0.0, atol=1e-5)
    assert np.abs(ours.theta - ours.target).max() > 1e-4


def transitions(generator: np.random.Generator) -> Drawn:
    """Return some whose errors lie on both sides of Huber's 1, the last ones' episodes over."""
    observations, following = generator.standard_normal((2, STEPS, 4)).astype(np.float32)
    ends = generator.random(STEPS) < 0.2
    return Drawn(
        observations,
        generator.integers(2, size=(STEPS, 1)).astype(np.float32),
        (2 * generator.standard_normal(STEPS)).astype(np.float32),
        following,
        np.where(ends, np.float32(0.0), np.float32(0.81)),
    )


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("added", [7, 30])  # of a memory of 12
def test_returns_of_several_steps_are_those_of_stable_baselines(added: int, steps: int) -> None:
    task = task_of(CARTPOLE, Network(hidden=(8,)), "dqn", **UPDATES["dqn"], n_timesteps=1000)
    model, _ = build(task, "dqn", Seeds.of(cell_of(task, None)))
    theirs = NStepReplayBuffer(
        48, model.observation_space, model.action_space, n_envs=4, n_steps=steps, gamma=0.9
    )
    ours = Memory(12, 4, 4, steps, 0.9)
    generator = np.random.default_rng(0)
    for _ in range(added):
        observations, following = generator.standard_normal((2, 4, 4)).astype(np.float32)
        actions = generator.integers(2, size=(4, 1)).astype(np.float32)
        rewards = generator.standard_normal(4).astype(np.float32)
        terminated, truncated = generator.random((2, 4)) < 0.2
        stepped = Stepped(following[None], rewards[None], terminated[None], truncated[None], None)
        ours.add(observations, actions, stepped, 0)
        infos = [{"TimeLimit.truncated": cut} for cut in truncated & ~terminated]
        theirs.add(observations, following, actions, rewards, terminated | truncated, infos)
    first, rows = (each.ravel() for each in np.mgrid[0 : min(added, 12), 0:4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "randint", lambda *_, **__: rows)
        expected = theirs._get_samples(first)
    found = ours.at(first, rows)
    for name in ("observations", "actions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name).numpy(), name)
    following = expected.next_observations.numpy()
    np.testing.assert_array_equal(found.following, following)
    np.testing.assert_allclose(found.rewards, expected.rewards.numpy()[:, 0], atol=1e-6)
    bootstrap = (1 - expected.dones.numpy()) * expected.discounts.numpy()  # type: ignore[union-attr]
    np.testing.assert_allclose(found.discounts, bootstrap[:, 0], rtol=1e-6)


def test_a_projection_that_is_not_stored_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(CARTPOLE, Network(hidden=(8, 8)), **UPDATES["ppo"], n_timesteps=1000)
    run = run_of(task, 6)
    learners = []
    for stored in (learner.STORED, 0):
        monkeypatch.setattr(learner, "STORED", stored)
        architecture = build(task, "ppo", run.seeds)[1]
        one = PolicyLearner(architecture, run.settings, run.cell, run.seeds)  # type: ignore[arg-type]
        generator = np.random.default_rng(1)
        one.learn(an_experience(one, architecture, generator), an_order(generator), 1.0)
        learners.append(one)
    np.testing.assert_allclose(learners[0].parameters, learners[1].parameters, atol=1e-6)


def test_advantages_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    rewards, values = generator.standard_normal((7, 2)), generator.standard_normal((8, 2))
    over = generator.random((7, 2)) < 0.3
    rewards, values = rewards.astype(np.float32), values.astype(np.float32)
    expected = np.zeros((7, 2))
    for start in range(7):
        for row in range(2):
            weight = 1.0
            for at in range(start, 7):
                ahead = 0.0 if over[at, row] else 0.9 * values[at + 1, row]
                expected[start, row] += weight * (rewards[at, row] + ahead - values[at, row])
                if over[at, row]:
                    break
                weight *= 0.9 * 0.8
    np.testing.assert_allclose(advantages_of(rewards, values, over, 0.9, 0.8), expected, atol=1e-5)


def test_observations_and_rewards_are_normalised_as_by_stable_baselines() -> None:
    task = task_of(PENDULUM, Network(hidden=(8,)), **SMALL, normalize=True)
    theirs = environments(task, task.settings("ppo"), 7)
    ours = NormalisedFleet(make_fleet(task, 4), 3, task.settings("ppo").gamma)
    np.testing.assert_allclose(ours.enter(7), theirs.reset(), rtol=1e-5, atol=1e-6)
    ours.enter(50)
    generator = np.random.default_rng(0)
    finals = 0
    for _ in range(450):  # past two time limits
        actions = generator.uniform(-2, 2, (2, 4, 1)).astype(np.float32)
        found = ours.step(actions)
        observations, rewards, dones, infos = theirs.step(actions[0])
        np.testing.assert_allclose(found.observations[0], observations, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.rewards[0], rewards, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal((found.terminated | found.truncated)[0], dones)
        for row in np.flatnonzero(dones):
            assert found.final is not None
            expected = infos[row]["terminal_observation"]
            np.testing.assert_allclose(found.final[0, row], expected, rtol=1e-4, atol=1e-5)
            finals += 1
    assert finals == 8


TASKS = {
    "discrete": (CARTPOLE, Network(hidden=(8, 8)), {}),
    "continuous": (PENDULUM, Network(hidden=(8,), activation="tanh"), {}),
    "normalised": (PENDULUM, Network(hidden=(8,)), {"normalize": True, "gamma": 0.9}),
    "sparse": (LAKE, Network(hidden=(9,)), {}),
    "separate": (Environment("FrozenLake-v1"), Network(hidden=(8,)), {"normalize": True}),
}


SHORT: dict[str, dict[str, Any]] = {
    "a2c": {"n_steps": 8},
    "dqn": {"learning_starts": 64, "batch_size": 32, "buffer_size": 200, "gradient_steps": 2},
}


@pytest.mark.parametrize("trainer", SHORT)
def test_other_trainers_do_not_depend_on_their_neighbours(trainer: str) -> None:
    settings = {**SHORT[trainer], "n_timesteps": 320, "n_envs": 4, "learning_rate": "lin_0.01"}
    task = task_of(CARTPOLE, Network(hidden=(8,)), trainer, **settings, eval_freq=100)
    runs = [run_of(task, d, seed) for seed in range(3) for d in (3, None)]
    made = {one.place: one.outcome for one in train_together(runs)}
    for place, run in enumerate(runs):
        same(train(run), made[place])  # type: ignore[arg-type]


@pytest.mark.parametrize("case", TASKS)
def test_a_run_does_not_depend_on_its_neighbours(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, network, more = TASKS[case]
    task = task_of(environment, network, **SMALL, **more, eval_freq=200)
    alone = train(run_of(task, 5))
    assert alone.environment_steps == 512
    assert len(alone.curve) == 4
    others = [run_of(task, d, seed) for seed in range(1, 6) for d in (3, 5, None)]
    for crowd, abreast in ((others, 64), ([*others, run_of(task, 9)], 5)):
        monkeypatch.setattr(PPOManySettings, "together", abreast)
        for runs in ([run_of(task, 5), *crowd], [*crowd, run_of(task, 5)]):
            place = next(i for i, run in enumerate(runs) if run.cell == run_of(task, 5).cell)
            made = {one.place: one.outcome for one in train_together(runs)}
            assert sorted(made) == list(range(len(runs)))
            same(alone, made[place])  # type: ignore[arg-type]


def test_a_run_among_63_is_the_same() -> None:
    task = task_of(CARTPOLE, Network(hidden=(8,)), **{**SMALL, "n_timesteps": 256})
    runs = [run_of(task, 4, seed) for seed in range(64)]
    made = {one.place: one.outcome for one in train_together(runs)}
    for place in (0, 40, 63):
        same(train(runs[place]), made[place])  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["discrete", "continuous", "sparse"])
def test_every_instruction_set_gives_the_same_bits(case: str) -> None:
    environment, network, _ = TASKS[case]
    task = task_of(environment, network, **{**SMALL, "n_timesteps": 256})
    names = kernels.instruction_sets()
    outcomes = []
    try:
        for name in names:
            kernels.use(name)
            outcomes.append(train(run_of(task, 7)))
    finally:
        kernels.use(names[0])
    for outcome in outcomes[1:]:
        same(outcomes[0], outcome)


@pytest.mark.parametrize(("scope", "D"), [("policy", 58), ("all", 58 + 49)])
def test_what_is_confined_stays_in_the_subspace(scope: str, D: int) -> None:
    task = task_of(CARTPOLE, Network(hidden=(8,)), **UPDATES["ppo"], n_timesteps=1000)
    run = run_of(task, 5, scope=scope)
    architecture = build(task, "ppo", run.seeds)[1]
    ours = PolicyLearner(architecture, run.settings, run.cell, run.seeds)  # type: ignore[arg-type]
    theta_0 = ours.parameters[:D].copy()
    generator = np.random.default_rng(0)
    ours.learn(an_experience(ours, architecture, generator), an_order(generator), 1.0)
    P = projection("rademacher", D, 5, run.seeds.projection)
    assert ours.theta_d is not None
    assert np.abs(ours.theta_d).min() > 1e-3
    moved = (P @ torch.from_numpy(ours.theta_d)).numpy()
    np.testing.assert_allclose(ours.parameters[:D], theta_0 + moved, atol=1e-6)
    assert train(run).spec == P.spec.to_json()


def test_what_is_not_served_is_said() -> None:
    task = task_of(
        Environment("Spacious-v0", kwargs={"actions": "multidiscrete"}), Network((8,)), **SMALL
    )
    with pytest.raises(RlidimError, match="one choice of several or continuous"):
        train(run_of(task, 5))
