"""Rows that compare a GPU's work with the CPU's and time both, filled one after another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlidim.speed.cases import Limits, Listener
    from rlidim.speed.rows import Row, RowFile


def blank(**names: Any) -> Row:
    """Return a row with nothing measured yet but what names it."""
    measured = ("D", "difference", "agrees", "seconds", "cpu_seconds", "ratio", "low", "high")
    return {**names, **dict.fromkeys(measured), "pairs": 0, "reason": None}


def filled(
    file: RowFile,
    rows: Sequence[Row],
    fill: Callable[[Row], None],
    say: Callable[[Row], str],
    limits: Limits,
    listener: Listener,
) -> dict[str, Any]:
    """Fill the rows that are not on file yet.

    Args:
        file: of the rows, written after each.
        rows: see :func:`blank`.
        fill: measures a row in place.
        say: what is said of a row before it is measured.
        limits: of the time.
        listener: is told.

    Returns:
        Device, versions, hardware, sources and rows.
    """
    from rlidim.speed.cases import SPENT, reason_of
    from rlidim.speed.paired import threads_restored

    with threads_restored():
        for row in rows:
            if file.done(row):
                continue
            if perf_counter() > limits.deadline:
                if differs(file, row):
                    continue  # what was found stays until it is looked at again
                row["reason"] = SPENT
            else:
                listener(say(row))
                try:
                    fill(row)
                except Exception as error:
                    row["reason"] = reason_of(error)
            file.add([row])
    return {**file.where, "rows": [file.rows[file.name(row)] for row in rows]}


def differs(file: RowFile, row: Row) -> bool:
    """Say whether the GPU's numbers are on file as others than the CPU's."""
    return file.rows.get(file.name(row), {}).get("agrees") is False


def judge(row: Row, difference: float, tolerance: float, what: str) -> None:
    """Say in a row whether the GPU's numbers are the CPU's."""
    agrees = difference <= tolerance  # a NaN, which no file of JSON holds, does not
    known = difference if math.isfinite(difference) else None
    row.update(difference=known, agrees=agrees, reason=None if agrees else f"{what} differ")
