"""The process that Ray's driver lives in.

It gets :class:`Submit` and :class:`Stop` over a pipe and answers with :class:`Slots`, with a
:class:`Mistake` that ends it, and with (number, what came of it) for every cell. Jobs and runs pass
through it as bytes: it starts without torch.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from rlidim.errors import RlidimError
from rlidim.executors.ray.node import (
    DOUBT_SECONDS,
    Mistake,
    NodeDied,
    WorkerDied,
    cannot_import,
    identity,
    on_node,
)

REACH_SECONDS = 10  # for a head to accept a connection
OBJECT_STORE = 200 * 2**20  # bytes, of a Ray that we start: a record has some kB, a solution 4 MB
LOOK_SECONDS = 0.05  # between looks at the pipe while tasks run
CLUSTER_SECONDS = 1.0  # between looks at the cluster's nodes


@dataclass(frozen=True)
class Submit:
    """Run a job as a task: the pickled arguments of ``making.make``."""

    number: int
    payload: bytes


@dataclass(frozen=True)
class Stop:
    """Cancel every task and leave the cluster."""


@dataclass(frozen=True)
class Slots:
    """How many cells the cluster holds at a time; sent every second while it holds none."""

    cells: int


@dataclass(frozen=True)
class Defect:
    """Something that is nobody's mistake but ours."""

    traceback: str


def drive(pipe: Connection, address: str | None, cpus: int, gpus: float) -> None:
    """Serve the pipe until it is told to stop, or whoever holds its other end is gone.

    Args:
        pipe: see above.
        address: of the cluster's head, see :func:`_connect`.
        cpus: that each cell is given.
        gpus: likewise, a fraction for a share of one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it says Stop
    _silence()
    try:
        _connect(address)
    except RlidimError as error:
        pipe.send(Mistake(str(error)))
        return
    import ray

    try:
        Driver(pipe, cpus, gpus).serve()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent was killed
    finally:
        ray.shutdown()


def _silence() -> None:
    """Send what Ray and the interpreter print to nowhere: it would garble progress and JSON.

    Ray's own logs, of every node, lie below /tmp/ray as always.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _connect(address: str | None) -> None:
    """Join a cluster, or start one where ``ray.init()`` would.

    Raises:
        RlidimError: there is none, or it does not let this process in.
    """
    # Read by Ray when it is imported, and used only by a Ray that starts here: a third of the
    # memory, its default, is more than a container's /dev/shm holds.
    os.environ.setdefault("RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES", str(OBJECT_STORE))
    named = address or os.environ.get("RAY_ADDRESS", "")
    source = "--address" if address else "RAY_ADDRESS" if named else "--executor ray"
    host, _, port = named.rpartition(":")
    if port.isdecimal() and "://" not in named:
        try:
            # Ray would try for minutes.
            socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
        except OSError as error:
            raise RlidimError(
                f"{source} {named}: no Ray cluster there ({error.strerror or error})"
            ) from error
    try:
        import ray

        ray.init(
            address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    except Exception as error:
        raise RlidimError(f"{source} {named}".strip() + f": {reason_of(error)}") from error


def reason_of(error: BaseException) -> str:
    """Return why Ray did not let us in, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    # A wrong token is told of with a link to how tokens work, behind Ray's own traceback.
    if type(error).__name__ == "AuthenticationError" or "token-auth" in str(error):
        return (
            "the cluster asks for a token, as one that 'ray start --head' made does: set "
            "RAY_AUTH_MODE=token, with the head's ~/.ray/auth_token on this machine too"
        )
    return " ".join(str(error).split()) or repr(error)


class Driver:
    """Submits tasks and tells what came of them."""

    def __init__(self, pipe: Connection, cpus: int, gpus: float) -> None:
        """Begin with a connected Ray."""
        import ray

        self.ray: Any = ray
        self.pipe = pipe
        self.cpus = cpus
        self.gpus = gpus
        # A retry is the parent's to decide: Ray's own would hide whose fault a death was.
        self._task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(on_node)
        self._running: dict[Any, int] = {}  # by reference
        self._groups: dict[int, Any] = {}  # what is reserved for cells of several CPUs
        self._doubtful: dict[int, float] = {}  # cells whose worker died, and when
        self._dead = self._dead_nodes()
        self._node_died = -DOUBT_SECONDS
        self._looked = -CLUSTER_SECONDS
        self._slots: int | None = None
        self._inbox: queue.SimpleQueue[Submit | Stop] = queue.SimpleQueue()

    def serve(self) -> None:
        """Answer until told to stop.

        Raises:
            OSError: the parent is gone.
        """
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._look_at_cluster()
            while (message := self._next_message()) is not None:
                if isinstance(message, Stop):
                    self._cancel()
                    return
                task = self._task if self.cpus == 1 else self._reserving(message.number)
                self._running[task.remote(identity(), message.payload)] = message.number
            if self._running:
                done, _ = self.ray.wait(list(self._running), timeout=LOOK_SECONDS)
                for reference in done:
                    self._tell(self._running.pop(reference), reference)

    def _reserving(self, number: int) -> Any:
        """Return the task with its CPUs reserved, one for itself and one for each of its actors.

        They are reserved together, on any nodes, so that two cells never wait for each other.
        """
        from ray.util.placement_group import placement_group
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        first = {"CPU": 1} | ({"GPU": self.gpus} if self.gpus > 0 else {})
        group = placement_group([first, *[{"CPU": 1}] * (self.cpus - 1)])
        self._groups[number] = group
        strategy = PlacementGroupSchedulingStrategy(
            group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
        )
        return self._task.options(scheduling_strategy=strategy)

    def _release(self, number: int) -> None:
        from ray.util.placement_group import remove_placement_group

        group = self._groups.pop(number, None)
        if group is not None:
            remove_placement_group(group)

    def _listen(self) -> None:
        """Empty the pipe at all times, so that it never blocks both of its ends."""
        try:
            while True:
                self._inbox.put(self.pipe.recv())
        except (EOFError, OSError):  # the parent was killed: leave as if it had said Stop
            self._inbox.put(Stop())

    def _next_message(self) -> Submit | Stop | None:
        try:
            return self._inbox.get(not self._running, LOOK_SECONDS)
        except queue.Empty:
            return None

    def _tell(self, number: int, reference: Any) -> None:
        from ray import exceptions

        self._release(number)
        try:
            content: object = self.ray.get(reference)
        except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError):
            self._doubtful[number] = time.monotonic()  # judged by _look_at_cluster
            return
        except (
            exceptions.NodeDiedError,
            exceptions.ObjectLostError,
            exceptions.LocalRayletDiedError,
        ) as error:
            content = NodeDied(str(error).splitlines()[0])
        except Exception as error:
            content = _unforeseen(error)
        self.pipe.send((number, content))

    def _look_at_cluster(self) -> None:
        """Say how many cells the cluster holds, and whose fault a worker's death was."""
        now = time.monotonic()
        if now - self._looked < CLUSTER_SECONDS:
            return
        self._looked = now
        dead = self._dead_nodes()
        if dead - self._dead:
            self._node_died = now
        self._dead = dead
        resources = self.ray.cluster_resources()
        slots = int(resources.get("CPU", 0)) // self.cpus
        if self.gpus > 0:
            slots = min(slots, int(resources.get("GPU", 0) / self.gpus))
        if slots != self._slots or slots == 0:
            self.pipe.send(Slots(slots))
        self._slots = slots
        for number, died in list(self._doubtful.items()):
            # Ray learns of a worker's death before it learns of its node's.
            if abs(died - self._node_died) < DOUBT_SECONDS:
                self.pipe.send((number, NodeDied("a node left the cluster")))
            elif now - died > DOUBT_SECONDS:
                self.pipe.send((number, WorkerDied()))
            else:
                continue
            del self._doubtful[number]

    def _dead_nodes(self) -> set[str]:
        return {node["NodeID"] for node in self.ray.nodes() if not node["Alive"]}

    def _cancel(self) -> None:
        for reference, number in self._running.items():
            self.ray.cancel(reference, force=True)
            self._release(number)


def _unforeseen(error: Exception) -> object:
    """Return what came of a task that raised: what runs on a node catches all that is foreseen."""
    mistake = cannot_import(str(error))
    if mistake is not None:
        return Mistake(str(mistake))
    return Defect("".join(traceback.format_exception(error)))
