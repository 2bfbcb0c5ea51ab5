"""Queued experiments for a GPU: commands side by side, whose new records are packed."""

from __future__ import annotations

import filecmp
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError, nearest
from rlidim.records.files import replace_file, write_atomically

if TYPE_CHECKING:
    from rlidim.speed.cases import Limits, Listener

OUTPUT = 2_000  # characters at the end of a command's output that are kept
PACKED = 15.0  # seconds after which new records are packed: a machine may be taken back
LOOKED = 0.1  # seconds between two looks at the running commands
# Processes take turns on a GPU: enough of them that it works while others begin and evaluate.
AT_ONCE, WORKERS = 3, 2  # commands, and worker processes of each
# Arguments of rlidim, the shortest first.
QUEUE: tuple[tuple[str, ...], ...] = (
    ("mnist-fctied-lenet", "measure"),
    ("mnist-shuffled-labels-fc-50", "measure"),
    ("mnist-shuffled-labels-fc", "measure"),
    ("mnist-fc", "measure", "--protocol", "paper"),
)
# Logs, checkpoints that ended commands go on from, and native solutions, which stay there.
RUNS = Path("build/gpu-runs")
ARCHIVE = "queue.tar.gz"
PREPARE = "from rlidim.speed.gpu import queued; queued.prepare({only!r})"


def prepare(only: str | None = None) -> None:
    """Import the packages and load the data that queued commands need, or exit with one line.

    Args:
        only: see :func:`selected`.
    """
    try:
        import matplotlib.figure  # noqa: F401

        import rlidim.report.write  # noqa: F401
        from rlidim.data import datasets
        from rlidim.environments import making
        from rlidim.tasks.names import find_task
        from rlidim.tasks.problems import Supervised
        from rlidim.trainers.run import RANDOM_POLICY, settings_class

        for task in (find_task(arguments[0]) for arguments in selected(only)):
            for module in (RANDOM_POLICY, settings_class(task, next(iter(task.trainers))).home()):
                importlib.import_module(module)
            making.check(task)
            if isinstance(task.problem, Supervised):
                datasets.load(task.problem.data.name)
    except ImportError as error:
        sys.exit(f"{error}: make gpu-packages, where there is a network, brings what is missing")
    except RlidimError as error:
        sys.exit(f"the queue cannot run: {error}; RLIDIM_DATA names a folder of copies of data")


def selected(only: str | None) -> list[tuple[str, ...]]:
    """Return the queued commands, of all tasks or of one.

    Raises:
        RlidimError: none is of that task.
    """
    names = {arguments[0] for arguments in QUEUE}
    if only is not None and only not in names:
        raise RlidimError(f"--queue {only}: nothing of it is queued{nearest(only, names)}")
    return [arguments for arguments in QUEUE if only in (None, arguments[0])]


def run(
    out: Path, results: Path, limits: Limits, listener: Listener, only: str | None = None
) -> list[dict[str, Any]]:
    """Run the queued commands until the deadline, and write how each went.

    They go on from the records in ``results``, from those that an earlier run packed and from the
    checkpoints in ``RUNS``. Whenever one of them ends, or is ended, and every ``PACKED`` seconds,
    what is new against ``results`` is packed again. Where packages or data are missing, one row
    says so.
    """
    rows: list[dict[str, Any]] = []
    path = out / "queue.json"
    other_rows = [] if only is None or not path.exists() else json.loads(path.read_text())

    def write(row: dict[str, Any]) -> None:
        rows.append(row)
        names = {row["command"] for row in rows}
        unchanged = [row for row in other_rows if row["command"] not in names]
        write_atomically(path, json.dumps([*unchanged, *rows], indent=1) + "\n", "--out")

    if not QUEUE:
        return rows
    command = [sys.executable, "-c", PREPARE.format(only=only)]
    (missing,) = ended({"prepare the queue": command}, limits)
    if missing["code"] != 0:
        lines = missing["output"].split("\n") if missing["output"] else []
        write({**missing, "reason": missing["reason"] or " ".join(lines[-1:])})
        return rows
    with tempfile.TemporaryDirectory() as folder:
        copy, archive = Path(folder) / "results", out / ARCHIVE
        copy_records(results, copy)
        if archive.exists():
            with tarfile.open(archive) as packed:
                packed.extractall(copy, filter="data")
        rlidim = [sys.executable, "-m", "rlidim", "--results", str(copy)]
        options = ["--workers", str(WORKERS), "--log-dir", str(RUNS)]
        commands = {
            " ".join(["rlidim", *arguments]): [*rlidim, *arguments, *options]
            for arguments in selected(only)
        }
        listener(f"{len(commands)} queued commands, {AT_ONCE} at once")
        for row in ended(commands, limits, lambda: pack(copy, results, archive)):
            listener(f"{row['command']}: {row['reason'] or 'ended'}")
            pack(copy, results, archive)
            write(row)
    return rows


@dataclass(frozen=True)
class Running:
    """A command that runs in a session of its own: its worker processes end with it."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: list[str], log: Path) -> Running:
        """Start it; its output goes to a log."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        return cls(name, process, log)

    def kill(self) -> None:
        """End it with all that it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def row(self, reason: str | None = None) -> dict[str, Any]:
        """Return how it went: its exit code, none where it was ended, which ``reason`` says."""
        output = self.log.read_text(errors="replace")
        code = None if reason else self.process.returncode
        return row_of(self.name, code, output.strip()[-OUTPUT:], reason)


def row_of(name: str, code: int | None, output: str, reason: str | None) -> dict[str, Any]:
    """Return the row of a command."""
    return {"command": name, "code": code, "output": output, "reason": reason}


def ended(
    commands: dict[str, list[str]], limits: Limits, now_and_then: Callable[[], None] | None = None
) -> Iterator[dict[str, Any]]:
    """Run commands by their names, a few side by side; yield how each went.

    At the deadline those that run are ended, and no other is begun. Meanwhile something is done
    every ``PACKED`` seconds.
    """
    done = perf_counter()
    waiting = list(commands)
    running: list[Running] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            while waiting or running:
                late = perf_counter() >= limits.deadline
                while waiting and (late or len(running) < AT_ONCE):
                    name = waiting.pop(0)
                    if late:
                        yield row_of(name, None, "", "the budget was spent")
                    else:
                        log = Path(folder) / str(len(waiting))
                        running.append(Running.start(name, commands[name], log))
                for command in list(running):
                    if command.process.poll() is not None:
                        running.remove(command)
                        yield command.row()
                    elif late:
                        running.remove(command)
                        command.kill()
                        yield command.row("it outlasted the budget and was ended")
                if now_and_then is not None and perf_counter() - done >= PACKED:
                    now_and_then()
                    done = perf_counter()
                sleep(LOOKED)
        finally:  # Ctrl-C does not reach another session
            for command in running:
                command.kill()


def copy_records(results: Path, copy: Path) -> None:
    """Copy the records of the queue's tasks and their variants."""
    names = {arguments[0] for arguments in QUEUE}
    for path in sorted(results.glob("*")):
        if path.is_dir() and any(
            path.name == name or path.name.startswith(f"{name}-") for name in names
        ):
            shutil.copytree(path, copy / path.name)


def pack(copy: Path, results: Path, archive: Path) -> None:
    """Write the records that ``results`` lacks or has otherwise into one archive."""
    new = [
        path
        for path in sorted(copy.glob("*/*/*.json"))
        if not same(path, results / path.relative_to(copy))
    ]
    if not new:
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for path in new:
            packed.add(path, path.relative_to(copy))
    replace_file(archive, buffer.getvalue())


def same(path: Path, other: Path) -> bool:
    """Say whether the other file exists and has the same content."""
    return other.exists() and filecmp.cmp(path, other, shallow=False)
