"""Which cells to run next: ladder, bracket, bisection, replication.

The next round of cells is a function of the rounds before, so a search that was killed continues as
if nothing had happened, and its path does not depend on the number of workers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rlidim import data
from rlidim.environments import atari
from rlidim.errors import RlidimError
from rlidim.executors.job import Executor, Job
from rlidim.executors.ledger import check_settings, finished, superseded
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.statistics import estimate as estimate_module
from rlidim.statistics.estimate import Estimate
from rlidim.tasks.names import find_task
from rlidim.tasks.settings import SETTINGS
from rlidim.tasks.task import Atari, Task
from rlidim.trainers import projection_family

AUTO = "auto"  # the family that suits the task's size
CROSSING_SEEDS = 6  # seeds at the two rungs around the crossing before a search may end
WITH_A_CRITIC = ("ppo", "a2c", "sac", "td3")
REPLICATES = 2  # seeds added to a rung at a time


@dataclass(frozen=True)
class Plan:
    """What to measure and how hard to try; ``dims`` makes it a grid instead of a search."""

    task: Task
    trainer: str
    projection: str = "rademacher"
    scope: str = "policy"
    fraction: float = 0.9
    dims: tuple[int, ...] | None = None
    seeds: int = 4
    most_seeds: int = 10
    baseline_seeds: int = 5
    runs: int = 120
    precision: float = 1.5
    hint: int = 8
    largest: int | None = None

    @classmethod
    def of(cls, task: Task, trainer: str, **choices: object) -> Plan:
        """Take the task's search settings and replace those that are given (not None).

        Raises:
            RlidimError: an unknown trainer or projection, or a choice out of its range.
        """
        task.settings(trainer)
        search = dataclasses.asdict(task.search_for(trainer))
        given = {name: value for name, value in choices.items() if value is not None}
        given["projection"] = projection_family(task, str(given.get("projection", AUTO)))
        seeds = given.get("seeds")
        if isinstance(seeds, int):  # asked for: so many at every rung, and natively
            search["most_seeds"] = max(search["most_seeds"], seeds)
            # One native run would leave the baseline's doubt unknown.
            search["baseline_seeds"] = max(2, seeds)
        plan = cls(task, trainer, **{**search, **given})
        plan.check()
        return plan

    def check(self) -> None:
        """Check the ranges.

        Raises:
            RlidimError: one is wrong; the line says which and what would be right.
        """
        for name in ("seeds", "baseline_seeds", "runs", "hint"):
            if getattr(self, name) < 1:
                option = name.replace("_", "-")
                raise RlidimError(f"--{option} must be at least 1, got {getattr(self, name)}")
        if not 0.0 < self.fraction < 1.0:
            raise RlidimError(f"--fraction must be between 0 and 1, got {self.fraction}")
        if self.precision < 1.0:
            raise RlidimError(f"--precision is a ratio of at least 1, got {self.precision}")
        check_scope(self.scope, self.trainer)
        if isinstance(self.task.environment, Atari):
            atari.check(self.task.environment)
        if self.dims is not None and (not self.dims or min(self.dims) < 1):
            raise RlidimError(f"--dims must be whole numbers of at least 1, got {self.dims}")

    def cell(self, d: int, seed: int) -> Cell:
        """Return a cell of this plan."""
        return Cell(self.task.name, self.trainer, self.projection, d, seed, self.scope)

    def baselines(self) -> list[Cell]:
        """Return the cells that every estimate needs: random actions, and native training."""
        native = (
            Cell.baseline(self.task.name, self.trainer, seed) for seed in range(self.baseline_seeds)
        )
        return [Cell.random(self.task.name), *native]


@dataclass(frozen=True)
class State:
    """Where a search stands: what a listener is told after every record."""

    plan: Plan
    records: Mapping[Cell, RunRecord]
    running: Sequence[Cell]
    estimate: Estimate | None
    resumed: int


Listener = Callable[[State], None]


def check_scope(scope: str, trainer: str) -> None:
    """Make sure that a trainer has what the scope confines.

    Raises:
        RlidimError: it has not, or there is no such scope.
    """
    if scope not in ("policy", "all"):
        raise RlidimError(f"--scope must be policy or all, got '{scope}'")
    if scope == "all" and trainer not in WITH_A_CRITIC:
        raise RlidimError(f"--scope all confines a critic too, and {trainer} has none: use policy")


def ladder(largest: int) -> list[int]:
    """Return the rungs 1, 2, 3, 4, 6, 8, 12, 16, 24, ... up to ``largest``, which is the last."""
    rungs = [1]
    power = 2
    while rungs[-1] < largest:
        rungs += [power, power + power // 2] if power > 2 else [2, 3]
        power *= 2
    return [d for d in rungs if d < largest] + [largest]


def estimate(plan: Plan, records: Mapping[Cell, RunRecord]) -> Estimate | None:
    """Estimate d_int from the records so far; None until the baselines and a rung are there.

    Raises:
        RlidimError: the baseline is no better than random, so nothing can be measured.
    """
    random = records.get(Cell.random(plan.task.name))
    scores = scores_by_rung(plan, records)
    if any(cell not in records for cell in plan.baselines()) or not scores:
        return None
    native = [
        record
        for cell, record in records.items()
        if cell.d is None and cell.trainer == plan.trainer and record.status != "failed"
    ]
    if random is None or random.score is None or not native:
        return None
    # A native run that diverged has the worst score, not none.
    baseline = [random.score if record.score is None else record.score for record in native]
    return estimate_module.estimate(
        scores,
        baseline=baseline,
        random=random.score,
        D=confined_parameters(plan, records),
        fraction=plan.fraction,
        minimum_score=plan.task.evaluation.minimum,
    )


def confined_parameters(plan: Plan, records: Mapping[Cell, RunRecord]) -> int:
    """Return D: what is confined, which is more than the acting network under the scope ``all``."""
    return max(
        record.D
        for cell, record in records.items()
        if cell.d is not None and cell.scope == plan.scope
    )


def scores_by_rung(plan: Plan, records: Mapping[Cell, RunRecord]) -> dict[int, list[float]]:
    """Return the scores of each d; NaN for runs that diverged, failed runs left out."""
    scores: dict[int, list[float]] = {}
    for cell, record in sorted(records.items(), key=lambda item: item[0].seed):
        if cell.d is None or record.status == "failed":
            continue
        if (cell.trainer, cell.projection, cell.scope) == (
            plan.trainer,
            plan.projection,
            plan.scope,
        ):
            score = math.nan if record.score is None else record.score
            scores.setdefault(cell.d, []).append(score)
    return dict(sorted(scores.items()))


def next_cells(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[Cell]:
    """Return the next round of cells, or none when the search is over.

    Args:
        plan: what is searched.
        records: those of the rounds before.
    """
    wanted = _wanted(plan, records)
    missing = [cell for cell in wanted if cell not in records]
    if plan.dims is not None:
        return missing
    room = plan.runs - sum(cell.d is not None for cell in records)
    if room <= 0:
        return _complete(plan, records)
    subspace = [cell for cell in missing if cell.d is not None][:room]
    return [cell for cell in missing if cell.d is None or cell in subspace]


def _complete(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[Cell]:
    """Return what the tested rungs around the crossing lack in seeds, when all else is spent."""
    current = estimate(plan, records)
    if current is None:
        return []
    passing = [d for d, mean in current.fit if mean >= plan.fraction]
    failing = [d for d, mean in current.fit if mean < plan.fraction]
    around = failing[-1:] + passing[:1]
    return _replicate(plan, {d: _made(plan, records, d) for d in around}, around, CROSSING_SEEDS)


def _wanted(plan: Plan, records: Mapping[Cell, RunRecord]) -> list[Cell]:
    if plan.dims is not None:
        # The largest d first: if it exceeds D, that is said before anything is spent.
        return _rung_cells(plan, sorted(set(plan.dims))[::-1], plan.seeds) + plan.baselines()
    natives = [records[cell].D for cell in plan.baselines() if cell in records]
    if len(natives) < len(plan.baselines()):
        return plan.baselines()
    hint = min(plan.hint, plan.largest or plan.hint, max(*natives, 1))
    start = _rung_cells(plan, [hint], plan.seeds)
    if any(cell not in records for cell in start):
        return start
    current = estimate(plan, records)
    if current is None:
        return []
    D = confined_parameters(plan, records)
    rungs = ladder(min(plan.largest or D, D))
    return _search(plan, records, current, rungs)


def _search(
    plan: Plan, records: Mapping[Cell, RunRecord], current: Estimate, rungs: Sequence[int]
) -> list[Cell]:
    """Bracket, then bisect, then replicate: around the crossing of the isotonic fit.

    Not around the first d whose own mean passes: a few lucky seeds there would keep the search
    from the rungs that decide.
    """
    counts = {d: _made(plan, records, d) for d, _ in current.fit}
    passing = [d for d, mean in current.fit if mean >= plan.fraction]
    failing = [d for d, mean in current.fit if mean < plan.fraction]
    largest = rungs[-1]
    if not passing:  # bracket upwards
        if max(failing) < largest:
            return _rung_cells(plan, [min(2 * max(failing), largest)], plan.seeds)
        return _replicate(plan, counts, [largest], CROSSING_SEEDS)
    upper = min(passing)
    if not failing:  # bracket downwards
        if upper > 1:
            return _rung_cells(plan, [max(upper // 2, 1)], plan.seeds)
        return _replicate(plan, counts, [1], CROSSING_SEEDS)
    lower = max(failing)
    between = [d for d in rungs if lower < d < upper]
    if between:  # bisect down to neighbouring rungs
        return _rung_cells(plan, [between[len(between) // 2]], plan.seeds)
    around = _replicate(plan, counts, [lower, upper], CROSSING_SEEDS)
    if around:
        return around
    low, high = current.interval[0] or 1, current.interval[1] or largest
    if high / low <= plan.precision:
        return []
    return _narrow(plan, counts, lower, upper, (low, high), rungs)


def _narrow(
    plan: Plan,
    counts: Mapping[int, int],
    lower: int,
    upper: int,
    interval: tuple[int, int],
    rungs: Sequence[int],
) -> list[Cell]:
    """Choose what most likely narrows the interval: new rungs inside it, or more seeds."""
    low, high = interval
    if low > lower and high <= upper and upper - lower > 1:
        # The seeds leave no doubt on either side: only a rung in between can tell more.
        return _rung_cells(plan, [round(math.sqrt(lower * upper))], plan.seeds)
    untested = [d for d in rungs if low <= d <= high and d not in counts]
    if untested:
        nearest = sorted(untested, key=lambda d: abs(math.log(d / upper)))
        return _rung_cells(plan, nearest[:1], plan.seeds)
    # What bounds the interval from below are the rungs at and under its lower end.
    outer = max((d for d in counts if d < low), default=low)
    inside = [d for d in counts if outer <= d <= high and counts[d] < plan.most_seeds]
    inside.sort(key=lambda d: (counts[d], abs(math.log(d / upper))))
    chosen = inside[:2]
    return [
        plan.cell(d, seed)
        for d in chosen
        for seed in range(counts[d], min(counts[d] + REPLICATES, plan.most_seeds))
    ]


def _made(plan: Plan, records: Mapping[Cell, RunRecord], d: int) -> int:
    """Return how many of the first seeds at d have a record, failed ones included."""
    seed = 0
    while plan.cell(d, seed) in records:
        seed += 1
    return seed


def _replicate(
    plan: Plan, counts: Mapping[int, int], dims: Iterable[int], seeds: int
) -> list[Cell]:
    """Return the cells that bring rungs to a number of seeds."""
    enough = min(seeds, plan.most_seeds)
    return [plan.cell(d, seed) for d in dims for seed in range(counts[d], enough)]


def _rung_cells(plan: Plan, dims: Iterable[int], seeds: int) -> list[Cell]:
    return [plan.cell(d, seed) for d in dims for seed in range(seeds)]


def on_disk(plan: Plan, results: Results) -> dict[Cell, RunRecord]:
    """Return every finished record that belongs to the plan.

    Raises:
        RlidimError: a file at a cell's place is no record, or was made with other settings.
    """
    folders = {cell.group for cell in [*plan.baselines(), plan.cell(1, 0)]}
    found: dict[Cell, RunRecord] = {}
    for folder in sorted(folders):
        for path in sorted((results.folder / plan.task.name / folder).glob("*.json")):
            cell = _cell_at(plan, path)
            if cell is None:
                continue
            record = results.load(cell)
            if record is not None:
                job = Job(plan.task, cell, results.folder)
                check_settings(job, record)
                if finished(record) and not superseded(job, record):
                    found[cell] = record
    return found


def _cell_at(plan: Plan, path: Path) -> Cell | None:
    """Return the cell that a file's name stands for, None for a name that stands for none."""
    if path.parent.name == Cell.random(plan.task.name).group:
        random = Cell.random(plan.task.name)
        return random if path.stem == random.label else None
    dimension, _, seed = path.stem.partition("-s")
    if not seed.isdecimal():
        return None
    if dimension == "full":
        return Cell.baseline(plan.task.name, plan.trainer, int(seed))
    if dimension[:1] == "d" and dimension[1:].isdecimal():
        return plan.cell(int(dimension[1:]), int(seed))
    return None


def search(
    plan: Plan,
    results: Results,
    *,
    executor: Executor,
    runs: Path | None = None,
    listener: Listener | None = None,
) -> dict[Cell, RunRecord]:
    """Run the plan to its end and return all its records.

    Raises:
        RlidimError: a mistake that only the user can mend; the records made so far stay.
    """
    results.check_writable()
    if plan.task.data is not None:
        data.load(plan.task.data.name)  # downloaded and decoded here, once, before any worker asks
    records = on_disk(plan, results)
    resumed = len(records)

    def tell(running: Sequence[Cell]) -> None:
        if listener is not None:
            listener(State(plan, records, running, estimate(plan, records), resumed))

    tell([])
    # What the search knows: whole rounds. A round that was cut short is completed before the next
    # is chosen, so that a search killed in its middle goes on as if nothing had happened.
    known: dict[Cell, RunRecord] = {}
    while cells := next_cells(plan, known):
        pending = [cell for cell in cells if cell not in records]
        again: list[Cell] = []
        while pending:
            tell(pending)
            jobs = [Job(plan.task, cell, results.folder, runs) for cell in pending]
            for record in executor.run(jobs):
                pending.remove(record.cell)
                if finished(record):
                    records[record.cell] = record
                else:
                    again.append(record.cell)
                tell([*pending, *again])
            pending, again = again, []
        known.update((cell, records[cell]) for cell in cells)
    tell([])
    return records


def measure(
    task_or_name: Task | str,
    trainer: str = "es",
    *,
    projection: str = AUTO,
    scope: str = "policy",
    fraction: float = 0.9,
    dims: Sequence[int] | None = None,
    seeds: int | None = None,
    runs: int | None = None,
    precision: float | None = None,
    results: str | Path = "results",
    workers: int = 1,
    listener: Listener | None = None,
) -> Estimate:
    """Measure a task's intrinsic dimension (Li et al. 2018, section 2) with a 95 % interval.

    Finished runs below ``results`` are used, not repeated.

    Args:
        task_or_name: a loaded task, or the name of a file in ``envs/``.
        trainer: one that the task has settings for.
        projection: the family of P; ``auto`` goes by the task's D.
        scope: what is confined: ``policy`` or ``all``.
        fraction: of the native baseline's normalised score, 0.9 for d_int90.
        dims: measure at these d instead of searching.
        seeds: runs at each d, and of the baseline.
        runs: in subspaces, before the search ends; the crossing gets its seeds in any case.
        precision: the search ends once the interval's ends have this ratio.
        results: the folder of records.
        workers: processes; 1 runs everything in this one. A script that asks for more must keep its
            top level behind ``if __name__ == "__main__":``, since workers import it.
        listener: called after every run.

    Returns:
        The estimate: ``d_int``, ``interval``, the rungs and what they scored.

    Raises:
        RlidimError: unknown names, values out of range, an environment whose package is missing.

    Example:
        >>> import rlidim, tempfile
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     estimate = rlidim.measure("codimension-3", "es", dims=[2, 3], results=empty)
        >>> estimate.d_int
        3
    """
    chosen = find_task(task_or_name) if isinstance(task_or_name, str) else task_or_name
    if trainer not in SETTINGS:
        chosen.settings(trainer)
    plan = Plan.of(
        chosen,
        trainer,
        projection=projection,
        scope=scope,
        fraction=fraction,
        dims=None if dims is None else tuple(dims),
        seeds=seeds,
        runs=runs,
        precision=precision,
    )
    executor: Executor = InProcess() if workers == 1 else ProcessPool(workers)
    try:
        records = search(plan, Results(Path(results)), executor=executor, listener=listener)
    finally:
        executor.close()
    found = estimate(plan, records)
    if found is None:
        raise RlidimError(f"{chosen.name}: every run failed; see the errors in {results}")
    return found
