"""The ladder of reinforcement-learning tasks: a row each, its trainers side by side in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlidim.records.measurement import Measurement
from rlidim.report import drawing, log_rows
from rlidim.report.drawing import GREY, INK, PALE
from rlidim.report.headline import by_trainer
from rlidim.report.rows import easiest, estimate_of, place
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.wording import name_of, read

ROW, TRAINER, AXIS = 0.12, 0.15, 4.2  # inches: between rows, of a trainer in one, of the axis
NAME, NUMBER = 9.0, 8.0  # points: a task's name, its readings
LONGEST = 2.4  # inches, the most that a task's name may take
# A trainer of many runs at once, ppo-many, has the colour of the one it is.
COLOURS = {
    "es": "#1f6fb2",
    "cmaes": "#6d4fb0",
    "ppo": "#cf5b17",
    "dqn": "#2b8a57",
    "sac": "#bd3a78",
    "td3": "#8a5a44",
}


@dataclass(frozen=True)
class _Row:
    """A task, its readings by trainer, and how far down it is drawn."""

    name: str
    readings: dict[str, Measurement]
    top: float

    @property
    def height(self) -> float:
        return TRAINER * len(self.readings)


def plot_task_ladder(measurements: Sequence[Measurement], path_stem: Path) -> list[Path]:
    """Draw the tasks, the easiest first; return the SVG and the PNG.

    Trainers that do not solve a task natively are left out, and nothing is drawn where none is
    left.

    Raises:
        RlidimError: a file cannot be written.
    """
    rows = _rows(measurements)
    if not rows:
        return []
    with drawing.style():
        estimates = [estimate_of(each) for row in rows for each in row.readings.values()]
        names = max(drawing.inches(row.name, NAME) for row in rows)
        words = [_reading(name, each) for row in rows for name, each in row.readings.items()]
        readings = max(drawing.inches(each, NUMBER) for each in words)
        below = rows[-1].top + rows[-1].height
        figure, axes = log_rows.make(names, AXIS, readings, below, _shown(rows, estimates))
        axes.set_ylim(below, 0)
        for row in rows:
            _draw(axes, row)
        log_rows.write_head(figure, _title(estimates), _marks(rows, estimates))
        return drawing.save(figure, path_stem)


def _rows(measurements: Sequence[Measurement]) -> list[_Row]:
    kept: dict[str, dict[str, Measurement]] = {}
    for task, readings in by_trainer(measurements).items():
        readable = {
            name: readings[name]
            for name in sorted(readings, key=place)
            if not estimate_of(readings[name]).scale.unsolved
        }
        if readable:
            kept[task] = readable
    rows: list[_Row] = []
    top = ROW
    for task in sorted(kept, key=lambda task: (easiest(kept[task].values()), task)):
        rows.append(_Row(drawing.fit(task, NAME, LONGEST), kept[task], top))
        top += rows[-1].height + ROW
    return rows


def _shown(rows: Sequence[_Row], estimates: Sequence[Estimate]) -> list[float]:
    """Return every d that the axis has to hold."""
    values = [float(d_int) for row in rows for _, d_int in _published(row)]
    for estimate in estimates:
        values += drawing.shown(estimate)
    return values


def _published(row: _Row) -> list[tuple[str, int]]:
    """Return the published numbers, each with the trainer beside which it is drawn.

    That is the one it was measured by; the first, where that has no reading here.
    """
    entries = {
        (entry.trainer, entry.d_int) for each in row.readings.values() for entry in each.published
    }
    return sorted(
        (trainer if trainer in row.readings else next(iter(row.readings)), d_int)
        for trainer, d_int in entries
    )


def _reading(trainer: str, measurement: Measurement) -> str:
    return f"{trainer} {read(measurement.estimate)}"


def _colour(trainer: str) -> str:
    return COLOURS.get(trainer.partition("-")[0], GREY)


def _draw(axes: Any, row: _Row) -> None:
    """Draw a task: each trainer's interval, reading and words; the published numbers; its name."""
    for index, (trainer, measurement) in enumerate(row.readings.items()):
        y, colour, estimate = (
            row.top + TRAINER * (index + 0.5),
            _colour(trainer),
            estimate_of(measurement),
        )
        drawing.draw_interval(axes, estimate, y, _paler(colour), 4)
        drawing.mark_reading(axes, estimate, y, colour)
        for beside, d in _published(row):
            if beside == trainer:
                axes.scatter([d], [y], marker="D", s=44, facecolor="none", edgecolor=INK, zorder=5)
        drawing.write_beside(axes, 1, y, _reading(trainer, measurement), colour, NUMBER)
    drawing.write_beside(axes, 0, row.top + row.height / 2, row.name, INK, NAME)


def _paler(colour: str) -> str:
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = (0.55 + 0.45 * part for part in to_rgb(colour))
    return to_hex((red, green, blue))


def _title(estimates: Sequence[Estimate]) -> str:
    return f"How many numbers a task takes ({name_of(estimates[0].fraction)}), easiest first"


def _marks(rows: Sequence[_Row], estimates: Sequence[Estimate]) -> list[tuple[str, str, str]]:
    """Return the legend: sign, colour, words."""
    marks = [("●", INK, "measured"), ("▬", PALE, "95 % interval")]
    if any(estimate.censored for estimate in estimates):
        marks.append(("▷", INK, "at least"))
    if any(_published(row) for row in rows):
        marks.append(("◇", INK, "published"))
    return marks
