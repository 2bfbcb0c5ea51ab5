"""Simulations side by side observe, earn and end as Gymnasium's environments do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rlidim.environments.arena import Arena
from rlidim.environments.making import make
from rlidim.environments.mujoco import Simulations, rules_of
from rlidim.environments.quiet_mujoco import quiet_mujoco, stop_clock
from rlidim.environments.side_by_side import Separate, side_by_side
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Architecture, Policy
from rlidim.tasks.problems import Environment, Network
from tests.factory import make_task

SERVED = (
    "HalfCheetah-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "Swimmer-v5",
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
)
# A constant of each that changes what is observed or earned.
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("HalfCheetah-v5", {"ctrl_cost_weight": 0.7, "forward_reward_weight": 0.3, "frame_skip": 2}),
    ("HalfCheetah-v5", {"exclude_current_positions_from_observation": False}),
    ("Swimmer-v5", {"exclude_current_positions_from_observation": False}),
    ("Hopper-v5", {"healthy_reward": 3.0, "healthy_state_range": (-1.0, 1.0)}),
    ("Hopper-v5", {"terminate_when_unhealthy": False}),
    ("Hopper-v5", {"terminate_when_unhealthy": 1}),
    ("Walker2d-v5", {"healthy_z_range": (1.1, 1.3), "healthy_angle_range": (-0.05, 0.05)}),
    ("InvertedDoublePendulum-v5", {"healthy_reward": 2.0, "reset_noise_scale": 0.3}),
]


@pytest.mark.parametrize(
    ("identity", "constants"), [*((name, {}) for name in SERVED), *OTHERS], ids=str
)
def test_every_step_is_gymnasium_s(identity: str, constants: dict[str, Any]) -> None:
    count, steps = 3, 60
    with quiet_mujoco(identity):
        ours = [gymnasium.make(identity, **constants) for _ in range(count)]
        theirs = [gymnasium.make(identity, **constants) for _ in range(count)]
    rows = side_by_side(ours.__getitem__, count)
    assert isinstance(rows, Simulations)
    seeds = list(range(7, 7 + count))
    begun = np.array([each.reset(seed=s)[0] for each, s in zip(theirs, seeds, strict=True)])
    np.testing.assert_array_equal(rows.reset(seeds), begun.astype(np.float32))
    generator = np.random.default_rng(0)
    shape = ours[0].action_space.shape or ()
    active, ends = np.arange(count), 0
    for _ in range(steps):
        actions = generator.uniform(-1, 1, (len(active), *shape)).astype(np.float32)
        observations, rewards, over = rows.step(active, actions)
        expected: list[Any] = [
            theirs[index].step(action) for index, action in zip(active, actions, strict=True)
        ]
        np.testing.assert_allclose(
            observations, np.array([each[0] for each in expected], dtype=np.float32), rtol=1e-6
        )
        np.testing.assert_allclose(rewards, [each[1] for each in expected], rtol=1e-12)
        np.testing.assert_array_equal(over, [each[2] or each[3] for each in expected])
        ends += int(over.sum())
        assert over.dtype == bool
        active = active[~over]
        if not len(active):
            break
    if identity in ("InvertedPendulum-v5", "InvertedDoublePendulum-v5"):
        assert ends == count, "random actions were to drop the pendulums"


@pytest.mark.parametrize("identity", SERVED)
def test_episodes_end_as_each_alone_does(identity: str) -> None:
    """Through an arena: falls, the time limit, and members that leave in the middle."""
    task = make_task(
        environment=Environment(id=identity, kwargs={"max_episode_steps": 150}),
        network=Network(hidden=(8,)),
    )
    network = architecture(task)
    assert isinstance(network, Architecture)
    policy = Policy(network, np.stack([network.initial_parameters(seed) for seed in range(5)]))
    arena = Arena(task, 5)
    assert isinstance(arena._rows, Simulations)
    together = arena.play(policy, seed=40)
    arena._rows = Separate([make(task) for _ in range(5)])
    alone = arena.play(policy, seed=40)
    arena.close()
    np.testing.assert_allclose(together.returns, alone.returns, rtol=1e-9)
    assert together.steps == alone.steps
    assert together.steps <= 5 * 150


def test_whatever_else_is_stepped_by_itself() -> None:
    """Humanoid's formulas, a wrapper of the user's own and a subclass are not known here."""

    class Halved(gymnasium.RewardWrapper[Any, Any]):
        def reward(self, reward: Any) -> float:
            return float(reward) / 2

    hopper = gymnasium.make("Hopper-v5")
    kind = type(hopper.unwrapped)
    own = type("Own", (kind,), {})
    assert rules_of(hopper) is not None
    assert rules_of(Halved(hopper)) is None
    assert rules_of(own()) is None
    assert rules_of(gymnasium.make("Humanoid-v5")) is None
    assert rules_of(gymnasium.make("CartPole-v1")) is None
    hopper.unwrapped.render_mode = "human"  # type: ignore[misc]
    assert rules_of(hopper) is None
    assert isinstance(side_by_side(lambda index: Halved(hopper), 1), Separate)


def test_an_unstable_step_writes_nothing(tmp_path: Path) -> None:
    """In a process of its own, whose standard error and folder MuJoCo would write to."""
    code = (
        "from rlidim.environments.making import make\n"
        "from rlidim.tasks.names import find_task\n"
        "environment = make(find_task('hopper'))\n"
        "environment.reset(seed=0)\n"
        "environment.unwrapped.data.qvel[:] = 1e12\n"
        "environment.step(environment.action_space.sample())\n"
        "print(environment.unwrapped.data.warning.number.sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 0  # it was unstable
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_whoever_hears_mujoco_s_warnings_goes_on_hearing() -> None:
    mujoco = pytest.importorskip("mujoco")
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(print)
    make(make_task(environment=Environment(id="InvertedPendulum-v5"))).close()
    heard = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(before)
    assert heard is print


def test_a_library_without_a_clock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "libmujoco_other.so").write_text("no library")
    stop_clock(tmp_path)


def test_no_clock_is_read() -> None:
    task = make_task(environment=Environment(id="Hopper-v5"), network=Network(hidden=(8,)))
    environment: Any = make(task)
    environment.reset(seed=0)
    for _ in range(20):
        environment.step(environment.action_space.sample())
    assert environment.unwrapped.data.time > 0
    assert not any(timer.duration for timer in environment.unwrapped.data.timer)
