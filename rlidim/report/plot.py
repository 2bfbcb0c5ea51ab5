"""The figure of one measurement: runs that solve, and their scores, against d; d_int on both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.errors import RlidimError
from rlidim.records.measurement import Measurement
from rlidim.report import drawing, text
from rlidim.report.drawing import BLUE, GREEN, GREY, INK, ORANGE, VERMILION
from rlidim.statistics.estimate import Estimate, Rung
from rlidim.statistics.scale import HALF, TARGET
from rlidim.statistics.wording import interval, statement

WIDTH, ROW = 7.2, 0.24  # inches: the figure's width, a row above the panels
PANEL, SHARES, GAP = 2.6, 1.5, 0.16  # inches: the score panel, that of shares, between them
LEAST_LEFT, RIGHT, TOP, BOTTOM = 0.8, 1.15, 0.62, 0.78  # inches around the panels
NAMES = 1.9  # inches, the most that the names beside the upper strip may take
SMALL = 8.0  # points
LOWEST, HIGHEST = -0.3, 1.6  # normalised scores beyond are drawn at the edge, as triangles
ALIKE = 0.03  # scores nearer than this are drawn side by side


def plot_measurement(measurement: Measurement, path_stem: Path) -> list[Path]:
    """Draw a measurement and return the paths of its SVG and PNG.

    Raises:
        RlidimError: there is no estimate to draw, or a file cannot be written.
    """
    if measurement.estimate is None:
        raise RlidimError(f"{measurement.label}: nothing to plot: {measurement.reason}")
    from matplotlib.figure import Figure

    estimate = measurement.estimate
    with drawing.style():
        lines = _lines(measurement)
        names = max(drawing.inches(line.name, SMALL) for line in lines)
        left = max(LEAST_LEFT, 0.25 + names)
        strip = ROW * len(lines)
        height = TOP + strip + SHARES + GAP + PANEL + BOTTOM
        width = WIDTH - left - RIGHT
        figure = Figure(figsize=(WIDTH, height))

        def panel(bottom: float, tall: float, **options: Any) -> Any:
            box = (left / WIDTH, bottom / height, width / WIDTH, tall / height)
            return figure.add_axes(box, **options)

        scores = panel(BOTTOM, PANEL)
        shares = panel(BOTTOM + PANEL + GAP, SHARES, sharex=scores)
        above = panel(BOTTOM + PANEL + GAP + SHARES, strip, sharex=scores)
        dims = [rung.d for rung in estimate.rungs]
        shown = [*dims, *drawing.shown(estimate)]
        shown += [line.d for line in lines if line.d is not None]
        scores.set_xscale("log")
        scores.set_xlim(*drawing.log_limits(shown, 0.06))
        drawing.label_dimensions(scores, drawing.fitting(scores, dims, width, 9.0), dims)
        _draw_scores(scores, estimate)
        _draw_shares(shares, estimate)
        _draw_strip(above, lines, estimate)
        for line in lines:
            if line.d is not None:
                dots = (0, (1, 2))
                for axes in (scores, shares):
                    axes.axvline(line.d, color=line.colour, linewidth=1, linestyle=dots, zorder=1)
        _write_title(figure, measurement, estimate, left, height)
        figure.text(left / WIDTH, 0.12 / height, _caption(measurement), fontsize=SMALL, color=GREY)
        return drawing.save(figure, path_stem)


@dataclass(frozen=True)
class _Line:
    """A row of the strip above the scores; ``d`` is None in the first, the measured one."""

    name: str
    d: int | None
    colour: str


def _lines(measurement: Measurement) -> list[_Line]:
    lines = [_Line("measured", None, BLUE)]
    if measurement.known is not None:
        lines.append(_Line("known", measurement.known, GREEN))
    for entry in measurement.published:
        name = drawing.fit(f"published, {entry.trainer}", SMALL, NAMES)
        lines.append(_Line(name, entry.d_int, VERMILION))
    return lines


def _shade(axes: Any, estimate: Estimate) -> None:
    """Shade the interval."""
    if not estimate.unreached:
        shaded = drawing.ends(axes, estimate.interval)
        axes.axvspan(*shaded, color=ORANGE, alpha=0.16, linewidth=0, zorder=0)


def _draw_shares(axes: Any, estimate: Estimate) -> None:
    """Draw the share of runs that solve the task at each d, its fit, and the line of one half."""
    _shade(axes, estimate)
    axes.axhline(HALF, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    axes.plot(*zip(*estimate.fit, strict=True), color=BLUE, linewidth=2, zorder=3)
    for rung in estimate.rungs:
        # The area goes by the number of runs.
        area = 14 + 3 * len(rung.scores)
        axes.scatter(
            rung.d, rung.share, s=area, color=INK, edgecolors="white", linewidths=0.5, zorder=4
        )
    axes.set_ylim(-0.08, 1.08)
    axes.set_yticks([0, 0.5, 1], ["0", "half", "all"])
    axes.set_ylabel("runs that solve")
    axes.tick_params(axis="x", which="both", labelbottom=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_scores(axes: Any, estimate: Estimate) -> None:
    left, right = axes.get_xlim()
    _shade(axes, estimate)
    spread, native = _native(estimate)
    axes.axhspan(native - spread, native + spread, color=GREEN, alpha=0.13, linewidth=0, zorder=0)
    for level, colour, dash in (
        (1.0, GREEN, "-"),
        (estimate.fraction, INK, (0, (4, 3))),
        (0.0, GREY, "-"),
    ):
        axes.axhline(level, color=colour, linewidth=0.9, linestyle=dash, zorder=1)
    for rung in estimate.rungs:
        middle = float(np.median(rung.normalised))
        axes.scatter(rung.d, middle, marker="_", s=150, color=BLUE, linewidths=2, zorder=3)
    gap = _smallest_gap([rung.d for rung in estimate.rungs], math.log(right / left))
    for rung in estimate.rungs:
        _draw_seeds(axes, rung, gap)
    values = [value for rung in estimate.rungs for value in rung.normalised]
    bottom = max(min(-0.06, min(values) - 0.05), LOWEST)
    top = min(max(1.1, native + spread + 0.04, max(values) + 0.05), HIGHEST)
    axes.set_ylim(bottom, top)
    axes.set_yticks([tick / 4 for tick in range(7) if tick / 4 <= top])
    axes.set_ylabel("normalised score")
    axes.set_xlabel("subspace dimension d", labelpad=2)
    axes.spines[["top", "right"]].set_visible(False)
    # Labels at the right edge, moved apart where the levels lie closer than a line of text.
    line = 0.17 * (top - bottom) / PANEL
    baseline = max(1.0, estimate.fraction + line)
    for level, name, colour in (
        (baseline, estimate.scale.kind if estimate.scale.kind == TARGET else "native", GREEN),
        (estimate.fraction, f"{estimate.fraction * 100:g} %", INK),
        (0.0, "random", GREY),
    ):
        axes.annotate(
            name,
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=colour,
            annotation_clip=False,
        )


def _draw_seeds(axes: Any, rung: Rung, gap: float) -> None:
    """Draw a rung's runs, those with nearly the same score side by side."""
    for value, offset, diverged in _side_by_side(rung):
        x = rung.d * math.exp(offset * gap)
        y = min(max(value, LOWEST + 0.03), HIGHEST - 0.03)
        if diverged:
            axes.scatter(x, y, s=26, marker="x", color=VERMILION, zorder=4)
            continue
        marker, size = ("o", 20) if y == value else ("v" if y > value else "^", 36)
        axes.scatter(
            x, y, s=size, marker=marker, color=INK, edgecolors="white", linewidths=0.5, zorder=4
        )


def _side_by_side(rung: Rung) -> list[tuple[float, float, bool]]:
    """Return (score, horizontal offset in -0.5 to 0.5, diverged) for each run of a rung."""
    runs = list(zip(rung.normalised, map(math.isnan, rung.scores), strict=True))
    groups: list[list[int]] = []
    for index in sorted(range(len(runs)), key=lambda index: runs[index]):
        if groups and runs[index][0] - runs[groups[-1][0]][0] < ALIKE:
            groups[-1].append(index)
        else:
            groups.append([index])
    step = 1 / max(5, max(map(len, groups)))
    # By seed within a group: sorted by score they would look like a curve.
    return [
        (runs[index][0], (place - (len(group) - 1) / 2) * step, runs[index][1])
        for group in groups
        for place, index in enumerate(sorted(group))
    ]


def _smallest_gap(dims: Sequence[int], span: float) -> float:
    """Return the width that a rung's runs may take, in log d: less than the gap to the next."""
    gaps = np.diff(np.log(dims))
    return float(min([0.75 * gap for gap in gaps] + [0.07 * span]))


def _native(estimate: Estimate) -> tuple[float, float]:
    """Return the standard deviation and the mean of the native runs' normalised scores."""
    scores = [estimate.scale(score) for score in estimate.baseline]
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0, float(np.mean(scores))


def _draw_strip(axes: Any, lines: Sequence[_Line], estimate: Estimate) -> None:
    """Draw our interval, and below it the known and the published values, a row each."""
    drawing.draw_interval(axes, estimate, 0, ORANGE, 4)
    drawing.mark_reading(axes, estimate, 0, BLUE)
    for row, line in enumerate(lines):
        if line.d is None:
            continue
        axes.scatter(line.d, row, marker="D", s=34, facecolor="white", edgecolor=line.colour)
        axes.annotate(
            f"{line.d:,}",
            (line.d, row),
            xytext=(7, -0.5),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
            color=line.colour,
            annotation_clip=False,
        )
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_yticks(range(len(lines)), [line.name for line in lines])
    for tick, line in zip(axes.get_yticklabels(), lines, strict=True):
        tick.set(color=line.colour, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", which="both", bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)


def _write_title(
    figure: Any, measurement: Measurement, estimate: Estimate, left: float, height: float
) -> None:
    title = drawing.fit(measurement.label, 11, WIDTH - left - 0.15, "bold")
    reading = (
        f"{statement(estimate)}   95 % interval {interval(estimate)}   "
        f"D = {text.whole(measurement.D)}"
    )
    figure.text(left / WIDTH, 1 - 0.26 / height, title, fontsize=11, fontweight="bold")
    figure.text(left / WIDTH, 1 - 0.47 / height, reading, fontsize=9.5)


def _caption(measurement: Measurement) -> str:
    estimate = measurement.estimate
    assert estimate is not None
    counts = sorted({len(rung.scores) for rung in estimate.rungs})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    parts = [f"below, a dot is a run ({seeds} at each d), a dash their median, green native runs"]
    if measurement.diverged:
        parts.append(f"a cross one that diverged ({measurement.diverged})")
    return ", ".join(parts)
