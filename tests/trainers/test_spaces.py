"""Every space that Stable-Baselines3's users have: trained on, played and exported."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatten
from gymnasium.vector import SyncVectorEnv
from stable_baselines3 import DQN, PPO, TD3

from rlidim.environments import making
from rlidim.environments.arena import evaluate
from rlidim.environments.gate import regular_actions
from rlidim.environments.plain_spaces import (
    flat_batch,
    own_actions,
    plain_actions,
    plain_observations,
    plain_vector,
)
from rlidim.errors import RlidimError
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Architecture, Policy
from rlidim.records.cell import Cell, Seeds
from rlidim.solutions import playback
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.sb3.export import export
from rlidim.trainers.sb3.train import build
from tests.factory import made, make_task
from tests.marks import slow_but
from tests.trainers.spacious import ACTIONS, OBSERVATIONS, Spacious

SHORT: dict[str, dict[str, Any]] = {
    "es": {"n_timesteps": 100, "population": 4},
    "cmaes": {"n_timesteps": 100, "population": 4},
    "ppo": {"n_timesteps": 64, "n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 1},
    "a2c": {"n_timesteps": 40, "n_envs": 2},
    "dqn": {"n_timesteps": 60, "learning_starts": 20},
    "sac": {"n_timesteps": 40, "learning_starts": 20, "batch_size": 16},
    "td3": {"n_timesteps": 40, "learning_starts": 20, "batch_size": 16},
}
# Each space once; all of them with all others would tell nothing more.
PAIRS = [*((name, "discrete") for name in OBSERVATIONS), *(("dict", name) for name in ACTIONS)]
QUICK = {
    *((name, "discrete") for name in ("image", "discrete from 2", "tuple", "nested")),
    *(("dict", name) for name in ("multidiscrete", "multibinary", "infinite box", "whole box")),
}
DISCRETE = ("discrete", "discrete from -1")
BOUNDED = ("box", "box of two axes", "whole box")
SOME = ("discrete from -1", "multidiscrete", "multibinary", "one-sided box")  # of those there are
# What stock Stable-Baselines3 does not serve.
UNSERVED = (
    ("discrete from 2", "count from 2"),
    ("multidiscrete of two axes", "one axis"),
    ("tuple", "no Tuple"),
    ("nested", "no Dict in a Dict"),
)
UNSERVED_ACTIONS = (
    ("discrete from -1", "count from -1"),
    ("multidiscrete of two axes", "one axis"),
    ("multidiscrete from 1", "counted from 0"),
    ("multibinary of two axes", "one axis"),
    ("whole box", "fractions"),
    ("unbounded whole box", "fractions"),
)


def task_of(observations: str, actions: str, **settings: Any) -> Task:
    return make_task(
        "spacious",
        environment=Environment(
            id="tests.trainers.spacious:Spacious-v0",
            kwargs={"observations": observations, "actions": actions},
        ),
        network=Network(hidden=(4,)),
        evaluation=Evaluation(episodes=2, checkpoint_episodes=2),
        trainers={
            name: TRAINERS[name](**short, **settings)  # type: ignore[arg-type]
            for name, short in SHORT.items()
        },
    )


def run(task: Task, trainer: str, folder: Path) -> tuple[Any, Path]:
    cell = Cell(task.name, trainer, "rademacher", 3, 0)
    return made(task, cell, folder)


@pytest.mark.parametrize("name", OBSERVATIONS)
def test_observations_are_flat_in_gymnasium_s_order(name: str) -> None:
    space = OBSERVATIONS[name]
    environments = SyncVectorEnv([lambda: Spacious(name)] * 3)
    flat = flat_batch(space, environments.reset(seed=[5, 6, 7])[0], 3)
    lone = [Spacious(name) for _ in range(3)]
    expected = [flatten(space, each.reset(seed=5 + i)[0]) for i, each in enumerate(lone)]
    np.testing.assert_array_equal(flat, np.array(expected, np.float32))
    plain = plain_observations(space)
    if isinstance(space, spaces.Box):
        assert plain is space
    else:
        assert plain.contains(flat[0])
        wrapped = plain_vector(environments)
        observed = wrapped.reset(seed=[5, 6, 7])[0]
        np.testing.assert_array_equal(observed, flat)
        assert wrapped.observation_space.contains(observed)


@pytest.mark.parametrize("name", ACTIONS)
def test_plain_actions_are_the_environment_s(name: str) -> None:
    space = ACTIONS[name]
    plain = plain_actions(space)
    plain.seed(0)
    drawn = [plain.sample() for _ in range(20)]
    regular = regular_actions(plain) or (lambda actions: actions)
    for action in drawn:
        assert space.contains(own_actions(space, regular(action)))
    many = own_actions(space, np.stack(drawn))
    assert all(space.contains(each) for each in many)


def test_whole_numbers_stay_in_their_bounds() -> None:
    for dtype in (np.int64, np.uint64, np.int32, np.uint8):
        limits = np.iinfo(dtype)
        regular = regular_actions(spaces.Box(limits.min, limits.max, (1,), dtype))
        assert regular is not None
        low, high = (int(regular(np.array([end]))[0]) for end in (-np.inf, np.inf))
        assert low == limits.min
        assert limits.max * (1 - 1e-15) <= high <= limits.max


def test_what_no_network_reads_is_named() -> None:
    with pytest.raises(RlidimError, match=r"observations must be a Box, Discrete, .* Text"):
        plain_observations(spaces.Dict({"note": spaces.Text(4)}))
    with pytest.raises(RlidimError, match=r"actions must be Discrete, .* Tuple"):
        plain_actions(spaces.Tuple([spaces.Discrete(2)]))


@pytest.mark.parametrize(
    ("observations", "actions"),
    slow_but(QUICK, PAIRS),
)
def test_every_space_is_trained_on_and_its_record_rebuilds_the_policy(
    observations: str, actions: str, tmp_path: Path
) -> None:
    """By evolution and by gradients, with the same parameters."""
    task = task_of(observations, actions)
    sizes = set()
    for trainer in ("es", "ppo"):
        record, path = run(task, trainer, tmp_path)
        sizes.add(record.D)
        policy = playback.policy_of(record, path, tmp_path)
        again = evaluate(task, policy, 2, Seeds.of(record.cell).evaluation)
        np.testing.assert_allclose(again.returns, record.returns, rtol=1e-3, atol=1e-3)
        shown = playback.play(
            task, path, video=tmp_path / "out.gif", episodes=1, seed=0, log_dir=tmp_path
        )
        assert len(shown) == 1
    assert len(sizes) == 1
    assert (tmp_path / "out.gif").exists()


@pytest.mark.parametrize("trainer", ["cmaes", "a2c", "dqn", "sac", "td3"])
def test_every_trainer_serves_what_its_algorithm_does(trainer: str, tmp_path: Path) -> None:
    served = {"dqn": DISCRETE, "sac": BOUNDED, "td3": BOUNDED}.get(trainer, SOME)
    for actions in (*SOME, *served):
        task = task_of("tuple", actions)
        if actions in served:
            run(task, trainer, tmp_path / actions)
            continue
        with pytest.raises(RlidimError, match=rf"{trainer} needs .*: ppo, a2c, es and cmaes take"):
            build(task, trainer, Seeds.of(Cell(task.name, trainer, "rademacher", 3, 0)))


@pytest.mark.parametrize("observations", ["image", "whole box", "dict", "discrete"])
def test_any_observations_may_be_normalised(observations: str, tmp_path: Path) -> None:
    task = task_of(observations, "discrete")
    for trainer in ("es", "ppo"):
        normalised = task.replace_settings(trainer, {"normalize": True})
        record, path = run(normalised, trainer, tmp_path)
        policy = playback.policy_of(record, path, tmp_path)
        again = evaluate(task, policy, 2, Seeds.of(record.cell).evaluation)
        np.testing.assert_allclose(again.returns, record.returns, rtol=1e-3, atol=1e-3)


def same_actions(task: Task, trainer: str, algorithm: Any, out: Path) -> None:
    """Compare a stock model's answers with the policy's, over the environment's observations."""
    shape = architecture(task, squash=trainer in ("sac", "td3"))
    assert isinstance(shape, Architecture)
    theta = shape.initial_parameters(3)
    policy = Policy(shape, theta)
    export(task, trainer, shape, theta, out)
    model = algorithm.load(out)
    stock = gymnasium.make(task.control.environment.id, **task.control.environment.kwargs)
    plain = making.make(task)
    observation, flat = stock.reset(seed=1)[0], plain.reset(seed=1)[0]
    for _ in range(6):
        ours = policy.act(np.asarray(flat, np.float32)[None])[0]
        theirs, _ = model.predict(observation, deterministic=True)
        np.testing.assert_allclose(np.ravel(theirs), np.ravel(ours), rtol=1e-5, atol=1e-5)
        observation = stock.step(theirs)[0]
        flat = plain.step(np.reshape(ours, plain.action_space.shape or ()))[0]


@pytest.mark.parametrize(
    "observations", [name for name in OBSERVATIONS if name not in dict(UNSERVED)]
)
def test_a_stock_model_reads_what_our_policy_reads(observations: str, tmp_path: Path) -> None:
    same_actions(task_of(observations, "discrete"), "es", PPO, tmp_path / "model.zip")
    same_actions(task_of(observations, "discrete"), "dqn", DQN, tmp_path / "model.zip")
    same_actions(task_of(observations, "box"), "td3", TD3, tmp_path / "model.zip")


@pytest.mark.parametrize(
    "actions", [name for name in ACTIONS if name not in dict(UNSERVED_ACTIONS)]
)
def test_a_stock_model_answers_what_our_policy_answers(actions: str, tmp_path: Path) -> None:
    same_actions(task_of("box", actions), "ppo", PPO, tmp_path / "model.zip")


@pytest.mark.parametrize(
    ("observations", "actions", "reason"),
    [
        *((name, "discrete", reason) for name, reason in UNSERVED),
        *(("box", name, reason) for name, reason in UNSERVED_ACTIONS),
    ],
)
def test_what_a_stock_model_does_not_serve_is_refused(
    observations: str, actions: str, reason: str, tmp_path: Path
) -> None:
    task = task_of(observations, actions)
    shape = architecture(task)
    out = tmp_path / "model.zip"
    with pytest.raises(
        RlidimError, match=rf"--sb3 .*model\.zip: stock .* does not serve .*{reason}"
    ):
        export(task, "es", shape, shape.initial_parameters(0), out)
    assert not out.exists()


def test_a_network_s_choices_are_its_outputs() -> None:
    space = spaces.MultiDiscrete([2, 3])
    network = Architecture.of(Network(hidden=()), spaces.Box(-1, 1, (2,)), space)
    assert Architecture.from_json(network.to_json()) == network
    with pytest.raises(RlidimError, match="5 outputs for the choices"):
        Architecture.from_json({**network.to_json(), "choices": [2, 2]})
    one = Architecture.of(Network(hidden=()), spaces.Box(-1, 1, (2,)), spaces.Discrete(2))
    assert "choices" not in one.to_json()  # nor has any record of before


@pytest.mark.parametrize(("actions", "own"), [("box", True), ("box of two axes", False)])
def test_a_vectorised_form_is_used_where_actions_are_rows(
    actions: str, own: bool, tmp_path: Path
) -> None:
    lone = task_of("box", actions)
    environment = dataclasses.replace(
        lone.control.environment, id="tests.trainers.spacious:Vectorised-v0"
    )
    task = lone.replace_problem(environment=environment)
    assert making.has_vector_form(task) is own
    record, _ = run(task, "es", tmp_path)
    assert record.status == "ok", record.error


def test_an_environment_that_knows_no_render_mode_is_played() -> None:
    undrawn = Environment(id="tests.trainers.spacious:Undrawn-v0")
    task = task_of("box", "discrete").replace_problem(environment=undrawn)
    playback.lone(task, None).close()
