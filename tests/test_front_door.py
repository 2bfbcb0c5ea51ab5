"""A task's file tried, options anywhere on the line, and what a measurement says in plain words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlidim import cli
from rlidim.cli.anywhere import ordered
from rlidim.environments.trial import trials
from rlidim.errors import RlidimError
from rlidim.records.measurement import gather
from rlidim.report.columns import text_table
from rlidim.report.overview import plainly
from rlidim.tasks.loading import load_task
from rlidim.tasks.names import find_task
from rlidim.tasks.task import Target
from tests.factory import make_task
from tests.report.synthetic import measured

FAULTY = """
title: My task
environment: {{id: "tests.trainers.faulty:NotANumber-v0", kwargs: {{what: {what}}}}}
network: {{hidden: [4]}}
trainers:
  cmaes: {{n_timesteps: 100}}
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list --results new", "--results new list"),
        ("cartpole measure --envs=mine --seeds 2", "--envs=mine cartpole measure --seeds 2"),
        ("--json list", "list --json"),
        ("cartpole --results a measure --envs b", "--results a --envs b cartpole measure"),
        ("list --results", "--results"),
        ("play -- --results", "play -- --results"),
        ("", ""),
    ],
)
def test_options_of_the_program_come_first(line: str, expected: str) -> None:
    assert ordered(line.split()) == expected.split()


def test_results_are_taken_from_behind_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["tables", "--results", str(tmp_path / "absent")])
    assert f"--results {tmp_path / 'absent'}: no such folder" in capsys.readouterr().err


def test_check_plays_every_form_and_tells_the_cost(capsys: pytest.CaptureFixture[str]) -> None:
    file = find_task("cartpole").file
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(file), "--json"])
    assert not ended.value.code
    said = json.loads(capsys.readouterr().out)
    assert said["D"] == 562
    assert len(said["forms"]) == 5
    assert all(form["steps/s"] > 100 for form in said["forms"])
    costs = {row["trainer"]: row for row in said["trainers"]}
    assert costs["es"]["steps a run"] == 500_000
    assert costs["es"]["a measurement, core minutes"] == 20.0


def test_check_takes_a_name_and_tells_each_warning_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    text = FAULTY.format(what="nothing").replace("tests.trainers.faulty:NotANumber", "loud:Loud")
    (tmp_path / "mine.yml").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["--envs", str(tmp_path), "check", "mine"])
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    assert f"'rlidim --envs {tmp_path} mine measure'" in said.out
    assert said.err.splitlines() == ["warning: a slip of mine (loud.py, line 10)"]


def test_a_list_is_as_wide_as_the_terminal() -> None:
    rows = [{"task": "a" * 20, "kind": "b" * 20, "network": "c" * 20, "ours": "d" * 20}]
    assert "b" in text_table(rows, 100, ("kind", "network"))
    assert max(map(len, text_table(rows, 70, ("kind", "network")).splitlines())) == 64
    narrow = text_table(rows, 10, ("kind", "network"))
    assert narrow.split() == ["task", "ours", "-" * 20, "-" * 20, "a" * 20, "d" * 20]


@pytest.mark.parametrize("what", ["observation", "reward"])
def test_check_finds_what_is_not_finite(tmp_path: Path, what: str) -> None:
    (tmp_path / "mine.yml").write_text(FAULTY.format(what=what))
    with pytest.raises(RlidimError, match=f"mine.yml: .*{what}.*"):
        trials(load_task(tmp_path / "mine.yml"))


LOUD = """
import warnings
import gymnasium, numpy as np

class Loud(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, what):
        warnings.warn("\x1b[33mWARN: a slip of mine\x1b[0m")

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, True, False, {}

gymnasium.register("Loud-v0", entry_point=Loud)
"""
STRAYING = """
import gymnasium, numpy as np

class Straying(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, how):
        self.how = how

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.time += 1
        if self.how == "raises":
            raise ValueError("a slip")
        if self.how == "exits":
            raise SystemExit(3)
        numbers = 4 if self.how == "shape" and self.time > 5 else 3
        return np.zeros(numbers, np.float32), 1.0, False, self.how == "ends", {}

gymnasium.register("Straying-v0", entry_point=lambda how: Straying(how))
"""


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("raises", 2, "one environment: ValueError: a slip (straying.py, line "),
        ("exits", 2, "one environment: SystemExit: 3 (straying.py, line "),
        ("shape", 2, "an observation has the shape (4,), its space (3,)"),
        ("never", 0, "No episode has ended"),
    ],
)
def test_check_finds_what_would_end_training(
    tmp_path: Path, how: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "straying.py").write_text(STRAYING)  # beside the task, and nowhere else
    file = tmp_path / "mine.yml"
    text = FAULTY.replace("tests.trainers.faulty:NotANumber-v0", "straying:Straying-v0")
    file.write_text(text.replace("what: {what}", "how: {what}").format(what=how))
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(file)])
    assert (ended.value.code or 0) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert "Traceback" not in shown.err


def refused(file: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what ``check`` says of a task's file that it refuses."""
    file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(file)])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_check_tries_the_network_s_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = "[{theta_0_seed: 1, family: rademacher, D: 9, seed: 1, theta_d: [1.0]}]"
    text = (
        "title: x\nenvironment: {id: CartPole-v1}\ntrainers: {es: {n_timesteps: 9}}\n"
        f"network: {{hidden: [4], start: {start}}}\n"
    )
    said = refused(tmp_path / "mine.yml", text, capsys)
    assert "mine.yml: network: start: a solution of D = 9" in said


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("sac: {n_timesteps: 500}", "trainers: sac: sac needs continuous actions, task 'mine'"),
        (
            "recurrent_ppo: {n_timesteps: 500}",
            "trainers: recurrent_ppo: network: memory: task 'mine' has none",
        ),
        (
            "maskable_ppo: {n_timesteps: 500}",
            "trainers: maskable_ppo: environment 'CartPole-v1' does not say",
        ),
    ],
)
def test_check_asks_each_trainer(
    tmp_path: Path, trainer: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "title: x\nenvironment: {id: CartPole-v1}\nnetwork: {hidden: [4]}\n"
        f"trainers: {{es: {{n_timesteps: 9}}, {trainer}}}\n"
    )
    assert f"mine.yml: {said}" in refused(tmp_path / "mine.yml", text, capsys)


@pytest.mark.parametrize("word", ["train", "measure", "play"])
def test_a_task_comes_first(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([word, "cartpole"])
    assert ended.value.code == 2
    assert f"a task comes first: rlidim TASK {word}" in capsys.readouterr().err


def test_a_supervised_task_has_nothing_to_play(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(find_task("mnist-fc").file)])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "D = 199,210" in said
    assert "Random actions" not in said


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({2: [20.0] * 8, 4: [500.0] * 8}, "about 3 of 562 numbers are enough (95 %: 3 to 4)"),
        ({2: [20.0] * 8, 4: [20.0] * 8}, "more than 4 of 562 numbers are needed (95 %: at least "),
        ({2: [500.0] * 8, 4: [500.0] * 8}, "at most 2 of 562 numbers are enough (95 %: at most "),
        ({2: [20.0] * 8, 562: [20.0] * 8}, "not even 562 numbers in a random basis are enough"),
    ],
)
def test_a_measurement_in_plain_words(
    scores: dict[int, list[float | None]], expected: str, tmp_path: Path
) -> None:
    task = make_task(target=Target(500.0, "a test"))
    (found,) = gather(measured(task, scores), {task.name: task}, results_folder=tmp_path)
    said = plainly(found)
    assert said.startswith("synthetic by es: ")
    assert expected in said
    assert "16 runs in subspaces, 5 native, 1 of random actions; " in said
    assert said.endswith("core minutes.")
