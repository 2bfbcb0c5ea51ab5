"""Gradient descent on a known loss: the paper's toy problem (Li et al. 2018, section 2).

D = 1000 parameters in ten groups of 100; group i must sum to i. The solutions form a plane of
dimension 990, so the intrinsic dimension is 10. The score is exp(-loss).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlidim.projections import projection
from rlidim.records.record import Outcome
from rlidim.subspace import SubspaceOptimizer
from rlidim.tasks.problems import Analytic
from rlidim.trainers.run import Run

GROUPS, GROUP_SIZE, D = Analytic.GROUPS, Analytic.GROUP_SIZE, Analytic.D
DEVIATION = 0.1  # of theta_0's normal entries: a group's sum then has deviation 1
REPORTS = 20  # a run
UNTRAINED = 100  # draws of theta_0 behind the score of no training


def initial_parameters(seed: int) -> NDArray[np.float32]:
    """Return theta_0, float32 (D,)."""
    return (DEVIATION * np.random.default_rng(seed).standard_normal(D)).astype(np.float32)


def loss_of(theta: Tensor) -> Tensor:
    """Return the squared error of the groups' sums, a scalar."""
    targets = torch.arange(1, GROUPS + 1, dtype=theta.dtype)
    return (theta.view(GROUPS, GROUP_SIZE).sum(1) - targets).square().sum()


def untrained_scores(seed: int) -> list[float]:
    """Return the scores of fresh draws of theta_0: the zero of the normalised score."""
    draws = np.random.SeedSequence(seed).generate_state(UNTRAINED)
    return [
        math.exp(-float(loss_of(torch.from_numpy(initial_parameters(int(draw)))))) for draw in draws
    ]


def train(run: Run) -> Outcome:
    """Minimise the loss natively or in a subspace; the steps counted are gradient steps.

    Raises:
        RlidimError: an unknown projection, or d not in 1 .. D.
    """
    cell, seeds, settings = run.cell, run.seeds, run.settings
    theta = nn.Parameter(torch.from_numpy(initial_parameters(seeds.theta_0)))
    optimizer: torch.optim.Optimizer
    if cell.d is None:
        optimizer = torch.optim.Adam([theta], lr=settings.learning_rate)
    else:
        P = projection(cell.projection, D, cell.d, seeds.projection)
        optimizer = SubspaceOptimizer([theta], projection=P, lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(
        optimizer, 1.0, 0.0, total_iters=settings.n_iterations
    )
    curve = []
    every = max(1, settings.n_iterations // REPORTS)
    for iteration in range(1, settings.n_iterations + 1):
        optimizer.zero_grad()
        loss = loss_of(theta)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if iteration % every == 0:
            if not torch.isfinite(theta).all():
                break  # it stays so
            curve.append((iteration, math.exp(-float(loss.detach()))))
            run.report(*curve[-1])
    error = float(loss_of(theta.detach()))
    finite = math.isfinite(error)  # which no loss of infinite parameters is
    confined = optimizer if isinstance(optimizer, SubspaceOptimizer) else None
    about: dict[str, Any] = {"sums": GROUPS, "group_size": GROUP_SIZE}
    return Outcome(
        status="ok" if finite else "diverged",
        returns=(math.exp(-error),) if finite else (),
        D=D,
        environment_steps=iteration,
        curve=tuple(curve),
        stopped="budget",
        theta_d=None if confined is None else confined.theta_d.detach().numpy().copy(),
        theta=theta.detach().numpy().copy() if confined is None else None,
        spec=None if confined is None else confined.subspace.projection.spec.to_json(),
        network=about,
    )
