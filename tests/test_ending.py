"""Whatever ends a command before its time: one line, an exit code that says it, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from rlidim.cli import ending
from rlidim.errors import GO_ON, RlidimError
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.lock import claim
from tests.marks import slow_but
from tests.test_executors import COMMAND, MEASURE, TASK, state_of, workers_of

CELL = Cell(TASK, "cmaes", "rademacher", 1, 0)
ASLEEP = """
import sys, time
if "--multiprocessing-fork" in sys.orig_argv:
    time.sleep(120)
"""


def begin(folder: Path, *arguments: str, modules: Path | None = None) -> subprocess.Popen[str]:
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        [*COMMAND, "--results", str(folder / "results"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{modules}{os.pathsep}{root}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "moment", slow_but(["workers are importing"], ["workers are importing", "runs are being made"])
)
def test_sigterm_ends_the_workers_too(tmp_path: Path, moment: str) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    if moment == "workers are importing":  # for longer than this test would wait for them
        (modules / "sitecustomize.py").write_text(ASLEEP)
    process = begin(tmp_path, *MEASURE, "--workers", "2", modules=modules)
    if moment == "workers are importing":
        # The third is multiprocessing's tracker of semaphores, which ends by itself.
        wait_for(lambda: len(workers_of(process.pid)) >= 3)
    else:
        wait_for(lambda: len(list((tmp_path / "results").rglob("*-s*.json"))) >= 2)
    workers = workers_of(process.pid)
    os.kill(process.pid, signal.SIGTERM)  # the parent alone
    _, said = process.communicate(timeout=60)
    assert process.returncode == ending.TERMINATED
    assert said.strip().splitlines()[-1] == f"terminated: {GO_ON}"
    assert "Traceback" not in said
    wait_for(lambda: all(state_of(worker)[0] in "XZ" for worker in workers))
    _, problems = Results(tmp_path / "results").scan()
    assert problems == []


def test_a_command_that_catches_everything_is_ended_all_the_same(tmp_path: Path) -> None:
    script = tmp_path / "stubborn.py"
    script.write_text(
        """
import time
from rlidim.cli import ending

ending.GRACE = 0.2

def stubborn():
    while True:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except BaseException:
            pass

with ending.terminable():
    ending.code_of(stubborn)
"""
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == ending.TERMINATED


def test_the_handler_that_was_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ending.terminable():
        pass
    assert signal.getsignal(signal.SIGTERM) == before
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ending.terminable():
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, mine)


def shell(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's script in which ``rlidim`` is the program."""
    return subprocess.run(
        [
            "bash",
            "-c",
            f'set -o pipefail; rlidim() {{ "{sys.executable}" -m rlidim "$@"; }}\n{script}',
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@needs_full
@pytest.mark.parametrize("command", ["list", "--help"])
def test_a_full_standard_output_is_one_line(tmp_path: Path, command: str) -> None:
    done = shell(tmp_path, f"rlidim {command} > /dev/full")
    assert done.returncode == ending.MISTAKE
    (line,) = done.stderr.splitlines()
    assert line == "error: standard output: cannot be written (No space left on device)"


@needs_full
def test_a_full_standard_error_costs_no_run(tmp_path: Path) -> None:
    train = f"{TASK} train --trainer cmaes --dim 1 --set n_timesteps=500"
    done = shell(tmp_path, f"rlidim {train} 2> /dev/full")
    assert done.returncode == 0
    assert len(Results(tmp_path / "results").scan()[0]) == 1
    assert shell(tmp_path, "rlidim nothing 2> /dev/full").returncode == ending.MISTAKE


@pytest.mark.parametrize("command", ["rlidim --help", "rlidim nothing 2>&1"])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, command: str) -> None:
    done = shell(tmp_path, f"{command} | true")
    assert done.returncode == ending.UNREAD
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
def test_too_little_memory_is_one_line(tmp_path: Path) -> None:
    """Less than torch's library alone, which is the first to want much."""
    done = shell(tmp_path, f"ulimit -v 300000; rlidim {TASK} train --trainer cmaes --dim 1")
    assert done.returncode == ending.MISTAKE
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: out of memory (")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        ImportError("libtorch.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
    ],
)
def test_whatever_says_that_there_is_no_memory(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise ImportError("a package could not be imported") from error

    assert ending.code_of(fails) == ending.MISTAKE
    assert capsys.readouterr().err.startswith("error: out of memory (")


def test_a_defect_keeps_its_traceback() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ending.code_of(fails)


def full(lock: filelock.FileLock, force: bool = False) -> None:
    raise OSError(28, "No space left on device")


def test_a_lock_that_cannot_be_given_back_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filelock.FileLock, "release", full)
    said = r"lock of .* cannot be given back \(No space left"
    with pytest.raises(RlidimError, match=said), claim(tmp_path, CELL):
        pass
    with (
        pytest.raises(RlidimError, match="the record's own"),
        claim(tmp_path, CELL.baseline("a", "es", 0)),
    ):
        raise RlidimError("the record's own")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("cartpole measure --trainer es", GO_ON),
        ("bench --tier quick", GO_ON),
        ("cartpole train --trainer es", ending.RESUMABLE),
        ("cartpole train --trainer es --resume", ending.RESUMABLE),
        ("tables", ending.ANEW),
        ("mnist-fc compress x.json", ending.ANEW),
        ("--results train --envs=x cartpole measure", GO_ON),
        ("--results gpu tables", ending.ANEW),
    ],
)
def test_what_an_interruption_says_is_true_of_the_command(line: str, said: str) -> None:
    assert ending.afterwards(line.split()) == said
