"""The table that compares each task's own protocol with the paper's: baseline, d_int, hours.

Li et al. 2018 trained classifiers for 100 epochs at one learning rate; the tasks' own settings are
shorter and let the rate fall.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlidim.records.measurement import Measurement
from rlidim.report import text
from rlidim.report.tables import Table
from rlidim.statistics.wording import in_short, name_of
from rlidim.tasks.task import FRACTION, PAPER

UNKNOWN = "not known"


def table(measurements: Sequence[Measurement]) -> Table:
    """Return one row for each subject that was measured by both protocols."""
    by_names = {measurement.names: measurement for measurement in measurements}
    rows = []
    for names, ours in by_names.items():
        paper = by_names.get((f"{names[0]}-{PAPER}", *names[1:]))
        if paper is None or ours.estimate is None or paper.estimate is None:
            continue
        task, trainer, *rest = names
        rows.append(
            (task, trainer, ", ".join(rest), *_reading(ours), *_reading(paper), _same(ours, paper))
        )
    name = name_of(FRACTION)
    header = (
        "task",
        "trainer",
        "projection",
        *("baseline", name, "hours a run"),
        *("paper's baseline", f"paper's {name}", "paper's hours a run"),
        "agree",
    )
    notes = (
        "Ours with the task's own settings, then with the paper's 100 epochs (--protocol paper), "
        "each against its own baseline. Agree: whether each reading lies in the other's interval, "
        f"{UNKNOWN} where an end that the tested d leave open would decide.",
    )
    return Table("The default beside the paper's protocol", header, tuple(rows), 3, notes)


def _reading(measurement: Measurement) -> tuple[str, str, str]:
    runs = len(measurement.runs) + len(measurement.baseline)
    return (
        text.spread(measurement.baseline_scores),
        in_short(measurement.estimate),
        text.hours(measurement.seconds / runs),
    )


def _same(first: Measurement, second: Measurement) -> str:
    """Say whether the d_int of each lies in the other's interval."""
    ours, theirs = first.estimate, second.estimate
    if ours is None or theirs is None or ours.d_int is None or theirs.d_int is None:
        return UNKNOWN
    if ours.censored or theirs.censored:
        return UNKNOWN
    holds = ours.holds(theirs.d_int), theirs.holds(ours.d_int)
    if False in holds:
        return "NO"
    return UNKNOWN if None in holds else "yes"
