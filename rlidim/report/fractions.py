"""What readings depend on the share of the way that counts as solved: the same runs, read again."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rlidim.records.measurement import Measurement
from rlidim.report.headline import by_algorithm
from rlidim.report.ranks import rank_correlation
from rlidim.report.rows import COMPARED, counts, estimate_of, reading_of
from rlidim.report.tables import Table
from rlidim.statistics.estimate import Estimate, estimate
from rlidim.statistics.scale import TARGET
from rlidim.statistics.wording import beside
from rlidim.tasks.task import FRACTION

OTHERS = (0.8, 0.7, 0.5)


def table(measurements: Sequence[Measurement]) -> Table:
    """Return a row for each task and algorithm: its reading, and what other fractions would read.

    Args:
        measurements: of any tasks, read at ``FRACTION``.
    """
    rows, read = [], []
    for task, trainers in sorted(by_algorithm(measurements).items()):
        for _, measurement in sorted(trainers.items()):
            if not counts(measurement) or estimate_of(measurement).scale.kind != TARGET:
                continue
            others = [reread(measurement, fraction) for fraction in OTHERS]
            read.append((reading_of(measurement), others))
            cells = (beside(each) for each in (measurement.estimate, *others))
            rows.append((task, measurement.trainer, *cells))
    header = ("task", "trainer", *(f"{fraction:g}" for fraction in (FRACTION, *OTHERS)))
    notes = (
        "The smallest d at which half of the runs get this share of the way from random actions to "
        "the target, by the same runs. Their d were chosen for the first column, and a run ends "
        f"once it solves the task, so that lower shares are often bounded alone. {COMPARED}",
        *(
            _compared(fraction, [(ours, others[place]) for ours, others in read])
            for place, fraction in enumerate(OTHERS)
            if rows
        ),
    )
    return Table("What a smaller share of the way asks for", header, tuple(rows), 2, notes)


def reread(measurement: Measurement, fraction: float) -> Estimate:
    """Return what a measurement's runs say of another share of the way to the same target."""
    usual = estimate_of(measurement)
    assert measurement.task is not None
    assert measurement.task.target is not None
    assert measurement.random is not None
    assert measurement.random.score is not None
    return estimate(
        measurement.scores,
        baseline=measurement.baseline_scores,
        random=measurement.random.score,
        D=usual.D,
        target=measurement.task.target.score,
        fraction=fraction,
    )


def _compared(fraction: float, pairs: Sequence[tuple[int, Estimate]]) -> str:
    """Return how readings at a fraction lie to the usual ones, of the rows that have both."""
    both = [(ours, other.d_int) for ours, other in pairs if other.d_int and not other.censored]
    said = f"At {fraction:g}: {len(both)} of {len(pairs)} rows are read"
    if not both:
        return f"{said}."
    ratios = [other / ours for ours, other in both]
    said += (
        f", as {statistics.median(ratios):.2f} times the first column (the median; "
        f"{min(ratios):.2f} to {max(ratios):.2f})"
    )
    r = rank_correlation(*zip(*both, strict=True))
    if r is not None:
        said += f", with a rank correlation of {r:.2f}"
    return f"{said}."
