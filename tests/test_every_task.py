"""Every YAML file works: each trainer makes a tiny run, whose record rebuilds its policy."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from rlidim.data import datasets, sources
from rlidim.environments import arena, making
from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from rlidim.networks.dimension import native_dimension
from rlidim.records.cell import Cell, Seeds
from rlidim.records.folder import Results
from rlidim.solutions import playback
from rlidim.sweep import tiers
from rlidim.sweep.plan import Plan
from rlidim.tasks.names import find_task, task_files
from rlidim.tasks.problems import CLASSES, DATA_SETS, Atari, Pool
from rlidim.tasks.task import ANY_GAME, TIERS, Task
from rlidim.trainers import images
from tests.factory import bars
from tests.marks import slow_but

ROOT = Path(__file__).parent.parent
NAMES = sorted(task_files(None))
TINY = {"n_timesteps": 200, "n_envs": 2, "n_steps": 16, "batch_size": 32, "learning_starts": 50}
SUPERVISED = [name for name in NAMES if find_task(name).kind == "supervised"]
MUJOCO = {  # Gymnasium's thresholds, and D of the networks that the files name
    "hopper": (3_800, 5_123),
    "halfcheetah": (4_800, 5_702),
    "walker2d": (None, 5_702),
    "ant": (6_000, 11_464),
    "humanoid": (None, 159_505),
    "reacher": (-3.75, 4_994),
    "swimmer": (360, 4_866),
}
# One of every kind of task, and with each trainer: what `make test` runs of them.
EXAMPLES = {
    *(("cartpole", trainer) for trainer in ("es", "cmaes", "ppo", "ppo-many", "dqn", "dqn-many")),
    *(("pendulum", trainer) for trainer in ("sac", "td3")),
    *(("mnist-fc", trainer) for trainer in ("adam", "sgd")),
    ("codimension-3", "es"),
    ("hopper", "es"),
    ("mnist-untied-lenet", "adam"),
    ("pong", "es"),
    ("taxi", "maskable_ppo"),
    ("toy", "supervised"),
}
PAIRS = [(name, trainer) for name in NAMES for trainer in find_task(name).trainers]


def test_the_examples_have_every_trainer_of_the_tasks() -> None:
    assert set(PAIRS) >= EXAMPLES
    assert {trainer for _, trainer in EXAMPLES} == {trainer for _, trainer in PAIRS}
    assert {find_task(name).kind for name, _ in EXAMPLES} == {find_task(n).kind for n in NAMES}


@pytest.mark.parametrize(
    ("name", "trainer"),
    slow_but(EXAMPLES, PAIRS),
)
def test_a_tiny_run(
    name: str, trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = find_task("atari-seaquest" if name == ANY_GAME else name)
    if task.kind == "control" and isinstance(task.control.environment, Pool):
        pytest.importorskip("envpool", reason="740 MB: pip install 'rlidim[envpool]'")
    tiny = {key: value for key, value in TINY.items() if hasattr(task.settings(trainer), key)}
    if trainer == "supervised":
        tiny = {"n_iterations": 20}
    if trainer in ("es", "cmaes"):
        tiny["population"] = 4
    if task.kind == "supervised":
        tiny |= {"n_epochs": 1, "batch_size": 16}
        monkeypatch.setattr(datasets, "load", lambda name: bars(datasets.SHAPES[name], 32, 8))
        images.kept.cache_clear()
    task = task.replace_settings(trainer, tiny)
    if task.kind == "control" and isinstance(task.control.environment, Atari):
        short = dataclasses.replace(task.control.environment, max_frames=160)
        task = task.replace_problem(environment=short)
        frames = {"dqn": {"buffer_size": 50, "learning_starts": 20, "gradient_steps": 1}}
        task = task.replace_settings(trainer, {"n_timesteps": 40, **frames.get(trainer, {})})
    if task.kind == "control" and not making.has_one_stream(task):
        few = dataclasses.replace(task.control.evaluation, episodes=3, checkpoint_episodes=2)
        task = task.replace_problem(evaluation=few)
    cell = Cell(task.name, trainer, "rademacher", 3, 0)
    record = run(Job(task, cell, tmp_path))
    assert record is not None
    assert record.status == "ok", record.error
    assert native_dimension(task) == record.D
    assert Results(tmp_path).load(cell) == record
    if task.kind != "control":
        return
    policy = playback.policy_of(record, Results(tmp_path).path(cell), tmp_path)
    seeds = Seeds.of(cell)
    played = arena.evaluate(task, policy, len(record.returns), seeds.evaluation)
    np.testing.assert_allclose(played.returns, record.returns, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MUJOCO)
def test_mujoco_tasks_are_gymnasium_s_latest(name: str) -> None:
    task = find_task(name)
    specification = gymnasium.spec(task.control.environment.id)
    assert specification.version == 5
    target = None if task.target is None else task.target.score
    assert specification.reward_threshold == target == MUJOCO[name][0]
    assert native_dimension(task) == MUJOCO[name][1]
    assert set(task.trainers) >= {"es", "ppo", "sac", "td3"}


def test_humanoid_can_have_the_paper_s_inputs() -> None:
    paper, latest = find_task("humanoid-v4"), find_task("humanoid")
    assert native_dimension(paper) == 166_673 == paper.published[0].D
    assert (paper.trainers, paper.control.network) == (latest.trainers, latest.control.network)


@pytest.mark.parametrize("tier", TIERS)
def test_every_tier_has_plans(tier: str) -> None:
    refused: list[str] = []
    plans = tiers.plans({name: find_task(name) for name in NAMES}, tier, refused.append)
    assert plans
    assert all("rlidim[envpool]" in line for line in refused)  # 740 MB, not among all
    known = [plan.task.known is not None for plan in plans]
    assert known == sorted(known)  # the calibration tasks come last
    assert (plans[0].task.name, plans[0].trainer) == ("cartpole", "es")  # README's first number


def extras_within(extra: str) -> set[str]:
    """Return an extra of the package and those that it names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = " ".join(project["optional-dependencies"][extra])
    inner = ",".join(re.findall(r"rlidim\[([\w,]+)\]", named)).split(",")
    return {extra}.union(*(extras_within(name) for name in inner if name))


def test_make_atlas_installs_every_environment_of_its_tier(tmp_path: Path) -> None:
    fresh = ["make", "-n", "atlas", f"VENV={tmp_path / 'venv'}"]
    shown = subprocess.run(fresh, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (installed,) = re.findall(r"-c constraints.txt -e '\.\[(\w+)\]'", shown)
    needed = {task.control.environment.extra for task in map(find_task, NAMES) if of_atlas(task)}
    assert {"envpool", "mujoco"} <= needed
    assert needed - {None} <= extras_within(installed)


def of_atlas(task: Task) -> bool:
    return any("atlas" in named for named in task.bench.values())


def test_the_quick_tier_measures_what_the_suite_promises() -> None:
    plans = tiers.plans({name: find_task(name) for name in NAMES}, "quick")
    measured = {(plan.task.name, plan.trainer) for plan in plans}
    promised = {("cartpole", trainer) for trainer in ("es", "cmaes", "ppo-many")}
    promised |= {("acrobot", "es"), ("acrobot", "ppo-many"), ("mountaincar", "dqn-many")}
    promised |= {("inverted-pendulum", "es"), ("toy", "supervised")}
    for codimension in (1, 3, 10):
        promised |= {(f"codimension-{codimension}", name) for name in ("cmaes", "ppo-many")}
    assert promised <= measured
    for plan in plans:
        assert plan.budget <= tiers.QUICK_BUDGET
        assert plan.baseline_seeds >= 3


def test_a_tier_without_tasks_is_named() -> None:
    with pytest.raises(RlidimError, match="tier 'huge'"):
        tiers.plans({name: find_task(name) for name in NAMES}, "huge")


def test_searches_may_differ_by_trainer() -> None:
    task = find_task("cartpole")
    assert Plan.of(task, "dqn").hint != Plan.of(task, "es").hint


# Li et al. 2018: what its released scripts train with, but for the exceptions.
COMMON = {"n_epochs": 100, "batch_size": 128, "l2": 1e-4, "transfer_learning_rate": False}
OF_TRAINER = {
    "adam": {"learning_rate": 1e-3, "beta2": 0.99},
    "sgd": {"learning_rate": 0.1, "momentum": 0.9},
}
EXCEPTIONS = {
    ("mnist-shuffled-labels-fc", "adam"): {"n_epochs": 500, "learning_rate": 1e-4},
    ("mnist-shuffled-labels-fc-50", "adam"): {"n_epochs": 500, "learning_rate": 1e-4},
    ("mnist-shuffled-labels-fc-10", "adam"): {"n_epochs": 500, "learning_rate": 1e-4},
    ("mnist-shuffled-pixels-lenet", "sgd"): {"learning_rate": 0.01, "l2": 0.0},
}


def test_the_paper_s_protocol() -> None:
    for name in SUPERVISED:
        paper = find_task(name).variant(protocol="paper")
        assert "adam" in paper.trainers, name
        for trainer in paper.trainers:
            expected = {**COMMON, **OF_TRAINER[trainer], **EXCEPTIONS.get((name, trainer), {})}
            assert dataclasses.asdict(paper.settings(trainer)) == expected, f"{name} {trainer}"


# Its tables and notebooks: d_int90, D, baseline, the share of it. The networks of other sizes are
# those of figure 3, a row a depth, widths 50, 100, 200 and 400.
FIGURE_3 = {
    1: ((800, 39_760), (675, 79_510), (775, 159_010), (800, 318_010)),
    2: ((700, 42_310), (750, 89_610), (750, 199_210), (800, 478_410)),
    3: ((750, 44_860), (775, 99_710), (750, 239_410), (800, 638_810)),
    4: ((800, 47_410), (750, 109_810), (800, 279_610), (900, 799_210)),
    5: ((675, 49_960), (775, 119_910), (850, 319_810), (850, 959_610)),
}
MNIST, CIFAR = "1.0 (global)", "0.5 (global)"
PUBLISHED = {
    **{
        "mnist-fc" if (width, depth) == (200, 2) else f"mnist-fc-{width}x{depth}": [
            (d_int, D, MNIST, None)
        ]
        for depth, row in FIGURE_3.items()
        for width, (d_int, D) in zip((50, 100, 200, 400), row, strict=True)
    },
    "mnist-fc-400x2": [(800, 478_410, MNIST, None), (525, 478_410, "0.9758 (local)", None)],
    "mnist-lenet": [(290, 44_426, MNIST, None), (275, 44_426, "0.991 (local)", None)],
    "mnist-lenet-linear": [(290, 44_426, MNIST, None)],
    "mnist-untied-lenet": [(600, 286_334, MNIST, None), (450, 286_334, "0.986 (local)", None)],
    "mnist-fc-lenet": [(2000, 3_640_574, MNIST, None), (1400, 3_640_574, "0.9758 (local)", None)],
    "mnist-fctied-lenet": [(425, 193_370, MNIST, None), (400, 193_370, "0.9891 (local)", None)],
    "mnist-shuffled-pixels-fc": [(750, 199_210, MNIST, None)],
    "mnist-shuffled-pixels-lenet": [(1400, 44_426, MNIST, None)],
    "mnist-shuffled-labels-fc": [(190_000, 959_610, MNIST, 0.89)],
    "mnist-shuffled-labels-fc-50": [(130_000, 959_610, MNIST, 0.89)],
    "mnist-shuffled-labels-fc-10": [(90_000, 959_610, MNIST, 0.89)],
    "mnist-softmax": [],
    "fashion-mnist-fc": [],
    "fashion-mnist-lenet": [],
    "cifar10-fc": [
        (9000, 1_055_610, CIFAR, None),  # as printed; no network of this kind has this D
        (7000, 656_810, "0.5045 (local)", None),
        (5000, 656_810, "0.51 (local)", None),
    ],
    "cifar10-fc-400x2": [(8000, 1_393_610, "0.51 (local)", None), (7000, 1_393_610, CIFAR, None)],
    "cifar10-lenet": [(2900, 62_006, "0.584 (local)", None), (1000, 62_006, CIFAR, None)],
    "cifar10-untied-lenet": [
        (15_000, 658_238, "0.6112 (local)", None),
        (2750, 658_238, CIFAR, None),
    ],
    "cifar10-fctied-lenet": [
        (4500, 297_734, "0.5255 (local)", None),
        (2500, 297_734, CIFAR, None),
    ],
    "cifar10-fc-lenet": [(35_000, 16_397_726, CIFAR, None)],
}
MISPRINTED = 1_055_610
UNPUBLISHED_D = {"mnist-softmax": 7_850, "fashion-mnist-fc": 199_210, "fashion-mnist-lenet": 44_426}


def test_published_numbers_are_the_paper_s_and_the_networks_have_its_size() -> None:
    for name, expected in PUBLISHED.items():
        task = find_task(name)
        found = [
            (entry.d_int, entry.D, str(entry.baseline), entry.fraction) for entry in task.published
        ]
        assert found == expected, name
        assert {entry.rule for entry in task.published} <= {"paper"}, name
        sizes = {D for _, D, _, _ in found} - {MISPRINTED} or {UNPUBLISHED_D[name]}
        assert {native_dimension(task)} == sizes, name


def test_every_supervised_task_and_published_variant_is_in_the_table() -> None:
    variants = {
        f"{name}-{entry.variant}"
        for name in SUPERVISED
        for entry in find_task(name).published_of_variants
    }
    assert {*SUPERVISED, *variants} == set(PUBLISHED)


def test_the_loader_knows_the_data_sets() -> None:
    known = {name: (sources.SOURCES[name].train, datasets.SHAPES[name]) for name in datasets.NAMES}
    assert known == DATA_SETS
    assert sources.CLASSES == CLASSES
