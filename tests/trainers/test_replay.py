"""A replay buffer comes back from a checkpoint to the bit, and takes less there than in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from stable_baselines3.common.buffers import ReplayBuffer

from rlidim.records import state
from rlidim.trainers.sb3 import replay
from rlidim.trainers.sb3.replay import ARRAYS

NUMBERS = spaces.Box(-np.inf, np.inf, (3,), np.float32)
PICTURES = spaces.Box(0, 255, (4, 12, 12), np.uint8)
CHOICE = spaces.Discrete(5)
PUSH = spaces.Box(-1.0, 1.0, (2,), np.float32)
EVERY = (*ARRAYS, "next_observations")


def empty(observations: Any, actions: Any, rows: int, width: int) -> ReplayBuffer:
    return ReplayBuffer(rows * width, observations, actions, "cpu", n_envs=width)


def filled(observations: Any, actions: Any, steps: int, width: int = 2) -> ReplayBuffer:
    """Return a buffer of 20 rows after some steps of episodes that end now and then."""
    buffer = empty(observations, actions, 20, width)
    generator = np.random.default_rng(0)

    def draw(space: Any) -> Any:
        if isinstance(space, spaces.Discrete):
            return generator.integers(space.n, size=width)
        values = generator.normal(0, 50, (width, *space.shape))
        return values.astype(space.dtype)

    now = draw(observations)
    for _ in range(steps):
        ends = generator.random(width) < 0.2
        following = draw(observations)
        led_to = np.where(ends.reshape(-1, *[1] * len(observations.shape)), -0.0 * now, following)
        infos = [{"TimeLimit.truncated": bool(end)} for end in ends]
        rewards = generator.integers(-3, 3, width)
        buffer.add(now, led_to.astype(now.dtype), draw(actions), rewards, ends, infos)
        now = following
    return buffer


@pytest.mark.parametrize("steps", [0, 1, 7, 20, 33])
@pytest.mark.parametrize(("observations", "actions"), [(NUMBERS, PUSH), (PICTURES, CHOICE)])
def test_a_buffer_comes_back(observations: Any, actions: Any, steps: int) -> None:
    buffer = filled(observations, actions, steps)
    content = state.decode(state.encode(replay.packed(buffer)))
    again = empty(observations, actions, 20, 2)
    replay.unpack(again, content)
    assert (again.pos, again.full) == (buffer.pos, buffer.full)
    for name in EVERY:
        left, right = getattr(again, name), getattr(buffer, name)
        assert left.dtype == right.dtype
        assert left.tobytes() == right.tobytes(), name


def test_it_takes_less_than_the_buffer() -> None:
    """Pictures once, and what is no picture in a byte."""
    buffer = filled(PICTURES, CHOICE, 33)
    whole = sum(getattr(buffer, name).nbytes for name in EVERY)
    assert len(state.encode(replay.packed(buffer))) < 0.7 * whole
    content = replay.packed(buffer)
    assert {content[name].dtype.name for name in ("actions", "dones", "timeouts")} == {"uint8"}
    assert content["rewards"].itemsize < buffer.rewards.itemsize


@given(
    arrays.arrays(st.sampled_from([np.float32, np.float64, np.int64, np.uint8]), st.integers(0, 20))
)
@settings(max_examples=200)
def test_a_shorter_dtype_loses_nothing(array: np.ndarray) -> None:
    short = replay.shortened(array)
    assert short.itemsize <= array.itemsize
    assert short.astype(array.dtype).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"pos": 20},
        {"pos": -1},
        {"pos": True},
        {"full": 1},
        {"pos": 3},
        {"actions": np.zeros((13, 2, 3))},
        {"places": np.array([26]), "later": np.zeros((1, 3))},
    ],
)
def test_a_strange_buffer_is_refused(change: dict[str, Any]) -> None:
    content = {**replay.packed(filled(NUMBERS, PUSH, 13)), **change}
    with pytest.raises((ValueError, IndexError)):
        replay.unpack(empty(NUMBERS, PUSH, 20, 2), content)
