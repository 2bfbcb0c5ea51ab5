"""How short a description of a trained classifier is: theta_d in few levels, as a real file.

Li et al. 2018, section 4: d numbers and a seed bound the description length of a solution. The file
holds the task's name, theta_0's seed, P's specification and the coded numbers, and gives the same
network on any machine that has rlidim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim import compression, solution
from rlidim.errors import RlidimError
from rlidim.projections import ProjectionSpec
from rlidim.records import RunRecord
from rlidim.solution import Solution
from rlidim.task import Task
from rlidim.trainers import classification

LOSSES = (0.0, 0.005, 0.01)  # of accuracy, that the coded network may have
FLOAT = 4  # bytes of a parameter of the unconfined network


@dataclass(frozen=True)
class Description:
    """One file and what its network scores.

    Attributes:
        record: the run that the numbers are from.
        D: parameters of the network.
        d: numbers that describe it.
        loss: of accuracy that was allowed.
        original: the score with all numbers in float32.
        score: the score of the network that the file was decoded to.
        method: of quantisation.
        levels: that a number may take.
        bytes: of the file.
        header: bytes of it that are neither codebook nor numbers.
        codebook: bytes of the levels.
        numbers: bytes of the d coded numbers.
        bound: bytes of d float32 numbers and a seed, the paper's own bound.
        factor: bytes of D float32 numbers over the file's.
    """

    record: str
    D: int
    d: int
    loss: float
    original: float
    score: float
    method: str
    levels: int
    bytes: int
    header: int
    codebook: int
    numbers: int
    bound: int
    factor: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def describe(
    task: Task, record: RunRecord, path: Path, runs: Path, out: Path, losses: Sequence[float]
) -> list[Description]:
    """Write the shortest file for each loss and score what it decodes to.

    Args:
        task: the record's, a supervised one.
        record: a run in a subspace.
        path: where it was read, for messages.
        runs: the folder of logs, where solutions of a large d are.
        out: the folder of the files, ``<task>-<d>-<seed>-<loss>.rlz``.
        losses: of score, that a description may have.

    Returns:
        One for each loss; fewer where no form in 256 levels or fewer loses so little.

    Raises:
        RlidimError: no supervised task, a run without a solution in a subspace, or a file that
            cannot be written.
    """
    if task.kind != "supervised":
        raise RlidimError(f"task '{task.name}' is {task.kind}: compress describes classifiers")
    found = solution.of_record(record, path, runs)
    spec = found.spec
    if found.theta_d is None or spec is None:
        raise RlidimError(f"{path}: a native run: compress needs one in a subspace (--dim)")
    scores: dict[bytes, float] = {}

    def score(theta_d: NDArray[np.float32]) -> float:
        key = theta_d.tobytes()
        if key not in scores:
            scores[key] = score_of(task, spec, found.theta_0_seed, theta_d)
        return scores[key]

    original = score(found.theta_d)
    header = {
        "task": task.name,
        "theta_0_seed": found.theta_0_seed,
        "spec": spec.to_json(),
    }
    described = []
    for loss in losses:
        quantised = compression.smallest(found.theta_d, score, original - loss)
        if quantised is None:
            continue
        file = out / f"{record.cell.task}-{record.cell.label}-{loss * 100:g}.rlz"
        size = compression.write(file, header, quantised)
        parts = compression.size_of_parts(header, quantised)
        described.append(
            Description(
                record=str(record.cell),
                D=record.D,
                d=found.theta_d.size,
                loss=loss,
                original=original,
                score=decode(task, file),
                method=quantised.method,
                levels=quantised.places.size,
                bytes=size,
                header=parts.frame + parts.header,
                codebook=parts.codebook,
                numbers=parts.indices,
                bound=compression.paper_bound(found.theta_d.size),
                factor=FLOAT * record.D / size,
            )
        )
    return described


def decode(task: Task, path: Path) -> float:
    """Rebuild a network from a file alone and return its score.

    Raises:
        RlidimError: the file is damaged, or of another task.
    """
    header, theta_d = compression.read(path)
    if header.get("task") != task.name:
        raise RlidimError(f"{path}: describes '{header.get('task')}', not '{task.name}'")
    try:
        spec, seed = ProjectionSpec.from_json(header["spec"]), int(header["theta_0_seed"])
    except (KeyError, TypeError, ValueError) as error:
        raise RlidimError(f"{path}: names no projection and seed ({error})") from error
    return score_of(task, spec, seed, theta_d)


def task_of(path: Path) -> str:
    """Return the name of the task that a file is about.

    Raises:
        RlidimError: the file is damaged.
    """
    return str(compression.read(path)[0].get("task"))


def score_of(
    task: Task, spec: ProjectionSpec, seed: int | None, theta_d: NDArray[np.float32]
) -> float:
    """Return the score of theta_0 + P theta_d."""
    assert seed is not None
    whole = Solution(spec, theta_d, seed, None, {}, {})
    return classification.score(task, whole.parameters(classification.theta_0(task, seed)))
