"""One JSON file a run: what was asked, what came out, and all that is needed to repeat it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.reading import CHECKSUM

SCHEMA = 2  # 1: without a checksum, and with each number of a list on a line of its own
CURVE_POINTS = 200  # of a record: a plot shows no more


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
        D: parameters that P moves: the acting network's, with the critic's where the scope is all.
        environment_steps: steps spent in training, evaluations excluded.
        curve: (environment steps, checkpoint score) pairs.
        stopped: ``solved`` (confirmed on fresh episodes) or ``budget``.
        theta_d: float32 (d,), the solution in the subspace; None for native runs.
        theta: float32 (D,), the acting parameters of a native run; None in a subspace.
        spec: the projection's specification as JSON; None for native runs.
        network: what builds the acting network: see ``networks.perceptron.Architecture.to_json``.
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

    def in_plain_numbers(self) -> Outcome:
        """Return it with Python's numbers for numpy's, which a trainer of a user's own may leave.

        Raises:
            TypeError, ValueError: a field is not what it should be; the line names it.
        """
        plain: dict[str, Any] = {}
        for name, make in _PLAIN.items():
            value = getattr(self, name)
            try:
                plain[name] = None if value is None and name in _MAY_LACK else make(value)
            except (AttributeError, OverflowError, TypeError, ValueError) as error:
                raise TypeError(f"the trainer's Outcome: {name}: {error}") from error
        if self.status == "ok" and not plain["returns"]:
            raise ValueError("the trainer's Outcome: returns: none, of a run that is ok")
        return dataclasses.replace(self, **plain)


def _plain_json(value: Any) -> Any:
    """Return what JSON makes of a value, numpy's numbers and arrays included."""
    return json.loads(json.dumps(value, default=lambda number: number.tolist()))


def _vector(value: Any) -> np.ndarray:
    vector = np.asarray(value, dtype=np.float32)
    if vector.ndim != 1:
        raise ValueError(f"a vector is expected, got the shape {vector.shape}")
    return vector


_MAY_LACK = ("theta_d", "theta", "spec")
_PLAIN: dict[str, Callable[[Any], Any]] = {
    "returns": lambda values: tuple(map(float, values)),
    "D": operator.index,
    "environment_steps": operator.index,
    "curve": lambda points: tuple((operator.index(at), float(score)) for at, score in points),
    "theta_d": _vector,
    "theta": _vector,
    "spec": _plain_json,
    "network": _plain_json,
    "details": _plain_json,
}


@dataclass(frozen=True)
class RunRecord:
    """One finished run, as it is stored.

    ``status`` is ``ok``, ``diverged`` (no score: it counts as the worst) or ``failed`` (no score;
    ``error`` holds the traceback). ``provenance`` (time, machine, versions) is all that may differ
    between two runs of the same cell; ``schema`` is of the file that the record was read from.
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
        values = {name: value for name, value in content.items() if name != CHECKSUM}
        values["cell"] = Cell(**values["cell"])
        values["seeds"] = Seeds(**values["seeds"])
        values["returns"] = tuple(values["returns"])
        values["curve"] = tuple(map(tuple, values["curve"]))
        return cls(**values)

    @property
    def reason(self) -> str:
        """Why it failed, in a line: of a traceback what follows its frames; empty if it did not."""
        lines = (self.error or "").strip().splitlines()
        frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
        told = lines[frames[-1] + 1 :] if frames else lines
        while frames and told and told[0].startswith(("    ", "  [Previous")):  # of the frame's
            told = told[1:]
        return " ".join(" ".join(told).split())

    @property
    def raised_at(self) -> str:
        """Where its error was raised: ``my_module.py, line 9``; empty if that is not known."""
        places = re.findall(r'^  File "(.+)", line (\d+)', self.error or "", re.MULTILINE)
        return f"{Path(places[-1][0]).name}, line {places[-1][1]}" if places else ""

    def same_result(self, other: RunRecord) -> bool:
        """Say whether two records agree in everything but their provenance and schema."""
        mine, others = (
            dataclasses.replace(record, provenance={}, schema=SCHEMA) for record in (self, other)
        )
        return mine == others


def digest(numbers: np.ndarray) -> str:
    """Return the SHA-256 of theta_d, or of native parameters, by which a record knows its own."""
    return hashlib.sha256(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).hexdigest()


def encode(vector: np.ndarray) -> str:
    """Return float32 numbers, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()


def decode(text: str) -> np.ndarray:
    """Undo :func:`encode`.

    Raises:
        ValueError: not base64, or not of whole numbers.
    """
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4").astype(np.float32)
