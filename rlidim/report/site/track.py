"""A track: what is known of one reading, along an axis of d.

Three things look different: a measured number is a full dot; a bound is a hollow one with an arrow
that ends at the network's own D; what is not determined is a cross of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from rlidim.report.site.axis import Axis, short
from rlidim.report.site.markup import Markup, element
from rlidim.statistics.reading import Reading

MEASURED, BOUNDED, UNDETERMINED = "measured", "bounded", "undetermined"


def kind_of(reading: Reading | None, unsolved: bool = False) -> str:
    """Return how a reading is drawn: measured, bounded or undetermined.

    Args:
        reading: None where nothing is read.
        unsolved: whether native training does not solve the task.
    """
    if reading is None or unsolved or reading.unreached or not any(reading.interval):
        return UNDETERMINED
    return MEASURED if reading.closed else BOUNDED


def shown(reading: Reading | None) -> list[float]:
    """Return every d that the axis of a reading has to hold, D left out unless it is an end."""
    if reading is None:
        return []
    values: list[float] = [end for end in reading.interval if end is not None]
    if reading.d_int is not None:
        values.append(reading.d_int)
    elif not reading.unreached:
        values.append(reading.tested[-1])
    if not reading.closed:
        values += [reading.tested[0], reading.D]
    return values


def track(axis: Axis, reading: Reading | None, kind: str, marks: Iterable[Markup] = ()) -> Markup:
    """Return a track with its interval, its dot, and marks of others."""
    if reading is None or kind == UNDETERMINED:
        return element("span", *marks, class_="track")
    low, high = reading.interval
    start = axis.at(low if low is not None else reading.tested[0])
    end = axis.at(high if high is not None else reading.D)
    at = axis.at(reading.d_int if reading.d_int is not None else reading.tested[-1])
    open_ends = " ".join(
        name for name, side in (("open-low", low), ("open-high", high)) if side is None
    )
    return element(
        "span",
        element("span", class_=f"bar {open_ends}".strip(), style=f"--from:{start};--to:{end}"),
        element("span", class_="dot", style=f"--at:{at}"),
        *marks,
        class_="track",
    )


def mark(axis: Axis, d: int, name: str, title: str) -> Markup:
    """Return the mark of another number: ``published``, ``known`` or ``size`` (D)."""
    return element("span", class_=f"mark {name}", style=f"--at:{axis.at(d)}", title=title)


def grid(axis: Axis) -> Markup:
    """Return the lines of an axis, and their labels."""
    lines = [
        element(
            "span",
            element("span", short(d), class_="tick"),
            class_="line",
            style=f"--at:{axis.at(d)}",
        )
        for d in axis.ticks()
    ]
    return element("div", *lines, class_="grid", aria_hidden="true")
