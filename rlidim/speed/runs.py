"""The speed of trainers on this machine: the paired timings behind ``rlidim speed``."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.executors.making import one_thread
from rlidim.records.files import write_atomically
from rlidim.records.provenance import hardware, versions
from rlidim.speed.paired import NOTE
from rlidim.tasks.task import Task
from rlidim.trainers.run import check_processes, settings_class

QUARTILES = "_quartiles"  # the end of their key, after the ratio's
# The module that times the trainers of a module.
TIMED = {
    "rlidim.trainers.evolution.train": "rlidim.speed.evolution",
    "rlidim.trainers.sb3.train": "rlidim.speed.sb3",
    "rlidim.trainers.many.train": "rlidim.speed.many",
    "rlidim.trainers.classification": "rlidim.speed.epochs",
}


def measure(
    task: Task, trainer: str, *, projection: str, d: int, processes: int = 1
) -> dict[str, Any]:
    """Time a trainer, in one process, against the bare environment or native training.

    Args:
        task: to be trained on.
        trainer: one of its.
        projection: the family of P.
        d: the subspace dimension.
        processes: more than one: time evolution's generations split over so many, too.

    Returns:
        The trainer's own figures (evolution: environment steps/s end to end, raw environment
        steps/s, their fraction; Stable-Baselines3: seconds in a subspace and natively, their
        ratio; many runs side by side: steps/s over all of them, their ratio to one of
        Stable-Baselines3's; classifiers: likewise of an epoch), with versions and hardware.

    Raises:
        RlidimError: the task lacks the trainer, the trainer has nothing to time, or its runs
            cannot be split so.
    """
    if processes != 1:
        check_processes(task, trainer, processes)
    home = settings_class(task, trainer).home()
    if home not in TIMED:
        raise RlidimError(f"trainer '{trainer}' has no timing; es, cmaes, ppo, dqn and others have")
    module: Any = importlib.import_module(TIMED[home])
    with one_thread():
        figures = module.throughput(task, trainer, projection=projection, d=d)
        if processes > 1:
            figures |= module.scaling(
                task, trainer, projection=projection, d=d, processes=processes
            )
    return {**figures, "versions": versions(), "hardware": hardware()}


def write(figures: dict[str, Any], out: Path) -> Path:
    """Write a trainer's figures to ``<task>-<trainer>.json`` in a folder and return the path.

    Raises:
        RlidimError: it cannot be written.
    """
    path = out / f"{figures['task']}-{figures['trainer']}.json"
    write_atomically(path, json.dumps(figures, indent=2) + "\n", "--out")
    return path


def table(figures: dict[str, Any]) -> str:
    """Return the figures a line each, a ratio with its quartiles and pairs; then what it is."""
    ratios = {key.removesuffix(QUARTILES) for key in figures if key.endswith(QUARTILES)}
    beside = {name + end for name in ratios for end in (QUARTILES, "_pairs")}
    said = {
        key.replace("_", " "): _ratio(figures, key) if key in ratios else _number(value)
        for key, value in figures.items()
        if not isinstance(value, dict) and key not in beside
    }
    said["processor"] = figures["hardware"]["processor"]
    width = max(map(len, said))
    lines = [f"{name:{width}} {shown}" for name, shown in said.items()]
    return "\n".join([*lines, *([NOTE] if ratios else [])])


def _ratio(figures: dict[str, Any], name: str) -> str:
    """Return ``1.057 (q1 1.031, q3 1.085, 5 pairs)``."""
    low, high = figures[name + QUARTILES]
    pairs = figures[f"{name}_pairs"]
    return f"{_number(figures[name])} (q1 {_number(low)}, q3 {_number(high)}, {pairs} pairs)"


def _number(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
