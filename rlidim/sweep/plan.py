"""The plan of a measurement: its subject, its search settings, its budget of runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rlidim.environments import making
from rlidim.errors import RlidimError
from rlidim.networks.dimension import projection_family
from rlidim.records.cell import Cell
from rlidim.records.measurement import Subject
from rlidim.tasks.task import Task
from rlidim.trainers.run import settings_class

AUTO = "auto"  # the family that suits the task's size


@dataclass(frozen=True)
class Plan:
    """A measurement's subject and settings; ``dims`` makes it a grid instead of a search.

    ``most_runs`` is the budget of runs in subspaces: see :class:`rlidim.tasks.task.Search`.
    """

    task: Task
    trainer: str
    projection: str = "rademacher"
    scope: str = "policy"
    fraction: float = 0.9
    dims: tuple[int, ...] | None = None
    seeds: int = 4
    most_seeds: int = 10
    baseline_seeds: int = 5
    most_runs: int = 120
    precision: float = 1.5
    hint: int = 8
    largest: int | None = None

    @classmethod
    def of(cls, task: Task, trainer: str, **choices: object) -> Plan:
        """Return the plan by the task's search settings, those replaced that are given (not None).

        Raises:
            RlidimError: an unknown trainer or projection, or a choice out of its range.
        """
        task.settings(trainer)
        search = dataclasses.asdict(task.search_for(trainer))
        search["most_runs"] = search.pop("runs")
        given = {name: value for name, value in choices.items() if value is not None}
        given["projection"] = projection_family(task, str(given.get("projection", AUTO)))
        seeds = given.get("seeds")
        if isinstance(seeds, int):  # given: as many at every rung, and for the baseline
            search["most_seeds"] = max(search["most_seeds"], seeds)
            # One native run would leave the baseline's error unknown.
            search["baseline_seeds"] = max(2, seeds)
        plan = cls(task, trainer, **{**search, **given})
        plan.check()
        return plan

    def check(self) -> None:
        """Check the ranges.

        Raises:
            RlidimError: a setting is out of its range; the line names both.
        """
        for option, count in {
            "--seeds": self.seeds,
            "--baseline-seeds": self.baseline_seeds,
            "--most-runs": self.most_runs,
            "--hint": self.hint,
        }.items():
            if count < 1:
                raise RlidimError(f"{option} must be at least 1, got {count}")
        if not 0.0 < self.fraction < 1.0:
            raise RlidimError(f"--fraction must be between 0 and 1, got {self.fraction}")
        if self.precision < 1.0:
            raise RlidimError(f"--precision is a ratio of at least 1, got {self.precision}")
        check_scope(self.task, self.scope, self.trainer)
        making.check(self.task)
        if self.dims is not None and (not self.dims or min(self.dims) < 1):
            raise RlidimError(f"--dims must be whole numbers of at least 1, got {self.dims}")

    @property
    def subject(self) -> Subject:
        """The subject: task, trainer, family of P, scope."""
        return Subject(self.task.name, self.trainer, self.projection, self.scope)

    def cell(self, d: int, seed: int) -> Cell:
        """Return a cell of this plan."""
        return Cell(self.task.name, self.trainer, self.projection, d, seed, self.scope)

    def baselines(self) -> list[Cell]:
        """Return the cells that every estimate needs: random actions, and native training."""
        native = (
            Cell.baseline(self.task.name, self.trainer, seed) for seed in range(self.baseline_seeds)
        )
        return [Cell.random(self.task.name), *native]


def check_scope(task: Task, scope: str, trainer: str) -> None:
    """Check that a trainer has the networks that the scope confines.

    Raises:
        RlidimError: the trainer has no critic to confine, or there is no such scope.
    """
    if scope not in ("policy", "all"):
        raise RlidimError(f"--scope must be policy or all, got '{scope}'")
    if scope == "all" and not settings_class(task, trainer).has_critic:
        raise RlidimError(f"--scope all confines a critic too, and {trainer} has none: use policy")
