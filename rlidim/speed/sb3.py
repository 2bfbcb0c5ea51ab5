"""Timings of Stable-Baselines3's training runs, natively and in a subspace, in pairs."""

from __future__ import annotations

from functools import partial
from typing import Any

from rlidim.records.cell import Cell, Seeds
from rlidim.speed import adapter, atari
from rlidim.speed.paired import Comparison, rounds, seconds_of
from rlidim.tasks.problems import Atari
from rlidim.tasks.task import Task
from rlidim.trainers.sb3.confine import confine
from rlidim.trainers.sb3.train import build, logger_of


def throughput(
    task: Task, trainer: str, *, projection: str, d: int, repeats: int = 5
) -> dict[str, Any]:
    """Time pairs of short runs, natively and in a subspace, evaluations left out.

    Returns:
        Seconds natively, the median; the median of the pairs' ratios, with its quartiles; and
        seconds and environment steps per second in a subspace, which the two give. Of an Atari game
        also what :func:`rlidim.speed.atari.rates` says, of any other environment with a vector form
        what :func:`rlidim.speed.adapter.rates` does.
    """
    settings = task.settings(trainer)
    steps = min(settings.n_timesteps, 10 * max(1_000, settings.n_steps))
    if hasattr(settings, "gae_lambda"):  # what learns from whole rollouts makes no part of one
        rollout = settings.n_steps * settings.n_envs
        steps = rollout * max(1, round(steps / rollout))
    if hasattr(settings, "learning_starts"):  # training is timed, not the wait for it
        starts = min(settings.learning_starts, steps // 10)
        task = task.replace_settings(trainer, {"learning_starts": starts})
    seeds = Seeds.of(Cell(task.name, trainer, projection, d, 0))
    sizes = set()

    def run(confined: bool) -> float:
        model, architecture = build(task, trainer, seeds)
        sizes.add(architecture.D)
        if confined:
            confine(model, d=d, projection=projection, seed=seeds.projection)
        model.set_logger(logger_of(None))
        seconds = seconds_of(partial(model.learn, steps))
        assert model._n_updates > 0
        return seconds

    native, inside = rounds([partial(run, False), partial(run, True)], fewest=repeats, seconds=0.0)
    comparison = Comparison.of(inside, native)
    (D,) = sizes  # the same each time
    return {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": D,
        "d": d,
        "steps": steps,
        "repeats": comparison.pairs,
        "native_seconds": comparison.other_seconds,
        "subspace_seconds": comparison.agreeing_seconds,
        **comparison.figures("ratio"),
        "subspace_steps_per_second": steps / comparison.agreeing_seconds,
        **_environments(task, settings.n_envs),
    }


def _environments(task: Task, width: int) -> dict[str, Any]:
    environment = task.control.environment
    if isinstance(environment, Atari):
        return atari.rates(environment, width)
    return adapter.rates(task, width)
