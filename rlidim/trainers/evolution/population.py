"""A population's episodes: played in this process, or split over several that share the noise.

As in Salimans et al. 2017, section 2.1: every worker knows the seeds, draws theta_0, P and the
perturbations itself, and is told a generation's number and centre (and where observations are
normalised, their statistics); what travels back are returns (and sums of observations). Which
worker plays which members changes no bit of a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rlidim.devices import device
from rlidim.environments import making
from rlidim.environments.arena import Arena, plays_whole
from rlidim.environments.moments import Moments
from rlidim.errors import RlidimError
from rlidim.networks import acting
from rlidim.networks.acting import AnyArchitecture
from rlidim.networks.perceptron import Architecture
from rlidim.projections import projection
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.settings import (
    CmaEvolutionStrategySettings,
    EvolutionStrategySettings,
    RandomSearchSettings,
    SeparableCmaEvolutionStrategySettings,
)
from rlidim.tasks.task import Task
from rlidim.trainers.evolution.antithetic import Antithetic
from rlidim.trainers.evolution.cma_es import CovarianceAdaptation
from rlidim.trainers.evolution.openai_es import OpenAIEvolutionStrategy
from rlidim.trainers.evolution.random_search import AugmentedRandomSearch
from rlidim.trainers.evolution.searches import Search, Vector

# Members that play side by side where each has an environment of its own: few, so that their
# simulations and weights stay in the cache, and enough to share the cost of calling numpy.
BLOCK = 8


class Space:
    """The searched space: theta_d in a subspace, or all of theta_D."""

    def __init__(self, architecture: AnyArchitecture, cell: Cell, seeds: Seeds) -> None:
        """Draw theta_0 and P.

        Raises:
            RlidimError: an unknown projection, or d not in 1 .. D.
        """
        self.theta_0 = architecture.initial_parameters(seeds.theta_0)
        self.P = (
            None
            if cell.d is None
            else projection(cell.projection, architecture.D, cell.d, seeds.projection)
        )
        self.n = architecture.D if cell.d is None else cell.d
        self.scale = float(np.linalg.norm(self.theta_0))

    def parameters(self, points: Vector) -> NDArray[np.float32]:
        """Map points (n,) or (N, n) to parameters float32 (D,) or (N, D)."""
        single = np.asarray(points, dtype=np.float32)
        if self.P is None:
            return np.asarray(self.theta_0 + single)
        base = torch.from_numpy(self.theta_0)
        moved = self.P.forward(torch.from_numpy(np.ascontiguousarray(single.T)), base=base)
        return np.asarray(moved.numpy().T)


@dataclass(frozen=True)
class Generation:
    """What the members of a generation have in common.

    Attributes:
        index: the first is 0; it names the perturbations.
        seed: of member 0's episode; member i's is ``seed + i``.
        normalised: the policies' architecture with the observations' statistics frozen in it; the
            observations are summed up for the next ones. None where they are not normalised: every
            player has the architecture, and the reference batch of one on frames, by itself.
    """

    index: int
    seed: int
    normalised: Architecture | None = None


@dataclass(frozen=True)
class Played:
    """What some members earned: returns float64 (m,), steps in all, sums of their observations."""

    returns: NDArray[np.float64]
    steps: int
    moments: Moments | None


class Worker(Protocol):
    """Plays some members of each generation; a process here, an actor of a cluster elsewhere."""

    def begin(self, task: Task, cell: Cell, seeds: Seeds) -> None:
        """Draw theta_0 and P, and seed the perturbations."""
        ...

    def submit(self, generation: Generation, centre: Vector, members: NDArray[np.intp]) -> None:
        """Begin to play members (m,) of a generation around a centre (n,), without waiting."""
        ...

    def collect(self) -> Played:
        """Wait for what was submitted.

        Raises:
            RlidimError: an environment at fault.
            RuntimeError: the worker failed, or died and it may have been the run's fault.
            MachineLostError: its machine, or its process there, is gone.
        """
        ...

    def close(self) -> None:
        """End the worker, at once."""
        ...


class Player:
    """Plays members of a population in this process, or in whichever it was made."""

    def __init__(self, task: Task, cell: Cell, seeds: Seeds) -> None:
        """Draw theta_0 and P, and begin the search, whose perturbations its seed fixes.

        Raises:
            RlidimError: see :class:`Space`; a missing environment.
        """
        self.task = task
        self.architecture = acting.architecture(task, seed=seeds.training)
        self.space = Space(self.architecture, cell, seeds)
        self.search = begin(
            task,
            cell.trainer,
            self.space.n,
            self.space.scale,
            seeds.training,
            shapes=self.architecture.shapes if cell.d is None else None,
        )
        self._whole = plays_whole(task)
        self._arenas: dict[int, Arena] = {}

    def evaluate(self, generation: Generation, centre: Vector, members: NDArray[np.intp]) -> Played:
        """Draw members (m,) of an antithetic generation around its centre (n,) and play them."""
        assert isinstance(self.search, Antithetic)
        points = self.search.candidates(generation.index, centre, members)
        return self.play(generation, points, members)

    def play(self, generation: Generation, points: Vector, members: NDArray[np.intp]) -> Played:
        """Play points (m, n), an episode each.

        Args:
            generation: whose members they are.
            points: in the searched space.
            members: their numbers in the generation, (m,).

        Raises:
            RlidimError: an environment at fault.
        """
        architecture = generation.normalised or self.architecture
        policy = architecture.policy(self.space.parameters(points))
        size = self.architecture.observation_size
        moments = None if generation.normalised is None else Moments(len(members), size)
        returns, steps = np.zeros(len(members)), 0
        width = len(members) if self._whole else BLOCK
        for first in range(0, len(members), width):
            rows = np.arange(first, min(first + width, len(members)))
            block = None if moments is None else Moments(len(rows), size)
            played = self._arena(len(rows)).play(
                policy if len(rows) == len(members) else policy.select(rows),
                generation.seed,
                members=members[rows],
                moments=block,
            )
            returns[rows] = played.returns
            steps += played.steps
            if moments is not None and block is not None:
                moments.put(rows, block)
        return Played(returns, steps, moments)

    def close(self) -> None:
        """Close the environments."""
        for arena in self._arenas.values():
            arena.close()

    def _arena(self, width: int) -> Arena:
        if width not in self._arenas:
            self._arenas[width] = Arena(self.task, width)
        return self._arenas[width]


class Population:
    """All members of each generation, split over this process and workers beside it."""

    def __init__(self, player: Player, size: int, workers: list[Worker]) -> None:
        """Deal the members out, so that pairs and long-lived neighbours spread evenly.

        Args:
            player: this process's.
            size: members of a generation.
            workers: the others, which have begun.
        """
        self.player = player
        self.size = size
        self._workers = workers
        processes = len(workers) + 1
        self._shares = [np.arange(first, size, processes) for first in range(processes)]

    def play(self, generation: Generation, points: Vector) -> Played:
        """Play a generation; ``points`` (size, n) are this process's own drawing of it.

        Raises:
            RlidimError, RuntimeError, MachineLostError: see :meth:`Worker.collect`.
        """
        own = self._shares[0]
        if not self._workers:
            return self.player.play(generation, points, own)
        centre = self.player.search.mean
        for worker, share in zip(self._workers, self._shares[1:], strict=True):
            worker.submit(generation, centre, share)
        parts = [self.player.play(generation, points[own], own)]
        parts += [worker.collect() for worker in self._workers]
        returns = np.zeros(self.size)
        observed = self.player.architecture.observation_size
        moments = None if generation.normalised is None else Moments(self.size, observed)
        for share, part in zip(self._shares, parts, strict=True):
            returns[share] = part.returns
            if moments is not None:
                assert part.moments is not None
                moments.put(share, part.moments)
        return Played(returns, sum(part.steps for part in parts), moments)

    def __enter__(self) -> Population:
        """Return the population itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers and close the environments."""
        for worker in self._workers:
            worker.close()
        self.player.close()


def check_split(task: Task, trainer: str, processes: int) -> None:
    """Make sure that a population can be split over so many processes.

    Raises:
        RlidimError: it cannot.
    """
    if processes == 1:
        return
    if task.problem.on_device and device().type != "cpu":
        raise RlidimError(
            f"--processes {processes}: on a GPU one process plays a population of networks on "
            "frames; it takes 1"
        )
    size = task.settings(trainer).population
    if processes > size // 2:  # a lone member would take another path through the products
        raise RlidimError(
            f"--processes {processes}: a population of {size} can be split over at most "
            f"{size // 2}, two members each"
        )
    if making.has_one_stream(task):
        identity = task.control.environment.id
        raise RlidimError(
            f"--processes {processes}: {identity} is one vector of environments with "
            "one random stream, which cannot be split; it takes 1"
        )


def begin(
    task: Task,
    trainer: str,
    n: int,
    scale: float,
    seed: int,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> Search:
    """Return the trainer's search over n dimensions, natively those of parameters of some shapes.

    Raises:
        RlidimError: settings that are for native training alone, without the shapes.
    """
    settings = task.settings(trainer)
    if isinstance(settings, EvolutionStrategySettings):
        return OpenAIEvolutionStrategy(n, scale, settings, seed, shapes)
    if isinstance(settings, RandomSearchSettings):
        return AugmentedRandomSearch(n, scale, settings, seed)
    assert isinstance(
        settings, CmaEvolutionStrategySettings | SeparableCmaEvolutionStrategySettings
    )
    return CovarianceAdaptation(n, scale, settings, seed)
