"""A file of timings: rows of one machine, versions and sources, resumed where it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from rlidim import projections
from rlidim.projections import cpp_kernels
from rlidim.records.files import write_atomically
from rlidim.records.provenance import hardware, versions

Row = dict[str, Any]
PACKAGES = ("scipy", "scikit-learn", "triton", "fast-hadamard-transform", "sjlt", "fast-jl")
OTHERS = {"cpu": "triton_kernels", "cuda": "cpp_kernels"}  # folders of another device's kernels
RULE = "choice.py"  # the rule of auto: no source of any product
OUT = "--out"  # the option that names the folder of timings
SOURCES, HASH_DIGITS = (".py", ".cpp", ".hpp"), 16  # files of the projections, by their endings


def provenance(device: torch.device) -> dict[str, Any]:
    """Return what rows must share to stand in one file: versions, hardware, the kernels' sources.

    On the CPU also the instruction set that the C++ kernels take, None without them.
    """
    installed = versions()
    for package in PACKAGES:
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    machine = hardware()
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
    else:
        machine["instruction_set"] = cpp_kernels.instruction_set()
    return {
        "device": device.type,
        "versions": installed,
        "hardware": machine,
        "sources": sources_hash(device),
    }


def sources_hash(device: torch.device) -> str:
    """Return the first digits of the SHA-256 of the sources of a device's projections."""
    folder = Path(projections.__file__).parent
    return digest(
        [
            path
            for path in folder.rglob("*")
            if path.suffix in SOURCES
            and path.relative_to(folder).parts[0] not in (OTHERS[device.type], RULE)
        ],
        folder,
    )


def digest(paths: Iterable[Path], folder: Path) -> str:
    """Return the first digits of the SHA-256 of files below a folder, with their names."""
    content_hash = hashlib.sha256()
    for path in sorted(paths):
        content = path.read_bytes()
        content_hash.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode())
        content_hash.update(content)
    return content_hash.hexdigest()[:HASH_DIGITS]


class RowFile:
    """Rows by the fields that name them; written in one piece whenever rows are added.

    A row without a time (``reason`` says why) is on file but does not count as done.

    Attributes:
        rows: what is on file, of this machine, these versions and sources.
        foreign: whether the file held rows of others, which the first write replaces.
    """

    def __init__(
        self,
        path: Path | None,
        where: Mapping[str, Any],
        names: Sequence[str],
        *,
        again: bool = False,
    ) -> None:
        """Read the file, if there is one.

        Args:
            path: the JSON file; None keeps rows in memory alone.
            where: see :func:`provenance`.
            names: the fields that name a row.
            again: count nothing that was on file as done.
        """
        self.path, self.where, self.names = path, dict(where), tuple(names)
        self.rows: dict[tuple[Any, ...], Row] = {}
        content = _read(path)
        same = all(content.get(key) == value for key, value in self.where.items())
        self.foreign = bool(content) and not same
        if same:
            for row in content.get("rows", []):
                self.rows[self.name(row)] = row
        self._old = set(self.rows) if again else set()

    def name(self, row: Row) -> tuple[Any, ...]:
        """Return the values of the fields that name a row."""
        return tuple(row[field] for field in self.names)

    def done(self, row: Row) -> bool:
        """Say whether a row of that name has been measured."""
        name = self.name(row)
        return name in self.rows and self.rows[name]["reason"] is None and name not in self._old

    def add(self, rows: Iterable[Row]) -> None:
        """Add rows, or replace those of the same names, and write the file."""
        for row in rows:
            self.rows[self.name(row)] = row
            self._old.discard(self.name(row))
        if self.path is not None:
            content = {**self.where, "rows": list(self.rows.values())}
            write_atomically(self.path, json.dumps(content, indent=1, allow_nan=False) + "\n", OUT)


def _read(path: Path | None) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return {}  # half a file of another program: made anew
    return content if isinstance(content, dict) else {}
