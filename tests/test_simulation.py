"""The table of coverage: made line by line, resumed, and with the search in the loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rlidim.errors import RlidimError
from rlidim.report import coverages
from rlidim.report.coverages import SEARCHED
from rlidim.report.places import COVERAGE
from rlidim.statistics.coverage import Case
from rlidim.sweep import simulation
from rlidim.sweep.simulation import Study, searched_study
from tests.factory import make_task

ROOT = Path(__file__).parent.parent
CASES = [Case("step", "precise", 3), Case("step", "precise", 5), Case("dip", "gaussian", 3, 3, 0.1)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave three cases of the table."""
    monkeypatch.setattr(simulation, "cases", lambda: iter(CASES))
    monkeypatch.setattr(simulation, "searched_cases", lambda: CASES[:1])


def make(file: Path) -> tuple[list[dict[str, str]], list[str]]:
    told: list[str] = []
    return simulation.make_table(file, 4, make_task(), 1, told.append), told


@pytest.mark.usefixtures("few")
def test_a_table_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "coverage.csv"
    rows, told = make(file)
    assert [row["kind"] for row in rows] == ["ladder", "ladder", "search", "ladder"]
    assert len(told) == 4
    assert coverages.read(file) == rows
    assert make(file) == (rows, [])
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:2]) + "\n")
    again, told = make(file)
    assert again == rows
    assert len(told) == 3


@pytest.mark.usefixtures("few")
def test_figures_of_other_code_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "coverage.csv"
    make(file)
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], *(line[:-1] + "?" for line in lines[1:])]) + "\n")
    assert len(make(file)[1]) == 4


@pytest.mark.usefixtures("few")
def test_another_search_leaves_the_figures_of_whole_ladders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "coverage.csv")
    of_now = simulation.code
    monkeypatch.setattr(simulation, "code", lambda searched: of_now(searched) + "?" * searched)
    _, told = make(tmp_path / "coverage.csv")
    assert [line.split()[1] for line in told] == ["search"]


def test_what_a_whole_ladder_depends_on_is_what_it_imports() -> None:
    """But for the reading by the mean, which has a study of its own."""
    program = (
        "import sys, rlidim.statistics.coverage; "
        "print(*(name for name in sys.modules if name.startswith('rlidim.statistics.')))"
    )
    names = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    files = {f"{name.rpartition('.')[2]}.py" for name in names.decode().split()}
    assert files - {"mean.py", "mean_interval.py"} == {*simulation.READ}


@pytest.mark.usefixtures("few")
def test_a_quick_try_does_not_replace_a_table_of_more_repetitions(tmp_path: Path) -> None:
    file = tmp_path / "coverage.csv"
    make(file)
    before = file.read_bytes()
    with pytest.raises(RlidimError, match="has 4 repetitions of its cases, not 2: move it away"):
        simulation.make_table(file, 2, make_task(), 1, lambda line: None)
    assert file.read_bytes() == before


def test_another_file_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "coverage.csv").write_text("a,b\n1,2\n")
    with pytest.raises(RlidimError, match="not a table of coverage"):
        coverages.read(tmp_path / "coverage.csv")
    assert coverages.read(tmp_path / "none.csv") == []


@pytest.mark.usefixtures("few")
def test_the_tables_say_where_the_worst_case_is(tmp_path: Path) -> None:
    rows, _ = make(tmp_path / "coverage.csv")
    rows[1] = {**rows[1], "coverage": "0.91"}
    assert not coverages.holds(rows)
    short, every = coverages.tables(rows)
    assert [row[1] for row in short.rows] == ["target", "target", "target", "3 native, sd 0.1"]
    assert short.rows[1][4:7] == ("91.0", "step, precise", "1")
    assert short.rows[2][0] == "chosen by the search"
    assert len(every.rows) == 4
    assert coverages.tables([]) == []


def test_the_table_on_record_is_whole_and_of_this_code() -> None:
    """After a change of what reads or searches: rlidim calibrate --coverage."""
    rows = coverages.read(ROOT / "results" / COVERAGE)
    ladders = [Study(case, False, 1000, make_task()).key for case in simulation.cases()]
    searches = [Study(case, True, 1000, make_task()).key for case in simulation.searched_cases()]
    assert {tuple(row[name] for name in coverages.KEY) for row in rows} == {*ladders, *searches}
    assert all(row["code"] == simulation.code(row["kind"] == SEARCHED) for row in rows)
    assert coverages.holds(rows)


def test_a_searched_interval_holds_the_truth_and_is_narrow() -> None:
    study = searched_study(Case("logistic", "bimodal", 4), 20, make_task(), seed=1)
    assert study["coverage"] >= 0.85
    assert study["settled"] > 0.8
    assert study["median_ratio"] <= simulation.PRECISION
    assert 20 < study["mean_runs"] < 200
    assert study == searched_study(Case("logistic", "bimodal", 4), 20, make_task(), seed=1)
