"""Classifiers' training timed: epochs natively and in a subspace, in pairs."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import torch

from rlidim.devices import device
from rlidim.networks.classifiers import native_dimension
from rlidim.records.cell import Cell, Seeds
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
        Medians of the paired epochs' seconds and of their ratio, the ratio's quartiles, and images
        per second.
    """
    cells = (Cell.baseline(task.name, trainer, 0), Cell(task.name, trainer, projection, d, 0))
    native, inside = (Descent(task, cell, Seeds.of(cell)) for cell in cells)

    def time(descent: Descent) -> float:
        start = perf_counter()
        descent.epoch()
        if device().type == "cuda":
            torch.cuda.synchronize()
        return perf_counter() - start

    for descent in (native, inside):  # to warm up
        time(descent)
    pairs: list[tuple[float, float]] = []
    began = perf_counter()
    while len(pairs) < repeats or perf_counter() - began < seconds:
        order = (inside, native) if len(pairs) % 2 else (native, inside)
        taken = {descent: time(descent) for descent in order}
        pairs.append((taken[native], taken[inside]))
    before, after = (float(np.median(column)) for column in zip(*pairs, strict=True))
    low, ratio, high = np.percentile([inside / native for native, inside in pairs], (25, 50, 75))
    return {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": native_dimension(task),
        "d": d,
        "batch_size": native.settings.batch_size,
        "repeats": len(pairs),
        "native_seconds": before,
        "subspace_seconds": after,
        "ratio": float(ratio),
        "ratio_quartiles": [float(low), float(high)],
        "subspace_images_per_second": len(native.sets.training) / after,
    }
