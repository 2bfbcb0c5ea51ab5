"""Synthetic tasks and records for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlidim.records import Cell, RunRecord, Seeds, configuration, hash_of
from rlidim.settings import EvolutionStrategySettings
from rlidim.task import Environment, Network, Task


def make_task(name: str = "synthetic", **changes: Any) -> Task:
    """Return a task that nothing runs."""
    values: dict[str, Any] = {
        "title": "Synthetic",
        "kind": "control",
        "file": Path("envs/synthetic.yml"),
        "network": Network(hidden=(8,)),
        "environment": Environment(id="CartPole-v1"),
        "trainers": {"es": EvolutionStrategySettings(n_timesteps=1000)},
        **changes,
    }
    return Task(name=name, **values)


def make_record(task: Task, cell: Cell, score: float | None, **changes: Any) -> RunRecord:
    """Return a finished record of a cell."""
    settings = configuration(task, cell)
    values: dict[str, Any] = {
        "status": "ok",
        "returns": () if score is None else (score,),
        "D": 562,
        "environment_steps": 1000,
        "curve": ((500, 1.0),),
        "stopped": "budget",
        "solution": None,
        "seeds": Seeds.of(cell),
        "settings": settings,
        "config_hash": hash_of(settings),
        "details": {},
        "error": None,
        "attempts": 1,
        "provenance": {"seconds": 1.0, "versions": {"rlidim": "0.1.0"}, "hardware": {}},
        **changes,
    }
    return RunRecord(cell=cell, score=score, **values)
