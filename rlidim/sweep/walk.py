"""The walk over d: bracket, bisect, narrow, confirm.

The next round of cells is a function of the rounds before, so a search that was killed continues as
if nothing had happened, and its path does not depend on the number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.measurement import Measurement, read_measurement, total_seconds
from rlidim.records.record import RunRecord
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.exact import on_an_exact_scale
from rlidim.statistics.scale import HALF, LOCAL
from rlidim.statistics.shares import CURVES
from rlidim.sweep.plan import Plan

REPLICATES = 2  # seeds added to a rung, or native runs, at a time
CONFIRMING = 4  # fresh seeds at each of the two deciding rungs before a narrow interval is believed
NATIVES = 10  # native runs, where fewer do not show whether half of them reach the target
DOUBTFUL = (0.2, 0.8)  # shares of native runs between which they do not
BASELINE_SHARE = 0.7  # native runs come next if an exact baseline would narrow log(high/low) so far


def ladder(largest: int) -> list[int]:
    """Return the rungs 1, 2, 3, 4, 6, 8, 12, 16, 24, ... up to ``largest``, which is the last."""
    rungs = [1]
    power = 2
    while rungs[-1] < largest:
        rungs += [power, power + power // 2] if power > 2 else [2, 3]
        power *= 2
    return [d for d in rungs if d < largest] + [largest]


def doubtful(reaching: int, runs: int) -> bool:
    """Return whether so many native runs of so many leave open if half of them reach the target."""
    return runs < NATIVES and DOUBTFUL[0] < reaching / runs < DOUBTFUL[1]


def reading(
    plan: Plan, records: Mapping[Cell, RunRecord], results_folder: Path = Path("results")
) -> Measurement:
    """Read the plan's measurement from the records so far.

    Args:
        plan: of the measurement.
        records: made with the plan's settings.
        results_folder: of the records; nothing is read there.

    Raises:
        RlidimError: the baseline is no better than random, so nothing can be measured.
    """
    measurement = read_measurement(
        (record for cell, record in records.items() if plan.owns(cell)),
        plan.subject,
        plan.task,
        fraction=plan.fraction,
        local=plan.local,
        results_folder=results_folder,
    )
    if measurement.estimate is None and measurement.missing is None:
        raise RlidimError(str(measurement.reason))
    return measurement


class Walk:
    """A plan's rounds: which cells come next.

    Attributes:
        plan: of the search.
        records: of the rounds before, by cell.
        spent: whether it ended because its budget was.
    """

    def __init__(self, plan: Plan) -> None:
        """Begin with no record."""
        self.plan = plan
        self.records: dict[Cell, RunRecord] = {}
        self.spent = False
        # What confirms the interval, by the deciding rungs, since it last was too wide.
        self._confirming: dict[tuple[int, ...], list[Cell]] = {}

    def add(self, records: Mapping[Cell, RunRecord]) -> None:
        """Take in a round that :meth:`next` asked for."""
        self.records.update(records)

    def next(self) -> list[Cell]:
        """Return the next round of cells, or none when the search is over.

        Raises:
            RlidimError: the baseline is no better than random, so nothing can be measured.
        """
        missing = [cell for cell in self._wanted() if cell not in self.records]
        if self.plan.dims is not None:
            return missing
        needed = set(self.plan.baselines())
        left = self.plan.budget - total_seconds(self.records.values())
        runs = [record for cell, record in self.records.items() if cell.d is not None]
        if not runs or set(missing) <= needed:
            return missing
        if missing and left <= 0:
            self.spent = True
            return []
        # As many as the time is left for, and one: no run is cut short.
        affordable = max(1, int(left / max(total_seconds(runs) / len(runs), 1e-9)))
        return missing[:affordable]

    def _wanted(self) -> list[Cell]:
        plan = self.plan
        if plan.dims is not None:
            # The largest d first: if it exceeds D, the error comes before other runs are made.
            dims = sorted(set(plan.dims))[::-1]
            return self._rungs(dims, plan.seeds) + plan.baselines()
        baselines = plan.baselines()
        sizes = [self.records[cell].D for cell in baselines if cell in self.records]
        if len(sizes) < len(baselines):
            return baselines
        start = self._rungs([min(plan.hint, plan.largest or plan.hint, max(*sizes, 1))], plan.seeds)
        if any(cell not in self.records for cell in start):
            return start
        measurement = reading(plan, self.records)
        if measurement.estimate is None or measurement.D is None:
            return []
        rungs = ladder(min(plan.largest or measurement.D, measurement.D))
        return self._doubtful_natives(measurement.estimate) or self._search(
            measurement.estimate, rungs
        )

    def _doubtful_natives(self, current: Estimate) -> list[Cell]:
        """Return native runs to add where too few show whether half of them reach the target."""
        reaching, runs = current.scale.native
        if current.scale.target is None or not doubtful(reaching, runs):
            return []
        return self._natives(runs, NATIVES - runs)

    def _search(self, current: Estimate, rungs: Sequence[int]) -> list[Cell]:
        """Bracket, then bisect, then narrow around the crossing of the isotonic fit.

        The first d whose own runs pass may owe it to a few lucky seeds, far from the rungs that
        decide.
        """
        passing = [d for d, share in current.fit if share >= HALF]
        failing = [d for d, share in current.fit if share < HALF]
        largest = rungs[-1]
        if not passing:  # bracket upwards
            if max(failing) < largest:
                return self._rungs([min(2 * max(failing), largest)], self.plan.seeds)
            low = current.interval[0]
            if low is not None and low >= min(largest + 1, current.D):
                return self._confirm([largest])
            self._confirming = {}
            # A rung that owes its passing to luck keeps the interval's lower end below it.
            lucky = [rung.d for rung in current.rungs if rung.passes]
            return self._replicate([*lucky[:1], largest], REPLICATES)
        upper = min(passing)
        if not failing and upper > 1:  # bracket downwards
            return self._rungs([max(upper // 2, 1)], self.plan.seeds)
        lower = max(failing, default=0)
        between = [d for d in rungs if lower < d < upper]
        if between and failing:  # bisect down to neighbouring rungs
            return self._rungs([between[len(between) // 2]], self.plan.seeds)
        if current.closed and current.ratio <= self.plan.precision:
            return self._confirm([*failing[-1:], upper])
        self._confirming = {}
        return self._more_natives(current) or self._narrow(current, lower, upper, rungs)

    def _confirm(self, deciding: list[int]) -> list[Cell]:
        """Return fresh seeds at the deciding rungs, the same ones until all of them are on record.

        A search that stops when lucky early seeds make the interval narrow would hide the failures
        that the next ones show. A budget that cuts the round short leaves it unconfirmed.
        """
        key = tuple(deciding)
        if key not in self._confirming:
            self._confirming = {key: self._replicate(deciding, CONFIRMING)}
        return self._confirming[key]

    def _narrow(
        self, current: Estimate, lower: int, upper: int, rungs: Sequence[int]
    ) -> list[Cell]:
        """Choose the cells that most likely narrow the interval: new rungs in it, or more seeds."""
        low, high = current.interval[0] or 1, current.interval[1] or rungs[-1]
        counts = {rung.d: len(rung.scores) for rung in current.rungs}
        if low > lower and high <= upper and upper - lower > 1:
            # The seeds leave no doubt at either rung: only a rung in between can tell more.
            return self._rungs([round(math.sqrt(lower * upper))], self.plan.seeds)
        # Rungs further away say nothing of the crossing.
        nearest, furthest = max(low, upper / CURVES.window), min(high, upper * CURVES.window)
        untested = [d for d in rungs if nearest <= d <= furthest and d not in counts]
        if untested:
            chosen = min(untested, key=lambda d: abs(math.log(d / upper)))
            return self._rungs([chosen], self.plan.seeds)
        # The rungs at and under its lower end bound the interval from below.
        outer = max((d for d in counts if d < nearest), default=nearest)
        inside = sorted(
            (d for d in counts if outer <= d <= furthest),
            key=lambda d: (counts[d], abs(math.log(d / upper))),
        )
        return self._replicate(inside[:2], REPLICATES)

    def _more_natives(self, current: Estimate) -> list[Cell]:
        """Return native runs to add where it is the local scale that leaves the interval wide."""
        runs = current.scale.native[1]
        if current.scale.kind != LOCAL or not current.rungs:
            return []
        exact = on_an_exact_scale(current)
        if math.log(exact.ratio) > BASELINE_SHARE * math.log(current.ratio):
            return []
        return self._natives(runs, REPLICATES)

    def _natives(self, runs: int, more: int) -> list[Cell]:
        seed = runs
        cells: list[Cell] = []
        while len(cells) < more:
            # A native run that failed has no score, and is not made again.
            if self.plan.native(seed) not in self.records:
                cells.append(self.plan.native(seed))
            seed += 1
        return cells

    def _replicate(self, dims: Iterable[int], more: int) -> list[Cell]:
        """Return cells that add so many seeds to rungs."""
        return [
            self.plan.cell(d, seed)
            for d in dims
            for first in [self._seeds_on_record(d)]
            for seed in range(first, first + more)
        ]

    def _seeds_on_record(self, d: int) -> int:
        """Return how many seeds at d, from the first, have a record, failed runs included."""
        seed = 0
        while self.plan.cell(d, seed) in self.records:
            seed += 1
        return seed

    def _rungs(self, dims: Iterable[int], seeds: int) -> list[Cell]:
        return [self.plan.cell(d, seed) for d in dims for seed in range(seeds)]
