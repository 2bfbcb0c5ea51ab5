"""The table that compares a trainer of many runs side by side with the one that makes them alone.

Both follow one algorithm under one task's settings, with other random streams: what they measure
must agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rlidim.records.measurement import Measurement, total_steps
from rlidim.report import text
from rlidim.report.tables import Table
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.wording import NONE, beside, name_of
from rlidim.tasks.settings import known_trainers
from rlidim.tasks.task import FRACTION

RESAMPLES = 9_999  # of the permutations of native scores, where there are more than so many
TIE = 1e-7  # tables less probable than the one found, but for rounding


def table(measurements: Sequence[Measurement]) -> Table:
    """Return one row for each subject that was measured by both."""
    by_names = {measurement.names: measurement for measurement in measurements}
    known = known_trainers()
    rows = []
    for (task, trainer, *rest), many in by_names.items():
        settings = known.get(trainer)
        if settings is None or not settings.alone:
            continue
        alone = by_names.get((task, settings.alone, *rest))
        if alone is None or alone.estimate is None or many.estimate is None:
            continue
        rows.append(
            (
                task,
                trainer,
                beside(many.estimate),
                beside(alone.estimate),
                text.number(_round(shares_agree(many.estimate, alone.estimate))),
                text.spread(many.baseline_scores),
                text.spread(alone.baseline_scores),
                text.number(_round(natives_agree(many.baseline_scores, alone.baseline_scores))),
                _rate(many),
                _rate(alone),
            )
        )
    name = name_of(FRACTION)
    header = (
        *("task", "trainer", name, f"alone: {name}", "p of the shares"),
        *("baseline", "alone: baseline", "p of the baselines", "steps/s", "alone: steps/s"),
    )
    notes = (
        "Alone: the trainer that makes the same runs one by one. The p of the shares is that of "
        "Fisher's exact test of both trainers' shares of successful runs, over all d that both "
        "tested together; that of the baselines is of a permutation test of their means. Steps/s: "
        "environment steps in training for each core second of all runs, evaluations included, on "
        "the machines that made them.",
    )
    return Table("Many runs side by side beside runs alone", header, tuple(rows), 2, notes)


def shares_agree(one: Estimate, other: Estimate) -> float | None:
    """Return the p that both have the same share of successes at each d that both tested.

    The exact conditional test of several two-by-two tables with a common odds ratio: given how many
    runs succeeded at each d, the sum of the first's successes; two-sided. None without a common d.
    """
    others = {rung.d: rung for rung in other.rungs}
    pairs = [(rung, others[rung.d]) for rung in one.rungs if rung.d in others]
    if not pairs:
        return None
    probabilities = np.ones(1)
    for each, its in pairs:
        own = _successes(len(each.scores), len(its.scores), each.solved + its.solved)
        probabilities = np.convolve(probabilities, own)
    found = probabilities[sum(each.solved for each, _ in pairs)]
    return float(min(1.0, probabilities[probabilities <= found * (1 + TIE)].sum()))


def _successes(first: int, second: int, solved: int) -> np.ndarray:
    """Return the probabilities that 0, 1, ... of the first's runs are among those that succeed."""
    from scipy.stats import hypergeom

    return np.asarray(hypergeom(first + second, solved, first).pmf(np.arange(first + 1)))


def natives_agree(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return the p of a permutation test of two samples' means, None for fewer than two each."""
    if min(len(one), len(other)) < 2:
        return None
    from scipy.stats import permutation_test

    def apart(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(first.mean(axis=axis) - second.mean(axis=axis))

    tested = permutation_test(
        (np.array(one), np.array(other)), apart, vectorized=True, n_resamples=RESAMPLES, rng=0
    )
    return float(tested.pvalue)


def _round(p: float | None) -> float | None:
    return None if p is None else float(f"{p:.2g}")


def _rate(measurement: Measurement) -> str:
    steps, seconds = total_steps([*measurement.runs, *measurement.baseline]), measurement.seconds
    return text.whole(round(steps / seconds)) if seconds else NONE
