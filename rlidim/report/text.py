"""How numbers, intervals and plain tables are written, the same in every output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlidim.report.collect import Measurement
from rlidim.statistics import Estimate
from rlidim.task import Published

NONE = "-"  # where there is nothing to show


def name_of(fraction: float) -> str:
    """Return ``d_int90`` for 0.9."""
    return f"d_int{fraction * 100:g}"


def number(value: float | None) -> str:
    """Return a score with four digits."""
    return NONE if value is None else f"{value:.4g}"


def whole(value: int | None) -> str:
    """Return an integer with commas at the thousands."""
    return NONE if value is None else f"{value:,}"


def spread(values: Sequence[float]) -> str:
    """Return mean ± standard deviation (n); no deviation of a single value."""
    if not values:
        return NONE
    mean = number(float(np.mean(values)))
    if len(values) == 1:
        return f"{mean} (1)"
    return f"{mean} ± {np.std(values, ddof=1):.2g} ({len(values)})"


def hours(seconds: float) -> str:
    """Return seconds as hours with two digits after the point, or as many as it takes."""
    return f"{seconds / 3600:.2f}" if seconds >= 360 else f"{seconds / 3600:.2g}"


def read(estimate: Estimate | None) -> str:
    """Return ``8``, ``> 64`` or ``<= 2`` where the tested d only bound it, ``none`` beyond D."""
    if estimate is None:
        return NONE
    if estimate.unreached:
        return "none"
    tested = [rung.d for rung in estimate.rungs]
    if estimate.censored == "above":
        return f"> {max(tested):,}"
    if estimate.censored == "below":
        return f"<= {min(tested):,}"
    return whole(estimate.d_int)


def interval(estimate: Estimate | None) -> str:
    """Return ``[6, 12]``; an end that the tested d leave open is 1 or D."""
    if estimate is None or estimate.unreached:
        return NONE
    low, high = estimate.interval
    return f"[{1 if low is None else low:,}, {'D' if high is None else f'{high:,}'}]"


def holds(estimate: Estimate, d: int) -> str:
    """Return whether the interval holds d: yes, NO, or open where an open end would decide."""
    found = estimate.holds(d)
    return "open" if found is None else "yes" if found else "NO"


def published(entry: Published) -> str:
    """Return ``25 (dqn)``."""
    return f"{entry.d_int:,} ({entry.trainer})"


def differences(entry: Published, measurement: Measurement) -> str:
    """Return in what a published number was read otherwise than ours, in a few words."""
    found = []
    if entry.trainer != measurement.trainer:
        found.append(f"trainer {entry.trainer}")
    if measurement.D is not None and entry.D != measurement.D:
        found.append(f"D {entry.D:,}")
    return ", ".join(found) or NONE


def short_names(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """Return (task, trainer), and projection and scope where those two name several."""
    counts = Counter(measurement.names[:2] for measurement in measurements)
    return [
        measurement.names if counts[measurement.names[:2]] > 1 else measurement.names[:2]
        for measurement in measurements
    ]


def one_line(text: str) -> str:
    """Return text with every run of white space as one space."""
    return " ".join(text.split())


def text_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as aligned columns, numbers to the right; the first row names the columns.

    Lists are joined by semicolons, None is a dash.
    """
    if not rows:
        return "nothing to show"
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
        return "; ".join(str(part) for part in value) or NONE
    return one_line(str(value))
