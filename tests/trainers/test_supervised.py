"""The paper's toy problem: ten constraints, so ten dimensions (Li et al. 2018, section 2)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rlidim.executors import ledger
from rlidim.executors.job import Job
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.tasks.names import find_task
from rlidim.trainers.run import Run
from rlidim.trainers.toy import UNTRAINED, loss_of, train, untrained_scores
from tests.marks import slow_but


def run(d: int | None, projection: str = "rademacher", seed: int = 0) -> Outcome:
    cell = Cell("toy", "supervised", "native" if d is None else projection, d, seed)
    return train(Run(find_task("toy"), cell, Seeds.of(cell)))


def test_the_loss_is_the_papers() -> None:
    solution = torch.arange(1, 11).repeat_interleave(100) / 100.0
    assert float(loss_of(solution)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss_of(torch.zeros(1000))) == pytest.approx(385.0)  # 1 + 4 + ... + 100


@pytest.mark.parametrize(
    "projection", slow_but(["rademacher"], ["rademacher", "gaussian", "stacked_fastfood"])
)
def test_the_step_lies_between_nine_and_ten(projection: str) -> None:
    assert np.mean(run(9, projection).returns) < 0.5
    assert np.mean(run(10, projection).returns) > 0.9


def test_native_training_solves_it() -> None:
    outcome = run(None)
    assert outcome.returns[0] > 0.99
    assert outcome.theta is not None


# The loss overflows; the parameters do.
@pytest.mark.parametrize(("rate", "d"), [(1e25, None), (1e25, 5), (1e37, None)])
def test_an_overflow_is_no_score(rate: float, d: int | None, tmp_path: Path) -> None:
    task = find_task("toy").replace_settings("supervised", {"learning_rate": rate})
    cell = Cell("toy", "supervised", "native" if d is None else "rademacher", d, 0)
    record = ledger.run(Job(task, cell, tmp_path))
    assert record is not None
    assert (record.status, record.score) == ("diverged", None), record.error


def test_untrained_is_worth_nothing() -> None:
    scores = untrained_scores(0)
    assert len(scores) == UNTRAINED
    assert max(scores) < 1e-6
    assert all(math.isfinite(score) for score in scores)
