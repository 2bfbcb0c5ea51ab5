"""PPO of many runs at once on a GPU, against as many on one thread of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.speed.gpu import compared

if TYPE_CHECKING:
    import torch

    from rlidim.records.cell import Cell
    from rlidim.speed.cases import Limits, Listener
    from rlidim.speed.rows import Row
    from rlidim.trainers.many.on_tensors import TensorRuns

RUNS = (64, 1024)
ON_CPU = 64  # runs there, at most
DIMENSIONS = (2, 4, 8, 16)  # of the runs, in turn
# CartPole's, of envs/cartpole.yml, which a bare GPU machine cannot read.
SETTINGS: dict[str, Any] = {
    "n_timesteps": 100_000,
    "n_envs": 8,
    "n_steps": 32,
    "batch_size": 256,
    "n_epochs": 20,
    "gamma": 0.98,
    "gae_lambda": 0.8,
    "learning_rate": "lin_0.001",
    "clip_range": "lin_0.2",
}
HIDDEN, ACTIVATION = (20, 20), "relu"
TOLERANCE = 1e-4  # of parameters after a rollout was learned from
ROUNDS, SECONDS = 3, 3.0  # of timings
EPISODES = 20  # that a policy plays at the end
SOLVED = 0.9 * 500
NAMES = ("runs",)  # the field that names a row
FILE = "many_runs.json"


def run(out: Path, gpu: torch.device, limits: Limits, listener: Listener) -> dict[str, Any]:
    """Compare, time and train what is not on file yet.

    Returns:
        Device, versions, hardware, sources and rows; ``seconds`` are of an environment step, all
        that is learned from it included, and are compared with one thread of the CPU making the
        same for ``cpu_runs``. ``training_seconds`` are of all steps of all runs; ``solved`` has the
        share of them that end above 450, by their d.
    """
    from rlidim.speed.rows import RowFile, digest, provenance
    from rlidim.trainers.many import on_tensors, tensor_environments

    sources = [Path(str(module.__file__)) for module in (on_tensors, tensor_environments)]
    where = {**provenance(gpu), "sources": digest(sources, sources[0].parent)}
    rows = [
        {
            **compared.blank(runs=runs),
            "cpu_runs": min(runs, ON_CPU),
            "solved": None,
            "training_seconds": None,
        }
        for runs in RUNS
    ]
    file = RowFile(out / FILE, where, NAMES)
    return compared.filled(
        file,
        rows,
        partial(fill, gpu=gpu),
        lambda row: f"{row['runs']} runs of PPO side by side",
        limits,
        listener,
    )


def fill(row: Row, gpu: torch.device) -> None:
    """Measure a row in place."""
    import torch

    from rlidim.networks.perceptron import Architecture
    from rlidim.speed.paired import Comparison, rounds, seconds_of
    from rlidim.tasks.settings import PPOSettings
    from rlidim.trainers.many.on_tensors import TensorRuns

    cpu = torch.device("cpu")
    settings = PPOSettings(**SETTINGS)
    architecture = Architecture(4, 2, HIDDEN, ACTIVATION, "he_normal", 1.0, "argmax")

    def made(runs: int, device: torch.device) -> TensorRuns:
        return TensorRuns(architecture, settings, cells(runs), device)

    row["D"] = architecture.D
    compared.judge(row, _difference(made(8, cpu), made(8, gpu)), TOLERANCE, "the parameters")
    if not row["agrees"]:
        return
    ours, theirs = made(row["runs"], gpu), made(row["cpu_runs"], cpu)
    rollout = settings.n_steps * settings.n_envs

    def timed(side: TensorRuns, runs: int) -> float:
        def advance() -> None:
            side.advance()
            if gpu.type == "cuda":
                torch.cuda.synchronize()

        return seconds_of(advance) / (runs * rollout)

    timings: list[Callable[[], float]] = [
        partial(timed, ours, row["runs"]),
        partial(timed, theirs, row["cpu_runs"]),
    ]
    for timing in timings:
        timing()  # warm
    comparison = Comparison.of(*rounds(timings, fewest=ROUNDS, seconds=SECONDS))
    row.update(comparison.to_json())
    row.update(seconds=comparison.seconds, cpu_seconds=comparison.other_seconds)
    trained = made(row["runs"], gpu)
    row["training_seconds"] = seconds_of(partial(_train, trained, settings.n_timesteps))
    returns = trained.returns(EPISODES).cpu()
    row["solved"] = {
        str(d): float((returns[place :: len(DIMENSIONS)] >= SOLVED).float().mean())
        for place, d in enumerate(DIMENSIONS)
    }


def cells(runs: int) -> list[Cell]:
    """Return the cells of so many runs."""
    from rlidim.records.cell import Cell

    return [
        Cell("cartpole", "ppo-many", "rademacher", DIMENSIONS[i % len(DIMENSIONS)], i)
        for i in range(runs)
    ]


def _difference(right: TensorRuns, ours: TensorRuns) -> float:
    """Return how far parameters are apart after both have learned from one rollout."""
    import torch

    with torch.no_grad():
        experience = right.rollout()
    steps = experience.returns.shape[1]
    order = torch.stack([torch.randperm(steps) for _ in range(len(experience.returns))])[None]
    for side in (right, ours):
        device = side.learners.critics.device
        side.learners.learn(experience.to(device), order.to(device), 1.0)
    pairs = zip(
        (right.learners.theta, right.learners.critics),
        (ours.learners.theta, ours.learners.critics),
        strict=True,
    )
    # By torch, of whose maximum a NaN is left.
    return float(torch.stack([(one - other.cpu()).abs().max() for one, other in pairs]).max())


def _train(runs: TensorRuns, steps: int) -> None:
    import torch

    while runs.steps < steps:
        runs.advance()
    if runs.learners.critics.is_cuda:
        torch.cuda.synchronize()


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    from rlidim.report.columns import text_table
    from rlidim.speed.text import NONE, duration, ratio

    def rate(seconds: float | None) -> str:
        return NONE if seconds is None else f"{1.0 / seconds:,.0f}"

    return text_table(
        [
            {
                "runs of PPO": row["runs"],
                "difference": NONE if row["difference"] is None else f"{row['difference']:.1e}",
                "steps/s": rate(row["seconds"]),
                f"one thread, {row['cpu_runs']} runs": rate(row["cpu_seconds"]),
                "ratio": ratio(row),
                "trained in": duration(row["training_seconds"]),
                "solved by d": ", ".join(
                    f"{d}: {share:.0%}" for d, share in (row["solved"] or {}).items()
                ),
                "reason": row["reason"] or "",
            }
            for row in content["rows"]
        ]
    )
