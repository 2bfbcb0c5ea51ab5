"""The condition number of what a subspace leaves of a one-step task."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from rlidim.projections.spec import ProjectionSpec
from rlidim.records.folder import Results
from rlidim.records.measurement import gather
from rlidim.report import conditioning
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Network

RESULTS = Path(__file__).parents[2] / "results"


def spec(d: int) -> ProjectionSpec:
    return ProjectionSpec(family="rademacher", D=75, d=d, seed=3)


def test_one_equation_is_always_well_conditioned() -> None:
    assert conditioning.condition(dataclasses.replace(spec(1), D=25), 1) == pytest.approx(1.0)


def test_a_basis_that_meets_an_equation_once_more_is_singular() -> None:
    """At d = k it is a k x k matrix; with fewer columns than equations its rank is theirs."""
    assert 1.0 < conditioning.condition(spec(3), 3) < 1e6
    assert conditioning.condition(spec(2), 3) >= 1.0


def test_the_recorded_failures_are_those_of_ill_conditioned_subspaces() -> None:
    names = ("codimension-3", "codimension-10")
    records, _ = Results(RESULTS).scan()
    measured = gather(
        [record for record in records if record.cell.task in names],
        {name: find_task(name) for name in names},
        results_folder=RESULTS,
    )
    runs = conditioning.points(measured)
    assert len(runs) >= 20
    number, solved = runs.T
    assert np.median(number[solved == 1]) < 0.3 * np.median(number[solved == 0])
    # As docs/method.md says.
    bounds = ((0, 10), (10, 24), (35, np.inf))
    within = [solved[(low <= number) & (number < high)] for low, high in bounds]
    (_, low), (middle, of_middle), (high, of_high) = [(int(s.sum()), len(s)) for s in within]
    assert within[0].all()
    said = (
        f"of the {len(runs)} runs on record at d = k all {low} with a condition number below 10 "
        f"solve the task, {middle} of {of_middle} from there to 24, and {high} of {of_high} "
        "above 35"
    )
    page = Path(__file__).parent.parent.parent / "docs" / "method.md"
    assert said in " ".join(page.read_text().split())
    # Of a policy with a hidden layer its equations say nothing.
    deeper = [
        dataclasses.replace(each, task=each.task.replace_problem(network=Network(hidden=(4,))))
        for each in measured
        if each.task is not None
    ]
    assert not len(conditioning.points(deeper))


def test_without_such_runs_nothing_is_drawn(tmp_path: Path) -> None:
    assert conditioning.plot([], tmp_path) == []
    assert list(tmp_path.iterdir()) == []
