"""The benchmark of the projections' products: ``rlidim kernels``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError, nearest
from rlidim.projections.backends import AUTO, FAMILIES, implementation
from rlidim.projections.spec import check_size
from rlidim.speed.bars import KERNELS, readings
from rlidim.speed.cases import (
    DEFAULT_LIMITS,
    NAMES,
    Case,
    Limits,
    Listener,
    blank_rows,
    device_of,
    plan,
    time_cases,
)
from rlidim.speed.rows import RowFile, provenance
from rlidim.speed.text import kernel_table

if TYPE_CHECKING:
    import torch

__all__ = ["run", "table", "unmeasured"]

LARGEST_TOUCHED = 10**10  # entries of a P that is made once before it is timed


def run(
    device: str = "cpu",
    families: Sequence[str] = (),
    sizes: Sequence[tuple[int, int]] = (),
    out: Path | None = None,
    *,
    again: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    listener: Listener = lambda line: None,
) -> dict[str, Any]:
    """Time the products of families at sizes, the least work first.

    Args:
        device: ``cpu`` or ``cuda``.
        families: these alone.
        sizes: these (D, d) alone.
        out: the folder of ``<device>.json``, written after each family and size; a row on file for
            this hardware, these versions and sources is not timed again. None writes nothing.
        again: time everything again.
        limits: what it may take.
        listener: is told of each case.

    Returns:
        device, versions, hardware, sources, rows, and on the CPU the bars that the rows meet or
        miss.

    Raises:
        RlidimError: an unknown family or device, a size that is none, a folder that cannot be
            written.
    """
    where = device_of(device)
    for family in families:
        if family not in FAMILIES:
            raise RlidimError(f"unknown projection '{family}'{nearest(family, FAMILIES)}")
    for D, d in sizes:
        check_size(D, d, 0)
    path = None if out is None else out / f"{where.type}.json"
    file = RowFile(path, provenance(where), NAMES, again=again)
    if file.foreign:
        listener(f"{path}: of other versions, hardware or sources, made anew")
    rows = time_cases(plan(where, families, sizes), where, file, limits, listener)
    bars = []
    if where.type == "cpu":
        # Of a family that another backend has computed before, today's backend alone counts.
        today = {family: implementation(family, where, AUTO).backend for family in FAMILIES}
        current = [row for row in file.rows.values() if row["backend"] == today[row["family"]]]
        bars = readings(current, KERNELS)
    return {**file.where, "rows": rows, "bars": bars}


def unmeasured(device: torch.device, out: Path) -> list[Case]:
    """Return the cases that :func:`run` has to time, those aside whose products take long."""
    file = RowFile(out / f"{device.type}.json", provenance(device), NAMES)
    return [
        case
        for case in plan(device)
        if case.D * case.d <= LARGEST_TOUCHED
        and not all(file.done(row) for row in blank_rows(case, device))
    ]


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    return kernel_table(content["rows"], content["bars"])
