"""The Python interface: load a task, train, measure, estimate.

Li, Farkhoor, Liu, Yosinski, "Measuring the Intrinsic Dimension of Objective Landscapes", ICLR 2018.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, SupportsFloat, TypeVar

from rlidim.errors import RlidimError, whole
from rlidim.executors.job import Executor, Job
from rlidim.networks.dimension import projection_family
from rlidim.records import checkpoints
from rlidim.records.cell import Cell
from rlidim.records.checking import MOST_SEED
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.sweep.plan import Plan, check_scope
from rlidim.tasks.families import AUTO
from rlidim.tasks.fields import seconds_of
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import LARGEST_D
from rlidim.tasks.task import FRACTION, Task
from rlidim.trainers import logs
from rlidim.trainers.run import check_processes, is_resumable, unheard

if TYPE_CHECKING:
    from rlidim.executors.ray.cluster import RayCluster
    from rlidim.statistics.estimate import Estimate
    from rlidim.sweep.search import Listener

RunListener = Callable[[Cell, int, float | None], None]
"""Called with a run's cell, its steps so far, and its score so far (None before the first)."""
Tell = Callable[[str], None]
Value = TypeVar("Value")


def untold(line: str) -> None:
    """Drop the line: the default listener to messages."""


def load(task: str, envs: str | Path | None = None) -> Task:
    """Load a task by name.

    Args:
        task: the name of a file in ``envs/``, or of a variant: ``mnist-fc-400x3`` (three hidden
            layers of 400), ``mnist-fc-paper`` (the paper's settings), ``atari-seaquest``.
        envs: a folder with your own tasks (YAML), which come before the suite's; None: the one
            that the variable RLIDIM_ENVS names, if any.

    Returns:
        The task. It never changes; ``replace_settings`` and ``variant`` return others.

    Raises:
        RlidimError: there is no such task (with the nearest), no such folder, or its file is wrong.

    Example:
        >>> import rlidim
        >>> task = rlidim.load("cartpole").replace_settings("es", {"population": 8})
        >>> task.settings("es").population
        8
        >>> rlidim.load("mnist-fc-400x3").name
        'mnist-fc-400x3'
    """
    if not isinstance(task, str):
        raise RlidimError(f"load() takes a task's name, got {task!r:.60}")
    return find_task(task, _if_given(_folder, "envs", envs))


def train(
    task: Task | str,
    trainer: str | None = None,
    *,
    d: int | None = None,
    seed: int = 0,
    projection: str = AUTO,
    scope: str = "policy",
    results: str | Path = "results",
    log_dir: str | Path | None = None,
    log: Sequence[str] = (),
    force: bool = False,
    resume: bool = False,
    processes: int = 1,
    timeout: float | None = None,
    cluster: RayCluster | None = None,
    listener: RunListener | None = None,
    tell: Tell = untold,
) -> RunRecord:
    """Make one run, in a random subspace of dimension d or natively, and record it.

    A run that is on record below ``results`` is returned, not repeated. The task, trainer,
    projection, scope, d and seed decide every bit of the result: theta_0, P and the environment's
    seeds are drawn from their names.

    Args:
        task: a loaded task, or a name as :func:`load` takes it.
        trainer: one that the task has settings for; None: its first.
        d: the subspace dimension, 1 to D; None trains the whole network.
        seed: at least 0.
        projection: the family of P; ``auto`` goes by the task's D.
        scope: of the subspace: ``policy`` (a critic trains natively) or ``all``.
        results: the folder of records.
        log_dir: the folder for training logs, checkpoints, and solutions that a record does not
            hold: native ones and those of more than 20,000 numbers. None writes none of them.
        log: where else the run's numbers are shown while it trains: ``tensorboard``, ``wandb``
            (Weights & Biases), below ``log_dir``.
        force: run again even if the run is on record.
        resume: go on from the last checkpoint of an interrupted run, below ``log_dir``.
        processes: that each generation of ``es`` and ``ars`` is split over; the result is the same.
        timeout: seconds that the run may take, in a process's main thread; one that takes longer is
            recorded as failed, and the next call tries it again. None: any time.
        cluster: a Ray cluster that makes the run, with as many CPUs a cell as ``processes``, closed
            by the caller; None: this machine. It leaves no logs and no checkpoints.
        listener: called as the run goes on, if this machine makes it.
        tell: called with a line where the run is on record, was resumed, or begins anew although it
            was to be resumed.

    Returns:
        The record: ``score`` (the mean return over fresh episodes, or a classifier's accuracy),
        ``returns`` (one an episode), ``D``, ``status``: ``ok``, ``diverged`` (no score), or
        ``failed`` (no score; ``error`` holds the traceback).

    Raises:
        RlidimError: unknown names, values out of range, a run on record that was made with other
            settings, an environment whose package is missing.

    Example:
        >>> import rlidim, tempfile
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     record = rlidim.train("codimension-3", "es", d=3, results=empty)
        >>> record.status, record.D
        ('ok', 75)
    """
    chosen, trainer = _chosen(task, trainer)
    check_scope(chosen, scope, trainer)
    d, seed = _if_given(whole, "d", d), whole("seed", seed)
    if d is not None:
        chosen.settings(trainer).check_confined()
    processes = whole("processes", processes)
    timeout = _if_given(_seconds, "timeout", timeout)
    if not 0 <= seed <= MOST_SEED:
        raise RlidimError(f"--seed must be from 0 to 10^100, got {seed!s:.60}")
    if processes < 1:
        raise RlidimError(f"--processes must be at least 1, got {processes}")
    if resume:
        _check_resume(log_dir, cluster)
    if processes > 1:
        check_processes(chosen, trainer, processes)
    log_folder = _if_given(_folder, "log_dir", log_dir)
    logs.check(log, log_folder)
    family = projection_family(chosen, projection)
    cell = (
        Cell.baseline(chosen.name, trainer, seed)
        if d is None
        else Cell(chosen.name, trainer, family, d, seed, scope)
    )
    records = Results(_folder("results", results))
    records.check_writable()
    job = Job(chosen, cell, records.folder, log_folder, processes, resume, timeout, tuple(log))
    # Late: torch comes with it, and a mistake is told without.
    from rlidim.executors.ledger import finished, run_when_free, standing

    # A failed run is tried again, and so is what was made with other settings that failed.
    made = None if force else standing(job)
    on_record = made is not None and finished(made)
    if on_record:
        tell(f"{records.path(cell)}: on record; --force runs it again")
    elif resume:
        _tell_of_missing_checkpoint(job, tell)
    if cluster is None:
        report = unheard if listener is None else functools.partial(listener, cell)
        record = run_when_free(job, force, report)
    else:
        (record,) = cluster.run([job], force=force)
    if not on_record:
        _tell_of_checkpoints(record, tell)
    return record


def _chosen(task: Task | str, trainer: str | None) -> tuple[Task, str]:
    """Return the task, loaded, and the trainer; None stands for the task's first."""
    if not isinstance(task, Task | str):
        raise RlidimError(f"task must be a name or what load() returns, got {task!r:.60}")
    chosen = task if isinstance(task, Task) else load(task)
    trainer = chosen.asked(trainer)
    chosen.settings(trainer)  # raises if there are none
    return chosen, trainer


def _if_given(check: Callable[[str, object], Value], name: str, value: object) -> Value | None:
    """Return what a check makes of a value; None is left to the defaults."""
    return None if value is None else check(name, value)


def _folder(name: str, value: object) -> Path:
    """Return a folder's path.

    Raises:
        RlidimError: it is none.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise RlidimError(f"{name} must be the path of a folder, got {value!r:.60}")
    return Path(value)


def _wholes(name: str, values: object) -> tuple[int, ...]:
    """Return several whole numbers.

    Raises:
        RlidimError: they are not.
    """
    if not isinstance(values, Iterable):
        raise RlidimError(f"{name} must be several whole numbers, got {values!r:.60}")
    return tuple(whole(name, value) for value in values)


def _number(name: str, value: object) -> float:
    """Return a number as Python's.

    Raises:
        RlidimError: it is none.
    """
    if isinstance(value, str) or not isinstance(value, SupportsFloat):
        raise RlidimError(f"{name} must be a number, got {value!r:.60}")
    return float(value)


def _seconds(name: str, value: object) -> float:
    """Return a length of time in seconds, given as such or as ``20m``.

    Raises:
        RlidimError: it is none.
    """
    if not isinstance(value, str):
        return _number(name, value)
    try:
        return seconds_of(value)
    except ValueError as error:
        raise RlidimError(f"{name}: {error}") from error


def _check_resume(log_dir: str | Path | None, cluster: RayCluster | None) -> None:
    if cluster is not None:
        raise RlidimError(
            "--resume goes on from a checkpoint on this machine; --executor ray leaves none"
        )
    if log_dir is None:
        raise RlidimError("--resume goes on from a checkpoint below --log-dir: name that folder")


def _tell_of_missing_checkpoint(job: Job, tell: Tell) -> None:
    """Say why a run begins anew that was to go on from its checkpoint."""
    assert job.log_dir is not None
    checkpoint = job.log_dir / str(job.cell) / checkpoints.FILE
    if not is_resumable(job.task, job.cell.trainer):
        resumable = [name for name in job.task.trainers if is_resumable(job.task, name)]
        tell(
            f"a run of {job.cell.trainer} cannot be resumed: it begins anew "
            f"({', '.join(resumable) or 'none of the task'} can be)"
        )
    elif not checkpoint.exists():
        tell(f"{checkpoint}: no checkpoint there: the run begins anew")


def _tell_of_checkpoints(record: RunRecord, tell: Tell) -> None:
    """Say at which step a run was resumed, or why not, and why it left no checkpoint."""
    if "resumed_at" in record.provenance:
        tell(f"resumed after {record.provenance['resumed_at']} steps")
    if "checkpoint_not_used" in record.provenance:
        tell(f"{record.provenance['checkpoint_not_used']}: the run began anew")
    if "checkpoint_not_written" in record.provenance:
        tell(f"{record.provenance['checkpoint_not_written']}: no checkpoint is written")


def measure(
    task: Task | str,
    trainer: str | None = None,
    *,
    projection: str = AUTO,
    scope: str = "policy",
    fraction: float = FRACTION,
    local: bool = False,
    dims: Sequence[int] | None = None,
    seeds: int | None = None,
    baseline_seeds: int | None = None,
    budget: float | None = None,
    precision: float | None = None,
    results: str | Path = "results",
    log_dir: str | Path | None = None,
    log: Sequence[str] = (),
    workers: int = 1,
    timeout: float | None = None,
    retry_failed: bool = False,
    executor: Executor | None = None,
    listener: Listener | None = None,
) -> Estimate:
    """Measure a task's intrinsic dimension (Li et al. 2018, section 2) with a 95 % interval.

    Finished runs below ``results`` are used, not repeated, so that the same call goes on with a
    measurement that was interrupted.

    Args:
        task: a loaded task, or a name as :func:`load` takes it.
        trainer: one that the task has settings for; None: its first.
        projection: the family of P; ``auto`` goes by the task's D.
        scope: of the subspace: ``policy`` or ``all``.
        fraction: of the way from random actions' score to the target that a run must reach, 0.9
            for d_int90.
        local: read against the median of native training even where the task declares a target.
        dims: measure at these d instead of searching.
        seeds: runs at each d, and of the baseline; None: the task's.
        baseline_seeds: native runs; None: ``seeds``, at least 2, or the task's.
        budget: core seconds that the runs may take, native ones too; None: the task's.
        precision: the search ends once the interval's ends have this ratio, at least 1.
        results: the folder of records.
        log_dir: the folder for training logs, checkpoints, and solutions that a record does not
            hold; None: none are written, and an interrupted run begins anew.
        log: where else the runs' numbers are shown: see :func:`train`.
        workers: processes; 1 runs everything in this one. A script that asks for more must keep its
            top level behind ``if __name__ == "__main__":``, since workers import it.
        timeout: seconds that a run may take; one that takes longer is recorded as failed, and the
            next call tries it again. None: any time.
        retry_failed: make the runs again that failed; their records are deleted first.
        executor: makes the runs instead, such as a Ray cluster; closed by the caller.
        listener: called after every run.

    Returns:
        The estimate: ``d_int``, ``interval``, the rungs and their scores.

    Raises:
        RlidimError: unknown names, values out of range, an environment whose package is missing.

    Example:
        >>> import rlidim, tempfile
        >>> with tempfile.TemporaryDirectory() as empty:
        ...     estimate = rlidim.measure("codimension-3", "es", dims=[2, 3], results=empty)
        >>> estimate.d_int
        3
    """
    chosen, trainer = _chosen(task, trainer)
    plan = Plan.of(
        chosen,
        trainer,
        projection=projection,
        scope=scope,
        fraction=_number("fraction", fraction),
        local=local,
        dims=_if_given(_wholes, "dims", dims),
        seeds=_if_given(whole, "seeds", seeds),
        baseline_seeds=_if_given(whole, "baseline_seeds", baseline_seeds),
        budget=_if_given(_seconds, "budget", budget),
        precision=_if_given(_number, "precision", precision),
    )
    workers = whole("workers", workers)
    timeout = _if_given(_seconds, "timeout", timeout)
    if executor is not None and not isinstance(executor, Executor):
        raise RlidimError(f"executor must make runs, as RayCluster() does, got {executor!r:.60}")
    if executor is not None and workers != 1:
        raise RlidimError(f"workers = {workers} is for this machine: leave it out with an executor")
    if executor is not None and timeout is not None:
        raise RlidimError(f"timeout = {timeout:g} is for this machine: give it to the executor")
    log_folder = _if_given(_folder, "log_dir", log_dir)
    logs.check(log, log_folder)
    from rlidim.sweep.search import forget_failures, search

    records = Results(_folder("results", results))
    with _executor(executor, workers, timeout) as used:
        if retry_failed:
            forget_failures(plan, records)
        measurement = search(
            plan, records, executor=used, log_dir=log_folder, log=log, listener=listener
        ).measurement
    if measurement.estimate is None:
        raise RlidimError(
            f"{chosen.name}: no estimate: {measurement.reason}; see the records in {results}"
        )
    return measurement.estimate


@contextmanager
def _executor(given: Executor | None, workers: int, timeout: float | None) -> Iterator[Executor]:
    """Yield the caller's executor, or one of this machine that is closed afterwards."""
    if given is not None:
        yield given
        return
    from rlidim.executors.local import InProcess, ProcessPool

    own: Executor = (
        InProcess(timeout=timeout) if workers == 1 else ProcessPool(workers, timeout=timeout)
    )
    try:
        yield own
    finally:
        own.close()


def estimate(
    scores: Mapping[int, Sequence[float]],
    baseline: Sequence[float],
    random: float,
    *,
    D: int | None = None,
    target: float | None = None,
    fraction: float = FRACTION,
    minimum_score: float = 0.0,
) -> Estimate:
    """Estimate d_int from your own scores, without any run.

    Args:
        scores: the scores of the runs at each d tested, one a seed, the higher the better. A run
            that diverged has the score of random actions.
        baseline: the scores of runs of the whole network, one a seed; two or more, for the
            interval to know their scatter.
        random: the mean score of random actions, which counts as 0.
        D: parameters of the whole network, which no d exceeds; None: unknown, and then the
            estimate's ``D`` is the largest that is supported, 2^31.
        target: the score that counts as 1; None: the median of ``baseline``, as also where fewer
            than half of the baseline's runs reach the fraction of the target.
        fraction: of the way from random to there that a run must reach, 0.9 for d_int90.
        minimum_score: the lowest possible score; only ``paper_rule_d`` depends on it.

    Returns:
        The estimate: ``d_int``, ``interval`` (95 %), the rungs and their normalised scores, and
        beside them ``mean``, the same by the mean.

    Raises:
        RlidimError: no scores, a score that is not finite, a d that is not in 1 .. D, a fraction
            that is not between 0 and 1, a baseline no better than random actions.

    Example:
        >>> import rlidim
        >>> pairs = {4: (31.0, 22.0), 8: (118.0, 94.0), 16: (195.0, 200.0), 32: (200.0, 198.0)}
        >>> scores = {d: 3 * pair for d, pair in pairs.items()}  # six seeds
        >>> estimate = rlidim.estimate(scores, baseline=[200.0, 199.0], random=21.0, D=562)
        >>> estimate.d_int, estimate.interval
        (12, (9, 16))
    """
    if not isinstance(scores, Mapping) or not scores:
        raise RlidimError("scores: expected the scores at each d, as {4: [0.1, 0.3], 8: [0.9]}")
    if D is not None and not (_is_count(D) and LARGEST_D >= D):
        raise RlidimError(f"D must be a whole number from 1 to {LARGEST_D}, got {D!r:.60}")
    most = LARGEST_D if D is None else int(D)
    checked: dict[int, list[float]] = {}
    for d, values in scores.items():
        if not _is_count(d) or d > most:
            raise RlidimError(f"scores: a d must be a whole number from 1 to D = {most}, got {d!r}")
        checked[int(d)] = _finite(values, f"scores at d = {d}")
    fraction = _number("fraction", fraction)
    if not 0.0 < fraction < 1.0:
        raise RlidimError(f"fraction must be between 0 and 1, got {fraction}")
    (lowest,) = _finite([random], "random")
    (minimum,) = _finite([minimum_score], "minimum_score")
    solved = None if target is None else _finite([target], "target")[0]
    from rlidim.statistics import estimate as statistics

    return statistics.estimate(
        checked,
        baseline=_finite(baseline, "baseline"),
        random=lowest,
        D=most,
        target=solved,
        fraction=fraction,
        minimum_score=minimum,
    )


def _is_count(number: object) -> bool:
    """Say whether an object is a whole number of at least 1, of Python or numpy."""
    return not isinstance(number, bool) and isinstance(number, Integral) and int(number) >= 1


def _finite(values: Iterable[float] | str, where: str) -> list[float]:
    """Return the scores as floats.

    Raises:
        RlidimError: there are none, or one is not a finite number.
    """
    try:
        if isinstance(values, str):  # whose letters might be numbers
            raise TypeError("a text")
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError) as error:
        raise RlidimError(f"{where}: expected numbers, got {values!r}") from error
    if not numbers:
        raise RlidimError(f"{where}: no score")
    for number in numbers:
        if not math.isfinite(number):
            raise RlidimError(
                f"{where}: {number} is no score: a run that diverged has that of random actions"
            )
    return numbers
