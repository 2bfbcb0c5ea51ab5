"""One JSON file a run: what was asked, what came out, and all that is needed to repeat it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.errors import RlidimError
from rlidim.settings import recorded
from rlidim.task import Task

SCHEMA = 1
PACKAGES = ("rlidim", "torch", "numpy", "gymnasium", "stable-baselines3", "cma", "mujoco", "ale-py")
CURVE_POINTS = 200  # of a record: a plot shows no more
NATIVE = "native"  # in place of a projection: the unconfined network
RANDOM = "random"  # in place of a trainer: uniformly random actions


@dataclass(frozen=True)
class Cell:
    """One run to make; ``d = None`` is the baseline, the unconfined network."""

    task: str
    trainer: str
    projection: str
    d: int | None
    seed: int
    scope: str = "policy"

    @classmethod
    def baseline(cls, task: str, trainer: str, seed: int) -> Cell:
        """Return the native run of this seed."""
        return cls(task, trainer, NATIVE, None, seed)

    @classmethod
    def random(cls, task: str) -> Cell:
        """Return the cell that scores uniformly random actions."""
        return cls(task, RANDOM, NATIVE, None, 0)

    @property
    def group(self) -> str:
        """The folder below the task's: ``es-rademacher``, ``ppo-native``, ``random``."""
        if self.trainer == RANDOM:
            return RANDOM
        scope = "" if self.scope == "policy" or self.d is None else f"-{self.scope}"
        return f"{self.trainer}-{self.projection}{scope}"

    @property
    def label(self) -> str:
        """The file's name: ``d25-s0``, ``full-s0``."""
        if self.trainer == RANDOM:
            return f"s{self.seed}"
        return f"{'full' if self.d is None else f'd{self.d}'}-s{self.seed}"

    def __str__(self) -> str:
        """Return the record's path below the results, without its ending."""
        return f"{self.task}/{self.group}/{self.label}"


@dataclass(frozen=True)
class Seeds:
    """The seeds of one run, each from its own stream.

    ``training``, ``checkpoint`` and ``evaluation`` seed environments and lie in disjoint ranges of
    2^29 numbers, so that no episode that scores a policy was ever trained on or selected by.
    """

    theta_0: int
    projection: int
    training: int
    checkpoint: int
    evaluation: int

    @classmethod
    def of(cls, cell: Cell) -> Seeds:
        """Derive the seeds from the cell's name alone."""
        digest = hashlib.sha256(str(cell).encode()).digest()
        words = np.frombuffer(digest, dtype="<u4").tolist()
        theta_0, projection, training, checkpoint, evaluation = (
            int(word) for word in np.random.SeedSequence(words).generate_state(5)
        )
        size = 2**29
        # The last 2^20 seeds of a range stay free: vector environments count upwards.
        usable = size - 2**20
        return cls(
            theta_0=theta_0,
            projection=projection,
            training=training % usable,
            checkpoint=size + checkpoint % usable,
            evaluation=2 * size + evaluation % usable,
        )


def thinned(curve: tuple[tuple[int, float], ...]) -> tuple[tuple[int, float], ...]:
    """Return at most CURVE_POINTS points of a curve, evenly chosen, its ends among them."""
    if len(curve) <= CURVE_POINTS:
        return curve
    last = len(curve) - 1
    return tuple(curve[i * last // (CURVE_POINTS - 1)] for i in range(CURVE_POINTS))


@dataclass(frozen=True)
class Outcome:
    """What a trainer returns.

    Attributes:
        status: ``ok`` or ``diverged``.
        returns: undiscounted returns of the final evaluation's episodes, empty if diverged.
        D: parameters of the acting network.
        environment_steps: steps spent in training, evaluations excluded.
        curve: (environment steps, checkpoint score) pairs.
        stopped: ``solved`` (confirmed on fresh episodes) or ``budget``.
        theta_d: float32 (d,), the solution in the subspace; None for native runs.
        theta: float32 (D,), the acting parameters of a native run; None in a subspace.
        spec: the projection's specification as JSON; None for native runs.
        network: what builds the acting network: see ``networks.Architecture.to_json``.
        details: what else the trainer has to say, as JSON.
    """

    status: str
    returns: tuple[float, ...]
    D: int
    environment_steps: int
    curve: tuple[tuple[int, float], ...]
    stopped: str
    theta_d: np.ndarray | None
    theta: np.ndarray | None
    spec: dict[str, Any] | None
    network: dict[str, Any]
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """One finished run, as it is stored.

    ``status`` is ``ok``, ``diverged`` (a score: the worst) or ``failed`` (no score; ``error`` holds
    the traceback). ``provenance`` (time, machine, versions) is all that may differ between two runs
    of the same cell.
    """

    cell: Cell
    status: str
    score: float | None
    returns: tuple[float, ...]
    D: int
    environment_steps: int
    curve: tuple[tuple[int, float], ...]
    stopped: str
    solution: dict[str, Any] | None
    seeds: Seeds
    settings: dict[str, Any]
    config_hash: str
    details: dict[str, Any]
    error: str | None
    attempts: int
    provenance: dict[str, Any]
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, NaN and infinity never among them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> RunRecord:
        """Build a record from its JSON.

        Raises:
            KeyError, TypeError: the content is no record.
        """
        values = dict(content)
        values["cell"] = Cell(**values["cell"])
        values["seeds"] = Seeds(**values["seeds"])
        values["returns"] = tuple(values["returns"])
        values["curve"] = tuple((int(steps), score) for steps, score in values["curve"])
        return cls(**values)

    def same_result(self, other: RunRecord) -> bool:
        """Say whether two records agree in everything but their provenance."""
        return dataclasses.replace(self, provenance={}) == dataclasses.replace(other, provenance={})


def configuration(task: Task, cell: Cell) -> dict[str, Any]:
    """Return every setting that the run's result depends on, as JSON-ready values.

    Fields that came after the first records are left out at their defaults: ``settings.recorded``.
    """
    settings: dict[str, Any] = {}
    if cell.trainer != RANDOM:
        settings["trainer"] = recorded(task.settings(cell.trainer))
    for name in ("environment", "network", "evaluation"):
        part = getattr(task, name)
        settings[name] = None if part is None else recorded(part)
    if task.data is not None and task.classifier is not None:
        settings["data"] = recorded(task.data)
        settings["classifier"] = recorded(task.classifier)
    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]


def differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Find where two configurations differ: the setting, its value before, and now."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now


def hash_of(configuration: dict[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the configuration's SHA-256."""
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def digest(numbers: np.ndarray) -> str:
    """Return the SHA-256 of theta_d, or of native parameters, by which a record knows its own."""
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).hexdigest()


def encode(vector: np.ndarray) -> str:
    """Return float32 numbers, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def decode(text: str) -> np.ndarray:
    """Undo :func:`encode`."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)


def versions() -> dict[str, str]:
    """Return the versions of the packages that a result may depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return the processor's name and the number of cores."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return {"processor": name, "cores": os.cpu_count(), "system": platform.system()}


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that no reader ever sees half of it.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path, option: str = "--results") -> Iterator[None]:
    """Make of a failure to write what lies in an option's folder one line that names both.

    Raises:
        RlidimError: what is done within raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise RlidimError(
            f"{path}: cannot be written ({error.strerror}); choose another folder with {option}"
        ) from error


def try_writing(folder: Path) -> None:
    """Make a folder and, for a moment, a file in it.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_atomically(path: Path, text: str) -> None:
    """Write a file of results in one piece.

    Raises:
        RlidimError: the folder or the file cannot be written.
    """
    with writing(path):
        replace_file(path, text.encode())


class Results:
    """The folder of records: ``<task>/<trainer>-<projection>/d<d>-s<seed>.json``."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; it is made when the first record is written."""
        self.folder = folder

    def path(self, cell: Cell) -> Path:
        """Return where the cell's record is or will be."""
        return self.folder / cell.task / cell.group / f"{cell.label}.json"

    def check_writable(self) -> None:
        """Find out now, not after the first run, whether records can be written.

        Raises:
            RlidimError: they cannot.
        """
        try:
            try_writing(self.folder)
        except OSError as error:
            raise RlidimError(
                f"--results {self.folder}: cannot be written ({error.strerror})"
            ) from error

    def load(self, cell: Cell) -> RunRecord | None:
        """Return the cell's record, or None if there is none yet.

        Raises:
            RlidimError: there is a file, but it is no record of this cell.
        """
        path = self.path(cell)
        if not path.exists():
            return None
        record = read(path)
        if record.cell != cell:
            raise RlidimError(f"{path}: holds the record of {record.cell}, not of {cell}")
        return record

    def write(self, record: RunRecord) -> Path:
        """Write a record in one piece and return its path; the cell is claimed, or nobody else's.

        Raises:
            RlidimError: the file cannot be written.
        """
        path = self.path(record.cell)
        for half_written in path.parent.glob(f".{path.name}.*.tmp"):  # by a process that was killed
            half_written.unlink(missing_ok=True)
        write_atomically(path, json.dumps(record.to_json(), indent=1, allow_nan=False) + "\n")
        return path

    def scan(self) -> tuple[list[RunRecord], list[str]]:
        """Read every record below the folder.

        Returns:
            The records, sorted by path, and one line for each file that is none.
        """
        records, problems = [], []
        for path in sorted(self.folder.glob("*/*/*.json")):
            try:
                records.append(read(path))
            except RlidimError as error:
                problems.append(str(error))
        return records, problems

    @contextmanager
    def claim(self, cell: Cell, *, wait: bool = False) -> Iterator[bool]:
        """Hold the cell's lock, so that two sweeps on one folder never make the same run.

        Yields whether the lock was got; with ``wait`` it always is. The lock is the operating
        system's: it goes when its holder dies, however it dies.
        """
        import filelock

        folder = self.folder / ".locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder / f"{cell}.lock".replace("/", "--"))
            lock.acquire(timeout=-1 if wait else 0)
        except filelock.Timeout:
            yield False
            return
        except OSError as error:
            raise RlidimError(
                f"--results {self.folder}: cannot be written ({error.strerror})"
            ) from error
        try:
            yield True
        finally:
            lock.release()


def read(path: Path) -> RunRecord:
    """Read one record.

    Raises:
        RlidimError: not readable, truncated, foreign, or of a newer schema (names the file).
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise RlidimError(f"{path}: not a record: truncated or not JSON") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema"), int):
        raise RlidimError(f"{path}: not a record of rlidim")
    if content["schema"] > SCHEMA:
        raise RlidimError(
            f"{path}: schema {content['schema']} is newer than {SCHEMA}: upgrade rlidim"
        )
    try:
        record = RunRecord.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RlidimError(f"{path}: not a record of rlidim ({error})") from error
    if record.status == "ok" and not (record.score is not None and math.isfinite(record.score)):
        raise RlidimError(f"{path}: status is ok but the score is {record.score}")
    return record
