"""A cell, the name of one run, what it belongs to, and the seeds that its name alone decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

NATIVE = "native"  # in place of a projection: the unconfined network
RANDOM = "random"  # in place of a trainer: uniformly random actions
SEEDS_OF_ONE = 10_000  # repetition r of a search has the seeds from r times so many on


@dataclass(frozen=True)
class Cell:
    """One run to make; ``d = None`` is the baseline, the unconfined network."""

    task: str
    trainer: str
    projection: str
    d: int | None
    seed: int
    scope: str = "policy"

    @classmethod
    def baseline(cls, task: str, trainer: str, seed: int) -> Cell:
        """Return the native run of this seed."""
        return cls(task, trainer, NATIVE, None, seed)

    @classmethod
    def random(cls, task: str) -> Cell:
        """Return the cell that scores uniformly random actions."""
        return cls(task, RANDOM, NATIVE, None, 0)

    @property
    def replication(self) -> int:
        """Which repetition of a whole search the run belongs to, 0 for the first."""
        return self.seed // SEEDS_OF_ONE

    @property
    def group(self) -> str:
        """The folder below the task's: ``es-rademacher``, ``ppo-native``, ``random``."""
        if self.trainer == RANDOM:
            return RANDOM
        scope = "" if self.scope == "policy" or self.d is None else f"-{self.scope}"
        return f"{self.trainer}-{self.projection}{scope}"

    @property
    def label(self) -> str:
        """The file's name: ``d25-s0``, ``full-s0``."""
        if self.trainer == RANDOM:
            return f"s{self.seed}"
        return f"{'full' if self.d is None else f'd{self.d}'}-s{self.seed}"

    def __str__(self) -> str:
        """Return the record's path below the results, without its ending."""
        return f"{self.task}/{self.group}/{self.label}"


def searches(cells: Iterable[Cell]) -> set[int]:
    """Return the repetitions of a search that cells of one subject and its native runs are of.

    A search has native runs of its own: a run by itself with a large seed is no repetition.
    """
    cells = [cell for cell in cells if cell.trainer != RANDOM]
    native = {cell.replication for cell in cells if cell.d is None}
    return native & {cell.replication for cell in cells if cell.d is not None}


class Subject(NamedTuple):
    """What a measurement is of; subjects are sorted by these names."""

    task: str
    trainer: str
    projection: str
    scope: str

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """Return what a run in a subspace belongs to."""
        return cls(cell.task, cell.trainer, cell.projection, cell.scope)


@dataclass(frozen=True)
class Seeds:
    """The seeds of one run, each from its own stream.

    ``training``, ``checkpoint`` and ``evaluation`` seed environments and lie in disjoint ranges of
    2^29 numbers, so that no episode that scores a policy was ever trained on or selected by.
    """

    theta_0: int
    projection: int
    training: int
    checkpoint: int
    evaluation: int

    @classmethod
    def of(cls, cell: Cell) -> Seeds:
        """Derive the seeds from the cell's name alone."""
        digest = hashlib.sha256(str(cell).encode()).digest()
        words = np.frombuffer(digest, dtype="<u4").tolist()
        theta_0, projection, training, checkpoint, evaluation = (
            int(word) for word in np.random.SeedSequence(words).generate_state(5)
        )
        size = 2**29
        # The last 2^20 seeds of a range stay free: vector environments count upwards.
        usable = size - 2**20
        return cls(
            theta_0=theta_0,
            projection=projection,
            training=training % usable,
            checkpoint=size + checkpoint % usable,
            evaluation=2 * size + evaluation % usable,
        )
