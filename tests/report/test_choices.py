"""One choice at a time made otherwise: what becomes of the task, and what the table says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.cli import main
from rlidim.networks.perceptron import Architecture
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.report import choices
from rlidim.statistics.wording import beside
from rlidim.sweep import calibration
from rlidim.tasks.choices import BY_WIDTH, CHOICES, SUBJECTS, WIDTHS, Choice, multiplied
from rlidim.tasks.fields import recorded
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Network
from rlidim.tasks.task import Target
from tests.factory import make_task
from tests.report.synthetic import baseline, random, runs

ALL = {choice.name: choice for choice in CHOICES}
TASK = make_task()
SUBJECT = (TASK.name, "es")


def test_every_choice_changes_something_and_only_that() -> None:
    task, trainer = find_task("cartpole"), "es"
    for choice in CHOICES:
        made = choice.made(task, trainer)
        assert made is not None
        changed = {
            "settings": made.settings(trainer) != task.settings(trainer),
            "network": made.control.network != task.control.network,
            "family": choice.projection is not None,
        }
        assert sum(changed.values()) == 1, choice.name
        assert made.name == task.name
        assert made.settings("ppo") == task.settings("ppo")


def test_settings_are_multiplied() -> None:
    task = find_task("cartpole")
    assert ALL["rate-doubled"].made(task, "ppo-many").settings("ppo-many").learning_rate == (  # type: ignore[union-attr]
        "lin_0.002"
    )
    assert ALL["budget-halved"].made(task, "es").settings("es").n_timesteps == 250_000  # type: ignore[union-attr]
    assert multiplied("lin_0.5", 0.5) == "lin_0.25"
    assert ALL["width-64"].made(task, "es").control.network.hidden == (64, 64)  # type: ignore[union-attr]


def test_a_trainer_without_the_setting_is_left_out() -> None:
    assert ALL["sigma-halved"].made(find_task("cartpole"), "ppo-many") is None
    assert ALL["width-8"].made(find_task("mnist-fc"), "adam") is None
    plans = calibration.otherwise({"cartpole": find_task("cartpole")}, pytest.fail)
    named = {(choice.name, plan.trainer) for choice, plan in plans}
    assert len(named) == len(plans) == 2 * len(CHOICES) - 2
    assert ("family-gaussian", "gaussian") in {(c.name, plan.projection) for c, plan in plans}


def test_all_widths_of_one_row_come_before_those_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calibration, "BY_WIDTH", (("pendulum", "es"), ("acrobot", "es")))
    tasks = {name: find_task(name) for name in ("cartpole", "acrobot", "pendulum")}
    names = [plan.task.name for _, plan in calibration.otherwise(tasks, pytest.fail)]
    first = len(names) - 2 * len(WIDTHS)
    assert set(names[:first]) == {"cartpole"}
    assert names[first:] == ["pendulum"] * len(WIDTHS) + ["acrobot"] * len(WIDTHS)


def test_the_scale_of_theta_0() -> None:
    usual = Architecture(4, 2, (20, 20), "relu", "he_normal", 1.0, "argmax")
    double = Architecture(4, 2, (20, 20), "relu", "he_normal", 1.0, "argmax", scale=2.0)
    np.testing.assert_array_equal(2 * usual.initial_parameters(3), double.initial_parameters(3))
    assert Architecture.from_json(double.to_json()) == double
    # Settings and networks that are on record do not know of it.
    assert "scale" not in usual.to_json()
    assert "scale" not in recorded(Network(hidden=(20, 20)))


def measured(reading: int, native: float = 500.0) -> Measurement:
    """Return a measurement whose runs solve the task from a d on."""
    scores: dict[int, list[float | None]] = {
        reading // 2: [20.0] * 10,
        reading: [500.0] * 10,
        2 * reading: [500.0] * 10,
    }
    task = make_task(target=Target(475.0, "a test's"))
    records = [random(task), *baseline(task, (native,) * 5), *runs(task, scores)]
    (found,) = gather(records, {task.name: task}, results_folder=Path("results"))
    return found


@pytest.fixture(autouse=True)
def _one_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "SUBJECTS", (SUBJECT,))
    monkeypatch.setattr(choices, "BY_WIDTH", ())


def test_the_table_compares_with_the_row_as_it_is() -> None:
    table = choices.table({(*SUBJECT, ""): measured(8), (*SUBJECT, "tanh"): measured(32)})
    assert [row[0] for row in table.rows] == ["as it is", "tanh"]
    assert table.rows[0][2] == beside(measured(8).estimate)
    assert table.rows[1][3].startswith("3.8 [")
    assert choices.table({(*SUBJECT, ""): measured(8)}).rows == ()


@pytest.mark.parametrize(
    ("widths", "verdict"),
    [((8, 8, 8, 8), "supported"), ((8, 8, 8, 64), "refuted"), ((8, 8, 8, 16), "undecided")],
)
def test_the_claim_on_widths(widths: tuple[int, ...], verdict: str) -> None:
    found = {(*SUBJECT, ""): measured(8)}
    for choice, reading in zip(choices.WIDTHS, widths, strict=True):
        assert choices.width_claim(found) is None  # a width is missing
        found[(*SUBJECT, choice.name)] = measured(reading)
    claim = choices.width_claim(found)
    assert claim is not None
    assert claim.verdict == verdict, claim.figures
    wanting = f"decide: narrower intervals of {TASK.name} es with hidden layers of 256"
    assert claim.figures.endswith(wanting) == (verdict == "undecided")
    assert claim.rule == choices.WIDTH


def test_a_width_that_does_not_solve_the_task_natively_decides_nothing() -> None:
    readings = [measured(8), measured(8), measured(8), measured(64, native=100.0)]
    found = {
        (*SUBJECT, choice.name): each for choice, each in zip(choices.WIDTHS, readings, strict=True)
    }
    claim = choices.width_claim({(*SUBJECT, ""): measured(8), **found})
    assert claim is not None
    assert claim.verdict == "undecided"
    assert "native unsolved" in claim.figures
    wanting = f"What would decide: native runs that solve {TASK.name} es with hidden layers of 256"
    assert claim.figures.endswith(wanting)


def test_a_subject_that_is_missing_leaves_it_open_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = ((TASK.name, "ppo-many"), ("room", "es"))
    monkeypatch.setattr(choices, "BY_WIDTH", others)
    found = {(*SUBJECT, choice.name): measured(8) for choice in choices.WIDTHS}
    found |= {(*SUBJECT, ""): measured(8), ("room", "es", ""): measured(8)}
    found["room", "es", choices.WIDTHS[0].name] = measured(64)  # alone it is not judged yet
    claim = choices.width_claim(found)
    assert claim is not None
    assert claim.verdict == "undecided"
    assert f"a reading of {TASK.name} ppo-many" in claim.figures
    assert claim.figures.endswith("; room es with hidden layers of 16, 64, 256")


def test_records_of_other_settings_than_a_choice_s_are_said(tmp_path: Path) -> None:
    """The task's file has changed since: what was made otherwise then is none of it."""
    before = ALL["budget-halved"].made(TASK, "es")
    assert before is not None
    folder = choices.folder(tmp_path, "budget-halved")
    for record in [
        random(before),
        *baseline(before, (500.0,) * 5),
        *runs(before, {4: [500.0] * 4}),
    ]:
        Results(folder).write(record)
    found, problems = choices.read([], tmp_path, {TASK.name: TASK})
    assert problems == []
    assert found[TASK.name, "es", "budget-halved"].estimate is not None
    now = TASK.replace_settings("es", {"population": 8})
    _, problems = choices.read([], tmp_path, {TASK.name: now})
    assert len(problems) == 1
    assert "other settings" in problems[0]


@pytest.mark.slow
def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subjects = (("codimension-1", "cmaes"),)
    made = (Choice("family-gaussian", "P of the family gaussian", projection="gaussian"),)
    for module in (calibration, choices):
        monkeypatch.setattr(module, "SUBJECTS", subjects)
        monkeypatch.setattr(module, "CHOICES", made)
    results, command = tmp_path / "results", ["codimension-1", "measure", "--trainer", "cmaes"]
    with pytest.raises(SystemExit) as ended:
        main(["--results", str(results), *command, "--workers", "1", "--log-dir", str(tmp_path)])
    assert not ended.value.code
    calibrate = ["calibrate", "--choices", "--json", "--workers", "1", "--log-dir", str(tmp_path)]
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["--results", str(results), *calibrate])
    assert not ended.value.code
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["choices"]
    assert [row["choice"] for row in rows] == ["as it is", "P of the family gaussian"]
    assert rows[1]["d_int90"][0] == "1"
    records, problems = Results(choices.folder(results, "family-gaussian")).scan()
    assert not problems
    assert {record.cell.projection for record in records if record.cell.d} == {"gaussian"}


def test_the_subjects_are_rows_of_the_suite() -> None:
    for name, trainer in (*SUBJECTS, *BY_WIDTH):
        assert trainer in find_task(name).trainers
