"""Where cells run on many machines: tasks of a Ray cluster (Moritz et al., OSDI 2018).

Claims are held and files are written by this process alone, so nodes share no file system with it.
Ray itself lives in a process of its own (:mod:`rlidim.executors.ray.driver`): it writes to standard
output whatever the settings, ends its process when the cluster's head is lost, and has no limit on
how long it waits for one.
"""

from __future__ import annotations

import importlib.util
import math
import pickle
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from rlidim.errors import GO_ON, RlidimError, whole
from rlidim.executors.job import Job, limited
from rlidim.executors.ledger import (
    DEATH,
    WORKER_DEATHS,
    finished,
    keep,
    keep_end,
    next_attempt,
    standing,
)
from rlidim.executors.making import DIED, Made
from rlidim.executors.ray.driver import Defect, Slots, Stop, Submit, drive
from rlidim.executors.ray.node import Mistake, NodeDied, WorkerDied
from rlidim.executors.watch import check_timeout
from rlidim.records import lock
from rlidim.records.cell import Cell
from rlidim.records.record import RunRecord
from rlidim.trainers.parent import starting_workers

CONNECT_SECONDS = 90  # to start Ray here, or to be let into a cluster; a busy machine needs 40
EMPTY_SECONDS = 120  # with fewer CPUs in the cluster, free or busy, than a cell is given
STOP_SECONDS = 20  # for tasks to be cancelled and a Ray of our own to end
NODE_DEATHS = 5  # under one cell: then it may be the cell that ends the nodes
ASK_SECONDS = 1.0  # between looks at cells that another sweep holds


@dataclass
class Flight:
    """A cell that a task is running, and the claim on it."""

    job: Job
    attempt: int
    claim: ExitStack


@dataclass
class Queue:
    """What a call of :meth:`RayCluster.run` has still to do.

    ``busy`` is held by other sweeps, ``suspects`` have killed a worker once. ``force`` runs even
    what is on record.
    """

    waiting: list[Job]
    force: bool = False
    busy: list[Job] = field(default_factory=list)
    suspects: list[Job] = field(default_factory=list)
    worker_deaths: Counter[Cell] = field(default_factory=Counter)
    node_deaths: Counter[Cell] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        """Say whether anything is left."""
        return bool(self.waiting or self.busy or self.suspects)


class RayCluster:
    """Runs jobs as Ray tasks, one thread a CPU; connects at the first job.

    A node that dies costs its cells a retry; a cell that kills its worker process is tried again
    alone, then recorded as failed. Which of the two it was is Ray's word: a cell that takes its
    whole node with it looks like a node that died.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | None = None,
        cpus: int = 1,
        gpus: float = 0.0,
        timeout: float | None = None,
    ) -> None:
        """Choose the cluster.

        Args:
            address: ``HOST:PORT`` of a cluster's head; None: what ``ray.init()`` finds or starts.
            workers: cells in flight at most; None: as many as the cluster's CPUs (and GPUs) hold.
            cpus: that each cell is given: as many as its run is split over processes.
            gpus: likewise, a fraction for a share of one.
            timeout: seconds that a run may take; None: any time.

        Raises:
            RlidimError: Ray is not installed, or a value is out of its range.
        """
        if workers is not None and workers < 1:
            raise RlidimError(f"--workers must be at least 1, got {workers}")
        if whole("cpus", cpus) < 1:
            raise RlidimError(f"cpus must be at least 1, as --processes must, got {cpus}")
        if not 0 <= gpus < math.inf or (gpus > 1 and gpus != int(gpus)):
            raise RlidimError(f"--gpus-per-cell must be a share of one GPU or whole, got {gpus:g}")
        if timeout is not None:
            check_timeout(timeout)
        if address is not None:
            check_address(address)
        if importlib.util.find_spec("ray") is None:
            raise RlidimError("--executor ray: Ray is not installed: pip install 'rlidim[ray]'")
        self.address = address
        self.workers = workers
        self.cpus = cpus
        self.gpus = gpus
        self.timeout = timeout
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._flights: dict[int, Flight] = {}
        self._submitted = 0
        self._slots = 0  # cells that the cluster holds at a time
        self._empty_since: float | None = None

    def run(self, jobs: Sequence[Job], *, force: bool = False) -> Iterator[RunRecord]:
        """Run the jobs; each record is written here, once, before it is yielded.

        Args:
            jobs: split over no more processes than a cell is given CPUs.
            force: run even what is on record.

        Raises:
            RlidimError: a job's, one split over more processes, or the cluster is out of reach;
                call :meth:`close` then.
        """
        if any(job.log for job in jobs):
            raise RlidimError(
                "--log shows runs of this machine; --executor ray brings back no logs"
            )
        processes = max((job.processes for job in jobs), default=1)
        if processes > self.cpus:
            raise RlidimError(
                f"--processes {processes}: the cluster gives a run {self.cpus} CPUs: "
                f"RayCluster(cpus={processes}) gives it enough"
            )
        queue = Queue(limited(jobs, self.timeout), force=force)
        while queue or self._flights:
            yield from self._fill(queue)
            if not self._flights and self._process is None:
                time.sleep(ASK_SECONDS if queue else 0)  # all of it is held by another sweep
                continue
            if not self._flights and not queue:
                continue
            answer = self._receive(ASK_SECONDS if queue.busy or not self._flights else None)
            if answer is not None:
                number, content = answer
                record = self._land(self._flights.pop(number), content, queue)
                if record is not None:
                    yield record

    def close(self) -> None:
        """Cancel what is running and leave: a Ray that was started here ends, a cluster stays."""
        for flight in self._flights.values():
            flight.claim.close()
        self._flights.clear()
        if self._process is None or self._connection is None:
            return
        with suppress(OSError):  # it is gone already
            self._connection.send(Stop())
        self._connection.close()
        self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process = self._connection = None
        self._slots = 0

    def _fill(self, queue: Queue) -> Iterator[RunRecord]:
        """Submit as many jobs as there is room for; yield what turns out to be on record."""
        if queue.waiting or queue.busy:
            # What another sweep holds is asked for again only when nothing else is left.
            jobs = queue.waiting or queue.busy
            for job in list(jobs):
                if self._process is not None and len(self._flights) >= self._room():
                    return
                jobs.remove(job)
                record = self._claim(job, queue)
                if record is not None:
                    yield record
        elif queue.suspects and not self._flights:
            # Alone, so that what it does to its machine's memory harms no other cell.
            record = self._claim(queue.suspects.pop(0), queue)
            if record is not None:
                yield record

    def _room(self) -> int:
        return self._slots if self.workers is None else min(self.workers, self._slots)

    def _claim(self, job: Job, queue: Queue) -> RunRecord | None:
        """Claim a job's cell and submit it, unless it is held elsewhere or on record."""
        with ExitStack() as claim:
            if not claim.enter_context(lock.claim(job.results, job.cell)):
                queue.busy.append(job)
                return None
            earlier = None if queue.force else standing(job)
            if earlier is not None and finished(earlier):
                return earlier
            self._fly(Flight(job, next_attempt(earlier), claim.pop_all()))
        return None

    def _fly(self, flight: Flight) -> None:
        self._submitted += 1
        self._flights[self._submitted] = flight
        self._connect()
        self._send(Submit(self._submitted, pickle.dumps((flight.job, flight.attempt))))

    def _land(self, flight: Flight, content: object, queue: Queue) -> RunRecord | None:
        """Write what came of a cell and give its claim back, or put it back into the queue."""
        job = flight.job
        with flight.claim:
            if isinstance(content, Made):
                return keep(job, content)
            if isinstance(content, Mistake):
                raise RlidimError(content.message)
            if isinstance(content, WorkerDied):
                queue.worker_deaths[job.cell] += 1
                if queue.worker_deaths[job.cell] >= WORKER_DEATHS:
                    return keep_end(job, DIED, DEATH)
                queue.suspects.append(job)
            elif isinstance(content, NodeDied):
                queue.node_deaths[job.cell] += 1
                if queue.node_deaths[job.cell] >= NODE_DEATHS:
                    raise RlidimError(
                        f"{job.cell}: {NODE_DEATHS} nodes died while they ran it, the last: "
                        f"{content.message}; {GO_ON}"
                    )
                queue.waiting.insert(0, job)
            else:
                assert isinstance(content, Defect)
                raise RuntimeError(content.traceback)
        return None

    def _connect(self) -> None:
        """Start the process that Ray lives in and wait until it has a cluster."""
        if self._process is not None:
            return
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=drive, args=(theirs, self.address, self.cpus, self.gpus), daemon=True
        )
        with starting_workers():
            self._process.start()
        theirs.close()
        self._empty_since = None
        if not self._connection.poll(CONNECT_SECONDS):
            self._process.kill()
            raise RlidimError(
                f"--executor ray: ray.init() neither joined nor started a cluster within "
                f"{CONNECT_SECONDS} s; where it looked for one that has ended, 'ray stop' helps"
                if self.address is None
                else f"--address {self.address}: no answer from a Ray cluster there within "
                f"{CONNECT_SECONDS} s"
            )
        self._receive(0)

    def _send(self, message: Submit) -> None:
        assert self._connection is not None
        try:
            self._connection.send(message)
        except OSError as error:
            raise self._lost() from error

    def _receive(self, timeout: float | None) -> tuple[int, object] | None:
        """Wait for news of a cell; None if there was none in time, or news of the cluster.

        Raises:
            RlidimError: the cluster is lost, refuses, or has had no CPU for long.
        """
        assert self._connection is not None
        try:
            if timeout is not None and not self._connection.poll(timeout):
                return None
            message = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(message, Mistake):
            raise RlidimError(message.message)
        if isinstance(message, Slots):
            self._note(message.cells)
            return None
        number, content = message
        return int(number), pickle.loads(content) if isinstance(content, bytes) else content

    def _note(self, slots: int) -> None:
        self._slots = slots
        if slots > 0:
            self._empty_since = None
            return
        now = time.monotonic()
        self._empty_since = self._empty_since or now
        if now - self._empty_since > EMPTY_SECONDS:
            need = "a CPU" if self.cpus == 1 else f"{self.cpus} CPUs"
            need += f" and {self.gpus:g} GPUs" if self.gpus else ""
            raise RlidimError(
                f"--executor ray: the cluster has not had {need} for {EMPTY_SECONDS} s: "
                f"start a node with 'ray start --address'; {GO_ON}"
            )

    def _lost(self) -> RlidimError:
        return RlidimError(
            f"--executor ray: the cluster is lost: its head, or Ray on this machine, ended; {GO_ON}"
        )


def check_address(address: str) -> None:
    """Make sure that an address is one of a cluster's head.

    Raises:
        RlidimError: it is not ``HOST:PORT``.
    """
    if "://" in address:
        raise RlidimError(
            f"--address {address}: a Ray client is not supported: run on a node of the cluster, "
            "with the HOST:PORT of its head"
        )
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 2**16):
        raise RlidimError(f"--address must be HOST:PORT, as 'ray start --head' names it: {address}")
