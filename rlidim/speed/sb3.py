"""Stable-Baselines3's training timed: runs natively and in a subspace, in pairs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from rlidim.networks import acting as acting_networks
from rlidim.records.cell import Cell, Seeds
from rlidim.speed.atari import rates
from rlidim.tasks.problems import Atari
from rlidim.tasks.task import Task
from rlidim.trainers.sb3.confine import confine
from rlidim.trainers.sb3.train import build, logger_of


def throughput(
    task: Task, trainer: str, *, projection: str, d: int, repeats: int = 5
) -> dict[str, Any]:
    """Time pairs of short runs, natively and in a subspace, evaluations left out.

    Returns:
        Medians of the paired runs' seconds, their ratio, and environment steps per second; of an
        Atari game also what :func:`rlidim.speed.atari.rates` says.
    """
    settings, environment = task.settings(trainer), task.control.environment
    steps = min(settings.n_timesteps, 10 * max(1_000, settings.n_steps))
    if hasattr(settings, "learning_starts"):  # what is timed is training, not waiting for it
        starts = min(settings.learning_starts, steps // 10)
        task = task.replace_settings(trainer, {"learning_starts": starts})
    seeds = Seeds.of(Cell(task.name, trainer, projection, d, 0))
    pairs = []

    def run(confined: bool) -> float:
        model, _ = build(task, trainer, seeds)
        if confined:
            confine(model, d=d, projection=projection, seed=seeds.projection)
        model.set_logger(logger_of(None))
        start = time.perf_counter()
        model.learn(steps)
        taken = time.perf_counter() - start
        assert model._n_updates > 0
        return taken

    for index in range(repeats):
        order = (True, False) if index % 2 else (False, True)
        times = {confined: run(confined) for confined in order}
        pairs.append((times[False], times[True]))
    native, inside = (float(np.median(column)) for column in zip(*pairs, strict=True))
    return {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": acting_networks.architecture(task).D,
        "d": d,
        "steps": steps,
        "repeats": repeats,
        "native_seconds": native,
        "subspace_seconds": inside,
        "ratio": float(np.median([after / before for before, after in pairs])),
        "subspace_steps_per_second": steps / inside,
        **(rates(environment, settings.n_envs) if isinstance(environment, Atari) else {}),
    }
