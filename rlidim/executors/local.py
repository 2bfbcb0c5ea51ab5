"""Where cells run on this machine: this process, or a pool of processes with one thread each."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from rlidim.errors import RlidimError
from rlidim.executors.job import Job, JobError, More, batches, limited, no_more
from rlidim.executors.stuck import Place, Watch, begin, run_at, stuck_line
from rlidim.executors.watch import TICK, check_timeout
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.trainers.parent import begin_worker, starting_workers


class InProcess:
    """Runs one job after another in this process."""

    workers = 1

    def __init__(self, *, timeout: float | None = None) -> None:
        """Set the seconds that a run may take; None: any time."""
        self.timeout = timeout

    def run(self, jobs: Sequence[Job], more: More = no_more) -> Iterator[RunRecord]:
        """Run the jobs, those that another sweep is just running last; then ask for more."""
        # Here, as below: torch comes with it, and a command's mistake is told without.
        from rlidim.executors.ledger import run_together, run_when_free

        while jobs:
            busy = []
            for batch in batches(limited(jobs, self.timeout), 1):
                for job, record in run_together(batch):
                    if record is None:
                        busy.append(job)
                    else:
                        yield record
            for job in busy:
                yield run_when_free(job)
            jobs = more()

    def close(self) -> None:
        """Do nothing: there are no workers."""


class Underway:
    """A batch that a worker makes, whose records come to disk one after another.

    Attributes:
        all: its jobs.
        jobs: those of which no record has come yet.
        place: of the worker that makes them; a batch of several has no limit of its time.
        function: makes them.
        pool: whose worker makes them.
    """

    pool: ProcessPoolExecutor | None = None

    def __init__(self, jobs: list[Job], place: Place, *, wait: bool) -> None:
        """Note what is on record.

        Args:
            jobs: the batch.
            place: where it is made.
            wait: for whoever else is making them.
        """
        from rlidim.executors.ledger import run_all, run_all_when_free

        self.all, self.jobs, self.place = jobs, list(jobs), place
        self.function = run_all_when_free if wait else run_all
        self._before = [self._written(job) for job in jobs]

    def arrived(self) -> Iterator[RunRecord]:
        """Yield the records of a batch of several that have come since the last time."""
        if len(self.all) == 1:
            return  # the worker is about to hand it over
        for job, before in zip(self.all, self._before, strict=True):
            if job in self.jobs and self._written(job) != before:
                record = Results(job.results).load(job.cell)
                if record is not None:
                    self.jobs.remove(job)
                    yield record

    def _written(self, job: Job) -> int | None:
        """Return when a job's record was written, in nanoseconds; None: there is none."""
        try:
            return Results(job.results).path(job.cell).stat().st_mtime_ns
        except OSError:
            return None


class ProcessPool:
    """Runs jobs in worker processes, which are started at the first job and kept."""

    def __init__(self, workers: int, *, timeout: float | None = None) -> None:
        """Set the number of processes.

        Args:
            workers: how many.
            timeout: seconds that a run may take; None: any time.

        Raises:
            RlidimError: fewer than one, or no time.
        """
        if workers < 1:
            raise RlidimError(f"--workers must be at least 1, got {workers}")
        if timeout is not None:
            check_timeout(timeout)
        self.workers = workers
        self.timeout = timeout
        self._context = get_context("spawn")  # a fork of a process with torch's threads can hang
        self._watch = Watch(workers, self._context)
        self._pool: ProcessPoolExecutor | None = None

    def run(self, jobs: Sequence[Job], more: More = no_more) -> Iterator[RunRecord]:
        """Run the jobs; the death of a worker process costs nothing but its cell's second try.

        Args:
            jobs: to begin with.
            more: asked for others whenever a worker is about to have none; what it returns after
                nothing, at a later time, is run too, as long as any job is not done.

        Raises:
            JobError: a job's, at once; call :meth:`close` then.
        """
        from rlidim.executors.ledger import DEATH, WORKER_DEATHS, record_end
        from rlidim.executors.making import DIED, TIMEOUT

        waiting = batches(limited(jobs, self.timeout), self.workers)
        busy: list[Job] = []
        suspects: list[Job] = []
        running: dict[Future[list[RunRecord | None]], Underway] = {}
        deaths: Counter[Cell] = Counter()
        while True:
            while len(running) < self.workers:
                if not waiting and not suspects:
                    waiting = batches(limited(more(), self.timeout), self.workers)
                # What another sweep holds is asked for again only when nothing else is left.
                if waiting:
                    self._begin(running, waiting.pop(0))
                elif busy:
                    self._begin(running, [busy.pop(0)], wait=True)
                else:
                    break
            if suspects and not running:
                # Alone, so that a cell that kills its worker takes no other with it.
                self._begin(running, [suspects.pop(0)], wait=True)
            if not running:
                return
            wait(running, TICK, return_when=FIRST_COMPLETED)
            stuck = self._watch.end_stuck(batch.place for batch in running.values())
            if stuck is not None:
                wait([future for future, batch in running.items() if batch.place is stuck])
            self._discard_broken(running)
            done = [future for future in running if future.done()]
            for batch in running.values():
                yield from batch.arrived()
            for future in done:
                batch = running.pop(future)
                self._watch.leave(batch.place)
                if isinstance(mistake := future.exception(), RlidimError):
                    raise JobError(batch.all[0].cell, mistake) from mistake
                if not isinstance(mistake, BrokenProcessPool):
                    for job, record in zip(batch.all, future.result(), strict=True):
                        if job not in batch.jobs:
                            continue  # its record has come already, whoever made it
                        if record is None:
                            busy.append(job)
                        else:
                            yield record
                    continue
                if stuck is not None and batch.place is not stuck:
                    # It went with the other's process, and is none the worse.
                    waiting[:0] = [batch.jobs] if batch.jobs else []
                    continue
                took = batch.place.seconds / len(batch.all)
                for job in batch.jobs:
                    if batch.place is stuck:
                        record = record_end(job, stuck_line(job), TIMEOUT, took)
                    else:
                        deaths[job.cell] += 1
                        if deaths[job.cell] < WORKER_DEATHS:
                            suspects.append(job)
                            continue
                        record = record_end(job, DIED, DEATH, took)
                    if record is None:
                        busy.append(job)
                    else:
                        yield record

    def pause(self, paused: bool) -> None:
        """Stop the workers where they are, or let them go on; nothing of theirs is lost."""
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                if process.pid is not None:
                    os.kill(process.pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def _processes(self) -> list[BaseProcess]:
        # Only Python 3.14 has a public way to end workers that are busy.
        return [] if self._pool is None else list((self._pool._processes or {}).values())

    def close(self) -> None:
        """End the workers at once; what they were running is lost, what is on disk is whole.

        Jobs may be run again afterwards, by new workers.
        """
        processes = self._processes()
        self._discard(self._pool)
        for process in processes:
            # Not SIGTERM: one that is stopped would not hear it, one that is importing not yet.
            process.kill()
        for process in processes:
            process.join()
        # The runs that were going on, which a job's mistake cut short, hold no place any more.
        self._watch = Watch(self.workers, self._context)

    def _begin(
        self,
        running: dict[Future[list[RunRecord | None]], Underway],
        jobs: list[Job],
        *,
        wait: bool = False,
    ) -> None:
        """Give a batch to a worker."""
        batch = Underway(jobs, self._watch.take(jobs[0]), wait=wait)
        running[self._submit(batch)] = batch

    def _submit(self, batch: Underway) -> Future[list[RunRecord | None]]:
        try:
            return self._hand_over(batch)
        except BrokenProcessPool:  # a worker died while nobody was waiting for one
            self._discard(self._pool)
            return self._hand_over(batch)

    def _hand_over(self, batch: Underway) -> Future[list[RunRecord | None]]:
        batch.pool = self._start()
        with starting_workers():
            return batch.pool.submit(run_at, batch.place.index, batch.function, batch.all)

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=self._context,
                initializer=begin_watched_worker,
                initargs=(self._watch.processes,),
            )
        return self._pool

    def _discard_broken(self, running: Mapping[Future[list[RunRecord | None]], Underway]) -> None:
        """Discard the pools of which a worker has died, and wait for all that they were making.

        The others go on: a pool that was started since is not the broken one.
        """
        broken = {batch.pool for future, batch in running.items() if is_broken(future)}
        for pool in broken:
            self._discard(pool)
        wait([future for future, batch in running.items() if batch.pool in broken])

    def _discard(self, pool: ProcessPoolExecutor | None) -> None:
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
        if pool is self._pool:
            self._pool = None


def is_broken(future: Future[Any]) -> bool:
    """Say whether a batch has ended because a worker of its pool has died."""
    return future.done() and isinstance(future.exception(), BrokenProcessPool)


def begin_watched_worker(processes: Any) -> None:
    """Do :func:`begin_worker`, and say in a :class:`Watch`'s memory what the worker is at."""
    begin(processes)
    begin_worker()


def default_workers() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
