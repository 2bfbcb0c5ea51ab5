"""Synthetic measurements: records of a task whose scores follow a chosen curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlidim.records.cell import Cell
from rlidim.records.record import RunRecord
from rlidim.tasks.names import find_task
from rlidim.tasks.task import Baseline, Published, Task
from tests.factory import make_record, make_task

RANDOM_SCORE, NATIVE_SCORE = 20.0, 500.0
LI = Published(
    d_int=25,
    D=562,
    trainer="dqn",
    rule="paper",
    baseline=Baseline("local"),
    source="Li et al. 2018, table 1",
    network="4-20-20-2",
    note="CartPole-v0; columns of P not normalised",
)


def published(d_int: int = 25, **changes: Any) -> Published:
    """Return a published number."""
    return Published(**{**vars(LI), "d_int": d_int, **changes})


def runs(
    task: Task,
    scores: Mapping[int, Sequence[float | None]],
    *,
    trainer: str = "es",
    projection: str = "rademacher",
    scope: str = "policy",
    **changes: Any,
) -> list[RunRecord]:
    """Return one record for each score; None stands for a run that diverged."""
    return [
        make_record(
            task,
            Cell(task.name, trainer, projection, d, seed, scope),
            score,
            **({"status": "diverged"} if score is None else {}),
            **changes,
        )
        for d, values in scores.items()
        for seed, score in enumerate(values)
    ]


def baseline(
    task: Task,
    scores: Sequence[float | None] = (NATIVE_SCORE,) * 5,
    trainer: str = "es",
    **changes: Any,
) -> list[RunRecord]:
    """Return native records; None stands for a run that diverged."""
    return [
        make_record(
            task,
            Cell.baseline(task.name, trainer, seed),
            score,
            **({"status": "diverged"} if score is None else {}),
            **changes,
        )
        for seed, score in enumerate(scores)
    ]


def random(task: Task, score: float = RANDOM_SCORE) -> RunRecord:
    """Return the record of random actions."""
    return make_record(task, Cell.random(task.name), score, D=0)


def curve(
    generator: np.random.Generator, dims: Sequence[int], half: float, seeds: int = 5
) -> dict[int, list[float | None]]:
    """Return scores as RL gives them: solved ever more often from about d = half on, or not."""
    scores: dict[int, list[float | None]] = {}
    for d in dims:
        share = 1 / (1 + math.exp(-3.5 * math.log(d / half)))
        solved = generator.uniform(size=seeds) < share
        unsolved = generator.uniform(10, 20 + 300 * share, seeds)
        scores[d] = [float(s) for s in np.where(solved, NATIVE_SCORE, unsolved)]
    return scores


def measured(
    task: Task, scores: Mapping[int, Sequence[float | None]], **options: Any
) -> list[RunRecord]:
    """Return everything that an estimate needs."""
    return [*runs(task, scores, **options), *baseline(task), random(task)]


def classifier(
    name: str, at: int, D: int = 199_210, shares: Sequence[float] = (0.5, 0.75, 0.9, 1.0, 1.1, 1.5)
) -> list[RunRecord]:
    """Return records of a task whose error falls as 1 / d, 90 % at d = at; seeds hardly differ.

    Args:
        name: of the task or the variant.
        at: its d_int90.
        D: its parameters.
        shares: the tested d over ``at``.
    """
    task = find_task(name)
    found = [*baseline(task, (0.98,) * 4, "adam", D=D), random(task, 0.1)]
    for d in (round(share * at) for share in shares):
        for seed in range(6):
            score = 0.1 + 0.88 * (1 - 0.1 * at / d) + 0.002 * (seed - 2.5)
            cell = Cell(name, "adam", "stacked_fastfood", d, seed)
            found.append(make_record(task, cell, score, D=D))
    return found


__all__ = [
    "baseline",
    "classifier",
    "curve",
    "make_task",
    "measured",
    "published",
    "random",
    "runs",
]
