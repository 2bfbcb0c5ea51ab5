"""The table of the interval's coverage: runs on a whole ladder, and the search in the loop.

Lucky early seeds make an interval narrow, and a search that stops there hides the failures that the
next ones would show: intervals of searches must hold the truth as often as those of a whole ladder.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlidim import statistics
from rlidim.errors import RlidimError
from rlidim.records.cell import RANDOM, Cell, Seeds
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.files import write_atomically
from rlidim.records.record import RunRecord
from rlidim.report.coverages import COLUMNS, KEY, SEARCHED, read
from rlidim.statistics import exact
from rlidim.statistics.coverage import (
    CURVES,
    LADDER,
    SCORES,
    SEEDS,
    Case,
    Simulated,
    cases,
    coverage_study,
    simulate,
    tally,
)
from rlidim.sweep import walk
from rlidim.sweep.plan import Plan
from rlidim.sweep.walk import Walk, reading
from rlidim.tasks.task import Target, Task

D = 10 * LADDER[-1]
BUDGET = 400.0  # runs, each of which is said to take a second
PRECISION = 2.0
SEARCH = "search"  # a kind of line
# What an interval of a whole ladder depends on, by file.
READ = ("coverage.py", "estimate.py", "reading.py", "scale.py", "shares.py")


def searched_study(case: Case, repetitions: int, task: Task, seed: int = 0) -> dict[str, Any]:
    """Simulate searches for known dimensions; count which intervals hold.

    Args:
        case: what is simulated; its seeds are those of a rung at first.
        repetitions: simulated searches.
        task: lends its settings; none of its runs is made.
        seed: of the simulation.

    Returns:
        As :func:`rlidim.statistics.coverage.coverage_study`, with the mean number of runs, and the
        coverage of those searches alone that stopped on precision.
    """
    generator = np.random.default_rng(seed)
    plan = Plan(
        dataclasses.replace(task, target=Target(1.0, "simulated") if case.natives == 0 else None),
        "es",
        seeds=case.seeds,
        baseline_seeds=max(case.natives, 3),
        budget=BUDGET,
        precision=PRECISION,
        hint=8,
        largest=LADDER[-1],
    )
    every, settled, runs = [], [], 0
    for _ in range(repetitions):
        truth = simulate(case.curve, case.scores, generator)
        ended = _walk(plan, case, truth, generator)
        estimate = reading(plan, ended.records).estimate
        assert estimate is not None
        every.append((truth.truth, estimate.interval))
        runs += sum(cell.d is not None for cell in ended.records)
        if not ended.spent:
            settled.append(every[-1])
    return {
        **asdict(case),
        "baseline": case.baseline,
        **tally(every),
        "settled": len(settled) / repetitions,
        "settled_coverage": tally(settled)["coverage"] if settled else None,
        "mean_runs": runs / repetitions,
    }


def searched_cases() -> list[Case]:
    """Return the cases of the search's table: every curve and kind of scores, two baselines."""
    return [
        Case(curve, scores, 4, natives, deviation)
        for natives, deviation in ((0, 0.0), (SEEDS[1], 0.1))
        for curve in CURVES
        for scores in SCORES
    ]


@dataclass(frozen=True)
class Study:
    """A line of the table to be made: a case, and whether the search is in the loop."""

    case: Case
    searched: bool
    repetitions: int
    task: Task

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the others, as its line in the file does."""
        case = self.case
        return (
            SEARCH if self.searched else "ladder",
            case.baseline,
            str(case.seeds),
            case.curve,
            case.scores,
            str(self.repetitions),
        )

    def __call__(self) -> dict[str, Any]:
        """Simulate it."""
        if self.searched:
            found = searched_study(self.case, self.repetitions, self.task)
        else:
            found = coverage_study(self.case, self.repetitions)
        return {**dict(zip(KEY, self.key, strict=True)), "code": code(self.searched), **found}


def make_table(
    file: Path, repetitions: int, task: Task, workers: int, tell: Callable[[str], None]
) -> list[dict[str, str]]:
    """Complete the table of coverage in a CSV file, a line a case, and return it.

    Lines made with the same code and repetitions stay; each is written as soon as it is made.

    Args:
        file: the table.
        repetitions: simulated measurements a case.
        task: lends its settings to the simulated searches.
        workers: processes.
        tell: called with a line at each case.

    Raises:
        RlidimError: the file is no table of coverage, or one of other repetitions.
    """
    studies = [Study(case, False, repetitions, task) for case in cases()]
    studies += [Study(case, True, repetitions, task) for case in searched_cases()]
    studies.sort(key=lambda study: (study.case.natives > 0, study.searched))  # the dear ones last
    before = read(file)
    others = {row["repetitions"] for row in before} - {str(repetitions)}
    if others:
        raise RlidimError(
            f"{file} has {', '.join(sorted(others))} repetitions of its cases, not {repetitions}: "
            "move it away, or ask for as many"
        )
    rows = {
        tuple(row[name] for name in KEY): row
        for row in before
        if row["code"] == code(row["kind"] == SEARCHED)
    }
    missing = [study for study in studies if study.key not in rows]
    with multiprocessing.get_context("spawn").Pool(min(workers, max(len(missing), 1))) as pool:
        for number, found in enumerate(pool.imap(_simulated, missing), 1):
            row = {name: _text(found.get(name)) for name in COLUMNS}
            rows[tuple(row[name] for name in KEY)] = row
            wanted = [rows[study.key] for study in studies if study.key in rows]
            write_atomically(file, _csv(wanted))
            tell(
                f"[{number}/{len(missing)}] {' '.join(row[name] for name in KEY[:5])}: "
                f"{100 * found['coverage']:.1f} %"
            )
    return [rows[study.key] for study in studies]


@functools.cache
def code(searched: bool) -> str:
    """Return a hash of the sources that a line's figures depend on, the reading of records aside.

    Args:
        searched: whether the search is in the loop. What it does leaves the figures of whole
            ladders as they are.
    """
    sources = [Path(statistics.__file__).parent / name for name in READ]
    if searched:
        sources += [Path(exact.__file__), Path(walk.__file__), Path(__file__)]
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _simulated(study: Study) -> dict[str, Any]:
    return study()


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return output.getvalue()


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _walk(plan: Plan, case: Case, truth: Simulated, generator: np.random.Generator) -> Walk:
    """Return a search that came to its end on simulated runs."""
    current = Walk(plan)
    settings: dict[bool, tuple[dict[str, Any], str]] = {}
    while cells := current.next():
        made = {}
        for cell in cells:
            bare = cell.trainer == RANDOM
            if bare not in settings:
                content = configuration(plan.task, cell)
                settings[bare] = content, hash_of(content)
            made[cell] = _record(cell, _score(cell, case, truth, generator), *settings[bare])
        current.add(made)
    return current


def _score(cell: Cell, case: Case, truth: Simulated, generator: np.random.Generator) -> float:
    if cell.trainer == RANDOM:
        return 0.0
    if cell.d is None:
        return 1.0 + case.deviation * float(generator.standard_normal())
    return float(truth.draw(cell.d, 1)[0])


def _record(cell: Cell, score: float, settings: dict[str, Any], config_hash: str) -> RunRecord:
    return RunRecord(
        cell=cell,
        score=score,
        status="ok",
        returns=(score,),
        D=0 if cell.trainer == RANDOM else D,
        environment_steps=1,
        curve=(),
        stopped="budget",
        solution=None,
        seeds=Seeds.of(cell),
        settings=settings,
        config_hash=config_hash,
        details={},
        error=None,
        attempts=1,
        provenance={"seconds": 1.0},
    )
