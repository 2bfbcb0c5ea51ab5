"""``rlidim tables`` from a folder of synthetic records to every file, twice the same."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.report import tables
from rlidim.report.write import write_tables
from rlidim.tasks.task import Task
from tests.factory import make_record, make_task
from tests.report.synthetic import curve, measured, published, runs

TASKS = {
    task.name: task
    for task in (
        make_task("cartpole", published=(published(),)),
        make_task("hard", published=(published(900, trainer="es"),)),
        make_task("toy", known=10),
    )
}
STEP_AT_10 = {d: [100.0 if d < 10 else 499.0] * 5 for d in (8, 9, 10, 12, 16, 32)}


def make_results(folder: Path) -> Results:
    """Write the records of five measurements, one of them without any estimate."""
    generator = np.random.default_rng(3)
    results = Results(folder)
    cartpole = TASKS["cartpole"]
    scores = curve(generator, (2, 4, 8, 16, 32), 6)
    scores[4][0] = None
    records = [
        *measured(cartpole, scores),
        *runs(cartpole, {8: [500.0]}, trainer="es", projection="sparse", scope="all"),
        *measured(TASKS["hard"], curve(generator, (1, 8, 64), 5000)),
        *measured(TASKS["toy"], STEP_AT_10),
        *runs(make_task("nobody-knows"), {4: [1.0]}),
        make_record(
            cartpole, Cell("cartpole", "es", "rademacher", 8, 9), None, status="failed", D=0
        ),
    ]
    for record in records:
        results.write(record)
    return results


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path], list[str]]:
    results = make_results(tmp_path_factory.mktemp("results"))
    files, problems = write_tables(results, TASKS)
    return results.folder, files, problems


def test_everything_is_written(written: tuple[Path, list[Path], list[str]]) -> None:
    folder, files, problems = written
    assert problems == []
    assert files[0] == folder / "TABLES.md"
    names = {str(path.relative_to(folder)) for path in files}
    assert {"TABLES.md", "tables.csv", "scores.csv", "tables.tex"} <= names
    stems = ("ladder", "cartpole-es-rademacher", "hard-es-rademacher", "toy-es-rademacher")
    assert {f"figures/{stem}.{end}" for stem in stems for end in ("svg", "png")} <= names
    assert all(path.stat().st_size > 100 for path in files)
    # Nothing but the records and what was announced.
    others = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {name for name in others - names if not name.endswith(".json")} == set()


def test_the_same_records_give_the_same_bytes_anywhere(
    written: tuple[Path, list[Path], list[str]], tmp_path: Path
) -> None:
    before = contents(written[0])
    write_tables(Results(written[0]), TASKS)
    assert contents(written[0]) == before
    elsewhere = make_results(tmp_path / "elsewhere")
    write_tables(elsewhere, TASKS)
    assert contents(elsewhere.folder) == before


def test_the_markdown_has_every_part(written: tuple[Path, list[Path], list[str]]) -> None:
    folder, _, _ = written
    page = (folder / "TABLES.md").read_text()
    for title in ("Measurements", "Calibration", "Against published numbers", "Every tested d"):
        assert f"## {title}\n" in page
    assert "| hard | es | rademacher | 562 | > 64 |" in page
    assert "| toy | es | rademacher | 562 | 10 | 10 | [10, 10] | yes |" in page
    # Rungs with their seeds; the failed run at d = 8 is no seed, the diverged one at 4 is.
    assert page.count("\n| 8 | 5 |") == 3
    assert "24 / 1 / 1" in page
    assert "no estimate: no record of random actions" in page
    assert "CartPole-v0; columns of P not normalised" in page
    assert "rlidim tables" in page
    assert "| rlidim | 0.1.0 |" in page
    assert str(folder) not in page
    for target in ("ladder", "cartpole-es-rademacher"):
        assert f"(figures/{target}.svg)" in page


def test_the_csv_files_hold_the_numbers(written: tuple[Path, list[Path], list[str]]) -> None:
    folder, _, _ = written
    with (folder / "tables.csv").open() as file:
        rows = {(row["task"], row["projection"]): row for row in csv.DictReader(file)}
    assert len(rows) == 5
    toy = rows["toy", "rademacher"]
    assert (toy["d_int"], toy["interval_low"], toy["interval_high"], toy["known"]) == (("10",) * 4)
    assert (toy["scale"], toy["native_unsolved"]) == ("local", "False")
    hard = rows["hard", "rademacher"]
    assert (hard["d_int"], hard["censored"], hard["largest_d"]) == ("", "above", "64")
    with (folder / "scores.csv").open() as file:
        scores = list(csv.DictReader(file))
    by_status = {row["status"]: row for row in scores}
    assert (by_status["diverged"]["score"], by_status["diverged"]["normalised"]) == ("", "0.0")
    assert (by_status["failed"]["score"], by_status["failed"]["normalised"]) == ("", "")
    for row in scores:
        if row["status"] == "ok" and row["task"] in TASKS and row["projection"] == "rademacher":
            expected = (float(row["score"]) - 20) / 480
            assert float(row["normalised"]) == pytest.approx(expected)


def test_the_page_and_the_figures_are_well_formed(
    written: tuple[Path, list[Path], list[str]],
) -> None:
    folder, files, _ = written
    shown = re.findall(r"!\[.*\]\((.+)\)", (folder / "TABLES.md").read_text())
    assert len(shown) == 5
    assert all((folder / name).is_file() for name in shown)
    for path in files:
        if path.suffix == ".svg":
            ElementTree.parse(path)
            assert b"<dc:date>" not in path.read_bytes()


def test_files_that_are_no_records_are_named_skipped_and_kept(tmp_path: Path) -> None:
    results = make_results(tmp_path)
    folder = tmp_path / "cartpole" / "es-rademacher"
    whole = json.loads((folder / "d8-s0.json").read_text())
    strange = {
        "truncated": (folder / "d8-s1.json").read_text()[:100],
        "foreign": '{"hello": "world"}',
        "newer": json.dumps({**whole, "schema": 99}),
        "b\udcffytes": "{",  # a name that is no UTF-8
    }
    before, _ = write_tables(results, TASKS)
    tables = before[0].read_text()
    for name, text in strange.items():
        (folder / f"{name}.json").write_text(text)
    _, problems = write_tables(results, TASKS)
    assert len(problems) == 4
    assert results.fingerprint() != results.fingerprint("pong")
    for name, said in (
        ("truncated", "truncated or not JSON"),
        ("foreign", "not a record of rlidim"),
        ("newer", "schema 99 is newer"),
    ):
        (line,) = [problem for problem in problems if f"{name}.json" in problem]
        assert said in line
        assert "skipped" in line
        assert (folder / f"{name}.json").read_text() == strange[name]
    page = (tmp_path / "TABLES.md").read_text()
    assert "cartpole/es-rademacher/newer.json" in page
    assert str(tmp_path) not in page
    # The numbers are the same as without those files.
    assert page.split("## Left out")[0] == tables.split("## Regenerate")[0]


def test_a_folder_without_records_gives_tables_that_say_so(tmp_path: Path) -> None:
    files, problems = write_tables(Results(tmp_path), TASKS)
    assert problems == []
    assert "no runs in subspaces on record" in files[0].read_text()


def test_no_folder_is_an_error_and_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="no such folder"):
        write_tables(Results(tmp_path / "absent"), TASKS)
    assert not (tmp_path / "absent").exists()


def test_names_with_special_characters_survive(tmp_path: Path) -> None:
    task: Task = make_task("odd|name_<b>$&#", published=(published(8, note="a | b <i> \\x $y$"),))
    results = Results(tmp_path)
    for record in measured(task, {4: [20.0] * 3, 8: [500.0] * 3}):
        results.write(record)
    write_tables(results, {task.name: task})
    markdown = (tmp_path / "TABLES.md").read_text()
    assert "odd\\|name\\_\\<b>\\$&amp;#" in markdown
    assert "(figures/odd%7Cname_%3Cb%3E%24%26%23-es-rademacher.svg)" in markdown
    assert (
        r"odd\textbar{}name\_\textless{}b\textgreater{}\$\&\#"
        in (tmp_path / "tables.tex").read_text()
    )


def test_the_nodes_of_a_cluster_are_counted() -> None:
    task = make_task()
    (record, *rest) = measured(task, {4: [20.0] * 3, 8: [500.0] * 3})
    away = dataclasses.replace(record, provenance={**record.provenance, "ray_node": "ab" * 28})
    rows = tables.origins([away, away, *rest]).rows
    assert ("Ray node", "abababab", "2") in rows
