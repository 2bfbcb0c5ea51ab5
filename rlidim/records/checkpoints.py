"""Checkpoints: one file a run, from which the run goes on as if it had not been interrupted."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlidim.records import files, state

FILE = "checkpoint.bin"
LARGEST = 2**32  # bytes of a checkpoint that is opened
ACTIONS = "actions.bin"  # what a trainer keeps beside it: the actions since the run began
SECONDS = 120.0  # between two checkpoints: what a killed run loses at most
SPACING = 20.0  # times as long as one takes is between two: they cost a run at most 5 %


@dataclass(frozen=True)
class Spent:
    """What a run took: seconds that passed, and seconds of a core."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        """Return both together."""
        return Spent(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def __sub__(self, other: Spent) -> Spent:
        """Return what passed between two moments, the other the earlier."""
        return Spent(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)

    def __truediv__(self, runs: int) -> Spent:
        """Return the share of each of several runs."""
        return Spent(self.seconds / runs, self.cpu_seconds / runs)

    @classmethod
    def now(cls) -> Spent:
        """Return this moment by both of this process's clocks."""
        return cls(time.perf_counter(), time.process_time())


def writing(path: Path) -> AbstractContextManager[None]:
    """Make of a failure to write below a run's logs one line: see ``files.writing``."""
    return files.writing(path, "--log-dir")


def check_writable(folder: Path) -> None:
    """Find out before a run whether logs can be written below a folder.

    Raises:
        RlidimError: they cannot.
    """
    with writing(folder):
        files.try_writing(folder)


def clear(folder: Path) -> None:
    """Remove a run's checkpoint and what lies beside it: the run is on record.

    Raises:
        RlidimError: they cannot be removed.
    """
    for name in (FILE, ACTIONS):
        with writing(folder / name):
            (folder / name).unlink(missing_ok=True)
    files.clear_unfinished_in(folder)  # of a solution too


class Checkpoints:
    """The checkpoint of one run, in the folder of its logs; a new one replaces the one before.

    It holds plain values and arrays (see :mod:`rlidim.records.state`): whoever wrote it, reading it
    runs nothing.

    Attributes:
        note: why a checkpoint that is there was not used, a line; None if it was, or there is none.
        unwritten: why none is written, a line; None if they are.
        resumed: the environment steps at which the run was taken up; None if it began anew.
        spent: by the interrupted run, up to its checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        about: dict[str, Any],
        *,
        resume: bool,
        seconds: float | None = None,
    ) -> None:
        """Name the run.

        Args:
            folder: made when the first checkpoint is written.
            about: what must be the same for a checkpoint to be this run's: settings, seeds,
                versions.
            resume: whether to use a checkpoint that is there already.
            seconds: between two of them; None for ``SECONDS``.
        """
        self.folder = folder
        self.about = about
        self.note: str | None = None
        self.unwritten: str | None = None
        self.resumed: int | None = None
        self.spent = self._loaded = Spent()
        self._began = Spent.now()
        self._resume = resume
        self._seconds = SECONDS if seconds is None else seconds
        self._last = time.monotonic()
        self._took = 0.0

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def load(self) -> Any:
        """Return the state that was saved last, None if the run begins anew.

        It may still be a stranger's: take it up :meth:`cautiously`.
        """
        if not self._resume or not self.path.exists():
            return None
        try:
            saved = state.decode(self._content())
            about, spent, content = (saved[name] for name in ("about", "spent", "state"))
            different = [name for name in self.about if about.get(name) != self.about[name]]
            self._loaded = Spent(*map(float, spent))
            if not all(map(math.isfinite, dataclasses.astuple(self._loaded))):
                raise ValueError("the seconds spent are no numbers")
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            self._refuse("not a checkpoint that can be read", error)
            return None
        if different:
            self.note = f"{self.path}: of a run with other {' and '.join(different)}"
            return None
        return content

    def _content(self) -> bytes:
        if not self.path.is_file():  # a pipe would never end
            raise ValueError("not a regular file")
        if self.path.stat().st_size > LARGEST:
            raise ValueError("larger than any checkpoint")
        return self.path.read_bytes()

    @contextmanager
    def cautiously(self) -> Iterator[None]:
        """Make of a failure to take up what :meth:`load` returned a note, and go on.

        What was to take it up may then be half of it, and must be made anew.
        """
        try:
            yield
        except Exception as error:  # what strange numbers lead to is open
            self._refuse("not a checkpoint that this run can take up", error)
            self.resumed, self.spent = None, Spent()

    def _refuse(self, why: str, error: Exception) -> None:
        first = (str(error).splitlines() or [""])[0]
        self.note = f"{self.path}: {why} ({first or type(error).__name__})"

    def take_up(self, steps: int) -> None:
        """Note that the run goes on from what :meth:`load` returned, at so many steps."""
        self.resumed, self.spent = steps, self._loaded

    def due(self) -> bool:
        """Say whether it is time for the next one."""
        return time.monotonic() - self._last >= max(self._seconds, SPACING * self._took)

    def save(self, content: Any, here: Spent | None = None) -> None:
        """Write a state in one piece, in place of the one before.

        One that is too large to be read again is not written: ``unwritten`` says so.

        Args:
            content: a tree of plain values and arrays, see :func:`rlidim.records.state.encode`.
            here: what the run took since it began or was taken up; None: what this process took.

        Raises:
            RlidimError: the folder or the file cannot be written; what was there is there still.
            TypeError: the content is no such tree.
        """
        began = time.monotonic()
        here = here or Spent.now() - self._began
        spent = dataclasses.astuple(self.spent + here)
        encoded = state.encode({"about": self.about, "spent": spent, "state": content})
        if len(encoded) > LARGEST:
            self.unwritten = f"{self.path}: of {len(encoded):,} bytes, too large to be read again"
            self._seconds = math.inf
            return
        with writing(self.path):
            files.clear_unfinished_in(self.folder)
            files.replace_file(self.path, encoded)
        self._last = time.monotonic()
        self._took = self._last - began
