"""Calibration: tasks of known dimension, searches with one choice changed, d = D.

Li et al. 2018, section 2 (the toy problem).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.executors.job import Executor, Job
from rlidim.executors.ledger import check_settings, finished, standing
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement
from rlidim.report import bases
from rlidim.report.columns import text_table
from rlidim.report.text import verdict
from rlidim.statistics.wording import describe
from rlidim.sweep.plan import Plan
from rlidim.tasks.choices import BY_WIDTH, CHOICES, SUBJECTS, Choice
from rlidim.tasks.task import Task

Tell = Callable[[str], None]
OTHERWISE = 3.0  # the precision of rows with one choice made otherwise: there are many


@dataclass(frozen=True)
class Reading:
    """A measurement of one known dimension.

    ``holds`` says whether the interval holds the dimension, None where an open end would decide.
    """

    task: str
    trainer: str
    known: int
    d_int: int | None
    interval: tuple[int | None, int | None]
    holds: bool | None
    estimate: str

    @classmethod
    def of(cls, task: Task, measurement: Measurement) -> Reading:
        """Return the reading of a measurement, whose task's dimension is known."""
        assert task.known is not None
        estimate = measurement.estimate
        assert estimate is not None
        return cls(
            task.name,
            measurement.trainer,
            task.known,
            estimate.d_int,
            estimate.interval,
            estimate.holds(task.known),
            describe(estimate),
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "interval": list(self.interval)}


def plans(tasks: Mapping[str, Task]) -> list[Plan]:
    """Return a plan for every trainer of every task of known dimension."""
    return [
        Plan.of(task, trainer)
        for task in tasks.values()
        if task.known is not None
        for trainer in task.bench
    ]


def otherwise(tasks: Mapping[str, Task], refuse: Tell) -> list[tuple[Choice, Plan]]:
    """Return a plan for each choice of each subject, the subjects in turn.

    Args:
        tasks: by name.
        refuse: called with a line for each row that cannot be measured here, such as for want of
            an environment's package.

    Raises:
        RlidimError: a subject's task has no settings for its trainer.
    """
    chosen = []
    for choice in CHOICES:
        for name, trainer in (*SUBJECTS, *(BY_WIDTH if choice.width is not None else ())):
            task = choice.made(tasks[name], trainer) if name in tasks else None
            if task is None:
                continue
            try:
                plan = Plan.of(task, trainer, projection=choice.projection, precision=OTHERWISE)
            except RlidimError as error:
                refuse(f"{name} {trainer}, {choice.words}: {error}")
                continue
            chosen.append((choice, plan))
    # The dearest last: a sitting that is cut short has all widths of some, not one of each.
    rank = {row: place for place, row in enumerate(BY_WIDTH, 1)}
    chosen.sort(key=lambda pair: rank.get((pair[1].task.name, pair[1].trainer), 0))
    return chosen


def try_bases(
    measurements: Sequence[Measurement],
    results: Results,
    *,
    executor: Executor,
    log_dir: Path,
    tell: Tell,
    refuse: Tell,
) -> None:
    """Make every measurement's runs at d = D that are not on record, the smallest D first.

    Args:
        measurements: see :mod:`rlidim.report.bases`.
        results: the folder of these runs alone.
        executor: makes them.
        log_dir: the folder for training logs.
        tell: called with a line at each measurement and run.
        refuse: called with a line for each row whose runs cannot be made here; the others go on.
    """
    rows = [row for row in measurements if row.task is not None and bases.cells(row)]
    rows.sort(key=lambda row: row.D or 0)
    for number, row in enumerate(rows, 1):
        assert row.task is not None
        tell(f"[{number}/{len(rows)}] {row.task_name} {row.trainer}, d = D = {row.D:,}")
        jobs = [
            Job(row.task, cell, results.folder, log_dir)
            for cells in bases.cells(row).values()
            for cell in cells
        ]
        try:
            # The table counts what was made with the row's own settings alone.
            check_settings(Job(row.task, row.runs[0].cell, row.results_folder), row.runs[0])
            missing = [job for job in jobs if (made := standing(job)) is None or not finished(made)]
            for record in executor.run(missing):
                tell(f"{record.cell}: {record.status if record.score is None else record.score}")
        except RlidimError as error:
            executor.close()  # ends the row's other runs
            refuse(f"{row.task_name} {row.trainer}: {error}")


def table(readings: Sequence[Reading]) -> str:
    """Return the readings as text."""
    rows = [
        {
            "task": reading.task,
            "trainer": reading.trainer,
            "known": reading.known,
            "read": reading.estimate,
            "holds": verdict(reading.holds),
        }
        for reading in readings
    ]
    return text_table(rows)
