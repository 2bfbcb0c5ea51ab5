"""Where a run's numbers are shown while it trains: TensorBoard, Weights & Biases.

Every trainer's score comes here with its report; those that log more (Stable-Baselines3's losses)
write here beside their own files. Nothing of a result depends on it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from rlidim.errors import RlidimError, nearest
from rlidim.records.cell import Cell
from rlidim.records.checkpoints import writing

PROJECT = "rlidim"  # of Weights & Biases, unless the variable WANDB_PROJECT names another
STEPS, FINAL = "steps", "final_score"  # what curves are drawn over; the score on fresh episodes


class Writer(Protocol):
    """One place where numbers are shown."""

    def write(self, steps: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve, at so many steps of the run."""
        ...

    def close(self, score: float | None, *, failed: bool) -> None:
        """Finish what is written, with the run's final score if it has one."""
        ...


class TensorBoard:
    """An event file in the run's folder."""

    package = "tensorboard"

    def __init__(self, folder: Path, cell: Cell, settings: Mapping[str, Any]) -> None:
        """Open the file."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))

    def write(self, steps: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, steps)

    def close(self, score: float | None, *, failed: bool) -> None:
        """Close the file."""
        if score is not None:
            self._writer.add_scalar(FINAL, score)
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, named by the cell and grouped by all of it but d and seed."""

    package = "wandb"

    def __init__(self, folder: Path, cell: Cell, settings: Mapping[str, Any]) -> None:
        """Begin the run: on its server, or with WANDB_MODE=offline in the folder alone.

        Raises:
            RlidimError: it cannot begin, as without an account.
        """
        import wandb

        with _told(" (WANDB_MODE=offline needs no account)"):
            self._run: Any = wandb.init(
                project=None if wandb.setup().settings.project else PROJECT,
                name=str(cell),
                group=f"{cell.task}/{cell.group}",
                config={**dataclasses.asdict(cell), "settings": dict(settings)},
                dir=folder,
                reinit="create_new",  # beside those of the runs made with this one
                settings=wandb.Settings(silent=True, console="off"),
            )
            self._run.define_metric("*", step_metric=STEPS)

    def write(self, steps: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve.

        Raises:
            RlidimError: it cannot.
        """
        with _told():
            self._run.log({STEPS: steps, **values})

    def close(self, score: float | None, *, failed: bool) -> None:
        """End the run.

        Raises:
            RlidimError: it cannot.
        """
        with _told():
            if score is not None:
                self._run.summary[FINAL] = score
            self._run.finish(exit_code=int(failed))


@contextmanager
def _told(remedy: str = "") -> Iterator[None]:
    """Make of an error of Weights & Biases' one line, with a remedy behind it."""
    import wandb

    try:
        yield
    except wandb.errors.Error as error:
        raise RlidimError(f"--log wandb: {' '.join(str(error).split())}{remedy}") from error


WRITERS: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def check(names: Sequence[str], folder: Path | None) -> None:
    """Make sure that logs can be written, before anything is loaded for them.

    Raises:
        RlidimError: an unknown name (with the nearest), a missing package, no folder.
    """
    if isinstance(names, str):
        raise RlidimError(f"log is a list of names, such as ['{names}'], got '{names}'")
    if not isinstance(names, Sequence):
        raise RlidimError(f"log is a list of names, such as ['tensorboard'], got {names!r:.60}")
    for name in names:
        if name not in WRITERS:
            raise RlidimError(f"unknown log '{name}'{nearest(name, WRITERS)}")
        if folder is None:
            raise RlidimError(f"--log {name} writes below --log-dir: name that folder")
        if not present(name):
            raise RlidimError(
                f"--log {name}: the package '{WRITERS[name].package}' is missing: "
                f"pip install 'rlidim[{name}]'"
            )


def present(name: str) -> bool:
    """Say whether a log's package is installed, without importing it."""
    return find_spec(WRITERS[name].package) is not None


class Log:
    """The places where one run's numbers are shown, opened at the first of them.

    Runs that wait for their turn, and random actions, which report nothing, open none.

    Attributes:
        names: of the places, in ``WRITERS``; none: silent.
    """

    def __init__(
        self, names: Sequence[str], folder: Path | None, cell: Cell, settings: Mapping[str, Any]
    ) -> None:
        """Note what is to be opened.

        Args:
            names: of the places.
            folder: of the run's logs; None only where nothing is named.
            cell: the run.
            settings: all that its result depends on.

        Raises:
            RlidimError: see :func:`check`.
        """
        check(names, folder)
        self.names = tuple(dict.fromkeys(names))
        self._about = folder, cell, settings
        self._opened = False
        self._writers: list[Writer] = []
        self._reasons: list[str] = []  # why a place was given up

    def write(self, steps: int, values: Mapping[str, float]) -> None:
        """Add a point to each curve, at so many steps of the run.

        A place that takes no more is given up, and :meth:`close` says why: no run ends for it.

        Raises:
            RlidimError: a place cannot be opened.
        """
        folder, cell, settings = self._about
        if folder is None:
            return
        if not self._opened:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for name in self.names:
                    self._writers.append(WRITERS[name](folder, cell, settings))
            self._opened = True
        for writer in list(self._writers):
            if not self._tried(functools.partial(writer.write, steps, values)):
                self._writers.remove(writer)

    def close(self, score: float | None = None, *, failed: bool = False) -> list[str]:
        """Finish what was opened, with the run's final score if it has one.

        Returns:
            Why a place could not be written, a line each; the others are finished all the same.
        """
        opened, self._writers = self._writers, []
        for writer in opened:
            self._tried(functools.partial(writer.close, score, failed=failed))
        reasons, self._reasons = self._reasons, []
        return reasons

    def _tried(self, call: Callable[[], None]) -> bool:
        """Say whether a place took what it was to take; remember why not."""
        try:
            with writing(self._about[0] or Path()):
                call()
        except Exception as error:  # whatever a foreign package raises
            self._reasons.append(" ".join(str(error).split()) or type(error).__name__)
            return False
        return True
