"""What is said of a row whose interval is wider than wanted: which end, why, and what it lacks."""

from __future__ import annotations

from rlidim.records.measurement import Measurement
from rlidim.statistics.wording import why_open
from rlidim.sweep.forecast import advice
from rlidim.sweep.plan import Plan


def reasons(measurement: Measurement, plan: Plan, command: str) -> list[str]:
    """Return a line for an open end, and one for what narrowing the interval would cost.

    Args:
        measurement: of a plan whose budget is spent, or which has come to its end.
        plan: of the measurement.
        command: that goes on with it alone, given a larger ``--budget``.
    """
    open_end = None if measurement.estimate is None else why_open(measurement.estimate)
    narrower = advice(measurement, plan)
    lines = [open_end, None if narrower is None else f"{command}: {narrower}"]
    return [line for line in lines if line is not None]
