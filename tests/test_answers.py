"""What is remembered is what would be worked out: no answer outlives what it was made of."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlidim import cli
from rlidim.cli import answers
from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.remembered import FOLDER, key_of, remembered
from rlidim.tasks import families
from rlidim.tasks.names import find_task
from tests.factory import make_record

COMMANDS = (["list"], ["codimension-3"])


def fill(folder: Path, score: float = 1.0) -> None:
    """Write a measurement of codimension-3 in which d = 3 reaches a score."""
    task, results = find_task("codimension-3"), Results(folder)
    made = [(Cell.random(task.name), 0.0)]
    for seed in range(3):
        made += [
            (Cell.baseline(task.name, "es", seed), 1.0),
            (Cell(task.name, "es", "rademacher", 2, seed), 0.1),
            (Cell(task.name, "es", "rademacher", 3, seed), score),
            (Cell(task.name, "es", "rademacher", 4, seed), 1.0),
        ]
    for cell, value in made:
        results.write(make_record(task, cell, value, D=75))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "results"
    fill(folder)
    monkeypatch.setenv("RLIDIM_RESULTS", str(folder))
    monkeypatch.setenv("RLIDIM_CACHE", str(tmp_path / "cache"))
    return folder


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(list(words))
    assert not ended.value.code
    return capsys.readouterr().out


def test_a_value_is_made_once_for_a_key(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    for key, expected in (("a", 0), ("a", 0), ("b", 1), ("a", 2)):
        with remembered(tmp_path / "memory.json") as memory:
            assert memory.recall("x", key, make) == expected


def test_what_was_made_before_an_end_is_remembered(tmp_path: Path) -> None:
    def interrupted() -> None:
        with remembered(tmp_path / "memory.json") as memory:
            memory.recall("x", "a", lambda: 7)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with remembered(tmp_path / "memory.json") as memory:
        assert memory.recall("x", "a", lambda: pytest.fail("made again")) == 7


@pytest.mark.parametrize("content", ["", "[]", '{"x": 3}', '{"x": {"key": "a"}}', "\x00"])
def test_a_damaged_file_remembers_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "memory.json"
    path.write_text(content)
    with remembered(path) as memory:
        assert memory.recall("x", "a", lambda: 7) == 7
    assert json.loads(path.read_text())["x"] == {"key": "a", "value": 7}


def test_a_folder_that_cannot_be_read_remembers_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for look in ("exists", "stat", "open"):
        monkeypatch.setattr(Path, look, refused)
    with remembered(tmp_path / "memory.json") as memory:
        assert memory.recall("x", "a", lambda: 7) == 7


def test_an_answer_is_of_the_task_as_it_is_loaded() -> None:
    """Of a module's settings, or a record to start from, its file says nothing."""
    task = find_task("cartpole")
    assert answers.about(task) == answers.about(find_task("cartpole"))
    assert answers.about(task) != answers.about(task.replace_settings("es", {"sigma": 0.7}))


def test_a_key_tells_its_parts_apart() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("a") == key_of(b"a")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_second_answer_is_the_first(
    results: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first = said(capsys, *command)
    assert "codimension-3" in first
    assert list((results / FOLDER).iterdir())
    assert said(capsys, *command) == first


@pytest.mark.parametrize("command", COMMANDS)
def test_an_answer_follows_the_records(
    results: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = said(capsys, *command)
    fill(results, score=0.0)
    after = said(capsys, *command)
    assert after != before
    fill(results)
    assert said(capsys, *command) == before


def test_a_folder_that_cannot_be_written_is_answered_from(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / FOLDER).write_text("in the way of the folder")
    first = said(capsys, "list")
    assert said(capsys, "list") == first
    assert (results / FOLDER).read_text() == "in the way of the folder"


def test_a_list_without_records_leaves_no_folder(
    tmp_path: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, "--results", str(tmp_path / "none"), "list")
    assert not (tmp_path / "none").exists()


def test_tables_are_written_again_where_one_is_missing_or_changed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = said(capsys, "tables")
    content = (results / "TABLES.md").read_text()
    figure = next((results / "figures").glob("*.svg"))
    (results / "TABLES.md").write_text("changed")
    figure.unlink()
    assert said(capsys, "tables") == first
    assert (results / "TABLES.md").read_text() == content
    assert figure.exists()


def test_a_second_answer_loads_nothing_heavy(results: Path) -> None:
    code = (
        "import sys, rlidim.cli\n"
        "try: rlidim.cli.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sorted({'torch', 'scipy', 'gymnasium', 'matplotlib'} & sys.modules.keys()))"
    )
    for command in (*COMMANDS, ["codimension-3", "measure", "--trainer", "nobody"]):
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", code, *command],
                capture_output=True,
                text=True,
                env=os.environ,
                check=True,
            )
        assert done.stdout.splitlines()[-1] == "", command


def test_the_critic_s_parameters_may_be_confined_too() -> None:
    task = find_task("cartpole")
    answers.check_dimensions(task, [562, 600], "all")
    for dims, scope, said in (
        ([600], "policy", "between 1 and D = 562, got 600"),
        ([0], "all", "at least 1, got 0"),
    ):
        with pytest.raises(RlidimError, match=said):
            answers.check_dimensions(task, dims, scope)


def test_the_families_known_without_torch_are_those_that_there_are() -> None:
    from rlidim.projections.backends import AUTO, ENTRY_POINTS, FAMILIES

    assert tuple(FAMILIES) == families.OWN
    assert (families.AUTO, families.ENTRY_POINTS) == (AUTO, ENTRY_POINTS)


MISTAKES = {
    "cartpole train --projection nonsense": "unknown projection 'nonsense'",
    "cartpole measure --projection gausian": "did you mean 'gaussian'",
    "cartpole train --trainer nobody": "nobody",
    "cartpole train --trainer es --scope all": "--scope all",
    "cartpole train --seed -1": "--seed",
    "cartpole train --set nothing=1": "unknown key 'nothing'",
    "cartpole train --processes 3 --trainer ppo": "--processes 3",
    "cartpole train --address localhost:1": "--executor ray",
    "cartpole measure --fraction 2": "--fraction",
    "cartpole play none.json": "none.json",
    "cartpole play {text}": "not a record",
    "cartpole play {record} --video out.bmp": ".gif or .mp4",
    "cartpole play {record} --episodes 0": "--episodes",
    "pong play {record} --seed 2147483647 --episodes 2": "--seed must be at most 2147483646",
    "pong play {record}": "a record of task 'cartpole'",
    "cartpole export {record} --sb3 model.pt": ".zip",
    "cartpole export {text} --sb3 model.zip": "not a record",
    "mnist-fc compress {text}": "not a record",
    "speed nothing": "unknown task 'nothing'",
    "speed --projection nonsense": "unknown projection 'nonsense'",
    "kernels --family nonsense": "unknown projection 'nonsense'",
}


def test_a_mistake_is_told_before_anything_heavy_is_loaded(results: Path, tmp_path: Path) -> None:
    record, text = tmp_path / "record.json", tmp_path / "text.json"
    task, cell = find_task("cartpole"), Cell("cartpole", "es", "rademacher", 3, 0)
    Results(tmp_path).write(make_record(task, cell, 500.0))
    Results(tmp_path).path(cell).rename(record)
    text.write_text("no record")
    code = (
        "import json, sys, rlidim.cli\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try: rlidim.cli.main(words)\n"
        "    except SystemExit as end:\n"
        "        heavy = sorted({'torch', 'scipy', 'matplotlib'} & sys.modules.keys())\n"
        "        print(end.code, *heavy)"
    )
    lines = [line.format(record=record, text=text).split() for line in MISTAKES]
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(lines)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert dict(zip(MISTAKES, done.stdout.splitlines(), strict=True)) == dict.fromkeys(
        MISTAKES, "2"
    )
    said = done.stderr.splitlines()
    for (line, expected), error in zip(MISTAKES.items(), said, strict=True):
        assert error.startswith("error: "), line
        assert expected in error, line


def test_an_answer_takes_a_moment(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CPU time, since others may be computing: what the user waits for on an idle core."""
    said(capsys, "list")
    seconds = []
    for _ in range(5):
        start = time.process_time()
        said(capsys, "list")
        seconds.append(time.process_time() - start)
    assert sorted(seconds)[2] < 1.0
