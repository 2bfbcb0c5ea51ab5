"""Files that a stranger may have made: named in one line, never believed, run, or waited for."""

from __future__ import annotations

import copy
import functools
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlidim.cli import cli
from rlidim.errors import RlidimError, printable
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.cell import Cell
from rlidim.records.configuration import hash_of
from rlidim.records.folder import Results, read_record
from rlidim.records.record import encode
from rlidim.records.text import sealed, text_of
from rlidim.report.descriptions import read as read_descriptions
from rlidim.report.places import DESCRIPTIONS
from rlidim.report.write import write_tables
from rlidim.solutions import compressed_file, description, file
from rlidim.solutions.playback import parameters_of, policy_of
from rlidim.solutions.quantisation import quantise
from rlidim.tasks.loading import COMMANDS, load_task
from rlidim.tasks.names import find_task, find_tasks
from tests.factory import make_record, make_task

RLIDIM = Path(sys.executable).parent / "rlidim"
CELL = Cell("synthetic", "es", "rademacher", 8, 3)
ACTOR = {  # a network of 4 (8 + 1) ... parameters: D = 58
    "observation_size": 4,
    "output_size": 2,
    "hidden": [8],
    "activation": "relu",
    "initialisation": "he_normal",
    "output_gain": 1.0,
    "action": "argmax",
}
D = 58
YAML = """title: probe
environment: {id: CartPole-v1}
network: {hidden: [8]}
trainers:
  es: {n_timesteps: 500}
"""


def good() -> dict[str, Any]:
    """Return a record with everything in it, as JSON."""
    spec = {"family": "rademacher", "D": D, "d": 8, "seed": 1, "layout_version": 1, "options": {}}
    record = make_record(
        make_task(),
        CELL,
        2.0,
        returns=(1.0, 3.0),
        D=D,
        solution={
            "spec": spec,
            "theta_0_seed": 5,
            "theta_d": encode(np.ones(8, np.float32)),
            "network": ACTOR,
        },
    )
    return json.loads(json.dumps(record.to_json()))  # type: ignore[no-any-return]


def changed(**changes: Any) -> dict[str, Any]:
    """Return the record with values changed; ``__`` stands between the keys of a path."""
    content = good()
    for path, value in changes.items():
        *before, last = path.split("__")
        place = content
        for name in before:
            place = place[name]
        place[last] = value
    return content


def unsealed(text: str) -> str:
    """Return a record's text as it was before there were checksums."""
    content = json.loads(text)
    del content["checksum"]
    return json.dumps({**content, "schema": 1}, indent=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (' "D": 58,\n "environment', ' "D": 59,\n "environment'),
        ('"environment_steps": 1000', '"environment_steps": 1001'),
        ('"curve": [\n  [500, 1.0]\n ]', '"curve": []'),
        ('"seconds": 1.0', '"seconds": 0.5'),
        ('"attempts": 1', '"attempts": 1, "remark": "mine"'),
        ('"schema": 2', '"schema": 1'),
        ('"checksum": "', '"checksum": "0'),
    ],
)
def test_a_record_that_was_changed_by_hand_is_left_out(
    tmp_path: Path, before: str, after: str
) -> None:
    with_neighbour(tmp_path)
    path = put(tmp_path, good())
    text = path.read_text()
    assert text.count(before) == 1
    path.write_text(text.replace(before, after))
    found, (problem,) = Results(tmp_path).scan()
    assert len(found) == 1
    assert str(path) in problem
    assert "checksum is not that of its content" in problem


def test_settings_that_were_changed_by_hand_are_left_out(tmp_path: Path) -> None:
    """In a record of schema 1 too, which has no checksum."""
    path = put(tmp_path, good())
    before = '"n_timesteps": 1000'
    for text in (path.read_text(), unsealed(path.read_text())):
        assert before in text
        path.write_text(text.replace(before, '"n_timesteps": 2000'))
        with pytest.raises(RlidimError, match="config_hash is not that of its settings"):
            read_record(path)


def test_a_record_without_a_checksum_must_be_old(tmp_path: Path) -> None:
    path = put(tmp_path, good())
    old = unsealed(path.read_text())
    path.write_text(old)
    assert read_record(path).same_result(read_record(put(tmp_path / "other", good())))
    path.write_text(old.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(RlidimError, match="checksum"):
        read_record(path)


@pytest.mark.parametrize("schema", [0, -1, True, 1.0, "2", None])
def test_a_strange_schema_is_none(tmp_path: Path, schema: Any) -> None:
    path = put(tmp_path, {**good(), "schema": schema})
    with pytest.raises(RlidimError, match="not a record of rlidim"):
        read_record(path)


def put(folder: Path, content: dict[str, Any] | str | bytes, name: str = "d8-s3") -> Path:
    path = folder / "synthetic" / "es-rademacher" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        try:  # by one who knows how to make a checksum
            content = text_of(sealed(content))
        except (TypeError, ValueError):  # no number, or keys, of JSON
            content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def with_neighbour(folder: Path) -> None:
    """Write a good record of another seed beside."""
    Results(folder).write(make_record(make_task(), Cell.baseline("synthetic", "es", 0), 1.0))


def line_of(function: Callable[[], object], otherwise: str) -> str:
    """Return the line that a function fails with, if it fails; any other error is a defect."""
    try:
        function()
    except RlidimError as error:
        return str(error)
    return otherwise


def test_the_good_record_is_read(tmp_path: Path) -> None:
    path = put(tmp_path, good())
    (record,), problems = Results(tmp_path).scan()
    assert problems == []
    assert read_record(path) == record
    _, theta = parameters_of(record, path, tmp_path)
    assert theta.shape == (D,)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cell__task": "../../../x"}, "no name"),
        ({"cell__task": "a/b"}, "no name"),
        ({"cell__task": "a\\b"}, "no name"),
        ({"cell__task": "a\0b"}, "no name"),
        ({"cell__task": "a\x1b[31mb"}, "no name"),
        ({"cell__task": "a\ud800b"}, "truncated or not JSON"),
        ({"cell__task": ""}, "no name"),
        ({"cell__trainer": "../es"}, "no name"),
        ({"cell__projection": "x" * 300}, "no name"),
        ({"cell__task": "other"}, "holds the record of other/"),
        ({"cell__seed": 4}, "holds the record of"),
        ({"cell__d": math.inf}, "not JSON"),
        ({"cell__d": 2**40}, "cell.d: expected a whole number"),
        ({"cell__d": True}, "cell.d: expected a whole number"),
        ({"cell__d": 59}, "more than D"),
        ({"cell": None}, "cell: expected a mapping"),
        ({"cell__scope": ["all"]}, "cell.scope: expected one of"),
        ({"config_hash": None}, "config_hash: expected a text"),
        ({"status": "fine"}, "status: expected one of ok"),
        ({"score": "2"}, "score: expected a finite number"),
        ({"score": 1e300}, "score: expected a finite number"),
        ({"score": 1000.0}, "the score is 1000, but the mean of its returns 2"),
        ({"returns": []}, "no returns"),
        ({"returns": [1.0, [3.0]]}, "returns: expected a list of numbers"),
        ({"curve": [[1, 2, 3]]}, "curve: expected pairs"),
        ({"curve": [["1", 2.0]]}, "curve: expected whole numbers"),
        ({"settings": []}, "settings: expected a mapping"),
        ({"settings__evaluation__minimum": "low"}, "settings.evaluation.minimum: expected"),
        ({"provenance__seconds": -1}, "provenance.seconds: expected"),
        ({"provenance__versions": {"numpy": {"a": 1}}}, "provenance.versions.numpy: expected"),
        ({"solution__theta_d": "AAAAAAA="}, "not 8 float32 numbers"),
        ({"solution__network__hidden": [-1]}, "solution.network.hidden: expected"),
        ({"solution__spec__d": 9}, "solution.spec: d = 9"),
        ({"seeds__theta_0": None}, "seeds.theta_0: expected"),
        ({"seeds__theta_0": -1}, "seeds.theta_0: expected a whole number from 0"),
        ({"solution__theta_0_seed": -1}, "solution.theta_0_seed: expected a whole number from 0"),
        ({"details": {"a": [[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]}}, "nested deeper"),
    ],
)
def test_a_wrong_record_is_named_and_left_out(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    with_neighbour(tmp_path)
    path = put(tmp_path, changed(**changes))
    found, problems = Results(tmp_path).scan()
    assert [record.cell.d for record in found] == [None]
    (problem,) = problems
    assert str(path) in problem
    assert expected in problem
    assert "\n" not in problem
    write_tables(Results(tmp_path), {})
    inside = {entry.name for entry in tmp_path.iterdir()}
    assert inside >= {"TABLES.md", "tables.csv"}
    assert not (tmp_path.parent / "x").exists()


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, b"\xff\xfe", "[1e999]", '{"schema": NaN}'],
)
def test_what_is_hardly_json_is_named(tmp_path: Path, content: str | bytes) -> None:
    path = put(tmp_path, content)
    with pytest.raises(RlidimError, match="not a record") as raised:
        read_record(path)
    assert str(path) in str(raised.value)


def test_what_is_no_regular_file_is_neither_waited_for_nor_read(tmp_path: Path) -> None:
    with_neighbour(tmp_path)
    folder = tmp_path / "synthetic" / "es-rademacher"
    folder.mkdir()
    os.mkfifo(folder / "d1-s0.json")
    (folder / "d2-s0.json").symlink_to("/dev/zero")
    (folder / "d3-s0.json").mkdir()
    with (folder / "d4-s0.json").open("wb") as sparse:
        sparse.truncate(2**36)
    (folder / "d5-s0.json").symlink_to("d5-s0.json")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, problems = Results(tmp_path).scan()
    assert len(found) == 1
    assert len(problems) == 5
    assert sum("not a regular file" in problem for problem in problems) == 3
    assert sum("bytes, at most" in problem for problem in problems) == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
    for problem, path in zip(problems, sorted(folder.iterdir()), strict=True):
        assert str(path) in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"solution__network__hidden": [10**9]}, "the record says 58"),
        ({"solution__network__hidden": [9]}, "its network has D = 65"),
        ({"solution__network__activation": 3, "solution__network__colour": 1}, "description"),
        ({"solution__theta_d": "~" * 44}, "not base64"),
        ({"solution__network__initialisation": None}, "initialisation: expected one of he_normal"),
        ({"solution__network__activation": "softplus"}, "activation: expected one of relu, tanh"),
        ({"solution__network__action": "clip"}, "clip needs 'low' and 'high'"),
        ({"solution__network__output_gain": [1]}, "output_gain: expected a finite number"),
        ({"solution__network__low": [0.0]}, "low: 1 numbers, output_size is 2"),
        ({"solution__network__low": [0, 1]}, "'low' and 'high' go together"),
        ({"solution__network__observation_mean": ["a"] * 4}, "expected a list of numbers"),
    ],
)
def test_a_wrong_solution_has_one_line_and_no_memory(
    tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    path = put(tmp_path, changed(**changes))
    with pytest.raises(RlidimError, match=expected) as raised:
        parameters_of(read_record(path), path, tmp_path)
    assert str(path) in str(raised.value)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    record = make_record(make_task(), CELL, 2.0, returns=(5.0,))
    with pytest.raises(ValueError, match="mean of its returns 5"):
        Results(tmp_path).write(record)
    assert list(tmp_path.iterdir()) == []


def test_a_solution_that_is_no_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / file.FILE
    os.mkfifo(path)
    with pytest.raises(RlidimError, match="not a regular file"):
        file.load(path)


def test_numbers_that_a_compressed_file_only_claims_are_not_decoded(tmp_path: Path) -> None:
    """2^24 equal numbers are a few bytes, and would be minutes of decoding."""
    task = find_task("mnist-fc")
    path = tmp_path / "a.rlz"
    header = {
        "task": task.name,
        "theta_0_seed": 1,
        "settings": description.settings_of(task),
        "score": 0.5,
        "spec": {"family": "rademacher", "D": 199_210, "d": 750, "seed": 1},
    }
    compressed_file.write(path, header, quantise(np.ones(750), 2, "uniform"))
    content = bytearray(path.read_bytes())
    content[8:12] = (2**24).to_bytes(4, "little")  # d
    path.write_bytes(with_checksum(bytes(content)))
    started = time.process_time()
    assert description.task_of(path) == task.name
    with pytest.raises(RlidimError, match="16,777,216 numbers for 750 of 199,210") as raised:
        description.decode(task, path)
    assert str(path) in str(raised.value)
    assert time.process_time() - started < 2


def test_wrong_descriptions_are_named(tmp_path: Path) -> None:
    folder = tmp_path / DESCRIPTIONS
    folder.mkdir()
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "list.json").write_text("[[[1, 2]]]")
    (folder / "types.json").write_text('[{"record": ["a"], "method": "x"}]')
    os.mkfifo(folder / "pipe.json")
    found, problems = read_descriptions(tmp_path)
    assert found == []
    assert [Path(problem.split(":")[0]).name for problem in problems] == [
        "deep.json",
        "list.json",
        "pipe.json",
        "types.json",
    ]


HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**40,
    1e308,
    -1e-308,
    "",
    "x" * 5_000,
    "../../x",
    "\x1b[31m",
    "=cmd|' /C calc'!A0",
    [],
    [[]],
    {},
    {"a": {}},
    [None],
    ["a"],
]


def places(value: Any) -> list[tuple[Any, ...]]:
    """Return the path of every value within a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [
        path
        for key, inner in items
        for path in [
            (key,),
            *((key, *rest) for rest in (places(inner) if isinstance(inner, dict | list) else [])),
        ]
    ]


PLACES = places(good())


@pytest.mark.slow
@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    edits=st.lists(
        st.tuples(st.sampled_from(PLACES), st.sampled_from([*HOSTILE, "delete"])),
        min_size=1,
        max_size=3,
    )
)
def test_no_mutation_of_a_record_stops_the_tables(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[tuple[Any, ...], Any]]
) -> None:
    content = good()
    for path, value in edits:
        place: Any = content
        try:
            for key in path[:-1]:
                place = place[key]
            if value == "delete":
                del place[path[-1]]
            else:
                place[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier edit took the place away
    if all(path != ("config_hash",) for path, _ in edits) and "settings" in content:
        content["config_hash"] = hash_of(content["settings"])  # a forger knows how
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "a" / "results"
    with_neighbour(folder)
    Results(folder).write(make_record(make_task(), Cell.random("synthetic"), 0.0))
    path = put(folder, content)
    before = path.read_bytes()
    started = time.process_time()
    records, problems = Results(folder).scan()
    assert time.process_time() - started < 2
    assert len(records) + len(problems) == 3
    assert all(str(path) in problem and "\n" not in problem for problem in problems)
    write_tables(Results(folder), {})
    assert path.read_bytes() == before
    assert [entry.name for entry in outside.iterdir()] == ["a"]
    assert [entry.name for entry in (outside / "a").iterdir()] == ["results"]
    found = next((record for record in records if record.cell == CELL), None)
    if found is not None:
        assert str(path) in line_of(lambda: policy_of(found, path, folder), str(path))


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(start=st.integers(0, 4_000), removed=st.integers(0, 40), added=st.binary(max_size=12))
def test_no_damage_of_a_record_raises_anything_else(
    tmp_path: Path, start: int, removed: int, added: bytes
) -> None:
    raw = json.dumps(good()).encode()
    path = put(tmp_path, raw[:start] + added + raw[start + removed :])
    assert str(path) in line_of(lambda: read_record(path), str(path))


EDITS = st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12))


def edited(raw: bytes, edit: tuple[float, int, bytes]) -> bytes:
    """Return bytes with some removed and some added at a place, which is a share of them."""
    share, removed, added = edit
    start = int(share * len(raw))
    return raw[:start] + added + raw[start + removed :]


@functools.cache
def compressed() -> bytes:
    """Return a compressed solution."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.rlz"
        compressed_file.write(path, {"task": "a"}, quantise(np.arange(40.0), 8, "kmeans"))
        return path.read_bytes()


def with_checksum(content: bytes) -> bytes:
    """Return a compressed solution whose damage its checksum does not tell."""
    return content[:-4] + zlib.crc32(content[:-4]).to_bytes(4, "little")


KINDS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "task.yml": ((Path(__file__).parent.parent / "envs/mnist-fc.yml").read_bytes(), load_task),
    "task.yaml": ((Path(__file__).parent.parent / "envs/cartpole.yml").read_bytes(), load_task),
    "solution.safetensors": (
        file.serialise(
            file.Solution(
                ProjectionSpec("rademacher", D, 8, 1), np.ones(8, np.float32), 5, None, ACTOR, {}
            )
        ),
        file.load,
    ),
    "damaged.rlz": (compressed(), compressed_file.read),
    "forged.rlz": (compressed(), compressed_file.read_header),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=st.lists(EDITS, min_size=1, max_size=3))
def test_no_damage_of_any_other_file_raises_anything_else(
    tmp_path: Path, name: str, edits: list[tuple[float, int, bytes]]
) -> None:
    raw, read = KINDS[name]
    for edit in edits:
        raw = edited(raw, edit)
    path = tmp_path / name
    path.write_bytes(with_checksum(raw) if name == "forged.rlz" else raw)
    started = time.process_time()
    assert str(path) in line_of(lambda: read(path), str(path))
    assert time.process_time() - started < 2


@pytest.mark.parametrize("kind", ["a pipe", "deep", "types", "another's"])
def test_a_command_about_a_strangers_record_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "record.json"
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        content: Any = good()
        if kind == "types":
            content["settings"]["environment"] = [[]]
        path.write_text("[" * 100_000 if kind == "deep" else json.dumps(content))
    done = rlidim(tmp_path, "cartpole", "play", str(path), "--video", str(tmp_path / "a.gif"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {path}")


# Tasks' files


def task_file(folder: Path, text: str, name: str = "probe.yml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


LAUGHS = "a: &a [1, 1]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (YAML + "title: again\n", "the key 'title' stands here twice.*line 6"),
        (YAML + "  es: {n_timesteps: 1}\n", "the key 'es' stands here twice.*line 6"),
        (YAML + LAUGHS, "aliases and anchors are not allowed.*line 6"),
        (YAML + "sources: *nowhere\n", "aliases and anchors are not allowed"),
        (YAML + "known: 2024-13-45\n", "month must be in.*line 6"),
        (YAML + "known: !!int x\n", "no int.*line 6"),
        (YAML + "known: !!bool x\n", "no bool"),
        (YAML + "known: !!timestamp x\n", "no timestamp"),
        (YAML + "known: !!python/object/apply:os.system [exit]\n", "could not determine"),
        (YAML + f"known: {'1' * 10_000}\n", "no int"),
        (YAML + f"known: {'[' * 3_000}\n", "nested too deep"),
        (YAML + 'sources: "\\e[31mred"\n', "cannot be printed"),
        (YAML.replace("CartPole-v1", '"a:b:c"'), "id: expected a name such as CartPole-v1"),
        (YAML.replace("500", "500, population: 1000000000"), "population must be .* at most"),
        (YAML.replace("es: {", "../x: {module: json, "), "../x: .*no Settings|no name"),
        (YAML + "#" * 200_000, "bytes, at most"),
        ("\x00", "not a YAML file"),
    ],
)
def test_a_wrong_task_has_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = task_file(tmp_path, text)
    started = time.process_time()
    with pytest.raises(RlidimError, match=expected) as raised:
        load_task(path)
    assert str(raised.value).startswith(str(path))
    assert "\n" not in str(raised.value)
    assert time.process_time() - started < 2


def test_a_task_is_a_regular_file(tmp_path: Path) -> None:
    path = tmp_path / "probe.yml"
    os.mkfifo(path)
    with pytest.raises(RlidimError, match="not a regular file"):
        load_task(path)


def test_a_module_that_ends_the_program_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ends_at_once.py").write_text("import sys; sys.exit(0)")
    text = YAML.replace("es: {", "mine: {module: ends_at_once.py, ")
    with pytest.raises(RlidimError, match=r"ends_at_once\.py' cannot be imported \(SystemExit"):
        load_task(task_file(tmp_path, text))


def test_yaml_is_an_ending_too(tmp_path: Path) -> None:
    task_file(tmp_path, YAML, "lander2.yaml")
    assert find_task("lander2", tmp_path).title == "probe"
    task_file(tmp_path, YAML, "lander2.yml")
    with pytest.raises(RlidimError, match=r"lander2\.yml is task 'lander2' too"):
        find_task("lander2", tmp_path)


def test_a_wrong_task_leaves_the_others(tmp_path: Path) -> None:
    task_file(tmp_path, YAML, "right.yml")
    wrong = task_file(tmp_path, "title: [", "wrong.yml")
    with pytest.raises(RlidimError, match=r"wrong\.yml"):
        find_tasks([], tmp_path)
    said: list[str] = []
    tasks = find_tasks([], tmp_path, bad=said.append)
    assert {"right", "cartpole"} <= tasks.keys()
    (line,) = said
    assert str(wrong) in line


def rlidim(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ("--envs", str(folder), "--results", str(folder / "results"))
    return subprocess.run(
        [RLIDIM, *options, *arguments], capture_output=True, text=True, cwd=folder, check=False
    )


def test_the_command_line_lists_the_others(tmp_path: Path) -> None:
    task_file(tmp_path, YAML, "right.yml")
    task_file(tmp_path, "title: [", "wrong.yml")
    task_file(tmp_path, YAML, "tables.yml")
    done = rlidim(tmp_path, "list")
    assert done.returncode == 0
    assert " right " in done.stdout
    assert " tables " not in done.stdout
    warnings = done.stderr.splitlines()
    assert len(warnings) == 2
    assert "tables.yml: 'tables' is a command" in warnings[0]
    assert "wrong.yml" in warnings[1]


def test_a_task_may_not_take_a_commands_name(tmp_path: Path) -> None:
    assert sorted(cli.commands) == sorted(COMMANDS)
    file = task_file(tmp_path, YAML, "tables.yml")
    with pytest.raises(RlidimError, match=r"tables\.yml: 'tables' is a command"):
        find_task("tables", tmp_path)
    for words in (["tables", "measure", "--dims", "3"], ["check", str(file)]):
        done = rlidim(tmp_path, *words)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {file}: 'tables' is a command: ")
    assert not (tmp_path / "results").exists()
    assert rlidim(tmp_path, "codimension-1").returncode == 0


# What is printed and written


def test_messages_are_one_line_without_control_characters() -> None:
    assert str(RlidimError("a\x1b[31m\nb\u202e")) == "a\\x1b[31m\\nb\\u202e"
    assert len(str(RlidimError("x" * 10**6))) == 2_000
    assert printable("ü — ✓ \u00a0") == "ü — ✓ \u00a0"


def test_a_long_title_is_cut(tmp_path: Path) -> None:
    task_file(tmp_path, YAML.replace("probe", "x" * 90_000))
    done = rlidim(tmp_path, "probe")
    assert done.returncode == 0
    assert len(done.stdout) < 5_000


def test_no_cell_of_a_csv_is_calculated(tmp_path: Path) -> None:
    results = Results(tmp_path)
    task = make_task("=cmd|' C calc'!A0")
    for cell, score in [
        (Cell(task.name, "es", "rademacher", 2, 0), -1.5),
        (Cell.baseline(task.name, "es", 0), 2.0),
        (Cell.random(task.name), -2.0),
    ]:
        results.write(make_record(task, cell, score))
    _, problems = write_tables(results, {task.name: task})
    assert problems == []
    for name in ("tables.csv", "scores.csv"):
        _, line = (tmp_path / name).read_text().splitlines()
        assert line.startswith("'=cmd")
    assert ",-1.5," in (tmp_path / "scores.csv").read_text()
