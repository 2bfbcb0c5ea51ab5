"""The plan of a measurement: its subject, its search settings, its budget of runs."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from rlidim.errors import RlidimError
from rlidim.networks.dimension import projection_family
from rlidim.records.cell import RANDOM, SEEDS_OF_ONE, Cell, Subject
from rlidim.records.checking import SCOPES
from rlidim.tasks.families import AUTO
from rlidim.tasks.task import FRACTION, Search, Task
from rlidim.trainers.run import settings_class


@dataclass(frozen=True)
class Plan:
    """A measurement's subject and settings; ``dims`` makes it a grid instead of a search.

    Attributes:
        task: what is measured.
        trainer: by which.
        projection: the family of P.
        scope: of the subspace.
        fraction: of the scale that counts as solved.
        local: read against the median of native training even where the task declares a target.
        dims: of a grid; None: a search.
        seeds: runs at each d, in a search at first.
        baseline_seeds: native runs, at first.
        budget: core seconds that the runs may take, native ones too.
        precision: the ratio of the interval's ends at which a search is settled.
        hint: the d at which it begins.
        largest: the d beyond which it does not go; None: D.
        replication: a repetition of the whole search has seeds of its own.
    """

    task: Task
    trainer: str
    projection: str = "rademacher"
    scope: str = "policy"
    fraction: float = FRACTION
    local: bool = False
    dims: tuple[int, ...] | None = None
    seeds: int = Search.seeds
    baseline_seeds: int = Search.baseline_seeds
    budget: float = Search.budget
    precision: float = Search.precision
    hint: int = Search.hint
    largest: int | None = Search.largest
    replication: int = 0

    @classmethod
    def of(cls, task: Task, trainer: str, **choices: object) -> Plan:
        """Return the plan by the task's search settings, those replaced that are given (not None).

        Raises:
            RlidimError: an unknown trainer or projection, or a choice out of its range.
        """
        task.settings(trainer)
        search = dataclasses.asdict(task.search_for(trainer))
        given = {name: value for name, value in choices.items() if value is not None}
        choice = str(given.pop("projection", AUTO))
        seeds = given.get("seeds")
        if isinstance(seeds, int):  # given: as many for the baseline
            # One native run would leave the baseline's error unknown.
            search["baseline_seeds"] = max(2, seeds)
        plan = cls(task, trainer, **{**search, **given})
        plan.check()  # before torch is loaded for P
        return dataclasses.replace(plan, projection=projection_family(task, choice))

    def check(self) -> None:
        """Check the ranges.

        Raises:
            RlidimError: a setting is out of its range; the line names both.
        """
        for option, count in {
            "--seeds": self.seeds,
            "--baseline-seeds": self.baseline_seeds,
            "--hint": self.hint,
        }.items():
            if count < 1:
                raise RlidimError(f"{option} must be at least 1, got {count}")
        if self.baseline_seeds < 2 and (self.local or self.task.target is None):
            raise RlidimError(
                f"--baseline-seeds must be at least 2, got {self.baseline_seeds}: one native run "
                "leaves the error of the scale unknown"
            )
        if not 0.0 < self.fraction < 1.0:
            raise RlidimError(f"--fraction must be between 0 and 1, got {self.fraction}")
        if not 0.0 < self.budget < math.inf:
            raise RlidimError(f"--budget must be above 0 seconds and finite, got {self.budget:g}")
        if self.replication < 0:
            raise RlidimError(f"a replication is a whole number from 0, got {self.replication}")
        if not 1.0 <= self.precision < math.inf:
            raise RlidimError(
                f"--precision is a ratio of at least 1, and finite, got {self.precision}"
            )
        check_scope(self.task, self.scope, self.trainer)
        self.task.settings(self.trainer).check_confined()  # not first after the native runs
        from rlidim.environments import making  # late: a mistake above is told without Gymnasium

        making.check(self.task)
        if self.dims is not None and (not self.dims or min(self.dims) < 1):
            raise RlidimError(f"--dims must be whole numbers of at least 1, got {self.dims}")

    @property
    def subject(self) -> Subject:
        """The subject: task, trainer, family of P, scope."""
        return Subject(self.task.name, self.trainer, self.projection, self.scope)

    def cell(self, d: int, seed: int) -> Cell:
        """Return a cell of this plan, its seed counted from the replication's first."""
        return Cell(self.task.name, self.trainer, self.projection, d, self._seed(seed), self.scope)

    def native(self, seed: int) -> Cell:
        """Return a cell of native training, its seed counted from the replication's first."""
        return Cell.baseline(self.task.name, self.trainer, self._seed(seed))

    def baselines(self) -> list[Cell]:
        """Return the cells that every estimate needs: random actions, and native training."""
        return [
            Cell.random(self.task.name),
            *(self.native(seed) for seed in range(self.baseline_seeds)),
        ]

    def owns(self, cell: Cell) -> bool:
        """Return whether a cell's seed is one of this replication's; random actions are of all."""
        return cell.trainer == RANDOM or cell.replication == self.replication

    def _seed(self, seed: int) -> int:
        return self.replication * SEEDS_OF_ONE + seed


def check_scope(task: Task, scope: str, trainer: str) -> None:
    """Check that a trainer has the networks that the scope confines.

    Raises:
        RlidimError: the trainer has no critic to confine, or there is no such scope.
    """
    if scope not in SCOPES:
        raise RlidimError(f"--scope must be policy or all, got '{scope}'")
    if scope == "all" and not settings_class(task, trainer).has_critic:
        raise RlidimError(f"--scope all confines a critic too, and {trainer} has none: use policy")
