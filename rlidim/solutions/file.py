"""Solutions on disk: a seed and d floats, as safetensors with JSON metadata; never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.projections import from_spec
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.cell import RANDOM, Cell
from rlidim.records.checking import NETWORK_CHECK, SEED_CHECK
from rlidim.records.files import replace_file
from rlidim.records.record import RunRecord, decode, digest
from rlidim.tasks.problems import LARGEST_D
from rlidim.tasks.reading import check_plain, check_regular, parse_json

FORMAT = "rlidim-solution-1"
LARGEST_FILE = 4 * LARGEST_D + 10**8  # bytes: float32 numbers and what stands before them
FILE = "solution.safetensors"  # in the folder of a run's logs


@dataclass(frozen=True)
class Solution:
    """A network's parameters: theta_0 + P theta_d, or all D of them.

    Attributes:
        spec: names P; None for native parameters.
        theta_d: float32 (d,); None for native parameters.
        theta_0_seed: theta_0 is drawn from it; None if theta_0 is given in full.
        theta_0: float32 (D,): theta_0 itself, or the native parameters.
        network: its description, as JSON.
        versions: of the packages that made it.
    """

    spec: ProjectionSpec | None
    theta_d: NDArray[np.float32] | None
    theta_0_seed: int | None
    theta_0: NDArray[np.float32] | None
    network: dict[str, Any]
    versions: dict[str, str]

    def parameters(self, theta_0: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return the parameters, float32 (D,).

        Args:
            theta_0: drawn from ``theta_0_seed``, where the solution has the seed alone.

        Raises:
            RlidimError: theta_0 is missing, or does not fit P.
        """
        base = self.theta_0 if theta_0 is None else theta_0
        if base is None:
            raise RlidimError("the solution holds theta_0's seed alone: give theta_0")
        if self.spec is None or self.theta_d is None:
            return base
        if base.shape != (self.spec.D,) or self.theta_d.shape != (self.spec.d,):
            raise RlidimError(
                f"the solution is for a network of {self.spec.D} parameters and d = {self.spec.d}; "
                f"theta_0 has {base.size}, theta_d {self.theta_d.size}"
            )
        import torch

        P = from_spec(self.spec)
        moved = P.forward(torch.from_numpy(self.theta_d.copy()), base=torch.from_numpy(base.copy()))
        return np.asarray(moved.numpy())


def serialise(solution: Solution) -> bytes:
    """Return the content of a solution's file."""
    from safetensors.numpy import save as content_of

    tensors = {
        name: np.ascontiguousarray(value, dtype=np.float32)
        for name in ("theta_d", "theta_0")
        if (value := getattr(solution, name)) is not None
    }
    about = {
        "format": FORMAT,
        "spec": None if solution.spec is None else solution.spec.to_json(),
        "theta_0_seed": solution.theta_0_seed,
        "network": solution.network,
        "versions": solution.versions,
    }
    return bytes(content_of(tensors, metadata={"rlidim": json.dumps(about)}))


def write(path: Path, content: bytes) -> None:
    """Write a solution's file in one piece.

    Raises:
        RlidimError: it cannot be written.
    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise RlidimError(f"{path}: cannot be written ({error.strerror})") from error


def load(path: Path) -> Solution:
    """Read a solution.

    Raises:
        RlidimError: missing, truncated, or not a solution of rlidim.
    """
    from safetensors import SafetensorError, safe_open

    check_regular(path, LARGEST_FILE)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError) as error:  # TypeError: numbers numpy has not
        reason = " ".join(str(error).split())
        raise RlidimError(f"{path}: cannot be read as a solution ({reason})") from error
    try:
        about = parse_json(metadata["rlidim"].encode())
        if about["format"] != FORMAT:
            raise KeyError(about["format"])
        check_plain(about, "metadata")
        _check_network(about["network"])
        _check_numbers(tensors)
        _check_theta_0(about["theta_0_seed"], tensors)
        spec = None if about["spec"] is None else ProjectionSpec.from_json(about["spec"])
        solution = Solution(
            spec=spec,
            theta_d=tensors.get("theta_d"),
            theta_0_seed=about["theta_0_seed"],
            theta_0=tensors.get("theta_0"),
            network=about["network"],
            versions=about["versions"],
        )
    except (KeyError, ValueError, TypeError, RlidimError) as error:
        raise RlidimError(f"{path}: not a solution of rlidim ({error})") from error
    if spec is not None and (solution.theta_d is None or solution.theta_d.shape != (spec.d,)):
        raise RlidimError(f"{path}: theta_d does not fit its projection of d = {spec.d}")
    return solution


def _check_network(network: object) -> None:
    if not isinstance(network, dict):
        raise TypeError("its network is no mapping")
    NETWORK_CHECK(network, "network")


def _check_numbers(tensors: Mapping[str, NDArray[Any]]) -> None:
    for name, numbers in tensors.items():
        if numbers.ndim != 1 or numbers.dtype != np.float32:
            raise TypeError(f"{name} is {numbers.dtype} {numbers.shape}, not a list of float32")


def _check_theta_0(seed: object, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a theta_0 that is told twice, or not at all, and a seed that is none."""
    if (seed is None) != ("theta_0" in tensors):
        raise ValueError("it needs either theta_0 or its seed")
    if seed is None:
        return
    SEED_CHECK(seed, "theta_0_seed")
    if "theta_d" not in tensors:
        raise ValueError("it has the seed of theta_0, and no theta_d")


def of_record(record: RunRecord, path: Path, log_dir: Path) -> Solution:
    """Return a record's solution, from beside the run's logs if it is too long for a record.

    Args:
        record: a finished run.
        path: where it was read, for messages.
        log_dir: the folder of logs.

    Raises:
        RlidimError: the run has no solution, or the file that holds it is gone, or another run's.
    """
    if record.cell.trainer == RANDOM:
        raise RlidimError(f"{path}: the score of random behaviour, which has no solution")
    if record.solution is None:
        raise RlidimError(f"{path}: a {record.status} run without a solution")
    if record.solution.get("theta_d") is not None:
        try:
            theta_d = decode(record.solution["theta_d"])
        except ValueError as error:
            raise RlidimError(f"{path}: theta_d is not base64 ({error})") from error
        return Solution(
            spec=ProjectionSpec.from_json(record.solution["spec"]),
            theta_d=theta_d,
            theta_0_seed=record.solution["theta_0_seed"],
            theta_0=None,
            network=record.solution["network"],
            versions={},
        )
    file, cell = log_dir / str(record.cell) / FILE, record.cell
    dimension = "" if cell.d is None else f"--dim {cell.d} --projection {cell.projection} "
    if cell.d is not None and cell.scope != Cell.scope:
        dimension += f"--scope {cell.scope} "
    again = (
        "name the folder of logs that it was made with by --log-dir, or make it again in folders "
        "of its own, with the --set that it was made with: 'rlidim --results NEW "
        f"{cell.task} train --trainer {cell.trainer} {dimension}--seed {cell.seed} --log-dir NEW'"
    )
    if not file.exists():
        raise RlidimError(
            f"{file}: missing, and {path} does not hold the parameters itself: {again}"
        )
    solution = load(file)
    numbers = solution.theta_0 if solution.theta_d is None else solution.theta_d
    expected = record.solution.get("sha256")  # not in the first records
    if expected is not None and (numbers is None or digest(numbers) != expected):
        raise RlidimError(
            f"{file}: the solution of another run than {path}, made since with the same "
            f"--log-dir: {again}"
        )
    return solution
