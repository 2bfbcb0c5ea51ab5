"""What is done on the nodes of a Ray cluster: a cell is a task, and a part of its run an actor."""

from __future__ import annotations

import dataclasses
import os
import pickle
import platform
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rlidim import __version__
from rlidim.errors import MachineLostError, RlidimError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rlidim.records.cell import Cell, Seeds
    from rlidim.tasks.task import Task
    from rlidim.trainers.evolution.population import Generation, Played
    from rlidim.trainers.evolution.searches import Vector


@dataclass(frozen=True)
class Mistake:
    """The message of an RlidimError."""

    message: str


@dataclass(frozen=True)
class WorkerDied:
    """A task's process died, or one of its actors', and no node did."""


@dataclass(frozen=True)
class NodeDied:
    """A task's node died, or one of its actors', or what it returned was lost with its node."""

    message: str


DOUBT_SECONDS = 4.0  # around a process's death, in which a node's death explains it


def identity() -> tuple[str, str]:
    """Return what must be the same on every node: the versions of rlidim and of Python."""
    return __version__, ".".join(platform.python_version_tuple()[:2])


def on_node(driver: tuple[str, str], payload: bytes) -> bytes:
    """Make a run on a node.

    Args:
        driver: its :func:`identity`.
        payload: job and attempt, pickled; opened only once the versions are known to agree.

    Returns:
        A ``Made``, whose record names the nodes by Ray's identifiers, or a ``Mistake``; of a run
        that lost an actor ``WorkerDied`` or ``NodeDied``. Pickled.
    """
    try:
        check_identity(driver)
        hide_other_gpus()
        job, number = opened(payload)
    except RlidimError as error:
        return pickle.dumps(Mistake(str(error)))
    from rlidim.executors.making import Attempt, make

    workers: list[ActorWorker] = []
    nodes = living_nodes() if job.processes > 1 else set()

    def worker() -> ActorWorker:
        workers.append(ActorWorker(driver))
        return workers[-1]

    try:
        made = make(Attempt(job, number, logs=None), worker)
    except RlidimError as error:
        return pickle.dumps(Mistake(f"{error} (on node {socket.gethostname()})"))
    except MachineLostError as error:
        time.sleep(DOUBT_SECONDS)  # Ray learns of a process's death before it learns of its node's
        died = nodes - living_nodes()
        return pickle.dumps(NodeDied(str(error)) if died else WorkerDied())
    where: dict[str, Any] = {"ray_node": own_node()}
    if workers:
        where["ray_nodes_of_workers"] = [each.node for each in workers]
    record = dataclasses.replace(made.record, provenance=made.record.provenance | where)
    return pickle.dumps(dataclasses.replace(made, record=record))


def check_identity(driver: tuple[str, str]) -> None:
    """Make sure that this process computes what the driver would.

    Raises:
        RlidimError: it has another version of rlidim or of Python.
    """
    here = identity()
    if here != driver:
        raise RlidimError(
            f"node {socket.gethostname()} has rlidim {here[0]} on Python {here[1]}, this machine "
            f"rlidim {driver[0]} on Python {driver[1]}: install the same on both"
        )


def opened(payload: bytes) -> Any:
    """Return what the driver has pickled.

    Raises:
        RlidimError: a module of the user's, such as a trainer's, is not on this node.
    """
    try:
        return pickle.loads(payload)
    except (ImportError, AttributeError) as error:  # the module, or what it should hold
        raise RlidimError(
            f"node {socket.gethostname()} cannot import what the task is made of ({error}): put "
            "the module where Ray's Python finds it on every node"
        ) from error


def hide_other_gpus() -> None:
    """Hide a node's GPUs from this process if none is reserved for it; before torch looks for them.

    Ray sets what a process sees where some are, and leaves all of them visible where none is.
    """
    import ray

    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def living_nodes() -> set[str]:
    """Return Ray's identifiers of the nodes that are alive."""
    import ray

    nodes: Any = ray.nodes  # untyped
    return {node["NodeID"] for node in nodes() if node["Alive"]}


def cannot_import(said: str) -> RlidimError | None:
    """Return the mistake behind what Ray says of a task or an actor that could not begin."""
    if "No module named 'rlidim" not in said and "failed to import" not in said:
        return None
    version, python = identity()
    return RlidimError(
        f"a node cannot import rlidim: install rlidim {version} for the Python {python} that "
        "Ray runs there"
    )


def own_node() -> str:
    """Return Ray's identifier of the node that this process is on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


class RolloutActor:
    """An actor that plays a share of each generation, with one thread."""

    def begin(self, driver: tuple[str, str], payload: bytes) -> str:
        """Draw theta_0 and P, and return the identifier of the node.

        Args:
            driver: its :func:`identity`.
            payload: task, cell and seeds, pickled; opened as a run's is.

        Raises:
            RlidimError: it has other versions than the driver, or lacks a module of the user's.
        """
        check_identity(driver)
        hide_other_gpus()
        task, cell, seeds = opened(payload)
        import torch
        from threadpoolctl import threadpool_limits

        from rlidim.trainers.evolution.population import Player

        torch.set_num_threads(1)
        self._limits = threadpool_limits(1)
        self._player = Player(task, cell, seeds)
        return own_node()

    def evaluate(self, generation: Generation, centre: Vector, members: NDArray[np.intp]) -> Played:
        """Play members of a generation: see ``population.Player``."""
        return self._player.evaluate(generation, centre, members)


class ActorWorker:
    """A worker of a population in an actor, on whichever node has a CPU."""

    def __init__(self, driver: tuple[str, str]) -> None:
        """Start the actor; ``driver`` is its :func:`identity`."""
        import ray

        self._driver = driver
        self._ray: Any = ray
        self._actor: Any = ray.remote(num_cpus=1)(RolloutActor).remote()
        self.node: str | None = None  # Ray's identifier, once it has answered
        self._begun: Any = None
        self._answer: Any = None

    def begin(self, task: Task, cell: Cell, seeds: Seeds) -> None:
        """See :class:`rlidim.trainers.evolution.population.Worker`; it does not wait either."""
        self._begun = self._actor.begin.remote(self._driver, pickle.dumps((task, cell, seeds)))

    def submit(self, generation: Generation, centre: Vector, members: NDArray[np.intp]) -> None:
        """See :class:`rlidim.trainers.evolution.population.Worker`."""
        self._answer = self._actor.evaluate.remote(generation, centre, members)

    def collect(self) -> Played:
        """See :class:`rlidim.trainers.evolution.population.Worker`."""
        # What the run's beginning raises is the first generation's answer.
        self.node = str(self._get(self._begun))
        played: Played = self._get(self._answer)
        return played

    def close(self) -> None:
        """End the actor."""
        self._ray.kill(self._actor)

    def _get(self, reference: Any) -> Any:
        from ray import exceptions

        try:
            return self._ray.get(reference)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, RlidimError):
                raise error.cause from error
            raise RuntimeError(f"a worker failed:\n{error}") from error
        except exceptions.RayError as error:
            mistake = cannot_import(str(error))
            if mistake is not None:
                raise mistake from error
            reason = " ".join(str(error).split())
            raise MachineLostError(f"a worker of the run is gone: {reason}") from error
