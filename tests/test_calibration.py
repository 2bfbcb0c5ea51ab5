"""Calibration compares what was read with what construction fixes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from rlidim.cli import cli
from rlidim.records.cell import Cell
from rlidim.records.measurement import gather
from rlidim.report import bases, coverages
from rlidim.sweep import calibration, repeated
from rlidim.tasks.names import find_task, task_files
from tests.factory import make_record, make_task


def reading(known: int, step: int) -> calibration.Reading:
    task = make_task(known=known)
    cells = [Cell.random(task.name)]
    cells += [Cell.baseline(task.name, "es", seed) for seed in range(3)]
    cells += [
        Cell(task.name, "es", "rademacher", d, seed) for d in (2, 3, 4, 6) for seed in range(5)
    ]
    records = []
    for cell in cells:
        solved = cell.d is None or cell.d >= step
        score = 0.0 if cell.trainer == "random" else 1.0 if solved else 0.1
        records.append(make_record(task, cell, score))
    (measurement,) = gather(records, {task.name: task}, results_folder=Path("r"))
    return calibration.Reading.of(task, measurement)


def test_a_known_dimension_inside_or_outside_its_interval() -> None:
    assert reading(known=3, step=3).holds
    wrong = reading(known=6, step=3)
    assert not wrong.holds
    table = calibration.table([reading(known=3, step=3), wrong])
    assert "yes" in table
    assert "NO" in table


def test_what_lies_beyond_an_open_end_is_open() -> None:
    """An instrument that never passed is not certified."""
    never = reading(known=30, step=100)
    assert never.interval[1] is None
    assert never.holds is None
    assert "open" in calibration.table([never])


def test_every_known_task_is_planned_for_each_of_its_trainers() -> None:
    loaded = {name: find_task(name) for name in task_files(None)}
    planned = {(plan.task.name, plan.trainer) for plan in calibration.plans(loaded)}
    for codimension in (1, 3, 10):
        for trainer in ("es", "cmaes", "ppo"):
            assert (f"codimension-{codimension}", trainer) in planned
    assert ("toy", "supervised") in planned
    assert all(loaded[name].known is not None for name, _ in planned)


def test_every_cheap_row_s_search_is_repeated_as_often_as_asked_and_a_dear_one_s_less() -> None:
    loaded = {name: find_task(name) for name in task_files(None)}
    refused: list[str] = []
    plans = repeated.plans(loaded, 10, refused.append)
    assert Counter((plan.task.name, plan.trainer) for plan in plans) == {
        ("cartpole", "es"): 10,
        ("cartpole", "cmaes"): 10,
        ("cartpole", "ppo"): 4,
        ("acrobot", "es"): 10,
        ("inverted-pendulum", "es"): 10,
        ("codimension-3", "ppo"): 10,
        ("mnist-fc-50x1", "adam"): 10,
    }
    numbers = [plan.replication for plan in plans]
    assert numbers == sorted(numbers)  # a sitting that is cut short has some of each
    assert len({(*plan.subject, plan.cell(8, 0).seed) for plan in plans}) == len(plans)
    assert not refused
    variant = next(plan.task for plan in plans if plan.task.name == "mnist-fc-50x1")
    assert variant.supervised.classifier.hidden == (50,)
    on_record = repeated.plans({**loaded, variant.name: variant}, 2, refused.append)
    assert [plan.task for plan in on_record].count(variant) == 2


def test_the_help_names_the_bounds_that_the_code_has() -> None:
    shown = " ".join(CliRunner().invoke(cli, ["calibrate", "--help"]).stdout.split())
    assert f"up to {bases.LARGEST:,} parameters" in shown
    assert f"less than {100 * coverages.PROMISED:g} %" in shown
    assert f"{max(repeated.AT_MOST.values())} times at most" in shown
