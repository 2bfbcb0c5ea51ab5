"""Why a gradient trainer misses a known dimension k at d = k: the conditioning of what is left.

The policies that solve a one-step task satisfy k linear equations, A theta = target. At d = k the
subspace leaves one solution, that of the k x k matrix A P, and a trainer that follows gradients
finds it where A P is well-conditioned.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.one_step import INPUTS, observation
from rlidim.projections import projection
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.measurement import Measurement
from rlidim.report import drawing
from rlidim.report.drawing import BLUE, INK, VERMILION
from rlidim.tasks.problems import Control, Network

STEM = "conditioning"
WIDTH, HEIGHT = 7.2, 2.4  # inches


def condition(spec: ProjectionSpec, codimension: int) -> float:
    """Return the condition number of A P for a linear policy of a one-step task.

    Args:
        spec: of P, d = k.
        codimension: k.
    """
    equations = np.zeros((codimension, spec.D))
    for row in range(codimension):  # theta is the weights, a row for each action, then the biases
        equations[row, row * INPUTS : (row + 1) * INPUTS] = observation()
        equations[row, codimension * INPUTS + row] = 1.0
    P = projection(spec.family, spec.D, spec.d, seed=spec.seed).to_dense()
    return float(np.linalg.cond(equations @ P.numpy().astype(np.float64)))


def points(measurements: Sequence[Measurement]) -> NDArray[np.float64]:
    """Return (condition number, 1 if the run solves its task) of PPO's runs at d = k > 1."""
    found = []
    for measurement in measurements:
        known, estimate = measurement.known, measurement.estimate
        if not measurement.task_name.startswith("codimension-") or measurement.trainer != "ppo":
            continue
        if known is None or known == 1 or estimate is None:
            continue
        if not _is_linear(measurement):
            continue  # a task of the user's by that name: the equations are a linear policy's
        for record in measurement.runs:
            if record.cell.d == known and record.solution is not None and record.score is not None:
                spec = ProjectionSpec.from_json(record.solution["spec"])
                solved = estimate.scale(record.score) >= estimate.fraction
                found.append((condition(spec, known), float(solved)))
    return np.array(sorted(found)).reshape(-1, 2)


def _is_linear(measurement: Measurement) -> bool:
    """Return whether a task's policy is one layer without a hidden one."""
    problem = None if measurement.task is None else measurement.task.problem
    network = problem.network if isinstance(problem, Control) else None
    return isinstance(network, Network) and not network.hidden


def plot(measurements: Sequence[Measurement], folder: Path) -> list[Path]:
    """Draw which runs at d = k solve their task, by the condition number; nothing without runs.

    Returns:
        The paths of the SVG and the PNG.
    """
    runs = points(measurements)
    if not len(runs):
        return []
    from matplotlib.figure import Figure

    with drawing.style():
        figure = Figure(figsize=(WIDTH, HEIGHT))
        axes: Any = figure.add_axes((0.11, 0.24, 0.85, 0.62))
        for solved, colour, marker in ((1.0, BLUE, "o"), (0.0, VERMILION, "x")):
            these = runs[runs[:, 1] == solved]
            axes.scatter(these[:, 0], these[:, 1], color=colour, marker=marker, s=34)
        axes.set_xscale("log")
        drawing.label_dimensions(axes, drawing.round_dimensions(axes, 0.85 * WIDTH, 9.0))
        axes.set_ylim(-0.5, 1.5)
        axes.set_yticks([0, 1], ["fails", "solves"])
        axes.set_xlabel("condition number of A P at d = k")
        axes.spines[["top", "right"]].set_visible(False)
        figure.text(0.11, 0.92, f"PPO at d = k: {len(runs)} runs", fontsize=9.5, color=INK)
        return drawing.save(figure, folder / STEM)
