"""A network with a memory acts as torch's LSTM and begins each episode anew, in every search."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from rlidim.environments import making
from rlidim.environments.arena import Arena, evaluate
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks.acting import architecture
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.configuration import configuration
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.tasks.loading import load_task
from rlidim.tasks.problems import Environment, Evaluation, Network
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.many.train import begun
from rlidim.trainers.sb3.train import build
from tests.factory import make_task
from tests.marks import slow_but

UNITS = 5
PREDICT = """
import sys
sys.modules["rlidim"] = None  # importing it fails
import numpy as np
from sb3_contrib import RecurrentPPO

model = RecurrentPPO.load("model.zip")
observations, state, actions = np.load("observations.npy"), None, []
for time, seen in enumerate(observations):
    begins = np.full(len(seen), time == 0)
    action, state = model.predict(seen, state=state, episode_start=begins, deterministic=True)
    actions.append(action)
np.save("actions.npy", np.stack(actions))
"""


def task_of(identity: str = "Pendulum-v1", memory: int = UNITS) -> Task:
    small = {"n_timesteps": 300, "population": 4}
    steps = {"n_timesteps": 128, "n_steps": 32, "batch_size": 32}
    return make_task(
        environment=Environment(identity, {"max_episode_steps": 30}),
        network=Network((6,), activation="tanh", memory=memory),
        evaluation=Evaluation(episodes=3, checkpoint_episodes=2),
        trainers={
            "es": TRAINERS["es"](**small),
            "cmaes": TRAINERS["cmaes"](**small),
            "ppo": TRAINERS["ppo"](**steps),
            "ppo-many": TRAINERS["ppo-many"](**steps),
            "recurrent_ppo": TRAINERS["recurrent_ppo"](**steps, n_envs=2),
        },
    )


def network_of(task: Task) -> Architecture:
    network = architecture(task)
    assert isinstance(network, Architecture)
    return network


def test_it_recalls_what_torch_s_lstm_does() -> None:
    network = network_of(task_of())
    theta = network.initial_parameters(3) + 0.1
    lstm = torch.nn.LSTM(3, UNITS)
    layers = torch.nn.Sequential(torch.nn.Linear(UNITS, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))
    parameters = [*lstm.parameters(), *layers.parameters()]
    assert [tuple(each.shape) for each in parameters] == network.shapes
    torch.nn.utils.vector_to_parameters(torch.from_numpy(theta), parameters)
    seen = np.random.default_rng(0).standard_normal((20, 4, 3)).astype(np.float32)
    with torch.no_grad():
        expected = layers(lstm(torch.from_numpy(seen))[0]).numpy()
    policy = network.policy(theta).begun(4)
    outputs = np.stack([policy.outputs(each) for each in seen])
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    again = policy.begun(4)  # an episode begins with nothing in memory
    np.testing.assert_array_equal(again.outputs(seen[0]), outputs[0])


@pytest.mark.parametrize("identity", ["Pendulum-v1", "Acrobot-v1"])
def test_a_population_plays_as_its_members_do(identity: str) -> None:
    """In Acrobot episodes end at different times, and those that go on keep their memory."""
    task = task_of(identity)
    network = network_of(task)
    members = np.stack([network.initial_parameters(seed) for seed in range(6)])
    arena, alone = Arena(task, 6), Arena(task, 1)
    together = arena.play(network.policy(members), seed=9).returns
    apart = [
        alone.play(network.policy(row), seed=9, members=np.array([place])).mean
        for place, row in enumerate(members)
    ]
    np.testing.assert_allclose(together, apart, rtol=1e-5)
    one = arena.play(network.policy(members[2]), seed=9).returns
    assert one[2] == pytest.approx(together[2], rel=1e-5)


def test_the_trainer_s_network_is_the_record_s() -> None:
    task = task_of()
    model, network = build(task, "recurrent_ppo", Seeds.of(Cell.baseline("x", "recurrent_ppo", 0)))
    assert isinstance(network, Architecture)
    assert Architecture.from_json(network.to_json()) == network
    assert network.to_json()["memory"] == UNITS
    assert "memory" not in network_of(task_of(memory=0)).to_json()
    assert model.policy.lstm_actor.hidden_size == UNITS  # type: ignore[union-attr]


@pytest.mark.parametrize("trainer", slow_but(["es"], ["es", "cmaes", "recurrent_ppo"]))
def test_a_run_its_record_and_its_export(trainer: str, tmp_path: Path) -> None:
    task = task_of()
    cell = Cell(task.name, trainer, "rademacher", 4, 0)
    record = run(Job(task, cell, tmp_path))
    assert record is not None
    assert record.status == "ok", record.error
    assert record.D == network_of(task).D
    path = Results(tmp_path).path(cell)
    policy = playback.policy_of(record, path, tmp_path)
    played = evaluate(task, policy, 3, Seeds.of(cell).evaluation)
    np.testing.assert_allclose(played.returns, record.returns, rtol=1e-3)
    returns = playback.play(
        task, path, video=None, episodes=3, seed=Seeds.of(cell).evaluation, log_dir=tmp_path
    )
    np.testing.assert_allclose(returns, record.returns, rtol=1e-3)

    playback.export(task, path, out=tmp_path / "model.zip", log_dir=tmp_path)
    seen = np.random.default_rng(0).standard_normal((15, 2, 3)).astype(np.float32)
    np.save(tmp_path / "observations.npy", seen)
    subprocess.run([sys.executable, "-c", PREDICT], cwd=tmp_path, check=True)
    own = policy.begun(2)
    expected = np.stack([own.act(each) for each in seen])
    np.testing.assert_allclose(np.load(tmp_path / "actions.npy"), expected, rtol=1e-4, atol=1e-5)


def test_who_has_no_use_for_a_memory_says_so() -> None:
    for trainer, memory in (("ppo", UNITS), ("recurrent_ppo", 0)):
        with pytest.raises(RlidimError, match=r"network: memory: task 'synthetic' has .*"):
            build(task_of(memory=memory), trainer, Seeds.of(Cell.baseline("x", trainer, 0)))
    with pytest.raises(RlidimError, match="a network with a memory is recurrent_ppo's"):
        begun(task_of(), task_of().settings("ppo-many"))


def test_a_file_may_have_one(tmp_path: Path) -> None:
    file = tmp_path / "recalling.yml"
    rest = "title: x\nenvironment: {id: Pendulum-v1}\ntrainers: {es: {n_timesteps: 9}}\nnetwork: "
    file.write_text(f"{rest}{{hidden: [4], memory: 3}}\n")
    task = load_task(file)
    assert str(task.control.network) == "lstm 3, 4 relu"
    assert making.spaces_of(task)[0].shape == (3,)
    assert configuration(task, Cell.baseline("x", "es", 0))["network"]["memory"] == 3
    file.write_text(f"{rest}{{hidden: [4]}}\n")
    assert "memory" not in configuration(load_task(file), Cell.baseline("x", "es", 0))["network"]
    file.write_text(f"{rest}{{hidden: [4], memory: -1}}\n")
    with pytest.raises(RlidimError, match="network: memory must be"):
        load_task(file)
