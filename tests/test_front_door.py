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
from rlidim.report.overview import plainly
from rlidim.tasks.loading import load_task
from rlidim.tasks.names import find_task
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
        ("list --results", "list --results"),
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
    assert len(said["forms"]) == 4
    assert all(form["steps/s"] > 100 for form in said["forms"])
    costs = {row["trainer"]: row for row in said["trainers"]}
    assert costs["es"]["steps a run"] == 500_000
    assert costs["es"]["a measurement, core minutes at most"] == 20.0


@pytest.mark.parametrize("what", ["observation", "reward"])
def test_check_finds_what_is_not_finite(tmp_path: Path, what: str) -> None:
    (tmp_path / "mine.yml").write_text(FAULTY.format(what=what))
    with pytest.raises(RlidimError, match=f"mine.yml: .*{what}.*"):
        trials(load_task(tmp_path / "mine.yml"))


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
        ({2: [500.0] * 8, 4: [500.0] * 8}, "about 2 of 562 numbers are enough (95 %: at most "),
        ({2: [20.0] * 8, 562: [20.0] * 8}, "not even 562 numbers in a random basis are enough"),
    ],
)
def test_a_measurement_in_plain_words(
    scores: dict[int, list[float | None]], expected: str, tmp_path: Path
) -> None:
    task = make_task()
    (found,) = gather(measured(task, scores), {task.name: task}, results_folder=tmp_path)
    said = plainly(found)
    assert said.startswith("synthetic by es: ")
    assert expected in said
    assert "16 runs in subspaces, 5 native, 1 of random actions; " in said
    assert said.endswith("core minutes.")
