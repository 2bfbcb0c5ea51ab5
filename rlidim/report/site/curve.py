"""What a task's curve is drawn from: every run, the share that solve, the interval, the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rlidim.records.measurement import Measurement
from rlidim.records.record import RunRecord
from rlidim.report import text
from rlidim.statistics.scale import TARGET

HIGHEST, LOWEST = 1.6, -0.6  # normalised scores beyond are drawn at the edge


def curve(measurement: Measurement, link: Callable[[RunRecord], str]) -> dict[str, Any]:
    """Return the JSON of a curve.

    Args:
        measurement: one that has an estimate.
        link: returns the address of a run's record.
    """
    estimate = measurement.estimate
    assert estimate is not None
    runs = [
        {
            "d": record.cell.d,
            "seed": record.cell.seed,
            "score": text.number(record.score),
            "value": _value(estimate.scale(math.nan if record.score is None else record.score)),
            "status": record.status,
            "href": link(record),
        }
        for record in measurement.runs
        if record.status != "failed"
    ]
    low, high = estimate.interval
    return {
        "D": estimate.D,
        "fraction": estimate.fraction,
        "d_int": estimate.d_int,
        "interval": [low, high],
        "unreached": estimate.unreached,
        "fit": [list(point) for point in estimate.fit],
        "rungs": [{"d": rung.d, "share": rung.share} for rung in estimate.rungs],
        "runs": runs,
        "native": [_value(estimate.scale(score)) for score in estimate.baseline],
        "one": "target" if estimate.scale.kind == TARGET else "native",
        "known": measurement.known,
        "published": [
            {"d": each.d_int, "label": text.published(each)} for each in measurement.published
        ],
    }


def _value(normalised: float) -> float:
    return round(min(max(normalised, LOWEST), HIGHEST), 4)
