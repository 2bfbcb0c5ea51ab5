"""Correctness on a GPU: products against the CPU's, of every family, size, dtype and backend."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from rlidim.projections.base import Projection
    from rlidim.speed.cases import Limits, Listener
    from rlidim.speed.gpu.processes import Processes

# Of every family; together they reach each way in which Triton's kernels cut P: 32, 64 or 128 signs
# of a counter, one or two Hadamard factors, several tiles of rows, a P in two parts, or drawn anew.
SIZES_CHECKED = (
    (3, 2),
    (600, 570),
    (562, 4),
    (4_610, 16),
    (10_007, 50),
    (10_007, 997),
    (44_426, 290),
)
# Of the families whose blocks Triton's kernels transform: the longest block of one program and
# one beyond it, a transform in three passes. A dense reference would take minutes.
WIDE_SIZES = ((50_000, 10_000), (70_000, 20_000), (2_100_000, 100))
# Row ranges whose counters need more than 32 bits, of the families that keep nothing of length D.
FAR_SIZES = {"rademacher": (2**40, 70), "stacked_fastfood": (2**40, 1000)}
FAR_ROWS = 3_000
BITS_ROWS, BITS_COLUMNS = 200, 1_000  # of a stored part of P, the most
# Relative to the largest element: the sums' order differs between devices.
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
BITS = "bits"
POPULATIONS = (5, 80)  # less than a tile's members, and more than one tile of them
MOST_NUMBERS = 2 * 10**7  # of a block of members, as long as what is transformed for it
NAMES = ("family", "D", "d", "dtype", "rows", "device", "backend")  # the fields that name a row
FILE = "correctness.json"


def run(
    out: Path, gpu: torch.device, limits: Limits, listener: Listener, processes: Processes
) -> dict[str, Any]:
    """Check the cases that are not on file as right, and write their rows.

    Returns:
        Device, versions, hardware, sources and rows; where a backend's products differ from the
        reference, a row does not agree.
    """
    from rlidim.speed.cases import SPENT
    from rlidim.speed.gpu.compared import differs
    from rlidim.speed.rows import RowFile, provenance

    file = RowFile(out / FILE, provenance(gpu), NAMES)
    cases = plan(gpu)
    waiting = {case: secrets.randbits(32) for case in cases if not file.done(case.to_json())}
    listener(f"correctness of {len(waiting)} of {len(cases)} cases")
    unchecked = dict.fromkeys(waiting, SPENT)
    # The longest first: they would be waited for at the end.
    arguments = [(case, seed) for case, seed in reversed(waiting.items())]
    for (case, _), result in processes.run(check, arguments, limits.deadline):
        if isinstance(result, str):
            unchecked[case] = result
            continue
        del unchecked[case]
        file.add([case.to_json() | result])
    file.add(
        case.to_json() | {"reason": reason}
        for case, reason in unchecked.items()
        if reason != SPENT or not differs(file, case.to_json())
    )
    return {**file.where, "rows": [file.rows[file.name(case.to_json())] for case in cases]}


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

    from rlidim.projections.backends import AUTO, FAMILIES, implementation
    from rlidim.projections.triton_kernels import CLASSES

    cases = []
    for family, kind in FAMILIES.items():
        wide = family in CLASSES and not kind.dense
        sizes = SIZES_CHECKED + (WIDE_SIZES if wide else ())
        for place in dict.fromkeys((torch.device("cpu"), gpu)):
            fastest = implementation(family, place, AUTO).backend
            backends = {fastest, "torch"} if place == gpu else {fastest} - {"torch"}
            for backend in sorted(backends):
                for dtype in (torch.float32, torch.float64):
                    cases += [
                        # Ends inside a tile, a block and a counter.
                        Case(family, D, d, dtype, (D // 3 + 1, D - D // 5), place, backend)
                        for D, d in sizes
                    ]
                if family in FAR_SIZES and backend == "triton":
                    D, d = FAR_SIZES[family]
                    rows = D - D // 5 + 1, D - D // 5 + 1 + FAR_ROWS
                    cases.append(Case(family, D, d, torch.float32, rows, place, backend))
    return sorted(cases, key=lambda case: (case.far, case.D * case.d))


def check(case: Case, seed: int) -> dict[str, Any]:
    """Return the largest relative difference of each kind of product, and whether all agree.

    Random vectors are drawn from the seed, and so is P.
    """
    row: dict[str, Any] = {"seed": seed}
    try:
        P, reference = checked_and_reference(case, seed)
        mine, right = (
            {name: value.cpu() for name, value in products(projection, case, seed).items()}
            for projection in (P, reference)
        )
    except Exception as error:  # a kernel that does not run is a difference too
        return row | {"agrees": False, "reason": f"{type(error).__name__}: {error}"}
    differences = {name: difference(mine[name], value, name) for name, value in right.items()}
    allowed = TOLERANCES[case.to_json()["dtype"]]
    wrong = [
        name
        for name, value in differences.items()
        if value is None or value > (0.0 if name.startswith(BITS) else allowed)
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
    relative = float((mine - right).abs().max() / largest)
    return relative if math.isfinite(relative) else None


def checked_and_reference(case: Case, seed: int) -> tuple[Projection, Projection]:
    """Return the P that is checked, and the reference: torch's on the CPU.

    The reference keeps a sign for each row in stacked_fastfood: far rows are compared with what
    torch computes on the same device in float64, block by block.
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
    rows, d = P.rows(start, stop), P.d
    tensors = {}
    length = stop - start if case.far else max(stop, getattr(P, "L", 0))
    for members in [(), *((count,) for count in POPULATIONS)]:
        if length * max(members, default=1) > MOST_NUMBERS:
            continue
        name = " ".join(["", *map(str, members)])
        theta = drawn(d, *members)
        if not case.far:
            base, g = drawn(P.D), drawn(P.D, *members)
            tensors[f"forward{name}"] = P.forward(theta, base)
            tensors[f"adjoint{name}"] = P.adjoint(g)
        base, g = drawn(stop - start), drawn(stop - start, *members)
        tensors[f"rows' forward{name}"] = rows.forward(theta, base)
        tensors[f"rows' adjoint{name}"] = rows.adjoint(g)
        if members and not case.far:
            out = torch.empty(*members, P.D, dtype=P.dtype, device=P.device).T
            tensors[f"members{name}"] = P.forward(theta, out=out)
    if not case.far and P.exact and d <= BITS_COLUMNS:
        tensors[f"{BITS} of rows"] = P.rows(start, min(start + BITS_ROWS, stop)).to_dense()
    if P.exact and not P.transformed:
        for column in sorted({0, d // 2, d - 1}):
            unit = torch.zeros(d, dtype=P.dtype, device=P.device)
            unit[column] = 1.0
            tensors[f"{BITS} of column {column}"] = rows.forward(unit)
    return tensors
