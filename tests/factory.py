"""Synthetic tasks and records for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rlidim.data.datasets import DataSet
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.records.cell import Cell, Seeds
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.tasks.problems import Control, Environment, Network
from rlidim.tasks.settings import EvolutionStrategySettings
from rlidim.tasks.task import Task

SECTIONS = ("environment", "network", "evaluation")  # of a control task


def make_task(name: str = "synthetic", **changes: Any) -> Task:
    """Return a control task that nothing runs; ``changes`` are sections, or fields of the task."""
    sections: dict[str, Any] = {
        "environment": Environment(id="CartPole-v1"),
        "network": Network(hidden=(8,)),
    }
    sections |= {name: changes.pop(name) for name in SECTIONS if name in changes}
    values: dict[str, Any] = {
        "title": "Synthetic",
        "file": Path("envs/synthetic.yml"),
        "problem": Control(**sections),
        "trainers": {"es": EvolutionStrategySettings(n_timesteps=1000)},
        **changes,
    }
    return Task(name=name, **values)


def made(task: Task, cell: Cell, folder: Path) -> tuple[RunRecord, Path]:
    """Make a run that has to succeed; return its record, and where that lies."""
    record = run(Job(task, cell, folder))
    assert record is not None
    assert record.status == "ok", record.error
    return record, Results(folder).path(cell)


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


def bars(shape: tuple[int, int, int], train: int = 600, test: int = 200) -> DataSet:
    """Return what a linear model learns: class c has a bright bar at row 2 c, in noise."""
    generator = np.random.default_rng(0)

    def images(labels: np.ndarray) -> np.ndarray:
        pixels = generator.integers(0, 100, (len(labels), *shape), dtype=np.uint8)
        pixels[np.arange(len(labels)), :, 2 * labels] += 100
        return pixels

    train_labels, test_labels = (
        generator.integers(0, 10, size, dtype=np.uint8) for size in (train, test)
    )
    return DataSet("bars", images(train_labels), train_labels, images(test_labels), test_labels)
