"""A figure of rows on one log axis of d: names to the left, readings to the right, a head above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlidim.report import drawing
from rlidim.report.drawing import PALE

TOP, BOTTOM = 0.8, 0.5  # inches above and below the rows
BESIDE = 0.3  # inches, what is left free on both sides of the axis beside the words
TITLE, LEGEND = (0.2, 0.27), (0.2, 0.53)  # inches from the left and from the top
MARK = 8.5  # points: the legend's words


def make(
    names: float, length: float, readings: float, rows: float, shown: Sequence[float]
) -> tuple[Any, Any]:
    """Return a figure and its axes, within :func:`rlidim.report.drawing.style`.

    Args:
        names: room for the names, in inches.
        length: of the axis, in inches.
        readings: room for the readings, in inches.
        rows: height of all rows, in inches.
        shown: every d that the axis has to hold.
    """
    from matplotlib.figure import Figure

    left, right = BESIDE + names, BESIDE + readings
    width, height = left + length + right, TOP + rows + BOTTOM
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, BOTTOM / height, length / width, rows / height))
    axes.set_xscale("log")
    axes.set_xlim(*drawing.log_limits(shown, 0.05))
    drawing.label_dimensions(axes, drawing.round_dimensions(axes, length, 9.0))
    axes.grid(axis="x", which="major", color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_yticks([])
    axes.set_xlabel("subspace dimension d")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure, axes


def write_head(figure: Any, title: str, marks: Sequence[tuple[str, str, str]]) -> None:
    """Write the title and, below it, a legend of marks (sign, colour, words) in a line."""
    width, height = figure.get_size_inches()
    x, down = TITLE
    figure.text(x / width, 1 - down / height, title, fontsize=11, fontweight="bold")
    x, down = LEGEND
    y = 1 - down / height
    for mark, colour, words in marks:
        figure.text(x / width, y, mark, fontsize=9, color=colour)
        figure.text((x + 0.17) / width, y, words, fontsize=MARK)
        x += 0.42 + drawing.inches(words, MARK)
