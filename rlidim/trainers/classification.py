"""Image classification by minibatch descent, natively or in a subspace (Li et al. 2018).

Section 3.1, the paper's yardstick. The whole data set lies on the device as bytes; a batch is a
slice of an epoch's permuted copy. The score is an accuracy after the last epoch: nothing is
selected by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlidim.devices import Repeated, device
from rlidim.networks import classifiers
from rlidim.projections import projection
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.subspace import SubspaceOptimizer
from rlidim.tasks.problems import Supervised
from rlidim.tasks.settings import AdamSettings, SGDSettings
from rlidim.tasks.task import Task
from rlidim.trainers.images import Samples, Sets, sets
from rlidim.trainers.run import Run
from rlidim.trainers.schedules import schedule

EVALUATED = 1_000  # images at once


@torch.no_grad()
def accuracy(network: nn.Module, samples: Samples, data_set: Sets) -> float:
    """Return the share of the samples that the network classifies correctly."""
    right = 0
    for start in range(0, len(samples), EVALUATED):
        logits = network(data_set.inputs(samples.images[start : start + EVALUATED]))
        right += int((logits.argmax(1) == samples.labels[start : start + EVALUATED]).sum())
    return right / len(samples)


def score(task: Task, theta: NDArray[np.float32]) -> float:
    """Return the score of a network with the parameters theta (D,)."""
    data = task.supervised.data
    network = classifiers.network_of(task).to(device())
    nn.utils.vector_to_parameters(torch.from_numpy(theta).to(device()), network.parameters())
    data_set = sets(data, device())
    return accuracy(network, getattr(data_set, data.measured_on), data_set)


class Descent:
    """The training of a classifier, an epoch at a time.

    Attributes:
        network: whose parameters move.
        optimizer: native, or a subspace's.
        steps: gradient steps so far.
    """

    def __init__(self, task: Task, cell: Cell, seeds: Seeds) -> None:
        """Begin at the seed's theta_0.

        Raises:
            RlidimError: data that cannot be had, an unknown projection, or d not in 1 .. D.
        """
        self.settings: AdamSettings | SGDSettings = task.settings(cell.trainer)
        self.sets = sets(task.supervised.data, device())
        self.network = classifiers.network_of(task)
        start = torch.from_numpy(classifiers.initial_parameters(self.network, seeds.theta_0))
        nn.utils.vector_to_parameters(start, self.network.parameters())
        self.network.to(device())
        self.optimizer = _optimizer(self.network, self.settings, cell, seeds)
        self.steps = 0
        self._rate = schedule(self.settings.learning_rate)
        self._generator = torch.Generator().manual_seed(seeds.training)
        on_gpu = device().type == "cuda"
        self._descend: Callable[[Tensor, Tensor], Tensor] = (
            Repeated(self._descended) if on_gpu else self._descended
        )
        steps_an_epoch = math.ceil(len(self.sets.training) / self.settings.batch_size)
        self._total = steps_an_epoch * self.settings.n_epochs

    def epoch(self) -> bool:
        """Go once through the training images and say whether the last loss is finite."""
        training, size = self.sets.training, self.settings.batch_size
        order = torch.randperm(len(training), generator=self._generator).to(training.labels.device)
        images, labels = training.images[order], training.labels[order]
        for first in range(0, len(training), size):
            batch = slice(first, first + size)
            loss = self._step(images[batch], labels[batch])
        return bool(torch.isfinite(loss))

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        if callable(self._rate):
            _set_rate(self.optimizer, self._rate(1 - self.steps / self._total))
        self.steps += 1
        if len(images) < self.settings.batch_size:  # an epoch's last, of another shape
            return self._descended(images, labels)
        return self._descend(images, labels)

    def _descended(self, images: Tensor, labels: Tensor) -> Tensor:
        """Make one step and return the loss before it, all on the device."""
        loss = nn.functional.cross_entropy(self.network(self.sets.inputs(images)), labels)
        if self.settings.l2:
            loss = loss + self.settings.l2 * _squares(self.network)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


def train(run: Run) -> Outcome:
    """Train a classifier; the steps counted are gradient steps.

    Raises:
        RlidimError: see :class:`Descent`.
    """
    descent = Descent(run.task, run.cell, run.seeds)
    scored = getattr(descent.sets, run.task.supervised.data.measured_on)
    curve: list[tuple[int, float]] = []
    for _ in range(descent.settings.n_epochs):
        if not descent.epoch():
            break
        curve.append((descent.steps, accuracy(descent.network, scored, descent.sets)))
        run.report(*curve[-1])
    return _outcome(run.task.supervised, descent, curve)


def _optimizer(
    network: nn.Module, settings: AdamSettings | SGDSettings, cell: Cell, seeds: Seeds
) -> torch.optim.Optimizer:
    """Return the native optimizer, or the same one in the cell's subspace."""
    kind: type[torch.optim.Optimizer]
    arguments: dict[str, Any]
    if isinstance(settings, AdamSettings):
        kind, arguments = torch.optim.Adam, {"betas": (0.9, settings.beta2), "fused": True}
    else:
        kind, arguments = torch.optim.SGD, {"momentum": settings.momentum, "fused": True}
    learning_rate = schedule(settings.learning_rate)
    rate: Any = learning_rate(1.0) if callable(learning_rate) else learning_rate
    parameters = list(network.parameters())
    if parameters[0].device.type == "cuda":  # where steps are repeated, their rate is a tensor
        rate = torch.tensor(rate, device=parameters[0].device)
        if kind is torch.optim.Adam:
            arguments["capturable"] = True
    if cell.d is None:
        return kind(parameters, lr=rate, **arguments)
    P = projection(
        cell.projection,
        classifiers.count(network),
        cell.d,
        seeds.projection,
        device=parameters[0].device,
    )
    return SubspaceOptimizer(
        parameters,
        projection=P,
        lr=rate,
        inner=kind,
        inner_kwargs=arguments,
        scale_lr=settings.transfer_learning_rate,
    )


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _squares(network: nn.Module) -> Tensor:
    return torch.stack([kernel.square().sum() for kernel in classifiers.kernels(network)]).sum()


def _outcome(problem: Supervised, descent: Descent, curve: list[tuple[int, float]]) -> Outcome:
    network, optimizer = descent.network, descent.optimizer
    theta = nn.utils.parameters_to_vector(network.parameters()).detach().cpu().numpy()
    complete = len(curve) == descent.settings.n_epochs
    finite = complete and bool(np.isfinite(theta).all())
    confined = optimizer if isinstance(optimizer, SubspaceOptimizer) else None
    unscored = "training" if problem.data.measured_on == "test" else "test"
    return Outcome(
        status="ok" if finite else "diverged",
        returns=(curve[-1][1],) if finite else (),
        D=theta.size,
        environment_steps=descent.steps,
        curve=tuple(curve),
        stopped="budget",
        theta_d=None if confined is None else confined.theta_d.detach().cpu().numpy().copy(),
        theta=theta if confined is None else None,
        spec=None if confined is None else confined.subspace.projection.spec.to_json(),
        network={
            "architecture": problem.classifier.architecture,
            "hidden": list(problem.classifier.hidden),
            "linear_convolutions": problem.classifier.linear_convolutions,
        },
        details={
            f"{unscored}_accuracy": (
                accuracy(network, getattr(descent.sets, unscored), descent.sets) if finite else None
            ),
            "device": str(device()),
        },
    )
