"""Drawing shared by the figures: colours for the colour-blind, log axes, files without dates."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlidim.records.files import replace_file, writing
from rlidim.statistics.estimate import Estimate

# Okabe and Ito's palette.
BLUE = "#0072B2"
BAR = "#9fc9e2"  # the same, paler
ORANGE = "#E69F00"
GREEN = "#009E73"
VERMILION = "#D55E00"
INK = "#333333"
GREY = "#8a8a8a"
PALE = "#dddddd"
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "rlidim",  # the same drawing, the same identifiers
    "svg.fonttype": "path",  # looks the same wherever it is shown
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
PIXELS_PER_INCH = 160


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Set the figures' style in place of the user's own matplotlib settings."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def save(figure: Any, stem: Path) -> list[Path]:
    """Write ``stem``.svg and ``stem``.png in one piece each and return their paths.

    Raises:
        RlidimError: a file cannot be written.
    """
    written = []
    for ending, metadata in (
        ("svg", {"Date": None, "Creator": "rlidim"}),
        ("png", {"Software": "rlidim"}),
    ):
        path = stem.parent / f"{stem.name}.{ending}"
        content = io.BytesIO()
        figure.savefig(
            content, format=ending, metadata=metadata, dpi=PIXELS_PER_INCH, facecolor="white"
        )
        with writing(path):
            replace_file(path, content.getvalue())
        written.append(path)
    return written


def inches(words: str, size: float, weight: str = "normal") -> float:
    """Return the width of a line of text, in inches, at a font size in points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not words.strip():
        return 0.0
    properties = FontProperties(family="DejaVu Sans", weight=weight)
    return float(TextPath((0, 0), words, size=size, prop=properties).get_extents().x1) / 72


def fit(words: str, size: float, room: float, weight: str = "normal") -> str:
    """Return the words, shortened in the middle until they fit into the room, in inches."""
    shown, length = words, len(words)
    while inches(shown, size, weight) > room and length > 3:
        length -= 1
        head = (length - 1) // 2
        shown = f"{words[:head]}…{words[len(words) - (length - 1 - head) :]}"
    return shown


def log_limits(values: Sequence[float], margin: float) -> tuple[float, float]:
    """Return limits of a log axis around the values, with a margin as a share of their span."""
    low, high = math.log(min(values)), math.log(max(values))
    # A single d, or nearly: show some room around it.
    room = max(margin * (high - low), (1.2 - (high - low)) / 2, 0.1)
    return math.exp(low - room), math.exp(high + room)


def moved(axes: Any, d: float, share: float) -> float:
    """Return d moved along a log axis by a share of its length."""
    low, high = axes.get_xlim()
    return float(d * math.exp(share * math.log(high / low)))


def ends(axes: Any, interval: tuple[int | None, int | None]) -> tuple[float, float]:
    """Return the ends of an interval as drawn: an open end lies at the axis's own end.

    An interval of a single d is drawn a little wider, so that it can be seen.
    """
    low, high = interval
    left, right = axes.get_xlim()
    return (
        left if low is None else moved(axes, low, -0.006),
        right if high is None else moved(axes, high, 0.006),
    )


def draw_interval(axes: Any, estimate: Estimate, y: float, colour: str, width: float) -> None:
    """Draw the interval as a bar that ends in an arrow's head where it is open.

    Nothing is drawn where not even d = D passes.
    """
    if estimate.unreached:
        return
    interval = estimate.interval
    bar = list(ends(axes, interval))
    for index, (marker, inwards) in enumerate((("<", 1), (">", -1))):
        if interval[index] is None:
            head = moved(axes, bar[index], 0.01 * inwards)
            bar[index] = moved(axes, bar[index], 0.016 * inwards)
            axes.scatter(head, y, marker=marker, s=70, color=colour, linewidths=0, zorder=2.5)
    axes.plot(bar, [y, y], color=colour, linewidth=width, solid_capstyle="butt", zorder=2)


def shown(estimate: Estimate) -> list[float]:
    """Return every d that an axis has to hold: reading, interval, one beyond an open end."""
    values: list[float] = [estimate.d_int or estimate.tested[-1]]
    values += [end for end in estimate.interval if end is not None]
    low, high = estimate.interval
    if low is None and not estimate.unreached:
        values.append(max(1.0, estimate.tested[0] / 2))
    if high is None and not estimate.unreached:
        values.append(2.0 * estimate.tested[-1])
    return values


def mark_reading(axes: Any, estimate: Estimate, y: float, colour: str) -> None:
    """Draw a dot at d_int, or a hollow arrow head at the tested d that bounds it."""
    if estimate.censored is None:
        axes.scatter([estimate.d_int], [y], s=34, color=colour, linewidths=0, zorder=4)
    else:
        above = estimate.censored == "above"
        axes.scatter(
            [estimate.rungs[-1 if above else 0].d],
            [y],
            marker=">" if above else "<",
            s=34,
            facecolor="white",
            edgecolor=colour,
            linewidths=1.2,
            zorder=4,
        )


def fitting(axes: Any, candidates: Sequence[int], length: float, size: float) -> list[int]:
    """Return the candidate d, ascending, whose labels fit side by side on a log axis.

    Args:
        axes: with their limits set.
        candidates: the d, ascending.
        length: of the axis, in inches.
        size: of the labels, in points.
    """
    low, high = axes.get_xlim()
    chosen: list[int] = []
    free = -math.inf
    for d in candidates:
        half = inches(f"{d:,}", size) / 2
        centre = length * math.log(d / low) / math.log(high / low)
        if centre - half >= free:
            chosen.append(d)
            free = centre + half + 0.08
    return chosen


def label_dimensions(axes: Any, labelled: Sequence[int], others: Sequence[int] = ()) -> None:
    """Put ticks with labels at some d and small ones without at others."""
    axes.set_xticks(labelled, [f"{d:,}" for d in labelled])
    axes.set_xticks([d for d in others if d not in labelled], minor=True)
    axes.xaxis.set_minor_formatter("")
    axes.tick_params(axis="x", which="major", length=4)
    axes.tick_params(axis="x", which="minor", length=2)


def round_dimensions(axes: Any, length: float, size: float) -> list[int]:
    """Return round numbers for a log axis, as dense as there is room: 1, 2, 5, 10, ..."""
    low, high = axes.get_xlim()
    decades = range(int(math.log10(max(high, 1))) + 1)
    scales = [list(range(1, 40)), [*range(1, 11), 12, 15, 20, 25, 30]] if high < 40 else []
    scales += [
        [step * 10**decade for decade in decades for step in steps]
        for steps in (range(1, 10), (1, 2, 3, 5), (1, 2, 5), (1, 3))
    ]
    for scale in scales:
        inside = [d for d in scale if low <= d <= high]
        if fitting(axes, inside, length, size) == inside:
            return inside
    return [d for d in (10**decade for decade in decades) if low <= d <= high]


def write_beside(
    axes: Any, edge: int, y: float, words: str, colour: str, size: float, weight: str = "normal"
) -> None:
    """Write to the left of the axes' left edge (0) or to the right of the right one (1)."""
    axes.annotate(
        words,
        (edge, y),
        xycoords=("axes fraction", "data"),
        xytext=(10 if edge else -10, -0.5),
        textcoords="offset points",
        ha="left" if edge else "right",
        va="center",
        fontsize=size,
        fontweight=weight,
        color=colour,
        annotation_clip=False,
    )
