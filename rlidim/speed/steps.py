"""The cost of a subspace for a training step: every family against native, on four networks.

Native is fused Adam over all D parameters; in a subspace the same Adam moves theta_d. Both train
copies of one network on one batch of random input, in turn.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rlidim.devices import CALLS_BEFORE, Repeated
from rlidim.errors import RlidimError, nearest
from rlidim.networks import classifiers
from rlidim.networks.atari import PixelArchitecture
from rlidim.projections import projection
from rlidim.projections.backends import AUTO, FAMILIES, implementation
from rlidim.projections.choice import choose
from rlidim.speed.bars import STEPS, readings
from rlidim.speed.cases import (
    CALLS_A_ROW,
    DEFAULT_LIMITS,
    PREPARATION,
    SPENT,
    Case,
    Limits,
    Listener,
    foretell,
    reason_of,
    synchronize,
    too_long,
)
from rlidim.speed.paired import Comparison, Timed, compare, threads_restored
from rlidim.speed.rows import Row, RowFile, provenance
from rlidim.speed.text import step_table
from rlidim.subspace import SubspaceOptimizer
from rlidim.tasks.problems import Classifier, PixelNetwork

NAMES = ("network", "family", "batch", "backend")  # the fields that name a row
LEARNING_RATE = 1e-6  # so small that no gradient vanishes however many steps are timed
SECONDS_A_COMPARISON = {"cpu": 5.0, "cuda": 0.4}
ROUNDS = 51  # of a step's parts
FRAMES, ACTIONS = (4, 84, 84), 6  # Pong's: four stacked screens, and the actions
FILE = "steps-{}.json"  # of a device, as products have theirs


@dataclass(frozen=True)
class Setting:
    """A network to train.

    Attributes:
        name: as it is shown.
        D: its parameters.
        d: the subspace dimension.
        batch: inputs a step.
        shape: of one input.
        classes: outputs.
        build: makes the network.
    """

    name: str
    D: int
    d: int
    batch: int
    shape: tuple[int, ...]
    classes: int
    build: Callable[[], nn.Module]


def classifier(kind: Classifier) -> nn.Module:
    """Return one of the paper's networks on 28 x 28 pixels."""
    return classifiers.build(kind, (1, 28, 28), 10)


def pong() -> nn.Module:
    """The network that is trained on Pong, with the D of Li et al. 2018, section 3.3.

    Its normalising layers keep the statistics that they begin with: a step is the same with others.
    """
    network = PixelNetwork(architecture="paper", batch_norm=True)
    return PixelArchitecture.of(network, FRAMES, ACTIONS).module()


def nature_cnn() -> nn.Module:
    """DQN's network on Atari with 6 actions (Mnih et al. 2015), as Stable-Baselines3 has it."""
    return nn.Sequential(
        *(nn.Conv2d(4, 32, 8, stride=4), nn.ReLU()),
        *(nn.Conv2d(32, 64, 4, stride=2), nn.ReLU()),
        *(nn.Conv2d(64, 64, 3, stride=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6)),
    )


LENET, FC = Classifier("lenet"), Classifier("fc", (200, 200))  # Li et al. 2018, section 3.1
SETTINGS = (
    Setting("LeNet", 44_426, 290, 128, (1, 28, 28), 10, partial(classifier, LENET)),
    Setting("MNIST-FC", 199_210, 750, 128, (1, 28, 28), 10, partial(classifier, FC)),
    Setting("Pong", 1_005_974, 6_000, 32, FRAMES, ACTIONS, pong),
    Setting("NatureCNN", 1_687_206, 6_000, 32, FRAMES, ACTIONS, nature_cnn),
)


def run(
    networks: Sequence[str] = (),
    families: Sequence[str] = (),
    out: Path | None = None,
    *,
    device: torch.device | str = "cpu",
    again: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    listener: Listener = lambda line: None,
) -> dict[str, Any]:
    """Time training steps natively and in a subspace of every family, the shortest first.

    Args:
        networks: these alone.
        families: these alone.
        out: the folder of ``steps-cpu.json`` or ``steps-cuda.json``, written after each row; a row
            on file for this hardware, these versions and sources is not timed again. None writes
            nothing.
        device: where to train.
        again: time everything again.
        limits: what it may take.
        listener: is told of each row.

    Returns:
        device, versions, hardware, sources, rows, and on the CPU the bars that the rows meet or
        miss.

    Raises:
        RlidimError: an unknown network or family, or a folder that cannot be written.
    """
    by_name = {setting.name.lower(): setting for setting in SETTINGS}
    for name in networks:
        if name.lower() not in by_name:
            names = [setting.name for setting in SETTINGS]
            raise RlidimError(f"unknown network '{name}'{nearest(name, names)}")
    for family in families:
        if family not in FAMILIES:
            raise RlidimError(f"unknown projection '{family}'{nearest(family, FAMILIES)}")
    where = torch.device(device)
    settings = [by_name[name.lower()] for name in networks] or SETTINGS
    path = None if out is None else out / FILE.format(where.type)
    file = RowFile(path, provenance(where), NAMES, again=again)
    if file.foreign:
        listener(f"{path}: of other versions, hardware or sources, made anew")
    blank = [
        (setting, blank_row(setting, family, where))
        for setting in settings
        for family in families or FAMILIES
    ]
    with threads_restored():
        for setting, row in sorted(blank, key=lambda pair: case_of(*pair).work):
            if file.done(row) and file.rows[file.name(row)]["default"] == row["default"]:
                continue
            if file.done(row) and not row["default"]:  # the rule of auto has changed
                file.add([{**file.rows[file.name(row)], "default": False}])
            else:
                listener(f"a step of {setting.name} in {row['family']} on {where.type}")
                fill_row(row, setting, where, limits)
                file.add([row])
    rows = [file.rows[file.name(row)] for _, row in blank]
    bars = []
    if where.type == "cpu":
        today = {family: implementation(family, where, AUTO).backend for family in FAMILIES}
        current = [row for row in file.rows.values() if row["backend"] == today[row["family"]]]
        bars = readings(current, STEPS)
    return {**file.where, "rows": rows, "bars": bars}


def blank_row(setting: Setting, family: str, device: torch.device) -> Row:
    """Return a row with nothing measured yet."""
    return {
        "network": setting.name,
        "D": setting.D,
        "d": setting.d,
        "batch": setting.batch,
        "family": family,
        "default": choose(setting.D, setting.d, device.type) == family,
        "backend": implementation(family, device, AUTO).backend,
        "native_seconds": None,
        "seconds": None,
        "ratio": None,
        "low": None,
        "high": None,
        "pairs": 0,
        "recorded": None,  # on a GPU: the same of steps repeated as CUDA graphs
        "parts": None,  # of the default family's step: seconds, see :func:`parts`
        "reason": None,
    }


def case_of(setting: Setting, row: Row) -> Case:
    """Return the family and size whose products a row's step makes."""
    return Case(row["family"], setting.D, setting.d)


def fill_row(row: Row, setting: Setting, device: torch.device, limits: Limits) -> None:
    """Time a step natively and in a subspace; what cannot be measured says why."""
    if perf_counter() > limits.deadline:
        row["reason"] = SPENT
        return
    try:
        foretold = foretell(case_of(setting, row), device, limits)
        prepare = foretold.pop("prepare", 0.0)
        product = max(foretold.values(), default=0.0)
        if prepare > PREPARATION * limits.longest:
            row["reason"] = too_long("making P", prepare, PREPARATION * limits.longest)
            return
        if product > limits.longest:
            row["reason"] = too_long("one product", product, limits.longest)
            return
        native, ours = steps(setting, row["family"], device)
        remaining = limits.deadline - perf_counter()
        if remaining < CALLS_A_ROW * product:
            row["reason"] = SPENT
            return
        most = min(SECONDS_A_COMPARISON[device.type], remaining)
        comparison = compare(Timed(ours, device), Timed(native, device), most)
        row.update(figures_of(comparison))
        if device.type == "cuda":
            row["recorded"] = recorded(native, ours, device, most)
        if row["default"]:
            row["parts"] = parts(native, ours, device, limits.deadline)
    except Exception as error:  # one family that fails is listed, the others are measured
        row["reason"] = reason_of(error)


@dataclass(frozen=True)
class Step:
    """One training step of a network, always on the same batch."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    inputs: Tensor
    labels: Tensor

    def __call__(self) -> Tensor:
        """Make the step and return the loss before it."""
        loss = self.differentiate()
        self.optimizer.step()
        return loss

    def differentiate(self) -> Tensor:
        """Compute the gradient g_D and return the loss."""
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.network(self.inputs), self.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def recorded(native: Step, ours: Step, device: torch.device, seconds: float) -> dict[str, Any]:
    """Time both steps as CUDA graphs, which is how classifiers are trained on a GPU."""
    replayed = Repeated(ours), Repeated(native)
    for step in replayed:
        for _ in range(CALLS_BEFORE + 1):
            step()
    comparison = compare(Timed(replayed[0], device), Timed(replayed[1], device), seconds)
    return figures_of(comparison)


def figures_of(comparison: Comparison) -> dict[str, Any]:
    """Return a row's figures of a step in a subspace against a native one."""
    return {
        **comparison.to_json(),
        "native_seconds": comparison.other_seconds,
        "seconds": comparison.agreeing_seconds,
    }


def steps(setting: Setting, family: str, device: torch.device) -> tuple[Step, Step]:
    """Return one training step of the network itself, and one of its copy in a subspace."""
    network = setting.build().to(device)
    confined = copy.deepcopy(network)
    inputs = torch.randn(setting.batch, *setting.shape, device=device)
    labels = torch.randint(setting.classes, (setting.batch,), device=device)
    options: dict[str, Any] = {"fused": True}
    rate: Any = LEARNING_RATE
    if device.type == "cuda":  # as a recording needs them
        options["capturable"] = True
        rate = torch.tensor(LEARNING_RATE, device=device)
    native = torch.optim.Adam(network.parameters(), lr=rate, **options)
    ours = SubspaceOptimizer(
        confined.parameters(),
        projection=projection(family, setting.D, setting.d, 0, device=device),
        lr=rate,
        inner_kwargs=options,
    )
    return Step(network, native, inputs, labels), Step(confined, ours, inputs, labels)


def parts(
    native: Step, ours: Step, device: torch.device, deadline: float = math.inf
) -> dict[str, float]:
    """Return the median seconds of each part of the two steps, timed in turn.

    No round but the first is begun after the deadline, of ``perf_counter``.

    Between one part and the next the caches are as a real step leaves them: a product timed in a
    loop of its own is faster.
    """
    assert isinstance(ours.optimizer, SubspaceOptimizer)
    optimizer, subspace = ours.optimizer, ours.optimizer.subspace

    def adjoint() -> None:
        optimizer.theta_d.grad = subspace.projection.adjoint(subspace.gradient)

    stages: dict[str, Callable[[], object]] = {
        "native gradient": native.differentiate,
        "native Adam": native.optimizer.step,
        "gradient": ours.differentiate,
        "gather": subspace.gather,
        "adjoint": adjoint,
        "Adam": optimizer.inner.step,
        "write": subspace.write,
    }
    seconds: dict[str, list[float]] = {name: [] for name in stages}
    for number in range(ROUNDS):
        if number > 0 and perf_counter() > deadline:
            break
        for name, stage in stages.items():
            start = perf_counter()
            stage()
            synchronize(device)
            seconds[name].append(perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    return step_table(content["rows"], content["bars"])
