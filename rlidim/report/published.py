"""Published numbers beside ours: d_int from our own scores by the published rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlidim.errors import RlidimError
from rlidim.records.measurement import Measurement
from rlidim.statistics.mean import read_mean
from rlidim.statistics.reading import Reading
from rlidim.tasks.task import Published

RUNG = 1.5  # the ratio of neighbouring rungs: a scan over d cannot tell less apart
CONTAINS, NEARLY, MISSES = "contains it", "is within a rung of it", "misses it"
OPEN = "leaves it open"


def threshold(entry: Published, measurement: Measurement) -> float | None:
    """Return the baseline for the published rule, as a score of the task.

    A global baseline is the number that the entry names; a local one is our own native runs' mean
    score. None if the entry prints no score.
    """
    baseline = entry.baseline
    if baseline.score is not None and baseline.kind == "local":
        scores = measurement.baseline_scores
        return float(np.mean(scores)) if scores else None
    return baseline.score


def reread(entry: Published, measurement: Measurement) -> Reading | None:
    """Read d_int from our scores by the published number's rule.

    The entry's share of raw scores, shifted so that the lowest possible is zero, with our interval
    in place of its first passing d. None where the baseline is not known as a score of the task,
    or nothing was measured.
    """
    baseline = threshold(entry, measurement)
    if baseline is None:
        return None
    local = entry.baseline.kind == "local"
    return _read(entry, measurement, measurement.baseline_scores if local else [baseline])


def reread_at_their_number(entry: Published, measurement: Measurement) -> Reading | None:
    """Read d_int from our scores against the very score that the entry has as its baseline."""
    number = entry.baseline.score
    return None if number is None else _read(entry, measurement, [number])


def _read(entry: Published, measurement: Measurement, baseline: Sequence[float]) -> Reading | None:
    ours = measurement.estimate
    if ours is None or measurement.D is None:
        return None
    lowest = 0.0 if measurement.task is None else measurement.task.problem.evaluation.minimum
    try:
        return read_mean(
            {rung.d: rung.scores for rung in ours.rungs},
            baseline=baseline,
            random=lowest,
            D=measurement.D,
            fraction=entry.fraction or ours.fraction,
        )
    except RlidimError:  # a baseline that is the lowest score of all
        return None


def verdict(entry: Published, measurement: Measurement) -> str:
    """Say whether our interval, by their rule where it is known, holds a published number.

    Where it is not known it is the interval of our reading by the mean, which is the nearest.

    An end that our tested d leave open holds nothing: where it would decide, nothing is decided.
    """
    ours = reread(entry, measurement)
    if ours is None and measurement.estimate is not None:
        ours = measurement.estimate.mean
    if ours is None:
        return "not measured"
    holds = ours.holds(entry.d_int)
    if holds:
        return CONTAINS
    if holds is None:
        return OPEN if entry.d_int <= (measurement.D or entry.d_int) else MISSES
    low, high = ours.interval
    near = entry.d_int * RUNG >= (low or 1) and (high is None or entry.d_int <= high * RUNG)
    return NEARLY if near else MISSES
