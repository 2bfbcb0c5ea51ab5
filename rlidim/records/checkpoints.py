"""Checkpoints: one file a run, from which the run goes on as if it had not been interrupted."""

from __future__ import annotations

import dataclasses
import pickle
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlidim.records import files

FILE = "checkpoint.pkl"
ACTIONS = "actions.bin"  # what a trainer keeps beside it: the actions since the run began
SECONDS = 120.0  # between two checkpoints: what a killed run loses at most


@dataclass(frozen=True)
class Spent:
    """What a run took: seconds that passed, and seconds of a core."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        """Return both together."""
        return Spent(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


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
    """Remove a run's checkpoint and what lies beside it: the run is on record."""
    for name in (FILE, ACTIONS):
        (folder / name).unlink(missing_ok=True)


class Checkpoints:
    """The checkpoint of one run, in the folder of its logs; a new one replaces the one before.

    It is a pickle, as Stable-Baselines3's own files are: resume only what you trust.

    Attributes:
        note: why a checkpoint that is there was not used, a line; None if it was, or there is none.
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
        self.resumed: int | None = None
        self.spent = self._loaded = Spent()
        self._began = Spent(time.perf_counter(), time.process_time())
        self._resume = resume
        self._seconds = SECONDS if seconds is None else seconds
        self._last = time.monotonic()

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def load(self) -> Any:
        """Return the state that was saved last, None if the run begins anew."""
        if not self._resume or not self.path.exists():
            return None
        # What pickle raises on bytes that are no pickle, or of another version's classes, is open.
        try:
            about, spent, state = pickle.loads(self.path.read_bytes())
            different = [name for name in self.about if about.get(name) != self.about[name]]
            if different:
                self.note = f"{self.path}: of a run with other {' and '.join(different)}"
                return None
            loaded = pickle.loads(state)
        except Exception as error:
            self.note = f"{self.path}: not a checkpoint that can be read ({error})"
            return None
        self._loaded = Spent(*spent)
        return loaded

    def take_up(self, steps: int) -> None:
        """Note that the run goes on from what :meth:`load` returned, at so many steps."""
        self.resumed, self.spent = steps, self._loaded

    def due(self) -> bool:
        """Say whether it is time for the next one."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, state: Any) -> None:
        """Write a state in one piece, in place of the one before.

        Raises:
            RlidimError: the folder or the file cannot be written; what was there is there still.
        """
        import cloudpickle

        here = Spent(
            time.perf_counter() - self._began.seconds,
            time.process_time() - self._began.cpu_seconds,
        )
        spent = dataclasses.astuple(self.spent + here)
        # The state by itself: it is opened only once the rest is known to be this run's.
        content = pickle.dumps((self.about, spent, cloudpickle.dumps(state)))
        with writing(self.path):
            files.replace_file(self.path, content)
        self._last = time.monotonic()
