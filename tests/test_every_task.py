"""Every YAML file works: each trainer makes a tiny run, whose record rebuilds its policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rlidim import bench, data, playback, trainers
from rlidim import task as tasks
from rlidim.errors import RlidimError
from rlidim.executors import Job, run
from rlidim.records import Cell, Results, Seeds
from rlidim.sweep import Plan
from rlidim.trainers import classification, evaluation
from tests.factory import bars

NAMES = sorted(tasks.files(None))
TINY = {"n_timesteps": 200, "n_envs": 2, "n_steps": 16, "batch_size": 32, "learning_starts": 50}
PAIRS = [(name, trainer) for name in NAMES for trainer in tasks.find(name).trainers]


@pytest.mark.parametrize(("name", "trainer"), PAIRS, ids=" ".join)
def test_a_tiny_run(
    name: str, trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tasks.find(name)
    tiny = {key: value for key, value in TINY.items() if hasattr(task.settings(trainer), key)}
    if trainer == "supervised":
        tiny = {"n_iterations": 20}
    if trainer in ("es", "cmaes"):
        tiny["population"] = 4
    if task.kind == "supervised":
        tiny |= {"n_epochs": 1, "batch_size": 16}
        monkeypatch.setattr(data, "load", lambda name: bars(data.SHAPES[name], 32, 8))
        classification.sets.cache_clear()
    task = task.replace_settings(trainer, tiny)
    cell = Cell(name, trainer, "rademacher", 3, 0)
    record = run(Job(task, cell, tmp_path))
    assert record is not None
    assert record.status == "ok", record.error
    assert trainers.native_dimension(task) == record.D
    assert Results(tmp_path).load(cell) == record
    if task.kind != "control":
        return
    policy = playback.policy_of(record, Results(tmp_path).path(cell), tmp_path)
    seeds = Seeds.of(cell)
    played = evaluation.evaluate(task, policy, len(record.returns), seeds.evaluation)
    np.testing.assert_allclose(played.returns, record.returns, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("tier", ["smoke", "quick", "full"])
def test_every_tier_has_plans(tier: str) -> None:
    plans = bench.plans({name: tasks.find(name) for name in NAMES}, tier)
    assert plans
    known = [plan.task.known is not None for plan in plans]
    assert known == sorted(known, reverse=True)  # the calibration tasks come first


def test_the_quick_tier_measures_what_the_suite_promises() -> None:
    plans = bench.plans({name: tasks.find(name) for name in NAMES}, "quick")
    measured = {(plan.task.name, plan.trainer) for plan in plans}
    promised = {("cartpole", trainer) for trainer in ("es", "cmaes", "ppo", "dqn")}
    promised |= {("inverted-pendulum", "es"), ("acrobot", "es"), ("acrobot", "ppo")}
    promised |= {("toy", "supervised")}
    for codimension in (1, 3, 10):
        promised |= {(f"codimension-{codimension}", name) for name in ("es", "cmaes", "ppo")}
    assert promised <= measured
    for plan in plans:
        assert plan.most_seeds >= 5
        assert plan.baseline_seeds >= 3


def test_a_tier_without_tasks_is_named() -> None:
    with pytest.raises(RlidimError, match="tier 'huge'"):
        bench.plans({name: tasks.find(name) for name in NAMES}, "huge")


def test_searches_may_differ_by_trainer() -> None:
    task = tasks.find("cartpole")
    assert Plan.of(task, "dqn").hint != Plan.of(task, "es").hint
