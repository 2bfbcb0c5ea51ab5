"""Worker processes that play a share each of :mod:`rlidim.trainers.evolution.population`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.task import Task
from rlidim.trainers.evolution.population import Generation, Played, Player, Worker
from rlidim.trainers.evolution.searches import Vector
from rlidim.trainers.parent import begin_worker, starting_workers

DIED = "a worker process died (killed, or out of memory)"


class ProcessWorker:
    """A worker in a process of its own, with one thread; it ends when its parent does."""

    def __init__(self) -> None:
        """Start the process."""
        # "spawn": a fork of a process that has started torch's threads can hang.
        context = get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with starting_workers():
            self._process.start()
        theirs.close()

    def begin(self, task: Task, cell: Cell, seeds: Seeds) -> None:
        """See :class:`rlidim.trainers.evolution.population.Worker`; it does not wait either."""
        self._send((task, cell, seeds))

    def submit(self, generation: Generation, centre: Vector, members: NDArray[np.intp]) -> None:
        """See :class:`rlidim.trainers.evolution.population.Worker`."""
        self._send((generation, centre, members))

    def collect(self) -> Played:
        """See :class:`rlidim.trainers.evolution.population.Worker`."""
        try:
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(DIED) from error
        if isinstance(answer, RlidimError):
            raise answer
        if isinstance(answer, str):
            raise RuntimeError(f"a worker process failed:\n{answer}")
        assert isinstance(answer, Played)
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def _send(self, message: Any) -> None:
        try:
            self._connection.send(message)
        except OSError as error:
            raise RuntimeError(DIED) from error


def start(
    task: Task,
    cell: Cell,
    seeds: Seeds,
    count: int,
    kind: Callable[[], Worker] = ProcessWorker,
) -> list[Worker]:
    """Start workers that have begun a run, processes of this machine unless ``kind`` says else."""
    workers: list[Worker] = []
    try:
        for _ in range(count):
            workers.append(kind())
        for worker in workers:
            worker.begin(task, cell, seeds)
    except BaseException:
        for worker in workers:
            worker.close()
        raise
    return workers


def _serve(connection: Connection) -> None:
    """Answer one message after another until the parent closes the connection, or ends."""
    import torch
    from threadpoolctl import threadpool_limits

    begin_worker()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        try:
            first = connection.recv()
            player: Player | None = None
            while True:
                message = connection.recv()
                try:
                    # What the run's beginning raises is the first generation's answer.
                    player = player or Player(*first)
                    answer: Any = player.evaluate(*message)
                except RlidimError as error:
                    answer = error
                except (Exception, SystemExit):  # of an environment that ends its process
                    answer = traceback.format_exc()
                connection.send(answer)
        except (EOFError, OSError):
            return
