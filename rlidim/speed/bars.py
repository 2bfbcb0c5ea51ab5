"""Bars for kernels and training steps on one CPU thread: limits, and where values are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlidim.projections.backends import FAMILIES
from rlidim.speed.rows import Row

KERNELS, STEPS = "kernels", "steps"  # whose rows a bar reads
MNIST_FC, PONG = (199_210, 750), (1_005_974, 6_000)
STRUCTURED = tuple(name for name, kind in FAMILIES.items() if not kind.dense)
STORED = tuple(name for name, kind in FAMILIES.items() if kind.stored)  # as the paper has them
LARGE = MNIST_FC[0]  # D from which memory and the adjoint are judged
Read = Callable[[Row], float | None]


# Why a bar may be missed: reasons in the work itself, whatever the machine.
TWO_VECTORS = {
    "hashed": "the adjoint keeps a block's g and the d sums at hand, 8 d bytes, where the forward "
    "product keeps theta alone: at d = 6000 they leave the first cache",
    "rotation": "the adjoint reads and writes d sums for each block, where the forward product "
    "reads theta alone",
}
WRITING = (
    "a second thread halves the arithmetic, not the writing: what two threads do for writing alone "
    "stands beside it as 'fill itself'"
)
PASSES = (
    "native Adam's one pass over D is replaced by three: gathering g_D, the adjoint, the write; "
    "the table of where the time goes has each"
)


def against(name: str) -> Read:
    """Read the median ratio of ours to another."""
    return lambda row: row["against"].get(name, {}).get("ratio")


def speed_up(row: Row) -> float | None:
    """Read how many times faster several threads are."""
    ratio = against("1 thread")(row)
    return None if ratio is None else 1 / ratio


def of(name: str) -> Read:
    """Read one of the row's own figures."""
    return lambda row: row.get(name)


@dataclass(frozen=True)
class Bar:
    """One demand.

    Attributes:
        name: what is asked.
        limit: the most, or the least, that is right.
        read: the value in a row, None where it was not measured.
        where: fields that a row must have to be read.
        only: what else decides whether a row is read.
        least: whether the limit is the least.
        source: whose rows are read.
        why: what is said where the bar is missed.
    """

    name: str
    limit: float
    read: Read
    where: Mapping[str, Any] = field(default_factory=dict)
    only: Callable[[Row], bool] = lambda row: True
    least: bool = False
    source: str = KERNELS
    why: str = ""

    def value(self, rows: Iterable[Row]) -> float | None:
        """Return the worst value of the rows that the bar reads; None if there is none."""
        values = [
            value
            for row in rows
            if all(row.get(name) == expected for name, expected in self.where.items())
            and self.only(row)
            and (value := self.read(row)) is not None
        ]
        if not values:
            return None
        return min(values) if self.least else max(values)

    def met(self, value: float) -> bool:
        """Say whether a value is right."""
        return value >= self.limit if self.least else value <= self.limit


def at(
    family: str, size: tuple[int, int], operation: str = "forward", threads: int = 1
) -> dict[str, Any]:
    """Return the fields of one family's row."""
    D, d = size
    return {"family": family, "D": D, "d": d, "operation": operation, "threads": threads}


def large(row: Row) -> bool:
    """Say whether a row is of a size at which memory and the adjoint are judged."""
    return bool(row["D"] >= LARGE)


BARS = (
    Bar("rotation forward (1005974, 6000) / fill", 1.5, against("fill"), at("rotation", PONG)),
    Bar(
        "stacked_fastfood forward (199210, 750) / fill",
        5.5,
        against("fill"),
        at("stacked_fastfood", MNIST_FC),
    ),
    Bar(
        "stacked_fastfood forward (1005974, 6000) / fill",
        5.0,
        against("fill"),
        at("stacked_fastfood", PONG),
    ),
    Bar(
        "rademacher forward (199210, 750) / stored GEMV",
        1 / 12,
        against("torch dense"),
        at("rademacher", MNIST_FC),
    ),
    Bar(
        "rademacher forward (5000, 10) / stored GEMV",
        1.0,
        against("torch dense"),
        at("rademacher", (5_000, 10)),
    ),
    *(
        Bar(
            f"{family} adjoint / forward, D >= {LARGE}",
            1.6,
            against("forward"),
            {"family": family, "operation": "adjoint", "threads": 1},
            large,
            why=TWO_VECTORS.get(family, ""),
        )
        for family in STRUCTURED
    ),
    Bar(
        "sparse forward (199210, 750) / scipy CSR",
        1 / 5,
        against("scipy CSR"),
        at("sparse", MNIST_FC),
    ),
    Bar(
        f"extra memory in vectors of D, all but {' and '.join(STORED)}, D >= {LARGE}",
        3.0,
        of("extra_vectors"),
        only=lambda row: large(row) and row["family"] not in STORED,
    ),
    *(
        Bar(
            f"{family}: 2 threads' speed-up, D >= 1000000",
            1.7,
            speed_up,
            {"family": family, "operation": "forward", "threads": 2},
            least=True,
            why=WRITING,
        )
        for family in ("rademacher", "stacked_fastfood")
    ),
    *(
        Bar(
            f"training step in the default family / native, {network}",
            1.05,
            of("ratio"),
            {"network": network, "default": True},
            source=STEPS,
            why=PASSES,
        )
        for network in ("MNIST-FC", "LeNet", "NatureCNN")
    ),
)


def readings(rows: Sequence[Row], source: str) -> list[dict[str, Any]]:
    """Hold rows against the bars of their kind.

    Returns:
        A row a bar: bar, limit (as text, with its sense), value, state (``met``, ``missed``, or
        ``not measured``), and why it is missed.
    """
    judged = []
    for bar in BARS:
        if bar.source == source:
            value = bar.value(rows)
            state = "not measured" if value is None else "met" if bar.met(value) else "missed"
            limit = f"{'>=' if bar.least else '<='} {bar.limit:.3g}"
            why = bar.why if state == "missed" else ""
            judged.append(
                {"bar": bar.name, "limit": limit, "value": value, "state": state, "why": why}
            )
    return judged
