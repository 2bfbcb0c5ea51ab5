"""All work that needs a GPU: correctness, the benchmarks, then queued experiments, as JSON.

Needs torch, triton, numpy and click alone, so that it runs on a bare GPU machine; queued commands
need the packages that ``make gpu-packages`` brings. Each part is written as it is finished; what is
on file for this device, these versions and these sources is not repeated.
"""

from __future__ import annotations

from contextlib import closing
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError
from rlidim.speed.gpu import correctness, many_runs, populations, queued
from rlidim.speed.gpu.processes import Processes

if TYPE_CHECKING:
    import torch

    from rlidim.speed.cases import Limits, Listener

__all__ = ["run", "table"]

BUDGET = 480.0  # seconds of wall-clock for everything
# Shares of the budget; the next part has what one leaves over.
SHARES = {
    "correctness": 0.2,
    "compile": 0.08,
    "many_runs": 0.17,
    "kernels": 0.2,
    "steps": 0.1,
    "populations": 0.05,
    "queue": 0.2,
}
LONGEST = 2.0  # seconds of one product


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
    out: Path,
    budget: float = BUDGET,
    listener: Listener = lambda line: None,
    results: Path = Path("results"),
    only: str | None = None,
) -> dict[str, Any]:
    """Run what is not on file yet and return all of it.

    Args:
        out: the folder of ``correctness.json``, ``cuda.json`` (products, the least work
            first), ``steps-cuda.json`` (training steps), ``populations.json``, ``many_runs.json``,
            ``queue.json`` and the queue's new records, ``queue.tar.gz``.
        budget: seconds after which nothing new is begun.
        listener: is told what goes on.
        results: the folder of records that the queue goes on from; it is not written.
        only: a task; all of the budget is for what is queued of it.

    Raises:
        RlidimError: no GPU, or nothing of the task is queued; and, after all else has run, what
            :func:`check` raises.
    """
    from rlidim.speed import products, steps
    from rlidim.speed.cases import Limits

    queued.selected(only)
    gpu = device()
    if only is not None:
        limits = Limits(LONGEST, perf_counter() + budget)
        return {"queue": queued.run(out, results, limits, listener, only)}
    until = limits_of(budget)
    content: dict[str, Any] = {}
    with closing(Processes()) as processes:
        content["correctness"] = correctness.run(
            out, gpu, until["correctness"], listener, processes
        )
        compile_ahead(out, gpu, until["compile"], listener, processes)
    content |= {
        "many_runs": many_runs.run(out, gpu, until["many_runs"], listener),
        "kernels": products.run(gpu.type, out=out, limits=until["kernels"], listener=listener),
        "steps": steps.run(out=out, device=gpu, limits=until["steps"], listener=listener),
        "populations": populations.run(out, gpu, until["populations"], listener),
        "queue": queued.run(out, results, until["queue"], listener),
    }
    compared = ("correctness", "populations", "many_runs")
    check(out, [row for part in compared for row in content[part]["rows"]])
    return content


def check(out: Path, rows: list[dict[str, Any]]) -> None:
    """Make sure that all comparisons agree, and that none is missing but for want of time.

    Raises:
        RlidimError: it does not, or a comparison failed.
    """
    from rlidim.speed.cases import SPENT

    for row in rows:
        if row["agrees"] is False:
            raise RlidimError(f"{out}: the GPU differs from the CPU, first in {row}")
        if row["reason"] not in (None, SPENT):
            raise RlidimError(f"{out}: not everything could be compared, first of all not {row}")


def compile_ahead(
    out: Path, gpu: torch.device, limits: Limits, listener: Listener, processes: Processes
) -> None:
    """Compile the kernels that are to be timed, in several processes at once."""
    from rlidim.speed.cases import touch
    from rlidim.speed.products import unmeasured

    if processes.count > 1:
        cases = unmeasured(gpu, out)
        listener(f"compile what {len(cases)} cases need")
        for _ in processes.run(touch, [(case, gpu) for case in cases], limits.deadline):
            pass


def limits_of(budget: float) -> dict[str, Limits]:
    """Return what each part may take: its deadline is where its share of the budget ends."""
    from rlidim.speed.cases import Limits

    now = perf_counter()
    ends = accumulate(SHARES.values())
    return {
        part: Limits(LONGEST, now + budget * end) for part, end in zip(SHARES, ends, strict=True)
    }


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    from rlidim.report.columns import text_table
    from rlidim.speed import products, steps

    parts = []
    if "correctness" in content:
        checks = content["correctness"]
        agree = sum(row["agrees"] is True for row in checks["rows"])
        name = checks["hardware"].get("gpu", "the GPU")
        parts += [
            f"{agree} of {len(checks['rows'])} families, sizes and types agree on {name}",
            products.table(content["kernels"]),
            steps.table(content["steps"]),
            populations.table(content["populations"]),
            many_runs.table(content["many_runs"]),
        ]
    if content["queue"]:
        shown = ("command", "code", "reason")
        parts.append(text_table([{name: row[name] for name in shown} for row in content["queue"]]))
    return "\n\n".join(parts)
