"""A vector environment is for Stable-Baselines3 what lone environments are, one after another."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from rlidim.environments import making
from rlidim.environments.gate import Gate
from rlidim.environments.plain_spaces import plain, plain_vector
from rlidim.errors import RlidimError
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.run import Run
from rlidim.trainers.sb3 import train as training
from rlidim.trainers.sb3.train import FEWEST, side_by_side, train
from rlidim.trainers.sb3.vector import VectorEnvironments
from tests.factory import make_task
from tests.trainers import faulty, spacious  # noqa: F401  (registers the environments)

COUNT = 5
SPACIOUS = "tests.trainers.spacious:Spacious-v0"
MOVING = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1")
OTHERS: list[tuple[str, dict[str, Any]]] = [
    (SPACIOUS, {"observations": "tuple", "actions": "multidiscrete from 1"}),
    (SPACIOUS, {"observations": "nested", "actions": "multibinary of two axes"}),
    (SPACIOUS, {"observations": "image", "actions": "one-sided box"}),
    (SPACIOUS, {"observations": "whole box", "actions": "whole box"}),
    ("tests.trainers.faulty:Uneven-v0", {}),
]


def sync(identity: str, **constants: Any) -> VectorEnv[Any, Any, Any]:
    return plain_vector(
        SyncVectorEnv(
            [lambda: gymnasium.make(identity, **constants)] * COUNT,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
    )


def dummy(identity: str, **constants: Any) -> VecEnv:
    return make_vec_env(lambda: Gate(plain(gymnasium.make(identity, **constants))), n_envs=COUNT)


def moving(identity: str) -> VectorEnv[Any, Any, Any]:
    vector = making.make_seeded_vector(make_task(environment=Environment(id=identity)), COUNT)
    assert vector is not None
    return vector


def rollout(env: VecEnv) -> tuple[Any, list[dict[str, Any]]]:
    """Collect PPO's rollouts and return its buffer's content and the episodes' statistics."""
    torch.manual_seed(0)
    model = PPO("MlpPolicy", env, n_steps=128, batch_size=320, n_epochs=1, seed=3, device="cpu")
    model.learn(2 * COUNT * 128)
    content = {
        name: getattr(model.rollout_buffer, name).copy()
        for name in ("observations", "actions", "rewards", "returns", "episode_starts", "values")
    }
    assert model.ep_info_buffer is not None
    return content, list(model.ep_info_buffer)


@pytest.mark.parametrize(
    ("identity", "constants"),
    [*((name, {}) for name in (*MOVING, "FrozenLake-v1")), *OTHERS],
    ids=str,
)
def test_rollouts_are_those_of_lone_environments(identity: str, constants: dict[str, Any]) -> None:
    expected, episodes = rollout(dummy(identity, **constants))
    vectors = [sync(identity, **constants), *([moving(identity)] if identity in MOVING else [])]
    for vector in vectors:
        found, told = rollout(VectorEnvironments(vector))
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        assert [(each["r"], each["l"]) for each in told] == [
            (each["r"], each["l"]) for each in episodes
        ]


def test_what_a_step_says_is_what_a_lone_environment_s_monitor_says() -> None:
    ours = VectorEnvironments(moving("MountainCar-v0"))
    theirs = dummy("MountainCar-v0")
    for env in (ours, theirs):
        env.seed(11)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ends = 0
    for step in range(450):
        actions = np.full(COUNT, step // 20 % 3)
        found, wanted = ours.step(actions), theirs.step(actions)
        for one, other in zip(found[:3], wanted[:3], strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        for row in np.flatnonzero(wanted[2]):
            ends += 1
            one, other = found[3][row], wanted[3][row]
            assert one["TimeLimit.truncated"] is bool(other["TimeLimit.truncated"])
            np.testing.assert_array_equal(
                one["terminal_observation"], other["terminal_observation"]
            )
            assert (one["episode"]["r"], one["episode"]["l"]) == (
                other["episode"]["r"],
                other["episode"]["l"],
            )
    assert ends >= 2 * COUNT
    assert ours.reset().shape == (COUNT, 2)
    assert ours.get_attr("num_envs") == [COUNT] * COUNT
    assert ours.env_is_wrapped(gymnasium.Wrapper) == [False] * COUNT
    with pytest.raises(NotImplementedError):
        ours.set_attr("state", 0)


def task_of(trainer: str, identity: str, **settings: Any) -> Task:
    short: dict[str, Any] = {
        "ppo": {"n_timesteps": 2048, "n_envs": 8, "n_steps": 64, "batch_size": 128},
        "dqn": {"n_timesteps": 800, "n_envs": 4, "learning_starts": 100},
        "maskable_ppo": {"n_timesteps": 2048, "n_envs": 8, "n_steps": 64, "batch_size": 128},
        "sac": {"n_timesteps": 300, "n_envs": 4, "learning_starts": 100, "batch_size": 32},
    }[trainer]
    return make_task(
        environment=Environment(id=identity),
        network=Network(hidden=(16, 16), activation="tanh"),
        evaluation=Evaluation(episodes=5, checkpoint_episodes=2),
        trainers={trainer: TRAINERS[trainer](**short, eval_freq=512, **settings)},
    )


def outcome(task: Task, trainer: str) -> Outcome:
    cell = Cell(task.name, trainer, "rademacher", 5, 0)
    return train(Run(task, cell, Seeds.of(cell)))


@pytest.mark.parametrize(
    ("trainer", "identity", "settings"),
    [
        ("ppo", "CartPole-v1", {}),
        ("ppo", "Acrobot-v1", {"normalize": True}),
        ("dqn", "MountainCar-v0", {}),
        ("sac", "Pendulum-v1", {}),
        ("maskable_ppo", "Taxi-v4", {}),
    ],
    ids=str,
)
def test_a_run_s_record_does_not_tell_which_environments_it_had(
    trainer: str, identity: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_of(trainer, identity, **settings)
    assert isinstance(side_by_side(task, FEWEST, 0), VectorEnvironments)
    assert isinstance(side_by_side(task, FEWEST - 1, 0), DummyVecEnv)
    by_vector = outcome(task, trainer)
    monkeypatch.setattr(training, "FEWEST", 1_000)
    by_lone = outcome(task, trainer)
    assert by_vector.theta_d is not None
    np.testing.assert_array_equal(by_vector.theta_d, by_lone.theta_d)
    assert by_vector.returns == by_lone.returns
    assert by_vector.curve == by_lone.curve
    assert by_vector.network == by_lone.network


def test_another_moment_of_beginning_anew_is_refused() -> None:
    vector = gymnasium.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    with pytest.raises(RlidimError, match=r"'CartPole-v1' begins anew by .*NEXT_STEP"):
        VectorEnvironments(vector)


@pytest.mark.parametrize("what", ["observation", "reward"])
def test_what_is_not_finite_is_named(what: str) -> None:
    ours = VectorEnvironments(sync("tests.trainers.faulty:NotANumber-v0", what=what))
    ours.reset()
    actions = np.zeros(COUNT, dtype=np.int64)
    for _ in range(3):
        ours.step(actions)
    with pytest.raises(RlidimError, match=f"returned a {what} that is NaN .* the actions"):
        ours.step(actions)
    huge = VectorEnvironments(sync("tests.trainers.faulty:Irregular-v0", first=3e38))
    huge.reset()  # its square is infinite, it is not
    with pytest.raises(RlidimError, match="reset"):
        VectorEnvironments(sync("tests.trainers.faulty:Irregular-v0", first=np.nan)).reset()
