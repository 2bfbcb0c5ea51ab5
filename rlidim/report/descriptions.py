"""The table of description lengths: of the files that ``rlidim TASK compress`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlidim.report import text
from rlidim.report.tables import Table

DESCRIPTIONS = "descriptions"  # the folder below the results


def read(results: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return every description below the results, one for each run and loss, and the problems.

    A problem is a line about a file that is no list of whole descriptions, which is left out.
    """
    descriptions: list[dict[str, Any]] = []
    problems = []
    for path in sorted((results / DESCRIPTIONS).glob("*.json")):
        try:
            rows = [dict(row) for row in json.loads(path.read_text(encoding="utf-8"))]
            for row in rows:
                _cells(row)
        except KeyError as error:
            problems.append(f"{path}: not what compress writes (no {error}); skipped")
        except (OSError, ValueError, TypeError) as error:
            problems.append(f"{path}: not what compress writes ({error}); skipped")
        else:
            descriptions += rows
    return descriptions, problems


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
