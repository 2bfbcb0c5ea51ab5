"""Where cells run: in this process, or in a pool of worker processes with one thread each."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from rlidim import trainers
from rlidim.errors import RlidimError
from rlidim.records import (
    Cell,
    Outcome,
    Results,
    RunRecord,
    Seeds,
    configuration,
    encode,
    hardware,
    hash_of,
    thinned,
    versions,
)
from rlidim.task import Task

ATTEMPTS = 2  # a cell that fails is tried once more, then left as failed
RECORDED = 20_000  # numbers of theta_d that a record holds at most: 100 kB
WORKER_DEATHS = 2  # a cell whose worker process died this often is recorded as failed


@dataclass(frozen=True)
class Job:
    """A cell and all that a worker process needs to run it.

    ``runs`` is the folder for logs and for solutions that a record does not hold, native ones and
    those of a large d (None: write neither). ``processes`` is how many the run is split over: it
    changes how long it takes and nothing else.
    """

    task: Task
    cell: Cell
    results: Path
    runs: Path | None = None
    processes: int = 1


class Executor(Protocol):
    """Runs jobs and yields each record as it is finished."""

    def run(self, jobs: Sequence[Job]) -> Iterator[RunRecord]:
        """Run the jobs in any order; the records are on disk before they are yielded."""
        ...

    def close(self) -> None:
        """Give the workers back."""
        ...


class InProcess:
    """Runs one job after another in this process."""

    def run(self, jobs: Sequence[Job]) -> Iterator[RunRecord]:
        """Run the jobs, those that another sweep is just running last."""
        busy = []
        for job in jobs:
            record = run(job)
            if record is None:
                busy.append(job)
            else:
                yield record
        for job in busy:
            yield run_when_free(job)

    def close(self) -> None:
        """Do nothing: there are no workers."""


class ProcessPool:
    """Runs jobs in worker processes, which are started at the first job and kept."""

    def __init__(self, workers: int) -> None:
        """Set the number of processes.

        Raises:
            RlidimError: fewer than one.
        """
        if workers < 1:
            raise RlidimError(f"--workers must be at least 1, got {workers}")
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Job]) -> Iterator[RunRecord]:
        """Run the jobs; the death of a worker process costs nothing but its cell's second try.

        Raises:
            RlidimError: a job's, at once; call :meth:`close` then.
        """
        waiting = list(jobs)
        busy: list[Job] = []
        suspects: list[Job] = []
        running: dict[Future[RunRecord | None], Job] = {}
        deaths: Counter[Cell] = Counter()
        while waiting or busy or suspects or running:
            while len(running) < self.workers and (waiting or busy):
                # What another sweep holds is asked for again only when nothing else is left.
                function, job = (run, waiting.pop(0)) if waiting else (run_when_free, busy.pop(0))
                running[self._submit(function, job)] = job
            if suspects and not running:
                # Alone, so that a cell that kills its worker takes no other with it.
                job = suspects.pop(0)
                running[self._submit(run_when_free, job)] = job
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                self._discard()
                done, _ = wait(running)
            for future in done:
                job = running.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    deaths[job.cell] += 1
                    if deaths[job.cell] < WORKER_DEATHS:
                        suspects.append(job)
                        continue
                    record: RunRecord | None = record_death(job)
                else:
                    record = future.result()
                if record is None:
                    busy.append(job)
                else:
                    yield record

    def close(self) -> None:
        """End the workers at once; what they were running is lost, what is on disk is whole."""
        if self._pool is None:
            return
        # Only Python 3.14 has a public way to end workers that are busy.
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        self._pool = None

    def _submit(
        self, function: Callable[[Job], RunRecord | None], job: Job
    ) -> Future[RunRecord | None]:
        try:
            return self._start().submit(function, job)
        except BrokenProcessPool:  # a worker died while nobody was waiting for one
            self._discard()
            return self._start().submit(function, job)

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # "spawn": a fork of a process that has started torch's threads can hang.
            self._pool = ProcessPoolExecutor(
                self.workers, mp_context=get_context("spawn"), initializer=_begin_worker
            )
        return self._pool

    def _discard(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers itself; end when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, so that a result depends neither on the pool nor on the machine."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def finished(record: RunRecord) -> bool:
    """Say whether a record stands as it is: a failure does so only after its last attempt."""
    return record.status != "failed" or record.attempts >= ATTEMPTS


def check_settings(job: Job, record: RunRecord) -> None:
    """Make sure that a record on disk was made with the job's settings.

    Raises:
        RlidimError: it was not; the line names the file and the first setting that differs.
    """
    wanted = configuration(job.task, job.cell)
    if record.config_hash == hash_of(wanted) or superseded(job, record):
        return
    path = Results(job.results).path(job.cell)
    name, before, now = next(_differences(record.settings, wanted), ("?", "?", "?"))
    raise RlidimError(
        f"{path}: was made with {name} = {before!r}, now it is {now!r}; "
        "choose another folder with --results, or move the file away"
    )


def superseded(job: Job, record: RunRecord) -> bool:
    """Say whether a record is of a failure under other settings: the job's may mend it."""
    return record.status == "failed" and record.config_hash != hash_of(
        configuration(job.task, job.cell)
    )


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now


def run_when_free(job: Job, force: bool = False) -> RunRecord:
    """Run a job once nobody else is running it."""
    record = run(job, wait_for_lock=True, force=force)
    assert record is not None
    return record


def run(job: Job, wait_for_lock: bool = False, force: bool = False) -> RunRecord | None:
    """Make one run and write its record, unless it is on disk already (``force``: even then).

    Returns:
        The record, or None if another process is making this run at this moment.

    Raises:
        RlidimError: a mistake that only the user can mend; nothing is recorded.
    """
    results = Results(job.results)
    with results.claim(job.cell, wait=wait_for_lock) as mine:
        if not mine:
            return None
        earlier = None if force else results.load(job.cell)
        if earlier is not None and superseded(job, earlier):
            earlier = None
        if earlier is not None:
            check_settings(job, earlier)
            if finished(earlier):
                return earlier
        attempts = 1 if earlier is None else earlier.attempts + 1
        seeds = Seeds.of(job.cell)
        started, clock, processor = datetime.now(UTC), time.perf_counter(), time.process_time()
        directory = None if job.runs is None else job.runs / str(job.cell)
        try:
            with one_thread():
                trainer = trainers.find(job.cell.trainer, job.processes)
                outcome = trainer(job.task, job.cell, seeds, lambda steps, score: None, directory)
        except RlidimError:
            raise
        except Exception:
            record = _record(job, seeds, None, traceback.format_exc(), attempts)
        else:
            record = _record(job, seeds, outcome, None, attempts)
            if directory is not None and too_long(outcome):
                save_solution(directory, outcome, seeds)
        provenance = {
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "cpu_seconds": round(time.process_time() - processor, 3),
            "versions": versions(),
            "hardware": hardware(),
        }
        if job.processes > 1:
            provenance["processes"] = job.processes
        record = dataclasses.replace(record, provenance=provenance)
        results.write(record)
        return record


def record_death(job: Job) -> RunRecord:
    """Record that a cell's worker process died, and died again."""
    error = "the worker process died (killed, or out of memory)"
    record = _record(job, Seeds.of(job.cell), None, error, ATTEMPTS)
    record = dataclasses.replace(
        record,
        provenance={"seconds": 0.0, "versions": versions(), "hardware": hardware()},
    )
    Results(job.results).write(record)
    return record


def save_solution(directory: Path, outcome: Outcome, seeds: Seeds) -> None:
    """Store a solution beside the run's logs: for those that are too long for a record."""
    from rlidim import solution
    from rlidim.projections import ProjectionSpec

    confined = outcome.theta_d is not None
    solution.save(
        directory / solution.FILE,
        solution.Solution(
            spec=None if outcome.spec is None else ProjectionSpec.from_json(outcome.spec),
            theta_d=outcome.theta_d,
            theta_0_seed=seeds.theta_0 if confined else None,
            theta_0=outcome.theta,
            network=outcome.network,
            versions=versions(),
        ),
    )


def too_long(outcome: Outcome) -> bool:
    """Say whether a solution is kept out of its record: a native one, or one of a large d."""
    if outcome.theta_d is None:
        return outcome.theta is not None
    return outcome.theta_d.size > RECORDED


def _record(
    job: Job, seeds: Seeds, outcome: Outcome | None, error: str | None, attempts: int
) -> RunRecord:
    settings = configuration(job.task, job.cell)
    common: dict[str, Any] = {
        "cell": job.cell,
        "seeds": seeds,
        "settings": settings,
        "config_hash": hash_of(settings),
        "attempts": attempts,
        "provenance": {},
    }
    if outcome is None:
        return RunRecord(
            status="failed",
            score=None,
            returns=(),
            D=0,
            environment_steps=0,
            curve=(),
            stopped="error",
            solution=None,
            details={},
            error=error,
            **common,
        )
    solution: dict[str, Any] | None = {"network": outcome.network}
    if outcome.theta_d is not None:
        solution = {
            "spec": outcome.spec,
            "theta_0_seed": seeds.theta_0,
            "theta_d": None if too_long(outcome) else encode(outcome.theta_d),
            "network": outcome.network,
        }
    elif outcome.theta is None:
        solution = None
    returns = tuple(float(value) for value in outcome.returns)
    return RunRecord(
        status=outcome.status,
        score=sum(returns) / len(returns) if outcome.status == "ok" else None,
        returns=returns,
        D=outcome.D,
        environment_steps=outcome.environment_steps,
        curve=thinned(outcome.curve),
        stopped=outcome.stopped,
        solution=solution,
        details=outcome.details,
        error=None,
        **common,
    )


def default_workers() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
