"""Description lengths of trained classifiers: theta_d in few levels, as a real file.

Li et al. 2018, section 4: d numbers and a seed bound the description length of a solution. The file
holds the task's name, a hash of its data and network, theta_0's seed, P's
specification and the coded numbers, and gives the same network on any machine that has rlidim.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.networks import classifiers
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.cell import RANDOM, Cell
from rlidim.records.checking import SEED_CHECK
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.record import RunRecord
from rlidim.solutions import file as solution_file
from rlidim.solutions.compressed_file import (
    paper_bound,
    read,
    read_header,
    smallest,
    write,
)
from rlidim.solutions.file import Solution
from rlidim.solutions.quantisation import MOST_LEVELS
from rlidim.tasks.problems import Supervised
from rlidim.tasks.task import Task
from rlidim.trainers import classification

LOSSES = (0.0, 0.005, 0.01)  # of accuracy, that the coded network may have
FLOAT = 4  # bytes of a parameter of the unconfined network
CHOSEN_ON = "training"  # the images whose accuracy chooses a form
SECTIONS = ("data", "classifier")  # of a record's settings: a file holds their hash
DIGITS = 8  # of the settings' hash: 32 bits tell one set from another, and 16 digits cost 8 bytes
# Another device or library rounds otherwise, which moves an image or two across a boundary.
ROUNDING = 0.002


@dataclass(frozen=True)
class Description:
    """One file, the sizes of its parts, and its network's score.

    Attributes:
        record: the run that the numbers are from.
        D: parameters of the network.
        d: numbers that describe it.
        loss: of accuracy on the training images, as allowed.
        lost: of that accuracy, by the decoded network; negative if it gained.
        original: the score with all numbers in float32.
        score: of the decoded network.
        method: of quantisation.
        levels: that a number may take.
        bytes: of the file.
        header: bytes of it that are neither codebook nor numbers.
        codebook: bytes of the levels.
        numbers: bytes of the d coded numbers.
        bound: bytes of d float32 numbers and a seed, the paper's own bound.
        factor: bytes of D float32 numbers over the file's, to a tenth.
    """

    record: str
    D: int
    d: int
    loss: float
    lost: float
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


def stem(record: RunRecord) -> str:
    """Return the beginning of the names of a run's files, unique to the run."""
    return str(record.cell).replace("/", "-")


def describe(
    task: Task, record: RunRecord, path: Path, log_dir: Path, out: Path, losses: Sequence[float]
) -> tuple[list[Description], list[str]]:
    """Write the shortest file for each loss and score its decoded network.

    The form is chosen by the accuracy on the training images, so that no score on test images has
    been selected by itself. Where a task's score is of the training images, as with shuffled
    labels, there is nothing else to choose by: its score is then one that was selected.

    Args:
        task: the record's, a supervised one.
        record: a run in a subspace.
        path: where it was read, for messages.
        log_dir: the folder of logs, where solutions of a large d are.
        out: the folder of the files, ``<task>-<trainer>-<projection>-<d>-<seed>-<loss>.rlz``.
        losses: of accuracy on the training images, that a description may have.

    Returns:
        A description for each loss that some form in 256 levels or fewer keeps to, and a line for
        each other loss, whose earlier file is deleted.

    Raises:
        RlidimError: no supervised task, a run that did not end well or not in a subspace, one made
            with other data or another network than the task has, a score that is not the record's
            (by more than ``ROUNDING``), or a file that cannot be written.
    """
    solution = _solution(task, record, path, log_dir)
    theta_d, spec, seed = solution.theta_d, solution.spec, solution.theta_0_seed
    assert theta_d is not None
    assert spec is not None
    known: dict[tuple[bytes, str], float] = {}

    def accuracy(numbers: NDArray[np.float32], images: str) -> float:
        key = numbers.tobytes(), images
        if key not in known:
            known[key] = accuracy_of(task, spec, seed, numbers, images)
        return known[key]

    scored = _scored(task)
    original = accuracy(theta_d, scored)
    if record.score is None or abs(original - record.score) > ROUNDING:
        raise RlidimError(
            f"{path}: its network scores {original:.4f} here, the record says {record.score}: "
            "made from other data, or by another version of rlidim"
        )
    before = accuracy(theta_d, CHOSEN_ON)
    described, problems = [], []
    for loss in losses:
        quantised = smallest(theta_d, lambda numbers: accuracy(numbers, CHOSEN_ON), before - loss)
        file = out / f"{stem(record)}-{loss * 100:g}.rlz"
        if quantised is None:
            problems.append(_without(file, loss))
            continue
        numbers = quantised.values()
        header = {
            "task": task.name,
            "settings": settings_of(task),
            "score": round(accuracy(numbers, scored), 4),
            "theta_0_seed": seed,
            "spec": spec.to_json(),
        }
        parts = write(file, header, quantised)
        described.append(
            Description(
                record=str(record.cell),
                D=record.D,
                d=theta_d.size,
                loss=loss,
                lost=round(before - accuracy(numbers, CHOSEN_ON), 6),
                original=original,
                score=decode(task, file),
                method=quantised.method,
                levels=quantised.places.size,
                bytes=parts.total,
                header=parts.frame + parts.header,
                codebook=parts.codebook,
                numbers=parts.indices,
                bound=paper_bound(theta_d.size),
                factor=round(FLOAT * record.D / parts.total, 1),
            )
        )
    return described, problems


def _solution(task: Task, record: RunRecord, path: Path, log_dir: Path) -> Solution:
    """Return the solution to describe; refuse a run that cannot be described."""
    if not isinstance(task.problem, Supervised):
        raise RlidimError(f"task '{task.name}' is {task.kind}: compress describes classifiers")
    if record.cell.trainer != RANDOM and record.cell.d is None:
        raise RlidimError(f"{path}: a native run: compress needs one in a subspace (--dim)")
    if record.status != "ok":
        raise RlidimError(f"{path}: a {record.status} run: compress needs one that ended well")
    solution = solution_file.of_record(record, path, log_dir)
    if solution.theta_d is None or solution.spec is None or solution.theta_0_seed is None:
        raise RlidimError(f"{path}: its solution is not one in a subspace")
    for section, ours in _sections(task).items():
        theirs = record.settings.get(section)
        if theirs != ours:
            raise RlidimError(
                f"{path}: made with {section} {json.dumps(theirs)}; "
                f"task '{task.name}' has {json.dumps(ours)}"
            )
    return solution


def _without(file: Path, loss: float) -> str:
    """Delete an earlier file for a loss that no form keeps to, and return a line about it."""
    line = (
        f"no form in {MOST_LEVELS} levels or fewer keeps to a loss of {loss * 100:g} "
        "points on the training images"
    )
    if not file.exists():
        return f"{file}: not written: {line}"
    try:
        file.unlink()
    except OSError as error:
        raise RlidimError(f"{file}: cannot be deleted ({error.strerror})") from error
    return f"{file}: deleted, of an earlier compress: {line}"


def _sections(task: Task) -> dict[str, Any]:
    """Return the settings that decide a network's score beside its numbers, as in a record."""
    settings = configuration(task, Cell.random(task.name))
    return {section: settings[section] for section in SECTIONS}


def settings_of(task: Task) -> str:
    """Return the hash of a supervised task's data and network: ``DIGITS`` digits."""
    return hash_of(_sections(task))[:DIGITS]


def decode(task: Task, path: Path) -> float:
    """Rebuild a network from a file alone and return its score.

    Raises:
        RlidimError: the file is damaged, of another task, or made with other data or another
            network than the task has; or the network does not score what the file says, by more
            than ``ROUNDING``.
    """
    header, d = read_header(path)
    if header.get("task") != task.name:
        raise RlidimError(f"{path}: describes '{header.get('task')}', not '{task.name}'")
    try:
        spec, seed = ProjectionSpec.from_json(header["spec"]), header["theta_0_seed"]
        settings, expected = str(header["settings"]), float(header["score"])
        SEED_CHECK(seed, "theta_0_seed")
    except (KeyError, TypeError, ValueError, OverflowError, RlidimError) as error:
        raise RlidimError(
            f"{path}: names no projection, seed, settings and score ({error})"
        ) from error
    if settings != settings_of(task):
        raise RlidimError(
            f"{path}: made with data or a classifier other than those in {task.file} "
            f"(settings {settings}, not {settings_of(task)})"
        )
    D = classifiers.native_dimension(task)
    if spec.D != D or spec.d != d or d > D:  # before its numbers are decoded, and P is made
        raise RlidimError(
            f"{path}: {d:,} numbers for {spec.d:,} of {spec.D:,} dimensions, the network has {D:,}"
        )
    _, theta_d = read(path)
    score = accuracy_of(task, spec, seed, theta_d, _scored(task))
    if not abs(score - expected) <= ROUNDING:
        raise RlidimError(
            f"{path}: its network scores {score:.4f} here, the file says {expected:.4f}: "
            "made from other data, or by another version of rlidim"
        )
    return score


def task_of(path: Path) -> str:
    """Return the name of the task that a file is about.

    Raises:
        RlidimError: the file is damaged.
    """
    return str(read_header(path)[0].get("task"))


def _scored(task: Task) -> str:
    """Return the images whose accuracy is the task's score."""
    return task.supervised.data.measured_on


def accuracy_of(
    task: Task, spec: ProjectionSpec, seed: int | None, theta_d: NDArray[np.float32], images: str
) -> float:
    """Return the accuracy of theta_0 + P theta_d on the ``training`` or the ``test`` images.

    Raises:
        RlidimError: the data cannot be had, or the numbers do not fit the task's network.
    """
    assert seed is not None
    solution = Solution(spec, theta_d, seed, None, {}, {})
    measured = task.replace_problem(data=replace(task.supervised.data, measured_on=images))
    return classification.score(measured, solution.parameters(classifiers.theta_0(task, seed)))
