"""Products of every family at every size, timed against filling memory and against peers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.backends import AUTO, FAMILIES, families, implementation
from rlidim.projections.base import Projection
from rlidim.speed.memory import available_bytes, held_bytes, peak_growth
from rlidim.speed.paired import Timed, compare, device_seconds, threads_restored
from rlidim.speed.peers import OPERATIONS, Call, Inputs, UnavailableError, peers_of
from rlidim.speed.rows import Row, RowFile

SIZES = (
    (562, 4),  # the paper's CartPole network
    (4_610, 16),  # Stable-Baselines3's
    (44_426, 290),  # LeNet
    (199_210, 750),  # the fully connected network on MNIST
    (1_005_974, 6_000),  # the paper's Pong network
    (10**7, 10**4),
)
CUDA_SIZES = ((10**8, 10**4), (10**9, 10**5))
HUGE = 10**8  # parameters from which a size is measured after all others
NARROW = ("rademacher", 5_000, 10)  # as many bits of a row as d: the stored matrix is small too
POPULATION = 32
NAMES = ("family", "D", "d", "operation", "threads", "backend")  # the fields that name a row
THREADED_FROM = 10**6  # rows of P from which two threads are compared with one
PROBED_FROM = 2**28  # entries of P from which a smaller P foretells the time
PROBE_ENTRIES = 2**25  # of that smaller P
COPIES = {"torch": 5}  # of a block's product that a backend may need besides; 1 for the others
VECTORS = 3  # of D that any product needs: its input, its output, and P's own
LONGEST = 10.0  # seconds of one product
CALLS_A_ROW = 12  # of a slow product, for its comparisons
SPENT = "the time for the whole benchmark was spent"
PREPARATION = 6  # times as long as the longest product may it take to make P
Listener = Callable[[str], None]


@dataclass(frozen=True)
class Case:
    """One family at one size."""

    family: str
    D: int
    d: int

    @property
    def work(self) -> int:
        """About how much a product does: D d where every entry is made, else D."""
        return self.D * (self.d if families()[self.family].dense else 1)

    def __str__(self) -> str:
        """Return ``sparse (562, 4)``."""
        return f"{self.family} ({self.D:,}, {self.d:,})"


@dataclass(frozen=True)
class Limits:
    """The time that a benchmark may take.

    Attributes:
        longest: seconds; a product that would take longer is not measured, nor one whose P would
            take a few times as long to make.
        deadline: of ``perf_counter``; nothing is begun after it.
    """

    longest: float = LONGEST
    deadline: float = math.inf


DEFAULT_LIMITS = Limits()


def device_of(name: str) -> torch.device:
    """Return a device to measure on.

    Raises:
        RlidimError: it is neither ``cpu`` nor a visible ``cuda``.
    """
    if name not in ("cpu", "cuda"):
        raise RlidimError(f"unknown device '{name}' (one of: cpu, cuda)")
    if name == "cuda" and not torch.cuda.is_available():
        raise RlidimError("no CUDA device is visible: use --device cpu")
    return torch.device(name)


def plan(
    device: torch.device,
    families: Sequence[str] = (),
    sizes: Sequence[tuple[int, int]] = (),
) -> list[Case]:
    """Return what to measure, the least work first, and networks of no known size last.

    Args:
        device: where.
        families: these alone.
        sizes: these (D, d) alone.
    """
    chosen = families or tuple(FAMILIES)
    all_sizes = SIZES + (CUDA_SIZES if device.type == "cuda" else ())
    cases = [Case(family, D, d) for D, d in sizes or all_sizes for family in chosen]
    if not sizes and NARROW[0] in chosen:
        cases.append(Case(*NARROW))
    return sorted(cases, key=lambda case: (case.D >= HUGE, case.work))


def time_cases(
    cases: Sequence[Case],
    device: torch.device,
    file: RowFile,
    limits: Limits = DEFAULT_LIMITS,
    listener: Listener = lambda line: None,
) -> list[Row]:
    """Time the cases that are not on file yet, in the given order; return the rows of all.

    Raises:
        RlidimError: the file cannot be written.
    """
    rows: list[Row] = []
    inputs = Inputs(0, 0, device, POPULATION)
    with threads_restored():
        for number, case in enumerate(cases, 1):
            if (inputs.D, inputs.d) != (case.D, case.d):
                del inputs  # a stored matrix of the last size makes room
                inputs = Inputs(case.D, case.d, device, POPULATION)
            blank = blank_rows(case, device)
            missing = [row for row in blank if not file.done(row)]
            if missing:
                listener(f"[{number}/{len(cases)}] {case} on {device.type}")
                if perf_counter() > limits.deadline:
                    fail(missing, SPENT)
                else:
                    fill(missing, case, inputs, limits)
                file.add(missing)
            rows += [file.rows[file.name(row)] for row in blank]
    return rows


def touch(case: Case, device: torch.device) -> None:
    """Compute every product of a case once, so that a just-in-time compiler's files are on disk.

    A failure is ignored: the product's timing reports it.
    """
    with suppress(Exception):
        P = projection(case.family, case.D, case.d, 0, device=device)
        inputs = Inputs(case.D, case.d, device, POPULATION)
        for operation in OPERATIONS:
            product(P, inputs, operation)()
        synchronize(device)


def blank_rows(case: Case, device: torch.device) -> list[Row]:
    """Return a case's rows with nothing measured yet."""
    backend = implementation(case.family, device, AUTO).backend
    products = [(operation, 1) for operation in OPERATIONS]
    if device.type == "cpu" and case.D >= THREADED_FROM and (os.cpu_count() or 1) > 1:
        products.append(("forward", 2))
    return [
        {
            "family": case.family,
            "D": case.D,
            "d": case.d,
            "operation": operation,
            "members": POPULATION if operation == "population" else 1,
            "threads": threads,
            "backend": backend,
            "seconds": None,
            "rate": None,
            "rate_unit": f"{families()[case.family].counted}/s",
            "prepare_seconds": None,
            "extra_vectors": None,
            "against": {},
            "reason": None,
        }
        for operation, threads in products
    ]


def fail(rows: Sequence[Row], reason: str) -> None:
    """Say why rows have no time."""
    for row in rows:
        row["reason"] = reason


def fill(rows: Sequence[Row], case: Case, inputs: Inputs, limits: Limits) -> None:
    """Measure a case's rows in place; what cannot be measured says why."""
    try:
        foretold = foretell(case, inputs.device, limits)
        if foretold.get("prepare", 0.0) > PREPARATION * limits.longest:
            fail(rows, too_long("making P", foretold["prepare"], PREPARATION * limits.longest))
            return
        if available_bytes(inputs.device) < VECTORS * 4 * case.D:
            fail(rows, f"{VECTORS} vectors of D do not fit into the free memory")
            return
        start = perf_counter()
        P = projection(case.family, case.D, case.d, 0, device=inputs.device)
        synchronize(inputs.device)
        prepared = perf_counter() - start
    except Exception as error:
        fail(rows, reason_of(error))
        return
    for row in rows:
        row["prepare_seconds"] = prepared
        seconds = foretold.get(row["operation"], 0.0)
        if seconds > limits.longest:
            fail([row], too_long("one product", seconds, limits.longest))
            continue
        if perf_counter() + CALLS_A_ROW * seconds > limits.deadline:
            fail([row], SPENT)
            continue
        try:
            fill_row(row, P, inputs)
        except Exception as error:  # one product that fails is listed, the others are measured
            row.update(seconds=None, rate=None, against={}, reason=reason_of(error))


def too_long(work: str, seconds: float, most: float) -> str:
    """Return why work was not begun: it would take too long."""
    return f"{work} would take about {seconds:,.0f} s, more than {most:g} s"


def reason_of(error: Exception) -> str:
    """Return one line about a failure."""
    if isinstance(error, RlidimError | UnavailableError):
        return str(error)
    lines = str(error).splitlines() or [""]
    if isinstance(error, MemoryError) or "memory" in lines[0]:
        return "out of memory"
    return f"failed: {type(error).__name__}: {lines[0]}"


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def foretell(case: Case, device: torch.device, limits: Limits) -> dict[str, float]:
    """Return about how many seconds making P (``prepare``) and each product will take.

    Known from a P with fewer rows, whose work grows with D: for sparse, with its root. Empty for
    sizes small enough to try.
    """
    rows = max(case.d, PROBE_ENTRIES // case.d)
    if case.D * case.d < PROBED_FROM or rows >= case.D:
        return {}
    growth = case.D / rows
    if case.family == "sparse":
        growth = math.sqrt(growth)
    start = perf_counter()
    P = projection(case.family, rows, case.d, 0, device=device)
    synchronize(device)
    foretold = {"prepare": growth * (perf_counter() - start)}
    inputs = Inputs(rows, case.d, device, POPULATION)
    for operation in OPERATIONS:
        if foretold["prepare"] > PREPARATION * limits.longest:
            break
        timed = Timed(product(P, inputs, operation), device)
        foretold[operation] = growth * timed.warm_seconds()
    return foretold


def product(P: Projection, inputs: Inputs, operation: str) -> Call:
    """Return our call for an operation."""
    if operation == "forward":
        return lambda: P.forward(inputs.theta, out=inputs.out)
    if operation == "adjoint":
        return lambda: P.adjoint(inputs.g)
    return lambda: P.forward(inputs.block, out=inputs.out_block)


def fill_row(row: Row, P: Projection, inputs: Inputs) -> None:
    """Time one product against the floor, the peers and whatever else it is judged by.

    Raises:
        UnavailableError: it does not fit into the free memory.
    """
    operation, device = row["operation"], inputs.device
    result = 4 * inputs.D * row["members"]
    size = result * (1 + COPIES.get(P.backend, 1))
    if operation == "population" and size > available_bytes(device):
        raise UnavailableError(f"{row['members']} members need about {size / 2**30:,.0f} GiB")
    call = product(P, inputs, operation)
    ours = Timed(call, device, row["threads"])
    against: dict[str, Any] = row["against"]
    if row["threads"] > 1:
        comparison = compare(ours, Timed(call, device))
        against["1 thread"] = comparison.to_json()
        set_time(row, comparison.seconds)

        def floor() -> Tensor:
            return inputs.out.fill_(1.0)

        fill_itself = compare(Timed(floor, device, row["threads"]), Timed(floor, device))
        against["fill itself"] = fill_itself.to_json()
        return
    written = inputs.out_block if operation == "population" else inputs.out
    fill = Timed(lambda: written.fill_(1.0), device)
    comparison = compare(ours, fill)
    against["fill"] = comparison.to_json()
    set_time(row, comparison.seconds)
    set_device_time(row, ours)
    set_device_time(against["fill"], fill)
    if operation == "adjoint":
        forward = Timed(product(P, inputs, "forward"), device)
        against["forward"] = compare(ours, forward).to_json()
    for peer in peers_of(row["family"], device):
        try:
            theirs = Timed(peer.build(inputs, operation), device)
            against[peer.name] = compare(ours, theirs).to_json()
            set_device_time(against[peer.name], theirs)
        except Exception as error:
            against[peer.name] = {"reason": reason_of(error)}
    if operation != "population":
        growth = peak_growth(call, device)
        if growth is not None:
            row["extra_vectors"] = (held_bytes(P) + growth) / (4 * inputs.D)


def set_device_time(figures: dict[str, Any], timed: Timed) -> None:
    """Add ``device_seconds``, of a GPU without the launches, or ``device_reason``, why not."""
    if timed.device.type != "cuda":
        return
    try:
        figures["device_seconds"] = device_seconds(timed.call, figures["seconds"])
    except Exception as error:  # what a recording cannot hold
        figures["device_reason"] = reason_of(error)


def set_time(row: Row, seconds: float) -> None:
    """Set a row's time and its rate: entries of P, or bytes of the vectors read and written."""
    dense = families()[row["family"]].dense
    work = row["D"] * row["d"] if dense else 4 * (row["D"] + row["d"])
    row["seconds"] = seconds
    row["rate"] = work * row["members"] / seconds
