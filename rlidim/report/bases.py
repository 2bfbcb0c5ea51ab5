"""Does a trainer mind the basis? Every row at d = D, where a subspace is the whole space.

There is a solution for every P of full rank. One that permutes the parameters and flips signs
leaves even a trainer with a step size for each coordinate as it was; a dense one does not. So a
row that fails at d = D in a dense basis alone says something of its trainer, not of its task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlidim.records.cell import Cell, Subject
from rlidim.records.measurement import Measurement, reaching
from rlidim.records.record import RunRecord
from rlidim.report import text
from rlidim.report.rows import COUNTS, estimate_of, solved_reliably
from rlidim.report.tables import Table, names_of
from rlidim.statistics.scale import HALF

PERMUTATION = "rotation"  # at d = D a signed permutation
SEEDS = 3
LARGEST = 100_000  # parameters: a run at d = D takes its time and memory
LEVEL = 0.05  # the p at which two bases differ
UNDECIDED = "undecided"


class Share(NamedTuple):
    """How many of some runs solve a task."""

    solving: int
    runs: int

    def __str__(self) -> str:
        """Return the share in words: ``2 of 3``."""
        return f"{self.solving} of {self.runs}"


def cells(measurement: Measurement) -> dict[str, list[Cell]]:
    """Return the cells at d = D in either basis, by family, the permutation's first.

    None of a row that is too large or unmeasured, or whose own basis is the permutation.
    """
    if measurement.estimate is None or measurement.D is None or measurement.D > LARGEST:
        return {}
    if measurement.scope != "policy" or measurement.projection == PERMUTATION:
        return {}
    return {
        family: [
            Cell(measurement.task_name, measurement.trainer, family, measurement.D, seed)
            for seed in range(SEEDS)
        ]
        for family in (PERMUTATION, measurement.projection)
    }


def table(measurements: Sequence[Measurement], records: Sequence[RunRecord]) -> Table:
    """Return a row for each measurement whose runs at d = D are on record.

    Counted are the runs made for this and the row's own at d = D, each cell once, all against the
    task's target, or the native runs' median where it declares none. As everywhere, a run that
    diverged solves nothing, and one that failed is not counted. :func:`_verdict` has the rule.

    Args:
        measurements: of any tasks.
        records: of the runs that were made for this.
    """
    rows = []
    for measurement in measurements:
        asked = cells(measurement)
        made = {family: _runs(measurement, family, records) for family in asked}
        if not asked or any(cell not in made[family] for family in asked for cell in asked[family]):
            continue
        permuted, dense = (_solving(measurement, runs.values()) for runs in made.values())
        if not (permuted.runs and dense.runs):
            continue
        native = Share(*estimate_of(measurement).scale.native)
        rows.append(
            (
                *names_of(measurement),
                text.whole(measurement.D),
                *map(str, (native, permuted, dense)),
                _verdict(native, permuted, dense),
            )
        )
    header = (
        "task",
        "trainer",
        "projection",
        "D",
        "native",
        "signed permutation",
        "random basis",
        "the trainer",
    )
    notes = (
        "How many runs get 0.9 of the way from random actions to the task's target (to the native "
        "runs' median where it declares none): natively, and at d = D = all parameters with P a "
        f"signed permutation and with P of the row's own family. {SEEDS} runs each were made for "
        f"this; the row's own at d = D count too. Networks of up to {LARGEST:,} parameters.",
        "Minds the basis: fewer solve the task in the random basis than in the permuted one, by "
        f"Fisher's exact test of the counts (one-sided, p at most {LEVEL:g}), so that a large "
        "reading of this row may be the trainer's; better in the random basis: the reverse. Where "
        "the test shows no difference, solves it in both: at least half of the runs do in either "
        "basis; fails in both: fewer than half do in each. All else is undecided, and so is every "
        f"row of which fewer than {10 * COUNTS:g} of 10 native runs solve the task.",
    )
    return Table("At d = D, in two bases", header, tuple(rows), 3, notes)


def _runs(
    measurement: Measurement, family: str, records: Sequence[RunRecord]
) -> dict[Cell, RunRecord]:
    """Return a row's runs at d = D with P of a family, from its own records and from others.

    Those made with other settings than the row's own are none of it.
    """
    subject = measurement.subject._replace(projection=family)
    made_with = measurement.runs[0].config_hash
    return {
        record.cell: record
        for record in (*records, *measurement.runs)
        if record.cell.d == measurement.D
        and Subject.of(record.cell) == subject
        and record.config_hash == made_with
    }


def _solving(measurement: Measurement, runs: Iterable[RunRecord]) -> Share:
    """Return how many of the runs reach the fraction of the target, on the natives' own scale."""
    estimate = estimate_of(measurement)
    scale = estimate.scale
    # Of a row that is native unsolved the estimate's own 1 is not what its native runs count by.
    one = scale.solved if scale.target is None else scale.target
    counted = [record.score for record in runs if record.status != "failed"]
    scores = [score for score in counted if score is not None]
    return Share(reaching(scores, scale.random, one, estimate.fraction), len(counted))


def _verdict(native: Share, permuted: Share, dense: Share) -> str:
    """Say what the two bases tell of a trainer: a difference that Fisher's exact test shows.

    Nothing where native training itself fails in more than two of ten runs: then a few failures in
    one basis are no news. Three of three against none of three is just enough, one in twenty.
    """
    if not solved_reliably(*native):
        return UNDECIDED
    if _more(permuted, dense):
        return "minds the basis"
    if _more(dense, permuted):
        return "better in the random basis"
    passing = [share.solving >= HALF * share.runs for share in (permuted, dense)]
    if all(passing):
        return "solves it in both"
    return UNDECIDED if any(passing) else "fails in both"


def _more(one: Share, other: Share) -> bool:
    """Say whether more runs of one kind than of another solve the task, by Fisher's exact test."""
    from scipy.stats import fisher_exact

    counts = [(solving, runs - solving) for solving, runs in (one, other)]
    # Rounded, so that a p of exactly 0.05 is one.
    return round(float(fisher_exact(counts, alternative="greater").pvalue), 9) <= LEVEL
