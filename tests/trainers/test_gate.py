"""The gate of environments: what is irregular is made regular, or named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from rlidim.environments.arena import evaluate
from rlidim.environments.gate import Gate, is_finite, one_number, regular_actions
from rlidim.environments.making import make
from rlidim.errors import RlidimError
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.run import Run, train
from tests.factory import make_task
from tests.trainers import faulty  # noqa: F401  (registers the environments)


class Ones:
    def act(self, observations: Any) -> Any:
        return np.ones(len(observations), dtype=np.int64)


def task_of(**kwargs: Any) -> Task:
    return make_task(
        environment=Environment(id="tests.trainers.faulty:Irregular-v0", kwargs=kwargs),
        network=Network(hidden=(4,)),
        evaluation=Evaluation(episodes=3, checkpoint_episodes=2),
        trainers={
            "es": TRAINERS["es"](n_timesteps=200, population=4),  # type: ignore[call-arg]
            "ppo": TRAINERS["ppo"](n_timesteps=64, n_steps=32),  # type: ignore[call-arg]
            "ppo-many": TRAINERS["ppo-many"](n_timesteps=64, n_steps=32),  # type: ignore[call-arg]
        },
    )


def run(task: Task, trainer: str) -> Any:
    cell = Cell(task.name, trainer, "rademacher", 3, 0)
    return train(Run(task, cell, Seeds.of(cell)))


def test_flags_of_whole_numbers_end_an_episode() -> None:
    """~1 is -2, which is true: such an environment looped for ever."""
    played = evaluate(task_of(flags="whole"), Ones(), episodes=3, seed=0)
    assert played.steps == 3 * 10
    assert played.returns.tolist() == [10.0] * 3


def test_a_reward_may_be_an_array_of_one() -> None:
    assert evaluate(task_of(rewards="array"), Ones(), 3, seed=0).returns.tolist() == [10.0] * 3
    guarded = Gate(make(task_of(rewards="array")))
    guarded.reset(seed=0)
    assert guarded.step(1)[1] == 1.0


def test_a_reward_of_two_numbers_is_named() -> None:
    with pytest.raises(RlidimError, match=r"Irregular-v0' returned the reward .*one number"):
        evaluate(task_of(rewards="pair"), Ones(), 3, seed=0)


@pytest.mark.parametrize("what", ["observation", "reward"])
def test_nan_in_the_checkpoint_episodes_of_runs_side_by_side_is_named(what: str) -> None:
    environment = Environment(id="tests.trainers.faulty:NotANumber-v0", kwargs={"what": what})
    task = task_of().replace_problem(environment=environment)
    with pytest.raises(RlidimError, match=f"a {what} that is NaN .* at step 4 of the episodes"):
        run(task, "ppo-many")


@pytest.mark.parametrize("trainer", ["es", "ppo", "ppo-many"])
def test_nan_at_the_reset_is_named(trainer: str) -> None:
    with pytest.raises(RlidimError, match=r"Irregular-v0' returned a observation .* reset"):
        run(task_of(first=math.nan), trainer)


def test_large_finite_observations_are_accepted() -> None:
    """Their sum overflows float32; it is not what is asked."""
    assert evaluate(task_of(first=3e38), Ones(), 3, seed=0).steps == 30
    guarded = Gate(make(task_of(first=3e38)))
    guarded.reset(seed=0)


@pytest.mark.parametrize("trainer", ["es", "ppo"])
def test_a_box_of_whole_numbers_gets_whole_numbers(trainer: str) -> None:
    outcome = run(task_of(actions="whole"), trainer)
    assert outcome.status == "ok"
    assert len(outcome.returns) == 3


def test_actions_are_rounded_within_their_bounds() -> None:
    regular = regular_actions(spaces.Box(0, 5, (2,), np.int64))
    assert regular is not None
    rounded = regular(np.array([[0.6, 9.0], [-3.0, 2.4]], np.float32))
    assert rounded.tolist() == [[1, 5], [0, 2]]
    assert rounded.dtype == np.int64
    truths = regular_actions(spaces.Box(0, 1, (3,), np.bool_))
    assert truths is not None
    assert truths(np.array([0.4, 0.6, 7.0], np.float32)).tolist() == [False, True, True]
    assert regular_actions(spaces.Box(0, 5, (2,), np.float32)) is None
    assert regular_actions(spaces.Discrete(3)) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_number_among_many_that_is_not_finite(value: float) -> None:
    numbers = np.full(1000, 3e38, np.float32)
    assert is_finite(numbers)
    numbers[617] = value
    assert not is_finite(numbers)
    assert is_finite(np.arange(3))
    assert one_number(np.float32(2.0), "x") == one_number(2, "x") == one_number([2.0], "x") == 2.0


def test_an_environment_that_exits_when_it_is_made_is_one_line() -> None:
    with pytest.raises(RlidimError, match=r"Irregular-v0' cannot be made \(SystemExit: 3\)"):
        make(task_of(exits=True))


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_every_way_of_resetting_gives_the_lone_environment_s_returns(mode: str) -> None:
    """Six episodes of different lengths: where nothing resets itself, none goes on."""

    def returns(name: str) -> list[float]:
        environment = Environment(id=f"tests.trainers.faulty:{name}-v0")
        return evaluate(make_task(environment=environment), Ones(), 6, seed=3).returns.tolist()

    assert returns(f"Uneven{mode}") == returns("Uneven")
    assert len(set(returns("Uneven"))) > 1
