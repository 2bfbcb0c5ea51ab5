"""Native training without a measurement: a row, a learning curve, and gone once it is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.measurement import gather
from rlidim.records.record import RunRecord
from rlidim.report.baselines import table, unmeasured
from rlidim.report.write import write_tables
from rlidim.tasks.settings import PPOSettings
from rlidim.tasks.task import Target
from tests.factory import make_record, make_task
from tests.report.synthetic import baseline, measured, random, runs

TASK = make_task("hard")


def curved(record: RunRecord) -> RunRecord:
    about = {"seconds": 7_200.0, "cpu_seconds": 3_600.0}
    points = ((0, 20.0), (500, 100.0), (1_000, 480.0))
    return dataclasses.replace(record, curve=points, environment_steps=1_000, provenance=about)


def natives() -> list[RunRecord]:
    return [curved(record) for record in baseline(TASK, (480.0, 460.0))]


def test_what_it_reached_and_cost() -> None:
    found = unmeasured([*natives(), random(TASK)], [], {"hard": TASK})
    (row,) = table(found).rows
    assert row == ("hard", "es", "562", "470 ± 14 (2)", "-", "-", "1,000", "1.00")


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((480.0, 460.0, 20.0), "2 of 3"),
        ((480.0, 20.0), "1 of 2"),
        ((480.0, 20.0, None), "1 of 3, native unsolved"),
    ],
)
def test_how_many_reach_the_target(scores: tuple[float | None, ...], said: str) -> None:
    """From random actions' 20 to the target's 500, 0.9 of the way is 452."""
    task = dataclasses.replace(TASK, target=Target(500.0, "a test's"))
    records = baseline(task, scores)
    (found,) = unmeasured([*records, random(task)], [], {"hard": task})
    (row,) = table([found]).rows
    assert row[5] == said


def test_without_random_actions_only_the_whole_target_counts() -> None:
    task = dataclasses.replace(TASK, target=Target(500.0, "a test's"))
    for scores, said in (((500.0, 480.0), "at least 1 of 2"), ((500.0, 510.0), "2 of 2")):
        (found,) = unmeasured(baseline(task, scores), [], {"hard": task})
        assert table([found]).rows[0][5] == said


def test_a_failed_run_is_no_baseline() -> None:
    failed = [dataclasses.replace(each, status="failed", score=None) for each in natives()]
    assert unmeasured(failed, [], {}) == []
    (found,) = unmeasured([natives()[0], failed[1]], [], {})
    (row,) = table([found]).rows
    assert row[3:] == ("480 (1)", "-", "-", "1,000", "1.00")


def test_a_diverged_run_counts_as_random_actions_do() -> None:
    first, second = natives()
    lost = dataclasses.replace(second, status="diverged", score=None)
    (found,) = unmeasured([first, lost, random(TASK)], [], {"hard": TASK})
    assert found.scores == [480.0, 20.0]


def test_other_settings_are_left_out_and_said() -> None:
    first, second = natives()
    other = dataclasses.replace(second, config_hash="another")
    (found,) = unmeasured([first, other], [], {"hard": TASK})
    assert [record.cell.seed for record in found.runs] == [0]
    assert "made with other settings" in found.warnings[0]


def test_random_actions_of_another_environment_are_left_out() -> None:
    other = dataclasses.replace(random(TASK), config_hash="another")
    (found,) = unmeasured([*natives(), other], [], {"hard": TASK})
    assert found.random_score is None
    assert "/random: 1 record made with other settings" in found.warnings[0]


def test_a_measured_one_stands_elsewhere(tmp_path: Path) -> None:
    records = measured(TASK, {8: [500.0] * 5})
    measurements = gather(records, {"hard": TASK}, results_folder=tmp_path)
    assert unmeasured(records, measurements, {"hard": TASK}) == []
    both = make_task("hard", trainers={**TASK.trainers, "ppo": PPOSettings(n_timesteps=1_000)})
    others = baseline(both, (480.0,), trainer="ppo")
    (found,) = unmeasured([*records, *others], measurements, {"hard": TASK})
    assert found.label == "hard, ppo, native"


def test_the_tables_show_the_curve(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for record in [*natives(), *runs(make_task("other"), {4: [1.0]})]:
        results.write(record)
    files, problems = write_tables(results, {"hard": TASK})
    assert problems == []
    page = (tmp_path / "TABLES.md").read_text()
    assert "## Native training alone\n" in page
    assert "![hard, es, native](figures/native-hard-es.svg)" in page
    assert tmp_path / "figures" / "native-hard-es.svg" in files


@pytest.mark.parametrize(("native", "shown"), [(100.0, True), (500.0, False)])
def test_a_measured_row_shows_the_curve_where_it_is_native_unsolved(
    native: float, shown: bool, tmp_path: Path
) -> None:
    task = dataclasses.replace(TASK, target=Target(500.0, "a test's"))
    failed = curved(make_record(task, Cell.baseline("hard", "es", 9), None, status="failed"))
    natives = [curved(record) for record in baseline(task, (native,) * 3)]
    subspaces = runs(task, {4: [20.0] * 4, 8: [native] * 4})
    results = Results(tmp_path)
    for record in [*natives, failed, random(task), *subspaces]:
        results.write(record)
    files, _ = write_tables(results, {"hard": task})
    page = (tmp_path / "TABLES.md").read_text()
    section = page.split("### hard, es, rademacher\n")[1]
    assert ("native unsolved" in section) == shown
    assert ("![hard, es, native](figures/native-hard-es.svg)" in section) == shown
    assert (tmp_path / "figures" / "native-hard-es.svg" in files) == shown
    assert "## Native training alone" not in page
    if shown:
        assert (
            "hard, es, native (3 runs)" in (tmp_path / "figures" / "native-hard-es.svg").read_text()
        )
