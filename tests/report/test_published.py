"""Published numbers, read by their own rule from our scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rlidim.records.measurement import Measurement, gather
from rlidim.report import published
from rlidim.tasks.task import Baseline, Task
from tests.factory import make_task
from tests.report.synthetic import measured
from tests.report.synthetic import published as entry_of

# Native training scores 500, random actions 20: 90 % of the way is 452, 90 % of 400 is 360.
SCORES: dict[int, list[float | None]] = {
    4: [100.0, 101.0, 99.0],
    8: [300.0, 301.0, 299.0],
    16: [400.0, 401.0, 399.0],
    32: [490.0, 491.0, 489.0],
}


def one(task: Task) -> Measurement:
    (found,) = gather(measured(task, SCORES), {task.name: task}, results_folder=Path("results"))
    return found


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        (Baseline("global", 400.0), 400.0),
        (Baseline("local", 0.991), 500.0),
        (Baseline("local"), None),
    ],
)
def test_what_a_baseline_means(baseline: Baseline, expected: float | None) -> None:
    measurement = one(make_task())
    assert published.threshold(entry_of(8, baseline=baseline), measurement) == expected


def test_a_global_baseline_is_another_threshold() -> None:
    measurement = one(make_task())
    own = measurement.estimate
    theirs = published.reread(entry_of(12, baseline=Baseline("global", 400.0)), measurement)
    local = published.reread(entry_of(12, baseline=Baseline("local", 1.0)), measurement)
    assert own is not None
    assert theirs is not None
    assert local is not None
    # 360 lies 0.6 of the way from 300 to 400; 452 and 450 between 400 and 490.
    assert theirs.d_int == 13
    assert 16 < (local.d_int or 0) <= 32


@pytest.mark.parametrize(
    ("d", "verdict"),
    [(13, "contains it"), (18, "is within a rung of it"), (60, "misses it"), (2, "misses it")],
)
def test_verdicts(d: int, verdict: str) -> None:
    measurement = one(make_task())
    entry = entry_of(d, baseline=Baseline("global", 400.0))
    theirs = published.reread(entry, measurement)
    assert theirs is not None
    low, high = theirs.interval
    assert low is not None
    assert high is not None
    assert low <= 13 <= high < 18 <= high * published.RUNG
    assert published.verdict(entry, measurement) == verdict


@pytest.mark.parametrize(
    ("kept", "d", "verdict"),
    [
        ((4, 8), 60, published.OPEN),  # beyond what was tested
        ((4, 8), 3, published.MISSES),  # 300 at d = 8 is below
        ((16, 32), 3, published.OPEN),
        ((16, 32), 60, published.MISSES),
    ],
)
def test_an_open_end_decides_nothing(kept: tuple[int, ...], d: int, verdict: str) -> None:
    task = make_task()
    some = measured(task, {key: SCORES[key] for key in kept})
    (found,) = gather(some, {task.name: task}, results_folder=Path("results"))
    assert published.verdict(entry_of(d, baseline=Baseline("global", 400.0)), found) == verdict


def test_a_local_baseline_is_read_at_the_papers_score_too() -> None:
    measurement = one(make_task())
    entry = entry_of(12, baseline=Baseline("local", 400.0))
    theirs, same = (
        published.reread(entry, measurement),
        published.reread_at_their_number(entry, measurement),
    )
    assert theirs is not None
    assert same is not None
    assert same.d_int == 13
    assert (theirs.d_int or 0) > 16
    assert (
        published.reread_at_their_number(entry_of(12, baseline=Baseline("local")), measurement)
        is None
    )


def test_the_share_is_the_entrys_own() -> None:
    measurement = one(make_task())
    entry = dataclasses.replace(entry_of(12, baseline=Baseline("global", 400.0)), fraction=0.5)
    theirs = published.reread(entry, measurement)
    assert theirs is not None
    assert 4 < (theirs.d_int or 0) <= 8  # 200 lies between 100 and 300


def test_a_baseline_that_is_the_lowest_score_is_no_threshold() -> None:
    assert published.reread(entry_of(8, baseline=Baseline("global", 0.0)), one(make_task())) is None
