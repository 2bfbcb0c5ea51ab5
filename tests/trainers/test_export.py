"""Exported models act as their records do, in a process that has no rlidim."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim import playback
from rlidim.errors import RlidimError
from rlidim.executors import Job, run
from rlidim.records import Cell, Results
from rlidim.settings import SETTINGS
from rlidim.task import Atari, Environment, Evaluation, Network, PixelNetwork, Task
from tests.factory import make_task

PLAY = """
import sys
sys.modules["rlidim"] = None  # importing it fails
import numpy as np
import stable_baselines3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

algorithm, model, observations, normalisation, out = sys.argv[1:]
model = getattr(stable_baselines3, algorithm).load(model)
observations = np.load(observations)
if normalisation != "none":
    import gymnasium

    env = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")])
    observations = VecNormalize.load(normalisation, env).normalize_obs(observations)
np.save(out, model.predict(observations, deterministic=True)[0])
"""
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ppo": ("PPO", "CartPole-v1", {"n_timesteps": 128, "n_steps": 64}),
    "a2c": ("A2C", "CartPole-v1", {"n_timesteps": 100}),
    "dqn": ("DQN", "CartPole-v1", {"n_timesteps": 150}),
    "es": ("PPO", "CartPole-v1", {"n_timesteps": 100, "population": 4}),
    "cmaes": ("PPO", "Pendulum-v1", {"n_timesteps": 100, "population": 4}),
    "sac": ("SAC", "Pendulum-v1", {"n_timesteps": 120}),
    "td3": ("TD3", "Pendulum-v1", {"n_timesteps": 120}),
}


def predictions(algorithm: str, files: list[Path], observations: Any, folder: Path) -> np.ndarray:
    np.save(folder / "observations.npy", observations)
    normalisation = str(files[1]) if len(files) > 1 else "none"
    arguments = [algorithm, str(files[0]), "observations.npy", normalisation, "actions.npy"]
    done = subprocess.run(
        [sys.executable, "-c", PLAY, *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.asarray(np.load(folder / "actions.npy"))


def recorded(task: Task, trainer: str, folder: Path) -> tuple[Any, Path]:
    cell = Cell(task.name, trainer, "rademacher", 4, 0)
    record = run(Job(task, cell, folder))
    assert record is not None
    assert record.status == "ok", record.error
    return record, Results(folder).path(cell)


@pytest.mark.parametrize("trainer", CASES)
def test_a_perceptron(trainer: str, tmp_path: Path) -> None:
    algorithm, identity, settings = CASES[trainer]
    task = make_task(
        environment=Environment(identity),
        network=Network((8, 8), activation="tanh"),
        evaluation=Evaluation(episodes=2, checkpoint_episodes=1),
        trainers={trainer: SETTINGS[trainer](**settings)},
    )
    record, path = recorded(task, trainer, tmp_path)
    files = playback.export(task, path, out=tmp_path / "model.zip", runs=tmp_path)
    assert [file.name for file in files] == ["model.zip"]
    policy = playback.policy_of(record, path, tmp_path)
    size = 4 if identity == "CartPole-v1" else 3
    observations = np.random.default_rng(0).standard_normal((50, size)).astype(np.float32)
    found = predictions(algorithm, files, observations, tmp_path)
    np.testing.assert_allclose(found, policy.act(observations), rtol=1e-5, atol=1e-5)


def test_the_normalisation_of_observations_lies_beside(tmp_path: Path) -> None:
    settings = SETTINGS["ppo"](n_timesteps=256, n_steps=64, normalize=True)
    task = make_task(
        environment=Environment("Pendulum-v1"),
        evaluation=Evaluation(episodes=2, checkpoint_episodes=1),
        trainers={"ppo": settings},
    )
    record, path = recorded(task, "ppo", tmp_path)
    files = playback.export(task, path, out=tmp_path / "model.zip", runs=tmp_path)
    assert [file.name for file in files] == ["model.zip", "model-vecnormalize.pkl"]
    policy = playback.policy_of(record, path, tmp_path)
    observations = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    found = predictions("PPO", files, observations, tmp_path)
    np.testing.assert_allclose(found, policy.act(observations), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("trainer", "network"), [("es", "paper"), ("dqn", "nature")])
def test_a_network_of_frames(trainer: str, network: str, tmp_path: Path) -> None:
    short: dict[str, Any] = {
        "es": {"n_timesteps": 60, "population": 2},
        "dqn": {"n_timesteps": 48, "learning_starts": 16, "buffer_size": 60},
    }
    task = make_task(
        environment=Atari("pong", max_frames=160),
        network=PixelNetwork(network, batch_norm=network == "paper"),
        evaluation=Evaluation(episodes=1, checkpoint_episodes=1),
        trainers={trainer: SETTINGS[trainer](**short[trainer])},
    )
    record, path = recorded(task, trainer, tmp_path)
    files = playback.export(task, path, out=tmp_path / "model.zip", runs=tmp_path)
    policy = playback.policy_of(record, path, tmp_path)
    generator = np.random.default_rng(0)
    observations = generator.integers(0, 256, (20, 4, 84, 84), dtype=np.uint8)
    algorithm = {"es": "PPO", "dqn": "DQN"}[trainer]
    found = predictions(algorithm, files, observations, tmp_path)
    outputs = np.sort(policy.outputs(observations), axis=1)
    clear = outputs[:, -1] - outputs[:, -2] > 1e-4  # no tie that rounding may break
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(found[clear], policy.act(observations)[clear])


def test_another_ending_is_named(tmp_path: Path) -> None:
    task = make_task(
        evaluation=Evaluation(episodes=1, checkpoint_episodes=1),
        trainers={"es": SETTINGS["es"](n_timesteps=50, population=2)},
    )
    _, path = recorded(task, "es", tmp_path)
    with pytest.raises(RlidimError, match=r"expected a name that ends in .zip"):
        playback.export(task, path, out=tmp_path / "model.pt", runs=tmp_path)
