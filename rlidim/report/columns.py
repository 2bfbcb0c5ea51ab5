"""Rows as aligned columns of plain text; nothing of the statistics is loaded for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rlidim.errors import printable

NONE = "-"  # in place of a missing value


def one_line(text: str) -> str:
    """Return the text on one line, with single spaces."""
    return " ".join(text.split())


def text_table(
    rows: Sequence[Mapping[str, Any]], width: int | None = None, spare: Sequence[str] = ()
) -> str:
    """Return rows as aligned columns, numbers to the right; the first row names the columns.

    Lists are joined by semicolons, None is a dash.

    Args:
        rows: of the same names.
        width: characters that a line may have; None: any number.
        spare: columns that are left out, in this order, until the lines are no longer than that.
    """
    if not rows:
        return "nothing to show"
    table = _aligned(rows)
    for name in spare:
        if width is None or max(map(len, table.splitlines())) <= width:
            return table
        rows = [{key: value for key, value in row.items() if key != name} for row in rows]
        table = _aligned(rows)
    return table


def _aligned(rows: Sequence[Mapping[str, Any]]) -> str:
    header = list(rows[0])
    body = [[_cell(row.get(name)) for name in header] for row in rows]
    right = [
        all(isinstance(row.get(name), int | float) or row.get(name) is None for row in rows)
        for name in header
    ]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(cells, widths, right, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(header), rule, *(line(cells) for cells in body)])


def _cell(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, list | tuple):
        value = "; ".join(str(part) for part in value) or NONE
    return printable(one_line(str(value)))
