"""Published numbers beside ours, read by the published rule from our own scores."""

from __future__ import annotations

import re

import numpy as np

from rlidim import statistics
from rlidim.errors import RlidimError
from rlidim.report.collect import Measurement
from rlidim.statistics import Estimate
from rlidim.task import Evaluation, Published

RUNG = 1.5  # the ratio of neighbouring rungs: a scan over d cannot tell less apart
_GLOBAL = re.compile(r"\s*([-+]?\d+(?:\.\d*)?)\s*\(global\)\s*")


def threshold(entry: Published, measurement: Measurement) -> float | None:
    """Return the baseline that the published number was read against, as a score of the task.

    A global baseline is the number that the entry names; a local one is native training's score,
    so here our own. None if the entry's is neither.
    """
    found = _GLOBAL.fullmatch(entry.baseline)
    if found:
        return float(found[1])
    if "(local)" in entry.baseline and measurement.baseline_scores:
        return float(np.mean(measurement.baseline_scores))
    return None


def reread(entry: Published, measurement: Measurement) -> Estimate | None:
    """Estimate d_int from our scores against the published number's baseline.

    The paper's share of raw scores, shifted so that the lowest possible is zero, with our interval
    in place of its first passing d. None where the baseline is not known as a score of the task,
    or nothing was measured.
    """
    estimate, baseline = measurement.estimate, threshold(entry, measurement)
    if estimate is None or baseline is None or measurement.D is None:
        return None
    lowest = (Evaluation() if measurement.task is None else measurement.task.evaluation).minimum
    local = _GLOBAL.fullmatch(entry.baseline) is None
    try:
        return statistics.estimate(
            {rung.d: rung.scores for rung in estimate.rungs},
            baseline=measurement.baseline_scores if local else [baseline],
            random=lowest,
            D=measurement.D,
            fraction=estimate.fraction,
            minimum_score=lowest,
        )
    except RlidimError:  # a baseline that is the lowest score of all
        return None


def verdict(entry: Published, measurement: Measurement) -> str:
    """Say whether our interval, by their rule where it is known, holds a published number.

    ``contains it``, ``is within a rung of it``, or ``misses it``.
    """
    estimate = reread(entry, measurement) or measurement.estimate
    if estimate is None:
        return "not measured"
    low, high = estimate.interval
    if (low or 1) <= entry.d_int <= (high or measurement.D or entry.d_int):
        return "contains it"
    # An end that the tested d leave open is 1 or D: there is no rung beyond.
    nearly_low = low is not None and low / RUNG <= entry.d_int < low
    nearly_high = high is not None and high < entry.d_int <= high * RUNG
    return "is within a rung of it" if nearly_low or nearly_high else "misses it"
