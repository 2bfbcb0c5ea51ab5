"""Toy text in NumPy is Gymnasium's, step for step and seed for seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlidim.environments.arena import Arena
from rlidim.environments.bare import limit_of
from rlidim.environments.making import make, make_fleet
from rlidim.environments.motions import motion_of
from rlidim.environments.moving import Moving, MovingVector
from rlidim.environments.side_by_side import Separate, side_by_side
from rlidim.environments.tabular import Table
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Policy
from rlidim.tasks.problems import Environment, Network
from rlidim.tasks.task import Task
from tests.factory import make_task

SERVED: list[tuple[str, dict[str, Any]]] = [
    ("FrozenLake-v1", {}),
    ("FrozenLake-v1", {"is_slippery": False}),
    ("FrozenLake8x8-v1", {}),
    ("CliffWalking-v1", {"max_episode_steps": 30}),
    ("CliffWalkingSlippery-v1", {"max_episode_steps": 30}),
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
]
STEPS, COUNT = 1_000, 10


def task_of(identity: str, constants: dict[str, Any]) -> Task:
    return make_task(
        environment=Environment(id=identity, kwargs=constants), network=Network(hidden=(8,))
    )


def assert_same_masks(identity: str, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Taxi says which actions are valid, in every reset and step."""
    names = ("action_mask", "_action_mask") if identity.startswith("Taxi") else ()
    for name in ("action_mask", "_action_mask"):
        assert (name in ours, name in theirs) == (name in names,) * 2
    for name in names:
        np.testing.assert_array_equal(ours[name], theirs[name])
        assert ours[name].dtype == theirs[name].dtype


@pytest.mark.parametrize(("identity", "constants"), SERVED, ids=str)
def test_ten_thousand_steps_are_gymnasium_s(identity: str, constants: dict[str, Any]) -> None:
    task = task_of(identity, constants)
    lone = make(task)
    motion = motion_of(lone)
    assert isinstance(motion, Table)
    ours = MovingVector(lone, motion, COUNT)
    theirs = SyncVectorEnv([lambda: make(task)] * COUNT, autoreset_mode=AutoresetMode.SAME_STEP)
    seeds = [7 * index + 3 for index in range(COUNT)]
    (observations, said), (expected, told) = ours.reset(seed=seeds), theirs.reset(seed=seeds)
    np.testing.assert_array_equal(observations, expected)
    assert_same_masks(identity, said, told)
    assert observations.dtype == expected.dtype == np.float32
    generator = np.random.default_rng(0)
    ends = 0
    for _ in range(STEPS):
        actions = generator.integers(ours.single_action_space.n, size=COUNT)  # type: ignore[attr-defined]
        found, wanted = ours.step(actions), theirs.step(actions)
        for one, other in zip(found[:4], wanted[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        assert_same_masks(identity, found[4], wanted[4])
        for row in np.flatnonzero(wanted[2] | wanted[3]):
            np.testing.assert_array_equal(found[4]["final_obs"][row], wanted[4]["final_obs"][row])
            ends += 1
    assert ends >= COUNT
    theirs.close()


@pytest.mark.parametrize("identity", ["FrozenLake-v1", "Taxi-v4"])
def test_a_population_earns_what_it_earns_one_by_one(identity: str) -> None:
    """Each member draws from its own stream still when others have ended."""
    task = task_of(identity, {})
    network = architecture(task)
    members = np.stack([network.initial_parameters(seed) for seed in range(12)])
    found = []
    for rows in (
        side_by_side(lambda index: make(task), 12),
        Separate([make(task) for _ in range(12)]),
    ):
        arena = Arena(task, 12)
        arena._rows = rows
        found.append(arena.play(Policy(network, members), seed=50))
        arena.close()
    assert isinstance(side_by_side(lambda index: make(task), 12), Moving)
    np.testing.assert_array_equal(found[0].returns, found[1].returns)
    assert found[0].steps == found[1].steps


def test_what_is_more_than_a_table_is_left_to_gymnasium() -> None:
    assert motion_of(make(task_of("Taxi-v4", {"fickle_passenger": True}))) is None
    assert motion_of(make(task_of("Blackjack-v1", {}))) is None


def test_many_runs_have_them_too() -> None:
    task = task_of("FrozenLake-v1", {})
    fleet = make_fleet(task, 4)
    assert not fleet.replays
    first = fleet.enter(5)
    lone = [make(task) for _ in range(4)]
    np.testing.assert_array_equal(
        first, [each.reset(seed=5 + index)[0] for index, each in enumerate(lone)]
    )
    assert limit_of(lone[0]) == 100
