"""The table that compares the families of P: the d_int of each on the same tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlidim.records.measurement import Measurement
from rlidim.report.tables import Table
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.wording import NONE, beside

REFERENCE = "gaussian"  # the paper's own dense P


def differs(measurement: Measurement, reference: Measurement | None) -> bool:
    """Say whether two measurements' 95 % intervals are disjoint."""
    if reference is None or measurement.estimate is None or reference.estimate is None:
        return False
    low, high = _bounds(measurement.estimate)
    reference_low, reference_high = _bounds(reference.estimate)
    return high < reference_low or low > reference_high


def differing(measurements: Sequence[Measurement]) -> dict[str, list[str]]:
    """Return the families that differ from the reference, each with the tasks where it does."""
    places: dict[str, list[str]] = {}
    for measurement in measurements:
        if differs(measurement, _reference(measurement, measurements)):
            place = f"{measurement.task_name} {measurement.trainer}"
            places.setdefault(measurement.projection, []).append(place)
    return places


def table(measurements: Sequence[Measurement]) -> Table:
    """Return one row for each family, one column for each task and trainer."""
    places = sorted({(measurement.task_name, measurement.trainer) for measurement in measurements})
    families = sorted(
        {measurement.projection for measurement in measurements},
        key=lambda name: (name != REFERENCE, name),
    )
    different = differing(measurements)
    rows = []
    for family in families:
        cells = []
        for place in places:
            matches = [
                measurement
                for measurement in measurements
                if (measurement.task_name, measurement.trainer) == place
                and measurement.projection == family
            ]
            estimate = matches[0].estimate if matches else None
            cells.append(beside(estimate))
        rows.append((family, *cells, ", ".join(different.get(family, ())) or NONE))
    return Table(
        "d_int90 by family",
        ("family", *(" ".join(place) for place in places), f"differs from {REFERENCE}"),
        tuple(rows),
        left=1,
        notes=(
            "Twelve seeds at each d around the crossing. A family differs where its 95 % interval "
            f"and that of {REFERENCE} have nothing in common; one that does is no default.",
        ),
    )


def _bounds(estimate: Estimate) -> tuple[float, float]:
    """Return an interval's ends; an open one is infinite."""
    low, high = estimate.interval
    return -math.inf if low is None else low, math.inf if high is None else high


def _reference(measurement: Measurement, among: Sequence[Measurement]) -> Measurement | None:
    for other in among:
        same = (other.task_name, other.trainer) == (measurement.task_name, measurement.trainer)
        if same and other.projection == REFERENCE:
            return other
    return None
