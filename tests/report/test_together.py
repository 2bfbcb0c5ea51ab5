"""A trainer of many runs stands beside the one that makes them alone; what differs is tested."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import fisher_exact

from rlidim.records.cell import Cell
from rlidim.records.measurement import gather
from rlidim.records.record import RunRecord
from rlidim.report.together import natives_agree, shares_agree, table
from rlidim.tasks.settings import PPOManySettings, PPOSettings
from rlidim.tasks.task import Target, Task
from tests.factory import make_record, make_task

SETTINGS = {"n_timesteps": 1000}


def task() -> Task:
    return make_task(
        target=Target(100.0, "ours"),
        trainers={"ppo": PPOSettings(**SETTINGS), "ppo-many": PPOManySettings(**SETTINGS)},  # type: ignore[arg-type]
    )


def records(trainer: str, solved: dict[int, tuple[int, int]]) -> list[RunRecord]:
    """Return records with so many of so many runs solved at each d, and five native ones."""
    made = task()
    cells = {
        Cell(made.name, trainer, "rademacher", d, seed): 100.0 if seed < good else 10.0
        for d, (good, count) in solved.items()
        for seed in range(count)
    }
    cells |= {Cell.baseline(made.name, trainer, seed): 99.0 + seed for seed in range(5)}
    return [make_record(made, cell, score) for cell, score in cells.items()]


def measured(*each: list[RunRecord]) -> list:  # type: ignore[type-arg]
    made = task()
    random = make_record(made, Cell.random(made.name), 0.0)
    return gather([*itertools.chain(*each), random], {made.name: made}, results_folder=Path("."))


def test_the_row_names_both_readings() -> None:
    solved = {2: (0, 6), 4: (3, 6), 8: (6, 6)}
    both = measured(records("ppo", solved), records("ppo-many", solved))
    (row,) = table(both).rows
    assert row[:2] == ("synthetic", "ppo-many")
    assert row[2] == row[3]
    assert row[4] == "1"
    assert row[5] == row[6] == "101 ± 1.6 (5)"
    assert row[7] == "1"
    assert table(measured(records("ppo-many", solved))).rows == ()


def test_the_shares_are_tested_by_the_exact_test_of_several_tables() -> None:
    one, other = {4: (1, 8), 16: (2, 9)}, {4: (7, 9), 32: (9, 9)}
    ppo, many = measured(records("ppo", one), records("ppo-many", other))
    assert ppo.estimate is not None
    assert many.estimate is not None
    # One d in common: Fisher's exact test.
    expected = fisher_exact([[1, 7], [7, 2]]).pvalue
    assert shares_agree(ppo.estimate, many.estimate) == pytest.approx(expected)
    # Two alike, each too little to tell, tell together.
    one, other = {4: (1, 6), 8: (1, 6)}, {4: (5, 6), 8: (5, 6)}
    ppo, many = measured(records("ppo", one), records("ppo-many", other))
    assert ppo.estimate is not None
    assert many.estimate is not None
    together = shares_agree(ppo.estimate, many.estimate)
    alone = fisher_exact([[1, 5], [5, 1]]).pvalue
    assert together is not None
    assert alone > 0.05 > 0.01 > together


def test_native_scores_are_tested_by_permutations() -> None:
    generator = np.random.default_rng(0)
    near = natives_agree(generator.normal(0, 1, 12).tolist(), generator.normal(0, 1, 12).tolist())
    far = natives_agree(generator.normal(0, 1, 12).tolist(), generator.normal(2, 1, 12).tolist())
    assert near is not None
    assert far is not None
    assert far < 0.001 < 0.05 < near
    assert natives_agree([1.0], [1.0, 2.0]) is None
