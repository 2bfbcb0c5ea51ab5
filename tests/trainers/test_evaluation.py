"""Episodes are played as gymnasium.make plays them, each counted once and whole."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from rlidim.environments.arena import Arena, evaluate
from rlidim.environments.gate import Gate
from rlidim.environments.making import make, make_vector, trust_actions
from rlidim.errors import RlidimError
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Policy
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.task import Task
from rlidim.trainers.early_stopping import Champion
from tests.factory import make_task
from tests.trainers import faulty  # noqa: F401  (registers the environments)


def task_of(identity: str, **kwargs: Any) -> Task:
    return make_task(
        environment=Environment(id=identity, kwargs=kwargs), network=Network(hidden=(20, 20))
    )


class Constant:
    """Always the same discrete action."""

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        return np.ones(len(observations), dtype=np.int64)


def play_one(environment: gymnasium.Env[Any, Any], policy: Policy, seed: int) -> float:
    """Play as Gymnasium's documentation does."""
    observation, _ = environment.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        action = policy.act(observation[None])[0]
        observation, reward, terminated, truncated, _ = environment.step(action)
        total += float(reward)
        over = terminated or truncated
    return total


@pytest.mark.parametrize("identity", ["Acrobot-v1", "Pendulum-v1", "MountainCar-v0", "Hopper-v5"])
def test_separate_environments_play_as_one_by_one(identity: str) -> None:
    task = task_of(identity)
    network = architecture(task)
    members = np.stack([network.initial_parameters(seed) for seed in range(4)])
    arena = Arena(task, 4)
    played = arena.play(Policy(network, members), seed=100)
    again = arena.play(Policy(network, members), seed=100)
    arena.close()
    alone = [
        play_one(make(task), Policy(network, member), 100 + index)
        for index, member in enumerate(members)
    ]
    np.testing.assert_allclose(played.returns, alone, rtol=1e-5)
    np.testing.assert_array_equal(again.returns, played.returns)
    assert played.mean == pytest.approx(np.mean(alone))


@pytest.mark.parametrize(("identity", "limit"), [("CartPole-v0", 200), ("CartPole-v1", 500)])
def test_the_vector_form_is_the_same_game(identity: str, limit: int) -> None:
    """Same lengths in distribution, the same limit, and nothing of a second episode counted."""
    task = task_of(identity)
    network = architecture(task)
    theta = network.initial_parameters(3)
    together = evaluate(task, Policy(network, theta), 200, seed=1)
    environment = make(task)
    alone = [play_one(environment, Policy(network, theta), 10_000 + seed) for seed in range(200)]
    spread = np.hypot(np.std(alone), np.std(together.returns)) / np.sqrt(200)
    assert abs(together.mean - np.mean(alone)) < 5 * spread
    assert together.steps == together.returns.sum()
    assert together.returns.max() <= limit
    always = evaluate(task, Constant(), 50, seed=1)
    assert always.returns.max() < 20  # pushing one way only: 8 to 11 steps


def test_actions_of_a_policy_are_not_checked_again() -> None:
    task = task_of("CartPole-v1")
    trusting, wary = (make_vector(task, 3) for _ in range(2))
    trust_actions(trusting.unwrapped)
    for vector in (trusting, wary):
        vector.reset(seed=0)
    actions = np.array([0, 1, 1])
    for _ in range(20):
        np.testing.assert_array_equal(trusting.step(actions)[0], wary.step(actions)[0])
    assert trusting.single_action_space == wary.single_action_space
    with pytest.raises(AssertionError):
        wary.step(np.array([0, 1, 2]))
    trusting.step(np.array([0, 1, 2]))


def test_a_balanced_pole_ends_at_the_limit() -> None:
    class Balance:
        def act(self, observations: NDArray[Any]) -> NDArray[Any]:
            return (observations @ np.array([0.1, 0.5, 5.0, 1.0]) > 0).astype(np.int64)

    for identity, limit in (("CartPole-v0", 200), ("CartPole-v1", 500)):
        played = evaluate(task_of(identity), Balance(), 20, seed=0)
        np.testing.assert_array_equal(played.returns, limit)


def test_seeds_decide() -> None:
    task = task_of("CartPole-v1")
    policy = Policy(architecture(task), architecture(task).initial_parameters(0))
    first, same, other = (evaluate(task, policy, 30, seed).returns for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


@pytest.mark.parametrize("what", ["observation", "reward"])
def test_not_a_number_is_the_environments_fault(what: str) -> None:
    task = task_of("tests.trainers.faulty:NotANumber-v0", what=what)
    with pytest.raises(RlidimError, match=f"NotANumber-v0' returned a {what} that is NaN or inf"):
        evaluate(task, Constant(), 3, seed=0)
    guarded = Gate(make(task))
    guarded.reset(seed=0)
    for _ in range(3):
        guarded.step(1)
    with pytest.raises(RlidimError, match=f"returned a {what} that is NaN or inf"):
        guarded.step(1)


def test_missing_environments_are_named() -> None:
    with pytest.raises(RlidimError, match="CartPol"):
        make(task_of("CartPol-v1"))
    with pytest.raises(RlidimError, match="no_such_module"):
        make(task_of("no_such_module:Some-v0"))


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise gymnasium.error.DependencyNotInstalled("MuJoCo is not installed")

    monkeypatch.setattr(gymnasium, "make", missing)
    task = make_task(environment=Environment(id="InvertedPendulum-v5", extra="mujoco"))
    with pytest.raises(RlidimError, match=r"pip install 'rlidim\[mujoco\]'"):
        make(task)


def test_a_champion_needs_confirmation_on_fresh_episodes() -> None:
    """One lucky evaluation neither solves a task nor makes a champion of its whole score."""
    task = make_task(
        environment=Environment(id="CartPole-v1"),
        network=Network(hidden=(20, 20)),
        evaluation=Evaluation(checkpoint_episodes=5, solved=100),
    )
    network = architecture(task)
    champion: Champion[str] = Champion(task, Seeds.of(Cell("t", "es", "rademacher", 2, 0)))
    scores = iter([50.0, 120.0, 60.0, 80.0, 130.0, 140.0])
    champion._arena = Mock(play=lambda policy, seed: Mock(mean=next(scores)))
    policy = Policy(network, network.initial_parameters(0))
    champion.challenge(policy, "first")
    assert (champion.solution, champion.solved) == ("first", False)
    champion.challenge(policy, "lucky")  # 120, then 60 on fresh episodes: worth 90
    assert (champion.solution, champion.score, champion.solved) == ("lucky", 90.0, False)
    champion.challenge(policy, "worse")  # 80
    assert champion.solution == "lucky"
    champion.challenge(policy, "good")
    assert (champion.solution, champion.score, champion.solved) == ("good", 135.0, True)
    champion.close()
