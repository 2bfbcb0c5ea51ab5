"""The table of description lengths: of the files that ``rlidim TASK compress`` wrote."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError, unprintable
from rlidim.report import text
from rlidim.report.places import DESCRIPTIONS
from rlidim.report.tables import Table
from rlidim.tasks.reading import parse_json, read_file

LARGEST_FILE = 2**20  # bytes; one of three descriptions has 1,000
WHOLE = ("levels", "D", "d", "bytes", "header", "codebook", "numbers", "bound")


def read(results: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return every description below the results, one for each run and loss, and the problems.

    A problem is a line about a file that is no list of whole descriptions, which is left out.
    """
    descriptions: list[dict[str, Any]] = []
    problems = []
    for path in sorted((results / DESCRIPTIONS).glob("*.json")):
        try:
            rows = [dict(row) for row in parse_json(read_file(path, LARGEST_FILE))]
            for row in rows:
                _check(row)
        except KeyError as error:
            problems.append(f"{path}: not what compress writes (no {error}); skipped")
        except RlidimError as error:
            problems.append(f"{error}; skipped")
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"{path}: not what compress writes ({error}); skipped")
        else:
            descriptions += rows
    return descriptions, problems


def _check(row: dict[str, Any]) -> None:
    """Check a description's types.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: it is none.
    """
    for name in ("record", "method"):
        if not isinstance(row[name], str) or unprintable(row[name]):
            raise TypeError(f"{name} is no text that can be printed")
    for name in WHOLE:
        if type(row[name]) is not int:
            raise TypeError(f"{name} is no whole number")
    for name in ("loss", "lost", "original", "score", "factor"):
        if not math.isfinite(row[name]):
            raise ValueError(f"{name} is not finite")
    _cells(row)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return a description as its row of the table."""
    return (
        str(row["record"]),
        f"{row['method']}, {row['levels']}",
        text.whole(row["D"]),
        text.whole(row["d"]),
        f"{row['loss'] * 100:g}",
        f"{row['lost'] * 100:.2f}",
        f"{row['original']:.4f}",
        f"{row['score']:.4f}",
        text.whole(row["bytes"]),
        text.whole(row["header"]),
        text.whole(row["codebook"]),
        text.whole(row["numbers"]),
        text.whole(row["bound"]),
        f"{row['factor']:,.0f}",
    )


def table(descriptions: list[dict[str, Any]]) -> Table:
    """Return a row for each description."""
    rows = tuple(_cells(row) for row in descriptions)
    header = (
        "run",
        "levels",
        "D",
        "d",
        "points allowed",
        "points lost",
        "accuracy",
        "accuracy decoded",
        "bytes",
        "header",
        "levels' bytes",
        "numbers' bytes",
        "d floats and a seed",
        "times shorter",
    )
    notes = (
        "The shortest file whose network, decoded, loses no more than the points allowed of its "
        "accuracy on the training images, which choose among the forms; accuracy, of the run and "
        "of the decoded network, is the task's score: on test images that chose nothing, unless "
        "the task scores training images. No row: no form loses so little. Times shorter than D "
        "float32 numbers, with which native training scores more: see Measurements. Made by "
        "rlidim TASK compress RECORD.",
    )
    return Table("Description lengths", header, rows, 2, notes)
