"""Records: written once and whole, read strictly, claimed by one process at a time."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.executors import making
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.records import files
from rlidim.records.cell import Cell, Seeds
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.folder import Results, read_record
from rlidim.records.lock import claim
from rlidim.records.record import CURVE_POINTS, Outcome, decode, encode, thinned
from rlidim.records.text import sealed, text_of
from rlidim.tasks.names import find_task
from tests.factory import make_record, make_task

CELL = Cell("synthetic", "es", "rademacher", 8, 3)


def test_round_trip(tmp_path: Path) -> None:
    results = Results(tmp_path)
    record = make_record(make_task(), CELL, 1.5)
    path = results.write(record)
    assert path == tmp_path / "synthetic" / "es-rademacher" / "d8-s3.json"
    loaded = results.load(CELL)
    assert loaded == record
    assert loaded is not None
    assert loaded.same_result(dataclasses.replace(record, provenance={"seconds": 9}))
    assert not loaded.same_result(dataclasses.replace(record, score=1.6))


def test_the_text_of_a_record(tmp_path: Path) -> None:
    """A list of numbers takes one line, and the checksum does not depend on how it is laid out."""
    record = make_record(make_task(), CELL, 2.0, returns=(1.0, 3.0), curve=((1, 0.5), (2, 1.0)))
    path = Results(tmp_path).write(record)
    text = path.read_text()
    assert ' "returns": [1.0, 3.0],\n' in text
    assert ' "curve": [\n  [1, 0.5],\n  [2, 1.0]\n ],\n' in text
    assert text.endswith("}\n")
    content = json.loads(text)
    assert content["schema"] == 2
    path.write_text(json.dumps(content, indent=3, sort_keys=True))
    assert read_record(path) == record


def test_a_record_of_schema_1_is_written_anew_in_schema_2(tmp_path: Path) -> None:
    old = make_record(make_task(), CELL, 1.0, schema=1)
    results = Results(tmp_path)
    path = results.write(old)
    assert json.loads(path.read_text())["schema"] == 2
    read = read_record(path)
    assert read.same_result(old)


@pytest.mark.parametrize(
    "value", [[], {}, [[]], {"a": {}}, [1, None, "x"], [{"a": [1, 2]}, [[3]]], "\u2028", 1e-300]
)
def test_text_is_json_of_the_same_value(value: object) -> None:
    assert json.loads(text_of(value)) == value


def test_names_of_cells() -> None:
    assert str(Cell.baseline("t", "ppo", 2)) == "t/ppo-native/full-s2"
    assert str(Cell.random("t")) == "t/random/s0"
    assert str(dataclasses.replace(CELL, scope="all")) == "synthetic/es-rademacher-all/d8-s3"


def test_vectors_survive_base64_bit_for_bit() -> None:
    vector = np.random.default_rng(0).normal(size=100).astype(np.float32)
    assert np.array_equal(decode(encode(vector)), vector)


def test_seeds_differ_and_keep_to_their_ranges() -> None:
    cells = [Cell("t", "es", "rademacher", d, seed) for d in range(1, 30) for seed in range(20)]
    seeds = [Seeds.of(cell) for cell in cells]
    assert seeds == [Seeds.of(cell) for cell in cells]
    for name in ("theta_0", "projection", "training", "evaluation"):
        assert len({getattr(seed, name) for seed in seeds}) > 0.999 * len(seeds)
    size = 2**29
    for seed in seeds:
        assert 0 <= seed.training < size - 2**20
        assert size <= seed.checkpoint < 2 * size - 2**20
        assert 2 * size <= seed.evaluation < 3 * size - 2**20


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"schema": 1, "cell"', "truncated or not JSON"),
        ("", "truncated or not JSON"),
        ('{"name": "other"}', "not a record of rlidim"),
        ("[1]", "not a record of rlidim"),
        ('{"schema": 99}', "schema 99 is newer"),
        ('{"schema": 1}', "not a record of rlidim"),
    ],
)
def test_bad_files_are_named_and_kept(tmp_path: Path, content: str, expected: str) -> None:
    results = Results(tmp_path)
    good = results.write(make_record(make_task(), dataclasses.replace(CELL, seed=0), 1.0))
    bad = results.path(CELL)
    bad.write_text(content)
    with pytest.raises(RlidimError, match=expected) as raised:
        results.load(CELL)
    assert str(bad) in str(raised.value)
    found, problems = results.scan()
    assert [record.cell.seed for record in found] == [0]
    assert len(problems) == 1
    assert str(bad) in problems[0]
    assert bad.read_text() == content
    assert good.exists()


def test_a_record_of_another_cell_is_refused(tmp_path: Path) -> None:
    results = Results(tmp_path)
    path = results.write(make_record(make_task(), CELL, 1.0))
    other = dataclasses.replace(CELL, seed=4)
    path.rename(results.path(other))
    with pytest.raises(RlidimError, match="holds the record of"):
        results.load(other)


def test_no_nan_in_a_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nan"):
        Results(tmp_path).write(make_record(make_task(), CELL, float("nan")))
    assert not list(tmp_path.rglob("*.json"))
    path = Results(tmp_path).path(CELL)
    path.parent.mkdir(parents=True)
    content = make_record(make_task(), CELL, 1.0).to_json()
    path.write_text(text_of(sealed(json.loads(json.dumps({**content, "score": None})))))
    with pytest.raises(RlidimError, match="status is ok but the score is None"):
        read_record(path)


def test_unwritable_folder_is_said_at_once(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RlidimError, match="cannot be written"):
        Results(blocked / "results").check_writable()


def test_nothing_is_left_of_an_interrupted_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Results(tmp_path).write(make_record(make_task(), CELL, 1.0))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def _hold(folder: Path, held: multiprocessing.synchronize.Event) -> None:
    with claim(folder, CELL) as mine:
        assert mine
        held.set()
        time.sleep(60)


def test_a_claim_is_exclusive_and_dies_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(30)
    with claim(tmp_path, CELL) as mine:
        assert not mine
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    with claim(tmp_path, CELL) as mine:
        assert mine


def test_what_a_killed_process_left_half_written_goes(tmp_path: Path) -> None:
    results = Results(tmp_path)
    folder = results.path(CELL).parent
    folder.mkdir(parents=True)
    (folder / ".d8-s3.json.x7.tmp").write_text("{")
    (folder / ".d8-s4.json.x8.tmp").write_text("{")  # another cell's: perhaps being written
    results.write(make_record(make_task(), CELL, 1.0))
    assert sorted(path.name for path in folder.iterdir()) == [".d8-s4.json.x8.tmp", "d8-s3.json"]


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    """Two commands that write the same table disturb neither; the last one's stands."""
    path = tmp_path / "TABLES[1].md"
    mine, name = files._begin(path)
    files.replace_file(path, b"theirs")
    assert {each.name for each in tmp_path.iterdir()} == {path.name, Path(name).name}
    os.close(mine)  # as when its process is killed
    files.replace_file(path, b"the next one's")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"the next one's"


def test_a_half_that_was_cleared_before_it_was_locked_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    make_file = tempfile.mkstemp

    def make(**where: Any) -> tuple[int, str]:
        descriptor, name = make_file(**where)
        names.append(name)
        if len(names) == 1:
            os.unlink(name)
        return descriptor, name

    monkeypatch.setattr(tempfile, "mkstemp", make)
    files.replace_file(tmp_path / "file", b"whole")
    assert len(names) == 2
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_long_curve_is_thinned() -> None:
    curve = tuple((step, float(step)) for step in range(1000))
    kept = thinned(curve)
    assert len(kept) == CURVE_POINTS
    assert (kept[0], kept[-1]) == (curve[0], curve[-1])
    assert set(kept) <= set(curve)
    assert thinned(curve[:200]) == curve[:200]


def test_settings_that_came_later_are_left_out_at_their_defaults() -> None:
    task = make_task()
    cell = Cell("synthetic", "es", "rademacher", 2, 0)
    assert "normalize" not in configuration(task, cell)["trainer"]
    changed = task.replace_settings("es", {"normalize": True})
    assert configuration(changed, cell)["trainer"]["normalize"] is True
    assert hash_of(configuration(changed, cell)) != hash_of(configuration(task, cell))


@pytest.mark.parametrize("group", ["cartpole/es-rademacher", "inverted-pendulum/es-native"])
def test_committed_records_resume_without_a_run(
    group: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New settings must leave what was measured before them valid."""
    monkeypatch.setattr(making, "train", lambda *_: pytest.fail("a run was made"))
    folder = Path(__file__).parent.parent / "results"
    shutil.copytree(folder / group, tmp_path / group)
    paths = sorted((tmp_path / group).glob("*.json"))
    assert paths
    for path in paths:
        record = read_record(path)
        job = Job(find_task(record.cell.task), record.cell, tmp_path)
        assert run(job) == record


def test_a_record_says_what_its_bits_depend_on(tmp_path: Path) -> None:
    """The kernels' instruction set, torch's, the threads of the run, the processor's model."""
    import torch

    from rlidim.projections import cpp_kernels

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        task = find_task("codimension-1").replace_settings("cmaes", {"n_timesteps": 2000})
        record = run(Job(task, Cell(task.name, "cmaes", "rademacher", 1, 0), tmp_path))
    finally:
        torch.set_num_threads(before)
    assert record.provenance["arithmetic"] == {
        "instruction_set": cpp_kernels.instruction_set(),
        "torch_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
    }
    assert record.provenance["hardware"]["processor"]


def test_why_a_run_failed_is_one_line() -> None:
    frames = 'Traceback (most recent call last):\n  File "a.py", line 1, in step\n    raise error\n'
    record = make_record(
        make_task(), CELL, None, status="failed", error=f"{frames}ValueError: a\nb\n"
    )
    assert record.reason == "ValueError: a b"
    assert dataclasses.replace(record, error="killed").reason == "killed"
    indented = 'Traceback\n  File "a.py", line 1, in f\n    g()\nValueError: bad level:\n  seed 3'
    assert dataclasses.replace(record, error=indented).reason == "ValueError: bad level: seed 3"
    deep = (
        'Traceback\n  File "a.py", line 1, in f\n    f()\n  [Previous line repeated 9x]\nDeep: end'
    )
    assert dataclasses.replace(record, error=deep).reason == "Deep: end"
    assert dataclasses.replace(record, error=None).reason == ""


def outcome(**changes: Any) -> Outcome:
    whole: dict[str, Any] = {
        "status": "ok",
        "returns": (1.0,),
        "D": 4,
        "environment_steps": 10,
        "curve": (),
        "stopped": "budget",
        "theta_d": np.zeros(2, np.float32),
        "theta": None,
        "spec": {},
        "network": {},
    }
    return Outcome(**{**whole, **changes})


def test_numpy_s_numbers_in_an_outcome_become_plain() -> None:
    plain = outcome(
        D=np.int64(4),
        returns=np.ones(2, np.float32),
        curve=[(np.int32(3), np.float32(0.5))],
        theta_d=[1, 2],
        details={"loss": np.float32(0.5), "counts": np.arange(2)},
    ).in_plain_numbers()
    assert plain.returns == (1.0, 1.0)
    assert plain.curve == ((3, 0.5),)
    assert plain.theta_d is not None
    assert plain.theta_d.dtype == np.float32
    assert json.dumps(plain.details) == '{"loss": 0.5, "counts": [0, 1]}'
    assert type(plain.D) is int


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"D": 4.5}, "D: "),
        ({"returns": ()}, "returns: none"),
        ({"returns": None}, "returns: "),
        ({"theta_d": np.zeros((2, 2))}, "theta_d: a vector is expected"),
        ({"details": {"a": object()}}, "details: "),
    ],
)
def test_a_wrong_field_of_an_outcome_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        outcome(**changes).in_plain_numbers()
