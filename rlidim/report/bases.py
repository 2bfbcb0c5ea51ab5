"""Does a trainer mind the basis? Every row at d = D, where a subspace is the whole space.

There is a solution for every P of full rank. One that permutes the parameters and flips signs
leaves even a trainer with a step size for each coordinate as it was; a dense one does not. So a
row that fails at d = D in a dense basis alone says something of its trainer, not of its task.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlidim.records.cell import Cell
from rlidim.records.measurement import Measurement
from rlidim.records.record import RunRecord
from rlidim.report import text
from rlidim.report.tables import Table, names_of
from rlidim.statistics.scale import HALF

PERMUTATION = "rotation"  # at d = D a signed permutation
SEEDS = 3
LARGEST = 100_000  # parameters: a run at d = D takes its time and memory


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

    As everywhere, a run that diverged solves nothing, and one that failed is not counted.
    """
    made = {record.cell: record for record in records}
    rows = []
    for measurement in measurements:
        both, estimate = [*cells(measurement).values()], measurement.estimate
        if estimate is None or not all(cell in made for basis in both for cell in basis):
            continue
        counted = [
            [made[cell].score for cell in basis if made[cell].status != "failed"] for basis in both
        ]
        if not counted or not all(counted):
            continue
        passing = [
            [score is not None and estimate.scale(score) >= estimate.fraction for score in basis]
            for basis in counted
        ]
        natives = estimate.scale.native
        rows.append(
            (
                *names_of(measurement),
                text.whole(measurement.D),
                f"{natives[0]} of {natives[1]}",
                *(f"{sum(basis)} of {len(basis)}" for basis in passing),
                _verdict(*(sum(basis) >= HALF * len(basis) for basis in passing)),
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
        f"How many runs reach 0.9: natively, and at d = D = all parameters, {SEEDS} seeds each, "
        "with P a signed permutation and with P of the row's own family. Minds the basis: it "
        "solves the task in the one and not in the other, so that a large reading of this row "
        f"may be the trainer's. Networks of up to {LARGEST:,} parameters.",
    )
    return Table("At d = D, in two bases", header, tuple(rows), 3, notes)


def _verdict(permuted: bool, random: bool) -> str:
    """Say what the two bases tell of a trainer."""
    if permuted and random:
        return "does not mind"
    if permuted:
        return "minds the basis"
    return "better in the random basis" if random else "fails in both"
