"""Classic control in numpy is Gymnasium's, step for step and seed for seed."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from rlidim.environments.arena import Arena
from rlidim.environments.bare import limit_of
from rlidim.environments.making import make
from rlidim.environments.motions import motion_of
from rlidim.environments.moving import Moving, MovingVector
from rlidim.environments.side_by_side import Separate, side_by_side
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Policy
from rlidim.tasks.problems import Environment, Network
from tests.factory import make_task

SERVED = (
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "rlidim.environments:SlippingCartPole-v0",
)
# A constant of each that changes what is observed or earned.
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("Pendulum-v1", {"g": 9.81}),
    ("MountainCar-v0", {"goal_velocity": 0.02}),
    ("MountainCarContinuous-v0", {"goal_velocity": 0.01}),
    ("CartPole-v1", {"max_episode_steps": 20}),
]
STEPS, COUNT = 1_000, 10


def moving_vector(identity: str, count: int, **constants: Any) -> MovingVector:
    lone = gymnasium.make(identity, **constants)
    motion = motion_of(lone)
    assert motion is not None
    return MovingVector(lone, motion, count)


def sampled(space: gymnasium.Space[Any], generator: np.random.Generator) -> NDArray[Any]:
    """Return random actions that come through: pushes last for some steps."""
    space.seed(int(generator.integers(2**31)))
    return np.asarray(space.sample())


@pytest.mark.parametrize(
    ("identity", "constants"), [*((name, {}) for name in SERVED), *OTHERS], ids=str
)
def test_ten_thousand_steps_are_gymnasium_s(identity: str, constants: dict[str, Any]) -> None:
    """To the last bit: observations, rewards, ends, what an end led to, and new beginnings."""
    ours = moving_vector(identity, COUNT, **constants)
    theirs = SyncVectorEnv(
        [lambda: gymnasium.make(identity, **constants)] * COUNT,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    seeds = [7 * index + 3 for index in range(COUNT)]
    observations, expected = ours.reset(seed=seeds)[0], theirs.reset(seed=seeds)[0]
    np.testing.assert_array_equal(observations, expected)
    assert observations.dtype == expected.dtype == np.float32
    generator = np.random.default_rng(0)
    ends = 0
    for step in range(STEPS):
        if step % 5 == 0:
            actions = sampled(ours.action_space, generator)
        found, wanted = ours.step(actions), theirs.step(actions)
        for one, other in zip(found[:4], wanted[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        if wanted[2].any() or wanted[3].any():
            rows = np.flatnonzero(wanted[2] | wanted[3])
            ends += len(rows)
            np.testing.assert_array_equal(found[4]["_final_obs"], wanted[4]["_final_obs"])
            for row in rows:
                np.testing.assert_array_equal(
                    found[4]["final_obs"][row], wanted[4]["final_obs"][row]
                )
        else:
            assert found[4] == {}
    assert ends >= COUNT
    theirs.close()


@pytest.mark.parametrize("identity", ["MountainCarContinuous-v0", "Pendulum-v1"])
def test_actions_at_and_beyond_the_bounds(identity: str) -> None:
    ours = moving_vector(identity, 3)
    space = ours.single_action_space
    assert isinstance(space, gymnasium.spaces.Box)
    lone = [gymnasium.make(identity) for _ in range(3)]
    ours.reset(seed=5)
    for index, each in enumerate(lone):
        each.reset(seed=5 + index)
    high = float(space.high[0])
    for push in (high, -high, 3 * high, -3 * high, 0.0) * 20:
        actions = np.full((3, 1), push, np.float32)
        observations, rewards, *_ = ours.step(actions)
        for index, each in enumerate(lone):
            observation, reward, *_ = each.step(actions[index])
            np.testing.assert_array_equal(observations[index], observation)
            assert rewards[index] == reward


@pytest.mark.parametrize("identity", SERVED)
def test_a_population_earns_what_it_earns_one_by_one(identity: str) -> None:
    """The members that go on are the same, whoever has ended, and so are all bits."""
    task = make_task(environment=Environment(id=identity), network=Network(hidden=(8,)))
    network = architecture(task)
    members = np.stack([network.initial_parameters(seed) for seed in range(12)])
    arena = Arena(task, 12)
    arena._vector = None  # CartPole's own, whose episodes have one random stream
    arena._rows = side_by_side(lambda index: make(task), 12)
    assert isinstance(arena._rows, Moving)
    together = arena.play(Policy(network, members), seed=50)
    arena._rows = Separate([make(task) for _ in range(12)])
    apart = arena.play(Policy(network, members), seed=50)
    np.testing.assert_array_equal(together.returns, apart.returns)
    assert together.steps == apart.steps
    arena._rows = side_by_side(lambda index: make(task), 3)
    arena.width = 3
    few = arena.play(Policy(network, members).select(np.arange(4, 7)), 50, members=np.arange(4, 7))
    np.testing.assert_array_equal(few.returns, apart.returns[4:7])


def test_streams_are_each_environment_s_own() -> None:
    vector = moving_vector("Pendulum-v1", 3)
    first = vector.reset(seed=9)[0]
    np.testing.assert_array_equal(vector.reset(seed=[9, 10, 11])[0], first)
    later = vector.reset()[0]
    assert (later != first).any()
    vector.reset(seed=[9, None, None])
    assert limit_of(gymnasium.make("Pendulum-v1")) == 200
    assert limit_of(gymnasium.make("Pendulum-v1", max_episode_steps=-1)) is None
    # One limit within another: whichever is the smaller ends an episode.
    inner = gymnasium.make("Pendulum-v1", max_episode_steps=20)
    assert limit_of(gymnasium.wrappers.TimeLimit(inner, 60)) == 20


class Halved(gymnasium.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> float:
        return float(reward) / 2


def test_what_gymnasium_alone_knows_is_left_to_it() -> None:
    assert motion_of(Halved(gymnasium.make("Pendulum-v1"))) is None
    assert motion_of(gymnasium.make("CartPole-v1", sutton_barto_reward=True)) is None
    noisy = gymnasium.make("Acrobot-v1")
    noisy.unwrapped.torque_noise_max = 1.0  # type: ignore[attr-defined]
    assert motion_of(noisy) is None
    assert motion_of(gymnasium.make("FrozenLake-v1")) is None
