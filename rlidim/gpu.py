"""Everything that waits for a GPU: correctness, the benchmarks, then queued experiments, as JSON.

Needs torch, numpy and click alone, so that it runs on a bare GPU machine; other packages are used
where they are there. Each part is written as it is finished; what is on file for this device and
these versions is not repeated.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError
from rlidim.records import write_atomically

if TYPE_CHECKING:
    import torch

    from rlidim.kernels.measure import Limits, Listener

SIZES_CHECKED = ((562, 4), (4_610, 16), (44_426, 290), (10_007, 997))
TOLERANCE = 1e-5  # relative to the largest element: the sums' order differs between devices
POPULATION = 16
BUDGET = 480.0  # seconds of wall-clock for everything
LONGEST = 10.0  # seconds of one product
OUTPUT = 2_000  # characters at the end of a queued command's output that are kept
# Arguments of rlidim: experiments that wait for a GPU, the shortest first. Their data sets are read
# from RLIDIM_DATA where there is no network.
QUEUE: tuple[tuple[str, ...], ...] = (
    ("mnist-shuffled-labels-fc-50", "measure", "--workers", "1"),
    ("mnist-shuffled-labels-fc", "measure", "--workers", "1"),
    ("mnist-untied-lenet", "measure", "--workers", "1"),
    ("mnist-fctied-lenet", "measure", "--workers", "1"),
    ("mnist-fc-lenet", "measure", "--workers", "1"),
    ("mnist-fc", "measure", "--protocol", "paper", "--workers", "1"),
)


def device() -> torch.device:
    """Return the GPU.

    Raises:
        RlidimError: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise RlidimError("no CUDA device is visible: make gpu needs one")
    return torch.device("cuda")


def run(
    out: Path, budget: float = BUDGET, listener: Listener = lambda line: None
) -> dict[str, Any]:
    """Run what is not on file yet and return all of it.

    Args:
        out: the folder of ``correctness.json``, ``cuda.json`` (products, the shortest sizes
            first), ``steps.json`` (training steps) and ``queue.json``.
        budget: seconds after which nothing new is begun.
        listener: is told what goes on.

    Raises:
        RlidimError: no GPU, or its products differ from the CPU's.
    """
    from rlidim import kernels, steps
    from rlidim.kernels.measure import Limits

    gpu = device()
    limits = Limits(LONGEST, perf_counter() + budget)
    content: dict[str, Any] = {"correctness": correctness(out, gpu, listener)}
    content["kernels"] = kernels.run("cuda", out=out, limits=limits, listener=listener)
    content["steps"] = steps.run(out=out, device=gpu, limits=limits, listener=listener)
    content["queue"] = queue(out / "queue.json", limits, listener)
    return content


def correctness(out: Path, gpu: torch.device, listener: Listener) -> dict[str, Any]:
    """Check every family unless that is on file, and write what was found.

    Raises:
        RlidimError: a backend's products differ from the reference.
    """
    from rlidim.kernels.rows import provenance

    path = out / "correctness.json"
    where = provenance(gpu)
    content = on_file(path, where)
    if content is None:
        listener("correctness of every family and backend")
        content = {**where, "rows": check_all(gpu)}
        write_atomically(path, json.dumps(content, indent=1) + "\n")
    wrong = [row for row in content["rows"] if row.get("agrees") is False]
    if wrong:
        raise RlidimError(f"{path}: the GPU differs from the CPU, first in {wrong[0]}")
    return content


def on_file(path: Path, where: dict[str, Any]) -> dict[str, Any] | None:
    """Return an earlier result if all of it agreed, on this device with these versions."""
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        return None  # half a file of an older program: made anew
    same = all(content.get(key) == value for key, value in where.items())
    agrees = all(row.get("agrees", True) for row in content.get("rows", []))
    return content if same and agrees else None


def check_all(gpu: torch.device) -> list[dict[str, Any]]:
    """Compare every backend's products with the CPU reference's, on fresh random input."""
    import torch

    from rlidim.projections import FAMILIES
    from rlidim.projections.backends import AUTO, implementation

    rows = []
    for D, d in SIZES_CHECKED:
        for family in FAMILIES:
            for place in (torch.device("cpu"), gpu):
                fastest = implementation(family, place, AUTO).backend
                backends = {fastest, "torch"} if place.type == "cuda" else {fastest} - {"torch"}
                rows += [
                    check(family, D, d, secrets.randbits(32), place, backend)
                    for backend in sorted(backends)
                ]
    return rows


def check(
    family: str, D: int, d: int, seed: int, place: torch.device, backend: str
) -> dict[str, Any]:
    """Return the largest relative difference of each kind of product.

    ``population`` is a block of members, ``members`` the same one written member by member.
    """
    import torch

    from rlidim.projections import projection

    generator = torch.Generator().manual_seed(seed)
    row: dict[str, Any] = {"family": family, "D": D, "d": d, "seed": seed}
    row |= {"device": place.type, "backend": backend}
    reference = projection(family, D, d, seed, backend="torch")
    theta, g = torch.randn(d, generator=generator), torch.randn(D, generator=generator)
    block = torch.randn(d, POPULATION, generator=generator)
    try:
        P = projection(family, D, d, seed, device=place, backend=backend)
        members = torch.empty(POPULATION, D, device=place).T  # as the benchmark lays them out
        products = {
            "forward": P.forward(theta.to(place), base=g.to(place)).cpu(),
            "adjoint": P.adjoint(g.to(place)).cpu(),
            "population": P.forward(block.to(place)).cpu(),
            "members": P.forward(block.to(place), out=members).cpu(),
        }
    except Exception as error:  # a kernel that does not run is a difference too
        return row | {"error": f"{type(error).__name__}: {error}", "agrees": False}
    wanted = {
        "forward": reference.forward(theta, base=g),
        "adjoint": reference.adjoint(g),
        "population": reference.forward(block),
    }
    wanted["members"] = wanted["population"]
    differences = {
        name: float((products[name] - right).abs().max() / right.abs().max())
        for name, right in wanted.items()
    }
    return row | differences | {"agrees": max(differences.values()) < TOLERANCE}


def queue(path: Path, limits: Limits, listener: Listener) -> list[dict[str, Any]]:
    """Run the queued commands that time is left for, and write how each went."""
    done: list[dict[str, Any]] = []
    for arguments in QUEUE:
        left = limits.deadline - perf_counter()
        row: dict[str, Any] = {"command": ["rlidim", *arguments], "code": None, "reason": None}
        if left > 0:
            listener(" ".join(row["command"]))
            try:
                ended = subprocess.run(
                    [sys.executable, "-m", "rlidim", *arguments],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=left,
                )
                row |= {"code": ended.returncode, "output": ended.stdout[-OUTPUT:]}
            except subprocess.TimeoutExpired:
                row["reason"] = "it outlasted the budget and was ended"
        else:
            row["reason"] = "the budget was spent"
        done.append(row)
        write_atomically(path, json.dumps(done, indent=1) + "\n")
    return done


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    from rlidim import kernels, steps
    from rlidim.kernels.text import columns

    checks = content["correctness"]
    parts = [f"{len(checks['rows'])} products agree on {checks['hardware'].get('gpu', 'the GPU')}"]
    parts += [kernels.table(content["kernels"]), steps.table(content["steps"])]
    if content["queue"]:
        parts.append(
            columns(
                [
                    {
                        "command": " ".join(row["command"]),
                        "code": row["code"],
                        "reason": row["reason"] or "",
                    }
                    for row in content["queue"]
                ]
            )
        )
    return "\n\n".join(parts)
