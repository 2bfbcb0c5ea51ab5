"""Everything that waits for a GPU: correctness against the CPU, then timings, as JSON.

Needs torch and numpy alone, so that it runs on a bare GPU machine. Each part is written as it is
finished; a part that is on file for this device and these versions is not repeated.
"""

from __future__ import annotations

import json
import secrets
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError
from rlidim.records import versions, write_atomically

if TYPE_CHECKING:
    import torch

SIZES_CHECKED = ((562, 4), (4_610, 16), (44_426, 290), (10_007, 997))
SIZES_TIMED = ((44_426, 290), (199_210, 750), (1_005_974, 6_000))
TOLERANCE = 1e-5  # relative to the largest element: the sums' order differs between devices
POPULATION = 16
REPEATS = 20
SECONDS_A_TIMING = 20.0  # a family that needs more for one product is not timed at that size


def device() -> torch.device:
    """Return the GPU.

    Raises:
        RlidimError: there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise RlidimError("no CUDA device is visible: make gpu needs one")
    return torch.device("cuda")


def run(out: Path) -> dict[str, Any]:
    """Run what is not on file yet and return all of it.

    Args:
        out: the folder of ``correctness.json`` and ``timings.json``.

    Raises:
        RlidimError: no GPU, or the GPU's products differ from the CPU's.
    """
    import torch

    gpu = device()
    where = {"device": torch.cuda.get_device_name(gpu), "versions": versions()}
    parts: dict[str, Callable[[torch.device], list[dict[str, Any]]]] = {
        "correctness": check_all,
        "timings": time_all,
    }
    content = {}
    for name, part in parts.items():
        path = out / f"{name}.json"
        content[name] = on_file(path, where)
        if content[name] is None:
            content[name] = {**where, "rows": part(gpu)}
            write_atomically(path, json.dumps(content[name], indent=1) + "\n")
        wrong = [row for row in content[name]["rows"] if row.get("agrees") is False]
        if wrong:
            raise RlidimError(f"{path}: the GPU differs from the CPU, first in {wrong[0]}")
    return content


def on_file(path: Path, where: dict[str, Any]) -> Any:
    """Return a part's earlier result if it was made on this device with these versions."""
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return None  # half a file of an older program: made anew
    same = all(content.get(key) == value for key, value in where.items())
    agrees = all(row.get("agrees", True) for row in content.get("rows", []))
    return content if same and agrees else None


def check_all(gpu: torch.device) -> list[dict[str, Any]]:
    """Compare every family's products on the GPU with the CPU's, on fresh random input."""
    from rlidim.projections import FAMILIES

    return [
        check(family, D, d, secrets.randbits(32), gpu)
        for D, d in SIZES_CHECKED
        for family in FAMILIES
    ]


def check(family: str, D: int, d: int, seed: int, gpu: torch.device) -> dict[str, Any]:
    """Return the largest relative difference of forward, adjoint and population products."""
    import torch

    from rlidim.projections import projection

    generator = torch.Generator().manual_seed(seed)
    here = projection(family, D, d, seed)
    there = projection(family, D, d, seed, device=gpu)
    theta, g = torch.randn(d, generator=generator), torch.randn(D, generator=generator)
    block = torch.randn(d, POPULATION, generator=generator)
    differences = {}
    for name, ours, theirs in (
        ("forward", here.forward(theta, base=g), there.forward(theta.to(gpu), base=g.to(gpu))),
        ("adjoint", here.adjoint(g), there.adjoint(g.to(gpu))),
        ("population", here.forward(block), there.forward(block.to(gpu))),
    ):
        scale = float(ours.abs().max())
        differences[name] = float((ours - theirs.cpu()).abs().max()) / scale
    agrees = max(differences.values()) < TOLERANCE
    return {"family": family, "D": D, "d": d, "seed": seed, **differences, "agrees": agrees}


def time_all(gpu: torch.device) -> list[dict[str, Any]]:
    """Time every family's products, shortest sizes first, beside filling D floats."""
    from rlidim.projections import FAMILIES

    rows = []
    for D, d in SIZES_TIMED:
        for family in FAMILIES:
            rows.append(time_family(family, D, d, gpu))
    return rows


def time_family(family: str, D: int, d: int, gpu: torch.device) -> dict[str, Any]:
    """Return median milliseconds of forward and adjoint, and of filling D floats."""
    import torch

    from rlidim.projections import projection

    row: dict[str, Any] = {"family": family, "D": D, "d": d}
    P = projection(family, D, d, 0, device=gpu)
    theta, g = torch.randn(d, device=gpu), torch.randn(D, device=gpu)
    out = torch.empty(D, device=gpu)
    start = time.perf_counter()
    P.forward(theta, out=out)
    torch.cuda.synchronize()
    row["first_ms"] = 1e3 * (time.perf_counter() - start)
    if row["first_ms"] > 1e3 * SECONDS_A_TIMING:
        return row
    repeats = 3 if row["first_ms"] > 1e3 else REPEATS
    row["fill_ms"] = median_ms(lambda: out.fill_(1.0), REPEATS)
    row["forward_ms"] = median_ms(lambda: P.forward(theta, out=out), repeats)
    row["adjoint_ms"] = median_ms(lambda: P.adjoint(g), repeats)
    return row


def median_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call by CUDA events, in milliseconds."""
    import torch

    call()
    times: list[float] = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def table(content: dict[str, Any]) -> str:
    """Return the results a line each."""
    lines = []
    for name, part in content.items():
        lines.append(f"{name} on {part['device']}")
        for row in part["rows"]:
            shown = (
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                for key, value in row.items()
            )
            lines.append("  " + ", ".join(shown))
    return "\n".join(lines)
