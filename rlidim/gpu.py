"""Everything that waits for a GPU: correctness, the benchmarks, then queued experiments, as JSON.

Needs torch, triton, numpy and click alone, so that it runs on a bare GPU machine; queued commands
need the packages that ``make gpu-packages`` brings. Each part is written as it is finished; what is
on file for this device, these versions and these sources is not repeated.
"""

from __future__ import annotations

import filecmp
import io
import json
import math
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError, nearest
from rlidim.records import replace_file, write_atomically

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from rlidim.kernels.measure import Limits, Listener
    from rlidim.projections import Projection

# Of every family; together they reach each way in which Triton's kernels cut P: 32, 64 or 128 signs
# of a counter, one or two Hadamard factors, several tiles of rows.
SIZES_CHECKED = ((562, 4), (4_610, 16), (10_007, 50), (10_007, 997), (44_426, 290))
# Of the families with no independent entry in every place: the longest block of one program and
# one beyond it, a transform in three passes. A dense reference would take minutes.
WIDE_SIZES = ((50_000, 10_000), (70_000, 20_000), (2_100_000, 100))
NOT_WIDE = ("gaussian", "rademacher", "kronecker")
# Row ranges whose counters need more than 32 bits, of the families that keep nothing of length D.
FAR_SIZES = {"rademacher": (2**40, 70), "stacked_fastfood": (2**40, 1000)}
FAR_ROWS = 3_000
EXACT = ("gaussian", "rademacher", "sparse", "hashed", "rotation")  # one product an entry, no sums
BITS_ROWS, BITS_COLUMNS = 200, 1_000  # of a stored part of P, the most
# Relative to the largest element: the sums' order differs between devices.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
BITS = "bits"
POPULATIONS = (5, 80)  # less than a tile's members, and more than one tile of them
MOST_NUMBERS = 2 * 10**7  # of a block of members
BUDGET = 480.0  # seconds of wall-clock for everything
# Of the budget; what a part leaves over is the next one's.
SHARES = {"correctness": 0.2, "kernels": 0.35, "steps": 0.15, "queue": 0.3}
LONGEST = 10.0  # seconds of one product
OUTPUT = 2_000  # characters at the end of a queued command's output that are kept
# Arguments of rlidim: experiments that wait for a GPU, the shortest first.
QUEUE: tuple[tuple[str, ...], ...] = (
    ("mnist-shuffled-labels-fc-50", "measure", "--workers", "1"),
    ("mnist-shuffled-labels-fc", "measure", "--workers", "1"),
    ("mnist-untied-lenet", "measure", "--workers", "1"),
    ("mnist-fctied-lenet", "measure", "--workers", "1"),
    ("mnist-fc-lenet", "measure", "--workers", "1"),
    ("mnist-fc", "measure", "--protocol", "paper", "--workers", "1"),
    # One run a core: the emulators are what a GPU waits for.
    ("pong", "measure", "--dims", "512,1024,2048,4096,8192,16384", "--workers", "16"),
)
# Logs, checkpoints that ended commands go on from, and native solutions, which stay there.
RUNS = Path("build/gpu-runs")
ARCHIVE = "queue.tar.gz"
PREPARE = "from rlidim import gpu; gpu.prepare({only!r})"
CORRECTNESS = ("family", "D", "d", "dtype", "rows", "device", "backend")  # what names a row


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
        out: the folder of ``correctness.json``, ``cuda.json`` (products, the shortest sizes
            first), ``steps.json`` (training steps), ``queue.json`` and the queue's new records,
            ``queue.tar.gz``.
        budget: seconds after which nothing new is begun.
        listener: is told what goes on.
        results: the folder of records that the queue goes on from; it is not written.
        only: a task; all of the budget is for what is queued of it.

    Raises:
        RlidimError: no GPU, its products differ from the CPU's, or nothing of the task is queued.
    """
    from rlidim import kernels, steps

    selected(only)
    gpu = device()
    if only is not None:
        from rlidim.kernels.measure import Limits

        limits = Limits(LONGEST, perf_counter() + budget)
        return {"queue": queue(out, results, limits, listener, only)}
    until = limits_of(budget)
    content: dict[str, Any] = {
        "correctness": correctness(out, gpu, until["correctness"], listener),
        "kernels": kernels.run(gpu.type, out=out, limits=until["kernels"], listener=listener),
        "steps": steps.run(out=out, device=gpu, limits=until["steps"], listener=listener),
    }
    content["queue"] = queue(out, results, until["queue"], listener)
    return content


def limits_of(budget: float) -> dict[str, Limits]:
    """Return what each part may take: its deadline is where its share of the budget ends."""
    from rlidim.kernels.measure import Limits

    now = perf_counter()
    ends = accumulate(SHARES.values())
    return {
        part: Limits(LONGEST, now + budget * end) for part, end in zip(SHARES, ends, strict=True)
    }


def correctness(out: Path, gpu: torch.device, limits: Limits, listener: Listener) -> dict[str, Any]:
    """Check what is not on file as right, and write what was found.

    Raises:
        RlidimError: a backend's products differ from the reference.
    """
    from rlidim.kernels.measure import SPENT
    from rlidim.kernels.rows import RowFile, provenance

    path = out / "correctness.json"
    file = RowFile(path, provenance(gpu), CORRECTNESS)
    rows = []
    for number, case in enumerate(cases := plan(gpu), 1):
        row = case.to_json()
        if not file.done(row):
            if perf_counter() > limits.deadline:
                row["reason"] = SPENT
            else:
                listener(f"[{number}/{len(cases)}] correctness of {case}")
                row |= check(case, secrets.randbits(32))
            file.add([row])
        rows.append(file.rows[file.name(row)])
    wrong = [row for row in rows if row["agrees"] is False]
    if wrong:
        raise RlidimError(f"{path}: the GPU differs from the CPU, first in {wrong[0]}")
    return {**file.where, "rows": rows}


@dataclass(frozen=True)
class Case:
    """One family, size and type of numbers, on one device and backend.

    Attributes:
        rows: start and stop of a range that is checked beside the whole P, or alone where that
            is too large.
    """

    family: str
    D: int
    d: int
    dtype: torch.dtype
    rows: tuple[int, int]
    place: torch.device
    backend: str

    @property
    def far(self) -> bool:
        """Say whether the rows are too far down for the whole P."""
        return (self.D, self.d) == FAR_SIZES.get(self.family)

    def to_json(self) -> dict[str, Any]:
        """Return a row with nothing checked yet."""
        return {
            "family": self.family,
            "D": self.D,
            "d": self.d,
            "dtype": str(self.dtype).removeprefix("torch."),
            "rows": f"{self.rows[0]}-{self.rows[1]}",
            "device": self.place.type,
            "backend": self.backend,
            "seed": None,
            "differences": {},
            "agrees": None,
            "reason": None,
        }

    def __str__(self) -> str:
        """Return ``sparse (562, 4) float32 by triton on cuda``."""
        row = self.to_json()
        size = f"({self.D:,}, {self.d:,}) {row['dtype']}"
        return f"{self.family} {size} by {self.backend} on {self.place.type}"


def plan(gpu: torch.device) -> list[Case]:
    """Return what to check, the shortest first: the fastest backends, and torch on the GPU."""
    import torch

    from rlidim.projections import FAMILIES
    from rlidim.projections.backends import AUTO, implementation

    found = []
    for family in FAMILIES:
        sizes = SIZES_CHECKED + (() if family in NOT_WIDE else WIDE_SIZES)
        for place in dict.fromkeys((torch.device("cpu"), gpu)):
            fastest = implementation(family, place, AUTO).backend
            backends = {fastest, "torch"} if place == gpu else {fastest} - {"torch"}
            for backend in sorted(backends):
                for dtype in (torch.float32, torch.float64):
                    found += [
                        # Ends inside a tile, a block and a counter.
                        Case(family, D, d, dtype, (D // 3 + 1, D - D // 5), place, backend)
                        for D, d in sizes
                    ]
                if family in FAR_SIZES and backend == "triton":
                    D, d = FAR_SIZES[family]
                    rows = D - D // 5 + 1, D - D // 5 + 1 + FAR_ROWS
                    found.append(Case(family, D, d, torch.float32, rows, place, backend))
    return sorted(found, key=lambda case: (case.far, case.D * case.d))


def check(case: Case, seed: int) -> dict[str, Any]:
    """Return the largest relative difference of each kind of product, and whether all agree.

    Random vectors are drawn from the seed, and so is P.
    """
    row: dict[str, Any] = {"seed": seed}
    try:
        P, reference = made(case, seed)
        mine, right = (
            {name: value.cpu() for name, value in products(each, case, seed).items()}
            for each in (P, reference)
        )
    except Exception as error:  # a kernel that does not run is a difference too
        return row | {"agrees": False, "reason": f"{type(error).__name__}: {error}"}
    differences = {name: difference(mine[name], value, name) for name, value in right.items()}
    allowed = TOLERANCES[case.to_json()["dtype"]]
    wrong = [
        name
        for name, found in differences.items()
        if found is None or found > (0.0 if name.startswith(BITS) else allowed)
    ]
    reason = f"it differs in {', '.join(wrong)}" if wrong else None
    return row | {"differences": differences, "agrees": not wrong, "reason": reason}


def difference(mine: Tensor, right: Tensor, name: str) -> float | None:
    """Return the largest difference relative to the largest element, of bits how many differ.

    None stands for what is no finite number.
    """
    import torch

    if name.startswith(BITS):
        return float((mine != right).sum())
    largest = right.abs().max().clamp(min=torch.finfo(right.dtype).tiny)
    found = float((mine - right).abs().max() / largest)
    return found if math.isfinite(found) else None


def made(case: Case, seed: int) -> tuple[Projection, Projection]:
    """Return P as it is checked, and the reference: torch's on the CPU.

    That keeps a sign for each row in stacked_fastfood: far rows are compared with what torch
    computes on the same device in float64, block by block.
    """
    import torch

    from rlidim.projections import projection

    P = projection(
        case.family, case.D, case.d, seed,
        dtype=case.dtype, device=case.place, backend=case.backend,
    )  # fmt: skip
    if case.far and case.family == "stacked_fastfood":
        return P, projection(
            case.family, case.D, case.d, seed,
            dtype=torch.float64, device=case.place, backend=case.backend,
        )  # fmt: skip
    reference = projection(case.family, case.D, case.d, seed, dtype=case.dtype, backend="torch")
    return P, reference


def products(P: Projection, case: Case, seed: int) -> dict[str, Tensor]:
    """Return every kind of product of P, the vectors drawn from the seed alone.

    ``members`` is a block written member by member; what begins with BITS has to be equal.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(P.device, P.dtype)

    start, stop = case.rows
    part, d = P.rows(start, stop), P.d
    found = {}
    for members in [(), *((count,) for count in POPULATIONS)]:
        if (stop if not case.far else stop - start) * max(members, default=1) > MOST_NUMBERS:
            continue
        name = " ".join(["", *map(str, members)])
        theta = drawn(d, *members)
        if not case.far:
            base, g = drawn(P.D), drawn(P.D, *members)
            found[f"forward{name}"] = P.forward(theta, base)
            found[f"adjoint{name}"] = P.adjoint(g)
        base, g = drawn(stop - start), drawn(stop - start, *members)
        found[f"rows' forward{name}"] = part.forward(theta, base)
        found[f"rows' adjoint{name}"] = part.adjoint(g)
        if members and not case.far:
            out = torch.empty(*members, P.D, dtype=P.dtype, device=P.device).T
            found[f"members{name}"] = P.forward(theta, out=out)
    if not case.far and P.family in (*EXACT, "stacked_fastfood") and d <= BITS_COLUMNS:
        found[f"{BITS} of rows"] = P.rows(start, min(start + BITS_ROWS, stop)).to_dense()
    if P.family in EXACT:
        for column in sorted({0, d // 2, d - 1}):
            unit = torch.zeros(d, dtype=P.dtype, device=P.device)
            unit[column] = 1.0
            found[f"{BITS} of column {column}"] = part.forward(unit)
    return found


def prepare(only: str | None = None) -> None:
    """Import what queued commands need and load their data, or end with what is missing, a line.

    Args:
        only: see :func:`run`.
    """
    try:
        import matplotlib.figure  # noqa: F401

        from rlidim import atari, data, progress, report, sweep, trainers  # noqa: F401
        from rlidim import task as tasks

        for task in (tasks.find(arguments[0]) for arguments in selected(only)):
            for trainer in ("random", next(iter(task.trainers))):
                trainers.find(trainer)
            if isinstance(task.environment, tasks.Atari):
                atari.check(task.environment)
            if task.data is not None:
                data.load(task.data.name)
    except ImportError as error:
        sys.exit(f"{error}: make gpu-packages, where there is a network, brings what is missing")
    except RlidimError as error:
        sys.exit(f"the queue cannot run: {error}; RLIDIM_DATA names a folder of copies of data")


def selected(only: str | None) -> list[tuple[str, ...]]:
    """Return what is queued, or what is queued of one task.

    Raises:
        RlidimError: nothing is.
    """
    names = {arguments[0] for arguments in QUEUE}
    if only is not None and only not in names:
        raise RlidimError(f"--queue {only}: nothing of it is queued{nearest(only, names)}")
    return [arguments for arguments in QUEUE if only in (None, arguments[0])]


def queue(
    out: Path, results: Path, limits: Limits, listener: Listener, only: str | None = None
) -> list[dict[str, Any]]:
    """Run the queued commands that time is left for, and write how each went.

    They go on from the records in ``results``, from those that an earlier run packed and from the
    checkpoints in ``RUNS``. After each of them, ended or not, what is new against ``results`` is
    packed again. Where packages or data are missing, one row says so.
    """
    done: list[dict[str, Any]] = []
    path = out / "queue.json"
    others = [] if only is None or not path.exists() else json.loads(path.read_text())

    def write(row: dict[str, Any]) -> None:
        done.append(row)
        names = {each["command"] for each in done}
        kept = [each for each in others if each["command"] not in names]
        write_atomically(path, json.dumps([*kept, *done], indent=1) + "\n")

    if not QUEUE:
        return done
    command = [sys.executable, "-c", PREPARE.format(only=only)]
    missing = ended("prepare the queue", command, limits)
    if missing["code"] != 0:
        lines = missing["output"].split("\n") if missing["output"] else []
        write({**missing, "reason": missing["reason"] or " ".join(lines[-1:])})
        return done
    with tempfile.TemporaryDirectory() as folder:
        copy, archive = Path(folder) / "results", out / ARCHIVE
        copy_records(results, copy)
        if archive.exists():
            with tarfile.open(archive) as packed:
                packed.extractall(copy, filter="data")
        for arguments in selected(only):
            name = " ".join(["rlidim", *arguments])
            listener(name)
            where = ["--results", str(copy), *arguments, "--log-dir", str(RUNS)]
            row = ended(name, [sys.executable, "-m", "rlidim", *where], limits)
            pack(copy, results, archive)
            write(row)
    return done


def ended(name: str, command: list[str], limits: Limits) -> dict[str, Any]:
    """Run a command until it ends or the deadline comes, and return how it went."""
    row: dict[str, Any] = {"command": name, "code": None, "output": "", "reason": None}
    left = limits.deadline - perf_counter()
    if left <= 0:
        return row | {"reason": "the budget was spent"}
    # A session of its own: its worker processes end with it.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=left)
        row["code"] = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        row["reason"] = "it outlasted the budget and was ended"
    except BaseException:  # Ctrl-C does not reach another session
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return row | {"output": output.strip()[-OUTPUT:]}


def copy_records(results: Path, copy: Path) -> None:
    """Copy the records of the queue's tasks and their variants."""
    names = {arguments[0] for arguments in QUEUE}
    for path in sorted(results.glob("*")):
        if path.is_dir() and any(
            path.name == name or path.name.startswith(f"{name}-") for name in names
        ):
            shutil.copytree(path, copy / path.name)


def pack(copy: Path, results: Path, archive: Path) -> None:
    """Write the records that ``results`` lacks or has otherwise into one archive."""
    new = [
        path
        for path in sorted(copy.glob("*/*/*.json"))
        if not same(path, results / path.relative_to(copy))
    ]
    if not new:
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for path in new:
            packed.add(path, path.relative_to(copy))
    replace_file(archive, buffer.getvalue())


def same(path: Path, other: Path) -> bool:
    """Say whether there is another file, of the same content."""
    return other.exists() and filecmp.cmp(path, other, shallow=False)


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    from rlidim import kernels, steps
    from rlidim.kernels.text import columns

    parts = []
    if "correctness" in content:
        checks = content["correctness"]
        agree = sum(row["agrees"] is True for row in checks["rows"])
        name = checks["hardware"].get("gpu", "the GPU")
        parts += [f"{agree} of {len(checks['rows'])} families, sizes and types agree on {name}"]
        parts += [kernels.table(content["kernels"]), steps.table(content["steps"])]
    if content["queue"]:
        shown = ("command", "code", "reason")
        parts.append(columns([{name: row[name] for name in shown} for row in content["queue"]]))
    return "\n\n".join(parts)
