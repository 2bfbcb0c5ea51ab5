"""CartPole made harder: Gymnasium's own with one metre and no slip, and as fast."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import rlidim.environments  # noqa: F401  (registers it)
from rlidim.environments import classic_control, making
from rlidim.errors import RlidimError
from rlidim.tasks.names import find_task


def fallen_after(pole: float) -> int:
    """Return the steps until a pole has fallen whose cart is pushed to the right alone."""
    environment: Any = gymnasium.make("CartPoleOfLength-v0", pole=pole)
    environment.reset(seed=0)
    steps, terminated = 0, False
    while not terminated:
        terminated = environment.step(1)[2]
        steps += 1
    return steps


@pytest.mark.parametrize(
    ("name", "options"), [("CartPoleOfLength-v0", {}), ("SlippingCartPole-v0", {"slip": 0.0})]
)
def test_a_metre_without_slip_is_gymnasium_s_own(name: str, options: dict[str, float]) -> None:
    ours: Any = gymnasium.make(name, **options)
    theirs: Any = gymnasium.make("CartPole-v1")
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    for step in range(10):
        np.testing.assert_array_equal(ours.step(step % 2)[0], theirs.step(step % 2)[0])
    assert ours.spec.max_episode_steps == theirs.spec.max_episode_steps


def test_a_shorter_pole_falls_faster() -> None:
    assert fallen_after(0.2) < fallen_after(0.5) < fallen_after(1.0)


@pytest.mark.parametrize("pole", [0, -1.0])
def test_a_pole_has_a_length(pole: float) -> None:
    with pytest.raises(RlidimError, match="above 0 m"):
        gymnasium.make("CartPoleOfLength-v0", pole=pole)


@pytest.mark.parametrize("slip", [-0.1, 0.5, 1.0])
def test_a_slip_is_a_share_below_one_half(slip: float) -> None:
    with pytest.raises(RlidimError, match=r"below 0\.5"):
        gymnasium.make("SlippingCartPole-v0", slip=slip)


def test_a_tenth_of_the_pushes_go_the_other_way() -> None:
    """The cart's speed after one push says which way it went."""
    environment: Any = gymnasium.make("SlippingCartPole-v0", slip=0.1)
    other = 0
    for seed in range(1000):
        before = environment.reset(seed=seed)[0][1]
        other += environment.step(1)[0][1] < before
    assert 70 < other < 130


@pytest.mark.parametrize(("name", "slip"), [("cartpole-slip-5", 0.05), ("cartpole-slip-10", 0.1)])
def test_slipping_tasks_differ_from_cartpole_by_it_alone(name: str, slip: float) -> None:
    task, cartpole = find_task(name), find_task("cartpole")
    motion = classic_control.control_of(making.make(task))
    assert isinstance(motion, classic_control.SlippingCartPole)
    assert motion.of.slip == slip
    for trainer in task.trainers:
        assert task.settings(trainer) == cartpole.settings(trainer)
    assert task.control.network == cartpole.control.network
    assert task.control.evaluation == cartpole.control.evaluation


@pytest.mark.parametrize(("name", "pole"), [("cartpole-50cm", 0.5), ("cartpole-20cm", 0.2)])
def test_the_tasks_differ_from_cartpole_by_it_alone(name: str, pole: float) -> None:
    task, cartpole = find_task(name), find_task("cartpole")
    environment = making.make(task)
    motion = classic_control.control_of(environment)
    assert isinstance(motion, classic_control.CartPole)
    assert motion.of.length == pole / 2
    for trainer in task.trainers:
        assert task.settings(trainer) == cartpole.settings(trainer)
    assert task.control.network == cartpole.control.network
    assert task.control.evaluation == cartpole.control.evaluation
