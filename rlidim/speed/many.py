"""Timings of many runs side by side against one of Stable-Baselines3, in rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any

from rlidim.networks.dimension import native_dimension
from rlidim.records.cell import Cell, Seeds
from rlidim.speed.paired import Comparison, rounds, seconds_of
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Task
from rlidim.trainers.many.batch import Batch
from rlidim.trainers.many.train import begun
from rlidim.trainers.run import Run
from rlidim.trainers.sb3.confine import confine
from rlidim.trainers.sb3.train import build, logger_of

RUNS = (1, 16, 64)  # side by side
STEPS = 30_000  # of all runs together in a timing, at least
FEWEST = 10_000  # of the lone run
ENDLESS = 10**9  # steps that no timing makes


def throughput(
    task: Task, trainer: str, *, projection: str, d: int, repeats: int = 5
) -> dict[str, Any]:
    """Time training side by side, and Stable-Baselines3's of one run; evaluations left out.

    Returns:
        Environment steps per second: of Stable-Baselines3's run, the median; for each number of
        runs side by side over all of them, with the ratio, its quartiles and its pairs.
    """
    endless = {"n_timesteps": ENDLESS, "eval_freq": ENDLESS}
    if hasattr(task.settings(trainer), "learning_starts"):  # training is timed, not the wait for it
        endless["learning_starts"] = 0
    task = task.replace_settings(trainer, endless)
    settings = task.settings(trainer)
    alone = settings.alone
    lone_settings = TRAINERS[alone](**dataclasses.asdict(settings))
    task = dataclasses.replace(task, trainers={**task.trainers, alone: lone_settings})

    batches = [begun(task, settings) for _ in RUNS]
    rollout = batches[0].steps

    def lone() -> float:
        seeds = Seeds.of(Cell(task.name, alone, projection, d, 0))
        model, _ = build(task, alone, seeds)
        confine(model, d=d, projection=projection, seed=seeds.projection)
        model.set_logger(logger_of(None))
        steps = rollout * ceil(FEWEST / rollout)
        return seconds_of(partial(model.learn, steps)) / steps

    def together(batch: Batch) -> float:
        times = ceil(STEPS / (rollout * len(batch.members)))
        steps = times * rollout * len(batch.members)

        def advance() -> None:
            for _ in range(times):
                batch.advance()

        return seconds_of(advance) / steps

    for batch, runs in zip(batches, RUNS, strict=True):
        for seed in range(runs):
            cell = Cell(task.name, trainer, projection, d, seed)
            batch.enter(Run(task, cell, Seeds.of(cell)))
        batch.advance()  # evaluates before the first rollout, and never again
    timings: list[Callable[[], float]] = [lone, *(partial(together, batch) for batch in batches)]
    seconds, *ours = rounds(timings, fewest=repeats, seconds=0.0)
    figures: dict[str, Any] = {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": native_dimension(task),
        "d": d,
        "repeats": repeats,
    }
    for batch, runs, own in zip(batches, RUNS, ours, strict=True):
        comparison = Comparison.of(seconds, own)  # of seconds a step: the rates' other way round
        each = 1.0 / comparison.seconds
        figures["steps_per_second_of_stable_baselines"] = each
        figures[f"steps_per_second_of_{runs}"] = each * comparison.ratio
        figures |= comparison.figures(f"ratio_of_{runs}")
        batch.close()
    return figures
