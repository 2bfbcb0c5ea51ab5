"""A folder for a hub of models: the card says what is true, the model acts, the record is whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from stable_baselines3 import PPO

from rlidim.errors import RlidimError
from rlidim.records.folder import read_record
from rlidim.solutions import hub, playback
from rlidim.tasks.names import find_task

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
    (result,) = about["model-index"][0]["results"]
    assert result["dataset"]["name"] == "CartPole-v1"
    assert result["metrics"][0]["value"] == "500.00 +/- 0.00"
    assert "found by moving 6 numbers" in text
    assert "rlidim cartpole train --trainer es --seed 0 --dim 6 --projection rademacher" in text

    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    policy = playback.policy_of(record, RECORD, tmp_path)
    actions, _ = PPO.load(files[1]).predict(observations, deterministic=True)
    np.testing.assert_array_equal(actions, policy.act(observations))


def test_random_actions_are_no_model(tmp_path: Path) -> None:
    record = RECORD.parent.parent / "random" / "s0.json"
    with pytest.raises(RlidimError, match="no run that ended with a model"):
        hub.write(find_task("cartpole"), record, out=tmp_path / "hub", log_dir=tmp_path)
    assert not (tmp_path / "hub").exists()
