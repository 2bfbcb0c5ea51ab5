"""The difficulty ladder: every measurement's d_int with its interval on one log axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlidim.records.measurement import Measurement
from rlidim.report import drawing, log_rows, text
from rlidim.report.drawing import BAR, BLUE, GREEN, INK, VERMILION
from rlidim.report.rows import difficulty
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.scale import LOCAL
from rlidim.statistics.wording import interval, name_of, read

ROW, AXIS = 0.27, 4.6  # inches: a row's height, the width of the log axis
NAME, NUMBER = 9.0, 9.0  # points: a row's name, its reading
CALIBRATION = "calibration"
LONGEST = 3.2  # inches, the most that a row's name may take


@dataclass(frozen=True)
class _Row:
    """A measurement that has an estimate, with its displayed name."""

    name: str
    measurement: Measurement
    estimate: Estimate


def plot_ladder(measurements: Sequence[Measurement], path_stem: Path) -> list[Path]:
    """Draw the ladder, easiest task first, calibration tasks apart; return the SVG and the PNG.

    Measurements without an estimate are left out, and those that native training does not solve,
    of whose task nothing is read. Nothing is drawn where none is left.

    Raises:
        RlidimError: a file cannot be written.
    """
    measured = _rows([m for m in measurements if m.known is None])
    known = _rows([m for m in measurements if m.known is not None])
    if not measured and not known:
        return []

    # An empty row stands between the two kinds, and a heading above the second.
    rows: list[_Row | str | None] = [*measured]
    if known:
        rows += [*([None] if measured else []), CALIBRATION, *known]
    with drawing.style():
        drawn = [*measured, *known]
        names = max(drawing.inches(row.name, NAME) for row in drawn)
        names = max(names, drawing.inches(CALIBRATION, NAME, "bold"))
        readings = max(drawing.inches(_reading(row.estimate), NUMBER) for row in drawn)
        figure, axes = log_rows.make(names, AXIS, readings, ROW * len(rows), _shown(drawn))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        for y, row in enumerate(rows):
            if isinstance(row, _Row):
                _draw(axes, y, row)
            elif row is not None:
                drawing.write_beside(axes, 0, y, row, INK, NAME, "bold")
        log_rows.write_head(figure, _title(drawn), _marks(drawn))
        return drawing.save(figure, path_stem)


def _rows(measurements: Sequence[Measurement]) -> list[_Row]:
    """Name the measurements, as shortly as is unambiguous, and sort them by difficulty."""
    rows = []
    for measurement, names in zip(measurements, text.short_names(measurements), strict=True):
        if measurement.estimate is None or measurement.estimate.scale.unsolved:
            continue
        name = ", ".join(names)
        rows.append(_Row(drawing.fit(name, NAME, LONGEST), measurement, measurement.estimate))
    return sorted(rows, key=lambda row: (difficulty(row.estimate), row.name))


def _shown(rows: Sequence[_Row]) -> list[float]:
    """Return every d that the axis has to hold."""
    values: list[float] = []
    for row in rows:
        values += drawing.shown(row.estimate)
        values += [d for d in (row.measurement.known,) if d is not None]
        values += [entry.d_int for entry in row.measurement.published]
    return values


def _reading(estimate: Estimate) -> str:
    local = "  local" if estimate.scale.kind == LOCAL else ""
    return f"{read(estimate)}  {interval(estimate)}{local}"


def _draw(axes: Any, y: int, row: _Row) -> None:
    """Draw a row: interval, reading, published and known values, name and numbers beside it."""
    estimate = row.estimate
    drawing.draw_interval(axes, estimate, y, BAR, 5)
    drawing.mark_reading(axes, estimate, y, BLUE)
    if row.measurement.known is not None:
        _hollow(axes, row.measurement.known, y, GREEN)
    else:
        for d in sorted({entry.d_int for entry in row.measurement.published}):
            _hollow(axes, d, y, VERMILION)
    drawing.write_beside(axes, 0, y, row.name, INK, NAME)
    drawing.write_beside(axes, 1, y, _reading(estimate), INK, NUMBER)


def _hollow(axes: Any, d: int, y: int, colour: str) -> None:
    axes.scatter([d], [y], marker="D", s=62, facecolor="none", edgecolor=colour, zorder=5)


def _title(drawn: Sequence[_Row]) -> str:
    return f"Intrinsic dimension {name_of(drawn[0].estimate.fraction)}, easiest first"


def _marks(drawn: Sequence[_Row]) -> list[tuple[str, str, str]]:
    """Return the legend: sign, colour, words."""
    marks = [("●", BLUE, "measured"), ("▬", BAR, "95 % interval")]
    if any(row.estimate.censored for row in drawn):
        marks.append(("▷", BLUE, "bound"))
    if any(row.measurement.known is None and row.measurement.published for row in drawn):
        marks.append(("◇", VERMILION, "published"))
    if any(row.measurement.known is not None for row in drawn):
        marks.append(("◇", GREEN, "known by construction"))
    return marks
