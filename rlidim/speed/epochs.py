"""Timings of classifiers' epochs, natively and in a subspace, in pairs."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from rlidim.devices import device
from rlidim.networks.classifiers import native_dimension
from rlidim.records.cell import Cell, Seeds
from rlidim.speed.paired import Comparison, rounds, seconds_of
from rlidim.tasks.task import Task
from rlidim.trainers.classification import Descent


def throughput(
    task: Task, trainer: str, *, projection: str, d: int, repeats: int = 5, seconds: float = 30.0
) -> dict[str, Any]:
    """Time pairs of epochs, natively and in a subspace, evaluations left out.

    Args:
        task: a supervised task.
        trainer: one of its.
        projection: the family of P.
        d: the subspace dimension.
        repeats: pairs at least.
        seconds: more pairs are timed until so many have passed.

    Returns:
        Seconds of an epoch natively, the median; the median of the pairs' ratios, with its
        quartiles; and seconds and images per second in a subspace, which the two give.
    """
    cells = (Cell.baseline(task.name, trainer, 0), Cell(task.name, trainer, projection, d, 0))
    native, inside = (Descent(task, cell, Seeds.of(cell)) for cell in cells)

    def epoch(descent: Descent) -> None:
        descent.epoch()
        if device().type == "cuda":
            torch.cuda.synchronize()

    timings = [partial(seconds_of, partial(epoch, descent)) for descent in (native, inside)]
    for timing in timings:  # to warm up
        timing()
    native_seconds, seconds_inside = rounds(timings, fewest=repeats, seconds=seconds)
    comparison = Comparison.of(seconds_inside, native_seconds)
    return {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": native_dimension(task),
        "d": d,
        "batch_size": native.settings.batch_size,
        "repeats": comparison.pairs,
        "native_seconds": comparison.other_seconds,
        "subspace_seconds": comparison.agreeing_seconds,
        **comparison.figures("ratio"),
        "subspace_images_per_second": len(native.sets.training) / comparison.agreeing_seconds,
    }
