"""The Python face: what ``import rlidim`` offers beside projections and subspaces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlidim.errors import RlidimError
from rlidim.executors.job import Executor
from rlidim.executors.local import InProcess, ProcessPool
from rlidim.records.folder import Results
from rlidim.statistics.estimate import Estimate
from rlidim.sweep.plan import AUTO, Plan
from rlidim.sweep.search import Listener, search
from rlidim.tasks.names import find_task
from rlidim.tasks.task import Task


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
        found = search(plan, Results(Path(results)), executor=executor, listener=listener)
    finally:
        executor.close()
    if found.estimate is None:
        raise RlidimError(f"{chosen.name}: every run failed; see the errors in {results}")
    return found.estimate
