"""The solution that a task's page shows: a solved run in as few numbers as were found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rlidim.records.record import RunRecord, decode
from rlidim.report.site.entry import Entry


@dataclass(frozen=True)
class Solution:
    """A solved run in as few numbers as were found.

    Attributes:
        record: the run.
        theta_d: float32 (d,).
    """

    record: RunRecord
    theta_d: np.ndarray

    @property
    def words(self) -> str:
        """Every number, to be read again to the same float32."""
        return ", ".join(str(number) for number in self.theta_d)


def solution_of(entry: Entry) -> Solution | None:
    """Return the best run at the first d that solves, None if no record holds its numbers.

    None too where the task is natively unsolved: what passes then does not solve it.
    """
    estimate = entry.estimate
    if estimate is None or estimate.scale.unsolved:
        return None
    solved: list[RunRecord] = []
    for record in entry.measurement.runs:
        held = record.solution is not None and record.solution.get("theta_d") is not None
        if held and record.score is not None and record.cell.d is not None:
            enough = estimate.d_int is None or record.cell.d >= estimate.d_int
            if enough and estimate.scale(record.score) >= estimate.fraction:
                solved.append(record)
    if not solved:
        return None
    best = min(solved, key=lambda record: (record.cell.d, -(record.score or 0), record.cell.seed))
    assert best.solution is not None
    return Solution(best, decode(best.solution["theta_d"]))
