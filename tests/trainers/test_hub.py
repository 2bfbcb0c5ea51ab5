"""A folder for a hub of models: the card says what is true, the model acts, the record is whole."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from stable_baselines3 import PPO

import rlidim
from rlidim.cli.options import Assignment
from rlidim.errors import RlidimError
from rlidim.records.configuration import configuration
from rlidim.records.folder import read_record
from rlidim.solutions import hub, playback
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Network

RECORD = Path(__file__).parent.parent.parent / "results/cartpole/es-rademacher/d6-s0.json"


def test_a_folder_for_the_hub(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    files = hub.write(find_task("cartpole"), RECORD, out=tmp_path / "hub", log_dir=tmp_path)
    assert {path.name for path in files} == {path.name for path in (tmp_path / "hub").iterdir()}
    names = ["README.md", "ppo-CartPole-v1.zip", "replay.mp4", "results.json", "record.json"]
    assert [path.name for path in files] == names
    record = read_record(RECORD)
    assert json.loads(files[3].read_text())["mean_reward"] == record.score
    assert files[4].read_text() == RECORD.read_text()
    _, front, text = files[0].read_text().split("---", 2)
    about = yaml.safe_load(front)
    assert about["library_name"] == "stable-baselines3"
    assert about["model-index"][0]["name"] == "es"  # PPO is the class that loads it
    assert f"# {find_task('cartpole').title}, by es\n" in text
    (result,) = about["model-index"][0]["results"]
    assert result["dataset"]["name"] == "CartPole-v1"
    assert result["metrics"][0]["value"] == "500.00 +/- 0.00"
    assert "found by moving 6 numbers" in text
    assert "rlidim cartpole train --trainer es --seed 0 --dim 6 --projection rademacher" in text

    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    policy = playback.policy_of(record, RECORD, tmp_path)
    actions, _ = PPO.load(files[1]).predict(observations, deterministic=True)
    np.testing.assert_array_equal(actions, policy.act(observations))


def test_a_card_names_no_command_that_makes_another_run() -> None:
    record = read_record(RECORD)
    settings = {**record.settings, "network": {**record.settings["network"], "hidden": [8, 8]}}
    with pytest.raises(RlidimError, match=r"made with network.hidden = \[8, 8\], task 'cartpole'"):
        hub.command(find_task("cartpole"), dataclasses.replace(record, settings=settings))


@pytest.mark.parametrize(
    ("trainer", "changed"),
    [
        ("es", {"normalize": True}),  # the record lacks it: it came later
        ("ppo", {"max_grad_norm": 0.5, "learning_rate": 0.1, "normalize": True}),
    ],
)
def test_a_card_s_command_says_each_setting_as_it_was(
    trainer: str, changed: dict[str, Any]
) -> None:
    task = find_task("cartpole").replace_settings("ppo", {"learning_rate": "lin_0.001"})
    cell = dataclasses.replace(read_record(RECORD).cell, trainer=trainer)
    settings = configuration(task, cell)
    record = dataclasses.replace(read_record(RECORD), cell=cell, settings=settings)
    words = shlex.split(hub.command(task.replace_settings(trainer, changed), record))
    # By the command line's own parser, to the settings that the record has.
    parsed = [
        Assignment().convert(words[place + 1], None, None)
        for place, word in enumerate(words)
        if word == "--set"
    ]
    assert {name for name, _ in parsed} == set(changed)
    again = task.replace_settings(trainer, changed).replace_settings(trainer, dict(parsed))
    assert configuration(again, cell) == settings


def test_random_actions_are_no_model(tmp_path: Path) -> None:
    record = RECORD.parent.parent / "random" / "s0.json"
    with pytest.raises(RlidimError, match="no run that ended with a model"):
        hub.write(find_task("cartpole"), record, out=tmp_path / "hub", log_dir=tmp_path)
    assert not (tmp_path / "hub").exists()


def code_of(card: Path) -> str:
    """Return the Python in a card."""
    return card.read_text().split("```python\n")[1].split("```")[0]


def test_the_card_s_code_normalises_what_the_policy_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imageio_ffmpeg")
    path = RECORD.parent.parent.parent / "mountaincar/es-rademacher/d12-s0.json"
    task, record = find_task("mountaincar"), read_record(path)
    hub.write(task, path, out=tmp_path / "hub", log_dir=tmp_path)
    monkeypatch.chdir(tmp_path / "hub")
    names: dict[str, Any] = {}
    exec(code_of(Path("README.md")), names)
    model, env = names["model"], names["env"]
    env.seed(0)
    observations, returns, total = env.reset(), [], 0.0
    while len(returns) < 10:
        observations, rewards, dones, _ = env.step(
            model.predict(observations, deterministic=True)[0]
        )
        total += float(rewards[0])
        if dones[0]:
            returns.append(total)
            total = 0.0
    assert record.score is not None
    assert abs(np.mean(returns) - record.score) < 15
    assert np.mean(returns) > -150  # -200 without the statistics


def test_the_card_of_a_memory_names_the_class_that_loads_it(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    pytest.importorskip("sb3_contrib")
    task = find_task("cartpole").replace_problem(network=Network(hidden=(8,), memory=4))
    task = task.replace_settings("es", {"n_timesteps": 1000, "population": 4})
    record = rlidim.train(task, "es", d=4, results=tmp_path)
    files = hub.write(
        task, tmp_path / f"{record.cell}.json", out=tmp_path / "hub", log_dir=tmp_path
    )
    assert files[1].name == "recurrentppo-CartPole-v1.zip"
    code = code_of(files[0])
    assert "from sb3_contrib import RecurrentPPO" in code
    # The command makes this run again, whose settings are not the task's.
    card = files[0].read_text()
    usual = task.replace_settings("es", {"n_timesteps": 500_000, "population": 64})
    assert "--set n_timesteps=1000 --set population=4" in hub.command(usual, record)
    assert "rlidim cartpole train --trainer es --seed 0" in card
    assert "state" in code


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(RlidimError, match="--hub"):
        hub.write(find_task("cartpole"), RECORD, out=file, log_dir=tmp_path)
    assert file.read_text() == "mine"
    (tmp_path / "README.md").write_text("# My project")
    with pytest.raises(RlidimError, match=r"holds a README\.md of something else"):
        hub.write(find_task("cartpole"), RECORD, out=tmp_path, log_dir=tmp_path)
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").mkdir()
    with pytest.raises(RlidimError, match=r"cannot be written \(Is a directory\)"):
        hub.write(find_task("cartpole"), RECORD, out=tmp_path, log_dir=tmp_path)
    undrawn = RECORD.parent.parent.parent / "codimension-1/es-rademacher/d1-s0.json"
    with pytest.raises(RlidimError, match="cannot be shown"):
        hub.write(find_task("codimension-1"), undrawn, out=tmp_path / "hub", log_dir=tmp_path)
    assert not (tmp_path / "hub").exists()
