"""How short the files that describe classifiers are: what ``rlidim TASK compress`` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.report import text
from rlidim.report.tables import Table

DESCRIPTIONS = "descriptions"  # the folder below the results


def read(results: Path) -> list[dict[str, Any]]:
    """Return every description below the results, one for each run and loss.

    Raises:
        RlidimError: a file is no list of descriptions.
    """
    found: list[dict[str, Any]] = []
    for path in sorted((results / DESCRIPTIONS).glob("*.json")):
        try:
            found += [dict(row) for row in json.loads(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise RlidimError(f"{path}: not what compress writes ({error})") from error
    return found


def table(descriptions: list[dict[str, Any]]) -> Table:
    """Return a row for each description."""
    rows = tuple(
        (
            str(row["record"]),
            f"{row['method']}, {row['levels']}",
            text.whole(row["D"]),
            text.whole(row["d"]),
            f"{row['original']:.4f}",
            f"{row['loss'] * 100:g}",
            f"{row['score']:.4f}",
            text.whole(row["bytes"]),
            text.whole(row["header"]),
            text.whole(row["codebook"]),
            text.whole(row["numbers"]),
            text.whole(row["bound"]),
            f"{row['factor']:,.0f}",
        )
        for row in descriptions
    )
    header = (
        "run",
        "levels",
        "D",
        "d",
        "accuracy",
        "points allowed",
        "accuracy decoded",
        "bytes",
        "header",
        "levels' bytes",
        "numbers' bytes",
        "d floats and a seed",
        "times shorter",
    )
    notes = (
        "The shortest file whose network, decoded, loses no more than the points of accuracy "
        "allowed; times shorter than D float32 numbers. Made by rlidim TASK compress RECORD.",
    )
    return Table("Description lengths", header, rows, 2, notes)
