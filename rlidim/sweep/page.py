"""What a sitting leaves: what was not measured and why, and a line for every row."""

from __future__ import annotations

from collections.abc import Sequence

from rlidim.report.text import core_time
from rlidim.statistics.wording import NONE, interval, read, why_open
from rlidim.sweep import natives
from rlidim.sweep.forecast import TIMES
from rlidim.sweep.row import Row


def page(rows: Sequence[Row], refused: Sequence[str] = ()) -> str:
    """Return the page as text.

    Args:
        rows: where each measurement stands.
        refused: a line for each that cannot be made here, with the reason and what helps.
    """
    lines = []
    if refused:
        lines += [f"not measured here: {len(refused)}", *(f"  {line}" for line in refused), ""]
    for row in sorted(rows, key=lambda each: (each.missing > 0, each.name)):
        if row.error is None:
            lines.append(f"{row.name:36}  {_reading(row):20}  {state(row)}")
    return "\n".join(lines)


def state(row: Row) -> str:
    """Return where a row stands: settled, native unsolved, or open and what it lacks."""
    measurement, plan = row.measurement, row.search.plan
    if row.unsolved:
        count, runs = natives.reaching(plan, row.search.records)
        share = f"{plan.fraction:g} of the way to the target"
        return f"native unsolved: {count} of {runs} native runs get {share}"
    if row.missing:
        return f"open, {_lacking(row)}"
    if row.search.spent:
        return f"its budget of {core_time(plan.budget)} is spent, {_lacking(row)}"
    if measurement is not None and measurement.failed_everywhere:
        return f"ended: every run failed at d = {measurement.failed_everywhere[0]:,}"
    return "settled"


def _reading(row: Row) -> str:
    """Return a row's interval; none of one that does not count, whose scale would be another."""
    if row.unsolved or row.measurement is None:
        return NONE
    estimate = row.measurement.estimate
    return read(estimate) if estimate is not None and estimate.unreached else interval(estimate)


def _lacking(row: Row) -> str:
    """Return what closing a row's interval takes, and why an end of it is open."""
    if row.measurement is None:
        return "no reading yet"
    estimate = row.measurement.estimate
    assert estimate is not None
    if estimate.censored:  # what the runs at the next d say, those on record cannot foresee
        cost = "no forecast before it is bracketed"
    elif row.forecast is None:
        cost = f"not to be had by {TIMES[-1]} times as many runs"
    else:
        cost = f"about {core_time(row.forecast)} more"
    open_end = why_open(estimate)
    return cost if open_end is None else f"{cost}; {open_end}"
