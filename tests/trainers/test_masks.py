"""A policy that is told which actions are valid takes no other, wherever it acts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gymnasium import spaces

from rlidim.cli import cli
from rlidim.environments import making
from rlidim.environments.arena import Arena, evaluate
from rlidim.environments.masks import Masked, Reader
from rlidim.environments.side_by_side import Separate
from rlidim.errors import RlidimError
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.checking import check_acting
from rlidim.records.record import RunRecord
from rlidim.solutions import film, hub, playback
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.run import Run, train
from rlidim.trainers.sb3.train import FEWEST, build, side_by_side
from tests.factory import made, make_task
from tests.trainers import choosy  # noqa: F401  (registers the environments)

CHOOSY, METHODICAL, TOGETHER, SILENT = (
    f"tests.trainers.choosy:{name}-v0" for name in ("Choosy", "Methodical", "Together", "Silent")
)
# Both conventions, each space of actions, and Taxi from its table.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "info": (CHOOSY, {}),
    "method": (METHODICAL, {}),
    "from -1": (CHOOSY, {"actions": "discrete from -1"}),
    "multidiscrete": (METHODICAL, {"actions": "multidiscrete"}),
    "vector": (TOGETHER, {}),
    "taxi": ("Taxi-v4", {"max_episode_steps": 40}),
}
TRAINER = "maskable_ppo"
PREDICT = """
import sys
sys.modules["rlidim"] = None  # importing it fails
import numpy as np
from sb3_contrib import MaskablePPO

observations, masks = np.load("observations.npy"), np.load("masks.npy")
model = MaskablePPO.load("model.zip")
actions, _ = model.predict(observations, deterministic=True, action_masks=masks)
np.save("actions.npy", actions)
"""


def task_of(identity: str, constants: dict[str, Any], **settings: Any) -> Task:
    short = {"n_timesteps": 256, "n_envs": 2, "n_steps": 32, "batch_size": 32, "n_epochs": 2}
    return make_task(
        environment=Environment(identity, constants),
        network=Network((6,), activation="tanh"),
        evaluation=Evaluation(episodes=5, checkpoint_episodes=3, minimum=-1000),
        trainers={
            TRAINER: TRAINERS[TRAINER](**{**short, "eval_freq": 128, **settings}),
            "es": TRAINERS["es"](n_timesteps=9),  # type: ignore[call-arg]
        },
    )


def recorded(task: Task, folder: Path) -> tuple[RunRecord, Path]:
    cell = Cell(task.name, TRAINER, "rademacher", 4, 0)
    return made(task, cell, folder)


@pytest.mark.parametrize("name", CASES)
def test_every_action_is_valid_wherever_a_policy_acts(name: str, tmp_path: Path) -> None:
    """The environments raise on any other: in training, in its scores, and played again."""
    task = task_of(*CASES[name])
    record, path = recorded(task, tmp_path)
    assert record.solution is not None
    assert record.solution["network"]["masked"] is True
    policy = playback.policy_of(record, path, tmp_path)
    seed = record.seeds.evaluation
    np.testing.assert_allclose(evaluate(task, policy, 5, seed).returns, record.returns)
    if name == "vector":  # whose episodes have one random stream
        return
    found = playback.play(task, path, video=None, episodes=5, seed=seed, log_dir=tmp_path)
    np.testing.assert_allclose(found, record.returns, rtol=1e-5)


def test_a_film_is_of_valid_actions(tmp_path: Path) -> None:
    """Those of chance beside it are any."""
    task = task_of(CHOOSY, {"raises": False})
    record, path = recorded(task, tmp_path)
    ours, by_chance = film.films(task, record, path, tmp_path)
    assert ours.score == pytest.approx(record.returns[0])
    assert by_chance.score < -100.0 < ours.score


def test_the_best_valid_action_is_taken() -> None:
    network = architecture(task_of(*CASES["multidiscrete"]), masked=True)
    assert isinstance(network, Architecture)
    policy = network.policy(network.initial_parameters(0))
    seen = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    masks = np.random.default_rng(1).random((200, 5)) < 0.5
    masks[:, [1, 3]] |= ~masks[:, :2].any(1, keepdims=True) | ~masks[:, 2:].any(1, keepdims=True)
    outputs = policy.outputs(seen)
    best = [
        [
            max((i for i in choices if mask[i]), key=row.__getitem__) - choices[0]
            for choices in (range(2), range(2, 5))
        ]
        for row, mask in zip(outputs, masks, strict=True)
    ]
    np.testing.assert_array_equal(policy.act_among(seen, masks), best)
    with pytest.raises(RlidimError, match="it needs their masks"):
        policy.act(seen)


@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST])
def test_training_environments_give_taxi_s_masks(count: int) -> None:
    """As a vector and as lone ones; those that are over are masked as they begin anew."""
    env = side_by_side(task_of(*CASES["taxi"]), count, seed=7, masked=True)
    lone = [making.make(task_of(*CASES["taxi"])) for _ in range(count)]
    expected = [each.reset(seed=7 + i)[1]["action_mask"] for i, each in enumerate(lone)]
    env.reset()
    assert env.has_attr("action_masks")
    for step in range(60):
        masks = np.stack(env.env_method("action_masks"))
        assert masks.dtype == bool
        np.testing.assert_array_equal(masks, expected)
        actions = [np.flatnonzero(mask)[step % mask.sum()] for mask in masks]
        dones = env.step(np.array(actions))[2]
        expected = []
        for each, action in zip(lone, actions, strict=True):
            _, _, ended, cut, info = each.step(action)
            expected.append((each.reset()[1] if ended or cut else info)["action_mask"])
        assert dones.all() == (step == 39)
    env.close()


def test_a_population_plays_as_its_members_do() -> None:
    """Episodes that end at different times leave to the others their own masks."""
    for name in ("info", "taxi"):
        task = task_of(*CASES[name])
        network = architecture(task, masked=True)
        members = np.stack([network.initial_parameters(seed) for seed in range(6)])
        arena, alone = Arena(task, 6), Arena(task, 1)
        together = arena.play(network.policy(members), seed=9).returns
        arena._rows = Separate([making.make(task) for _ in range(6)])
        np.testing.assert_array_equal(arena.play(network.policy(members), seed=9).returns, together)
        apart = [
            alone.play(network.policy(row), seed=9, members=np.array([place])).mean
            for place, row in enumerate(members)
        ]
        np.testing.assert_allclose(together, apart)


@pytest.mark.slow
def test_the_exported_model_acts_the_same_given_the_masks(tmp_path: Path) -> None:
    task = task_of(*CASES["taxi"])
    record, path = recorded(task, tmp_path)
    playback.export(task, path, out=tmp_path / "model.zip", log_dir=tmp_path)
    lone: Any = gymnasium.make("Taxi-v4").unwrapped
    states = np.arange(500)
    masks = np.stack([lone.action_mask(state) for state in states])
    np.save(tmp_path / "observations.npy", states)
    np.save(tmp_path / "masks.npy", masks)
    subprocess.run([sys.executable, "-c", PREDICT], cwd=tmp_path, check=True)
    policy = playback.policy_of(record, path, tmp_path)
    expected = policy.act_among(np.eye(500, dtype=np.float32), masks.astype(bool))  # type: ignore[union-attr]
    np.testing.assert_array_equal(np.load(tmp_path / "actions.npy"), expected)
    assert np.unique(expected).size > 1


def test_the_hub_s_card_names_its_library(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    task = task_of(*CASES["info"])
    _, path = recorded(task, tmp_path)
    card, model, *_ = hub.write(task, path, out=tmp_path / "hub", log_dir=tmp_path)
    assert "from sb3_contrib import MaskablePPO" in card.read_text()
    assert "tell `predict` by `action_masks=`" in card.read_text()
    assert model.name == "maskableppo-Choosy-v0.zip"


@pytest.mark.parametrize(
    ("identity", "constants", "message"),
    [
        ("CartPole-v1", {}, r"'CartPole-v1' does not say which actions are valid: give it a "),
        (CHOOSY, {"says": "nothing"}, r"give it a method action_masks\(\), or an info\['action_m"),
        (CHOOSY, {"says": "too little"}, "gave the mask .*: true or false for each of 4 choices"),
        (CHOOSY, {"says": "what is none"}, "gave the mask 3: true or false for each of 4 choices"),
        (CHOOSY, {"says": "that none is valid"}, "gave a mask that leaves no valid action"),
        (CHOOSY, {"actions": "multibinary"}, "maskable_ppo needs discrete actions, each a choice"),
        (CHOOSY, {"actions": "box"}, "maskable_ppo needs discrete actions, each a choice of sever"),
    ],
)
def test_whoever_gives_no_masks_is_refused_before_training(
    identity: str, constants: dict[str, Any], message: str
) -> None:
    task = task_of(identity, constants)
    with pytest.raises(RlidimError, match=message) as refused:
        build(task, TRAINER, Seeds.of(Cell.baseline("x", TRAINER, 0)))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("identity", "constants"), [(CHOOSY, {"says": "once"}), (SILENT, {})])
def test_masks_that_fail_to_come_are_named(identity: str, constants: dict[str, Any]) -> None:
    """After the first step, and in a vectorised form alone."""
    task = task_of(identity, constants)
    cell = Cell(task.name, TRAINER, "rademacher", 4, 0)
    with pytest.raises(RlidimError, match="does not say which actions are valid"):
        train(Run(task, cell, Seeds.of(cell)))


def test_a_file_is_checked_for_masks(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    text = "title: x\nenvironment: {{id: {}}}\nnetwork: {{hidden: [4]}}\n"
    text += "trainers: {{maskable_ppo: {{n_timesteps: 9}}}}\n"
    file.write_text(text.format("FrozenLake-v1"))
    with pytest.raises(RlidimError, match="'FrozenLake-v1' does not say which actions are valid"):
        CliRunner().invoke(cli, ["check", str(file)], catch_exceptions=False)
    file.write_text(text.format("Taxi-v4"))
    assert CliRunner().invoke(cli, ["check", str(file)]).exit_code == 0


def test_masks_are_of_choices() -> None:
    assert Reader(spaces.MultiDiscrete([2, 3]), "x")([[1, 0, 0, 0, 1]]).tolist() == [
        [True, False, False, False, True]
    ]
    with pytest.raises(RlidimError, match="leaves no valid action"):
        Reader(spaces.MultiDiscrete([2, 3]), "x")([[1, 1, 0, 0, 0]])
    with pytest.raises(RlidimError, match="masks are for Discrete and MultiDiscrete actions"):
        Reader(spaces.MultiBinary(3), "x")
    lone = Masked(making.make(task_of(*CASES["method"])))
    lone.reset(seed=0)
    assert lone.action_masks().tolist() == lone.get_wrapper_attr("mask").tolist()


def test_records_say_so_and_old_ones_are_as_they_were() -> None:
    task = task_of(*CASES["info"])
    _, network = build(task, TRAINER, Seeds.of(Cell.baseline("x", TRAINER, 0)))
    assert isinstance(network, Architecture)
    assert network.to_json()["masked"] is True
    assert Architecture.from_json(network.to_json()) == network
    check_acting(network.to_json())
    assert "masked" not in architecture(task).to_json()
    for wrong, message in (
        ({"masked": "yes"}, "network.masked: expected true or false"),
        ({"action": "positive"}, "network.masked: positive makes no choice among several"),
    ):
        with pytest.raises(RlidimError, match=message):
            check_acting({**network.to_json(), **wrong})


def test_what_is_sampled_in_training_is_valid() -> None:
    """The rollouts' own probabilities are those of the masked choices."""
    task = task_of(*CASES["taxi"], n_envs=FEWEST)
    model: Any = build(task, TRAINER, Seeds.of(Cell.baseline("x", TRAINER, 0)))[0]
    model.learn(128)
    buffer = model.rollout_buffer
    assert buffer.action_masks.mean() < 0.9
    taken = buffer.actions.reshape(-1).astype(int)
    masks = buffer.action_masks.reshape(len(taken), -1)
    assert masks[np.arange(len(taken)), taken].all()
    assert torch.isfinite(torch.as_tensor(buffer.log_probs)).all()
