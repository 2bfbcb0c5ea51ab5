"""Exported models act as their records do, in a process that has no rlidim."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.environments import making
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks.acting import AnyPolicy
from rlidim.networks.atari import PixelPolicy
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.tasks.problems import (
    Atari,
    Environment,
    Evaluation,
    MinAtar,
    Network,
    PixelNetwork,
)
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from tests.factory import make_task

# One process for all models: importing Stable-Baselines3 takes longer than anything that it does.
PLAY = """
import json
import sys

sys.modules["rlidim"] = None  # importing it fails
import gymnasium
import numpy as np
import stable_baselines3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

for folder, algorithm in json.loads(sys.argv[1]):
    model = getattr(stable_baselines3, algorithm).load(f"{folder}/model.zip")
    observations = np.load(f"{folder}/observations.npy")
    if folder.endswith("normalised"):
        env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
        statistics = VecNormalize.load(f"{folder}/model-vecnormalize.pkl", env)
        observations = statistics.normalize_obs(observations)
    np.save(f"{folder}/actions.npy", model.predict(observations, deterministic=True)[0])
"""
CARTPOLE, PENDULUM = Environment("CartPole-v1"), Environment("Pendulum-v1")
PICTURES = Environment("tests.trainers.faulty:Pictures-v0")
PONG = Atari("pong", max_frames=160)
SEAQUEST, SMALL = MinAtar("seaquest", max_episode_steps=40), PixelNetwork("minatar")
PERCEPTRON = Network((8, 8), activation="tanh")
PAPER, NATURE = PixelNetwork("paper", batch_norm=True), PixelNetwork("nature")
# By name: the model's class, the trainer, the environment, the network, the settings.
CASES: dict[str, tuple[str, str, Any, Any, dict[str, Any]]] = {
    "ppo": ("PPO", "ppo", CARTPOLE, PERCEPTRON, {"n_timesteps": 128, "n_steps": 64}),
    "a2c": ("A2C", "a2c", CARTPOLE, PERCEPTRON, {"n_timesteps": 100}),
    "dqn": ("DQN", "dqn", CARTPOLE, PERCEPTRON, {"n_timesteps": 150}),
    "qrdqn": ("DQN", "qrdqn", CARTPOLE, PERCEPTRON, {"n_timesteps": 150, "n_quantiles": 7}),
    "es": ("PPO", "es", CARTPOLE, PERCEPTRON, {"n_timesteps": 100, "population": 4}),
    "cmaes": ("PPO", "cmaes", PENDULUM, PERCEPTRON, {"n_timesteps": 100, "population": 4}),
    "sac": ("SAC", "sac", PENDULUM, PERCEPTRON, {"n_timesteps": 120}),
    "sac by use_sde": (
        "SAC",
        "sac",
        PENDULUM,
        PERCEPTRON,
        {"n_timesteps": 120, "use_sde": True, "learning_rate": 0.1},
    ),
    "td3": ("TD3", "td3", PENDULUM, PERCEPTRON, {"n_timesteps": 120}),
    "ddpg": ("DDPG", "ddpg", PENDULUM, PERCEPTRON, {"n_timesteps": 120}),
    "tqc": ("SAC", "tqc", PENDULUM, PERCEPTRON, {"n_timesteps": 120}),
    "crossq": ("SAC", "crossq", PENDULUM, PERCEPTRON, {"n_timesteps": 120}),
    "trpo": ("PPO", "trpo", PENDULUM, PERCEPTRON, {"n_timesteps": 128, "n_steps": 64}),
    "normalised": (
        "PPO",
        "ppo",
        PENDULUM,
        PERCEPTRON,
        {"n_timesteps": 256, "n_steps": 64, "normalize": True},
    ),
    "es on pictures": ("PPO", "es", PICTURES, PERCEPTRON, {"n_timesteps": 40, "population": 2}),
    "es on frames": ("PPO", "es", PONG, PAPER, {"n_timesteps": 60, "population": 2}),
    "ppo on fields": ("PPO", "ppo", SEAQUEST, SMALL, {"n_timesteps": 128, "n_steps": 64}),
    "dqn on fields": ("DQN", "dqn", SEAQUEST, SMALL, {"n_timesteps": 150}),
    "es on fields": ("PPO", "es", SEAQUEST, SMALL, {"n_timesteps": 60, "population": 2}),
    "dqn on frames": (
        "DQN",
        "dqn",
        PONG,
        NATURE,
        {"n_timesteps": 48, "learning_starts": 16, "buffer_size": 60},
    ),
}


def recorded(task: Task, trainer: str, folder: Path) -> tuple[Any, Path]:
    cell = Cell(task.name, trainer, "rademacher", 4, 0)
    record = run(Job(task, cell, folder))
    assert record is not None
    assert record.status == "ok", record.error
    return record, Results(folder).path(cell)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[AnyPolicy, Path]]:
    """Return each case's policy, and a folder with its model, observations and actions."""
    found = {}
    for name, (_, trainer, environment, network, settings) in CASES.items():
        folder = tmp_path_factory.mktemp("models") / name
        task = make_task(
            environment=environment,
            network=network,
            evaluation=Evaluation(episodes=2, checkpoint_episodes=1),
            trainers={trainer: TRAINERS[trainer](**settings)},
        )
        record, path = recorded(task, trainer, folder)
        files = playback.export(task, path, out=folder / "model.zip", log_dir=folder)
        beside = ["model-vecnormalize.pkl"] if name == "normalised" else []
        assert [file.name for file in files] == ["model.zip", *beside]
        space, _ = making.spaces_of(task)
        assert space.shape is not None
        generator = np.random.default_rng(0)
        shape = (20, *space.shape)
        if space.dtype == np.uint8:
            observations: Any = generator.integers(0, 256, shape, dtype=np.uint8)
        else:
            observations = generator.standard_normal(shape).astype(np.float32)
        np.save(folder / "plain.npy", observations)
        if environment == SEAQUEST:  # whose own observations have their layers last
            observations = np.moveaxis(observations, 1, -1)
        np.save(folder / "observations.npy", observations)
        found[name] = (playback.policy_of(record, path, folder), folder)
    pairs = [(str(folder), CASES[name][0]) for name, (_, folder) in found.items()]
    done = subprocess.run(
        [sys.executable, "-c", PLAY, json.dumps(pairs)],
        cwd=tmp_path_factory.getbasetemp(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_model_acts_as_the_record(name: str, models: dict[str, tuple[AnyPolicy, Path]]) -> None:
    policy, folder = models[name]
    observations, actions = (np.load(folder / f"{part}.npy") for part in ("plain", "actions"))
    expected = policy.act(observations)
    if isinstance(policy, PixelPolicy):
        outputs = np.sort(policy.outputs(observations), axis=1)
        clear = outputs[:, -1] - outputs[:, -2] > 1e-4  # no tie that rounding may break
        assert clear.mean() > 0.8
        expected, actions = expected[clear], actions[clear]
    np.testing.assert_allclose(actions, expected, rtol=1e-4, atol=1e-4)


def test_another_ending_is_named(tmp_path: Path) -> None:
    task = make_task(
        evaluation=Evaluation(episodes=1, checkpoint_episodes=1),
        trainers={"es": TRAINERS["es"](n_timesteps=50, population=2)},
    )
    _, path = recorded(task, "es", tmp_path)
    with pytest.raises(RlidimError, match=r"expected a name that ends in .zip"):
        playback.export(task, path, out=tmp_path / "model.pt", log_dir=tmp_path)


def test_normalised_pictures_are_no_stock_model(tmp_path: Path) -> None:
    """Stock Stable-Baselines3 scales pictures by itself and normalises none."""
    task = make_task(
        environment=PICTURES,
        network=PERCEPTRON,
        evaluation=Evaluation(episodes=2, checkpoint_episodes=1),
        trainers={"es": TRAINERS["es"](n_timesteps=40, population=2, normalize=True)},
    )
    _, path = recorded(task, "es", tmp_path / "results")
    with pytest.raises(RlidimError, match="normalises a Box of numbers alone"):
        playback.export(task, path, out=tmp_path / "model.zip", log_dir=tmp_path)
