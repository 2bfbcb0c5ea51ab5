"""Numbers and intervals as text, the same in every output."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rlidim.records.measurement import Measurement
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.scale import LOCAL
from rlidim.statistics.wording import NONE, UNSOLVED
from rlidim.tasks.task import Published

MINUTES = 5400  # core seconds below which a cost is told in minutes
LEAST, MOST = 1e-4, 1e12  # numbers beyond are written with an exponent


def number(value: float | None) -> str:
    """Return a score with four significant digits, written out: ``2,869``, ``0.9012``."""
    if value is None:
        return NONE
    if value == 0 or not math.isfinite(value) or not LEAST <= abs(value) < MOST:
        return f"{value:.4g}"
    digits = max(3 - math.floor(math.log10(abs(value))), 0)
    shown = f"{round(value, 3 - math.floor(math.log10(abs(value)))):,.{digits}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


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
    return f"{mean} ± {_two_digits(float(np.std(values, ddof=1)))} ({len(values)})"


def _two_digits(value: float) -> str:
    """Return a number rounded to two significant digits, written out: ``900``, ``0.0012``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def hours(seconds: float) -> str:
    """Return seconds as hours with two digits after the point, or as many as it takes."""
    return f"{seconds / 3600:.2f}" if seconds >= 360 else f"{seconds / 3600:.2g}"


def core_time(seconds: float) -> str:
    """Return core time in the unit that it is read in.

    Example:
        >>> core_time(96), core_time(36_000)
        ('1.6 core minutes', '10 core hours')
    """
    if seconds < MINUTES:
        return f"{number(float(f'{seconds / 60:.2g}'))} core minutes"
    return f"{number(float(f'{seconds / 3600:.2g}'))} core hours"


def scale_of(measurement: Measurement, estimate: Estimate) -> str:
    """Return what a measurement's reading is of, in a line."""
    used, task = estimate.scale, measurement.task
    share = f"{estimate.fraction * 100:g} %"
    reaching, runs = used.native
    native = f"{reaching} of {runs} native runs do"
    source = "" if task is None or task.target is None else f" ({task.target.source})"
    if used.unsolved:
        return (
            f"{UNSOLVED} within {budget(measurement)}: {reaching} of {runs} runs reach {share} of "
            f"the target {number(used.target)}{source}; read against their median "
            f"{number(used.solved)} instead (local)"
        )
    one = f"the target {number(used.solved)}{source}"
    if used.kind == LOCAL:
        one = f"the median of native training, {number(used.solved)} (local)"
    return f"half of the runs reach {share} of the way from random actions to {one}; {native}"


def budget(measurement: Measurement) -> str:
    """Return how long a run lasts at most, as records say: ``500,000 steps``, ``4 epochs``."""
    settings = (measurement.baseline or measurement.runs)[0].settings.get("trainer")
    for name, unit in (("n_timesteps", "steps"), ("n_epochs", "epochs")):
        if isinstance(settings, dict) and isinstance(settings.get(name), int | float):
            return f"{settings[name]:,} {unit}"
    return "the budget"  # of a trainer of the user's own


def verdict(inside: bool | None) -> str:
    """Return what stands in a table for whether an interval holds something: None is open."""
    return "open" if inside is None else "yes" if inside else "NO"


def published(entry: Published) -> str:
    """Return a published number with its trainer: ``25 (dqn)``."""
    return f"{entry.d_int:,} ({entry.trainer})"


def differences(entry: Published, measurement: Measurement) -> str:
    """Return the differences between a published measurement and ours, in a few words."""
    parts = []
    if entry.trainer != measurement.trainer:
        parts.append(f"trainer {entry.trainer}")
    if measurement.D is not None and entry.D != measurement.D:
        parts.append(f"D {entry.D:,}")
    return ", ".join(parts) or NONE


def short_names(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """Return each one's (task, trainer), with projection and scope where those are ambiguous."""
    counts = Counter(measurement.names[:2] for measurement in measurements)
    return [
        measurement.names if counts[measurement.names[:2]] > 1 else measurement.names[:2]
        for measurement in measurements
    ]
