"""Paired timings: calls made in turn in one process, so that all see the same machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

SHORTEST = 100e-6  # seconds: shorter calls are repeated in one timing, or the clock would count
MOST_REPEATED = 1000
SLOW = 1.0  # seconds: such a call is not made once more to be warm
FEWEST_PAIRS, MOST_PAIRS = 3, 101
RECORDED, MOST_RECORDED, REPLAYS = 1e-3, 10, 11  # seconds and calls of a recording; repetitions
# What is said below every table of ratios.
NOTE = (
    "A ratio is the median of the ratios within pairs of timings, with their quartiles; of the "
    "two figures beside it, one is a median, and the other follows from that and the ratio."
)
SECONDS_A_COMPARISON = {"cpu": 1.0, "cuda": 0.15}  # after the fewest pairs


@dataclass(frozen=True)
class Timed:
    """A call, and how it is timed: on the CPU by its clock, on a GPU by events of its stream."""

    call: Callable[[], object]
    device: torch.device
    threads: int = 1

    def seconds(self, repeats: int) -> float:
        """Return the seconds of one call, the mean of a few in a row."""
        if self.device.type == "cuda":
            return self._seconds_on_the_stream(repeats)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
            self.call()  # starts or stops threads
        start = perf_counter()
        for _ in range(repeats):
            self.call()
        return (perf_counter() - start) / repeats

    def _seconds_on_the_stream(self, repeats: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
        start.record()
        for _ in range(repeats):
            self.call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / repeats

    def warm_seconds(self) -> float:
        """Call it until it is warm and return the seconds of one call."""
        once = self.seconds(1)
        if once < SLOW or self.device.type == "cuda":  # there it may compile first
            once = self.seconds(1)
        return once

    def repeats(self) -> int:
        """Call it until it is warm and return how many calls make one timing long enough."""
        return min(MOST_REPEATED, max(1, math.ceil(SHORTEST / max(self.warm_seconds(), 1e-9))))


def device_seconds(call: Callable[[], object], seconds: float) -> float:
    """Return the seconds of a call on the GPU alone, the median of a few.

    A few calls are recorded as one CUDA graph, which is repeated: a small kernel's launch from
    Python takes longer than the kernel.

    Args:
        call: warm, and the same work each time.
        seconds: of one call with its launches; longer ones are recorded alone.
    """
    calls = min(MOST_RECORDED, max(1, math.ceil(RECORDED / seconds)))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            call()
    timed = Timed(graph.replay, torch.device("cuda"))
    return float(np.median([timed.seconds(1) for _ in range(1 + REPLAYS)][1:])) / calls


@dataclass(frozen=True)
class Comparison:
    """Medians over pairs of timings.

    The ratio is the pairs'. That of the two medians is another number: each may be of another
    moment of the machine.

    Attributes:
        seconds: of one call of ours.
        other_seconds: of one of the other.
        ratio: the median of ours / other within a pair.
        low: the ratios' first quartile.
        high: their third quartile.
        pairs: how many.
    """

    seconds: float
    other_seconds: float
    ratio: float
    low: float
    high: float
    pairs: int

    @classmethod
    def of(cls, ours: NDArray[np.float64], other: NDArray[np.float64]) -> Self:
        """Compare seconds, both (pairs,)."""
        low, ratio, high = np.quantile(ours / other, [0.25, 0.5, 0.75])
        medians = float(np.median(ours)), float(np.median(other))
        return cls(*medians, float(ratio), float(low), float(high), len(ours))

    @property
    def agreeing_seconds(self) -> float:
        """Ours as the ratio and the other's median give them, for figures shown side by side."""
        return self.ratio * self.other_seconds

    def figures(self, name: str) -> dict[str, Any]:
        """Return the ratio under a name, and its quartiles and number of pairs beside it."""
        return {
            name: self.ratio,
            f"{name}_quartiles": [self.low, self.high],
            f"{name}_pairs": self.pairs,
        }

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values: the other's seconds, and the ratio."""
        return {
            "seconds": self.other_seconds,
            "ratio": self.ratio,
            "low": self.low,
            "high": self.high,
            "pairs": self.pairs,
        }


def compare(ours: Timed, other: Timed, seconds: float | None = None) -> Comparison:
    """Time two calls in turn: ours, other, ours, other, ...

    Args:
        ours: the numerator of the ratio.
        other: the denominator.
        seconds: no pair is begun after that long, but the fewest; None for the device's own.
    """
    most = SECONDS_A_COMPARISON[ours.device.type] if seconds is None else seconds
    repeats = ours.repeats(), other.repeats()
    pairs: list[tuple[float, float]] = []
    start = perf_counter()
    while len(pairs) < FEWEST_PAIRS or (len(pairs) < MOST_PAIRS and perf_counter() - start < most):
        pairs.append((ours.seconds(repeats[0]), other.seconds(repeats[1])))
    times = np.array(pairs)
    return Comparison.of(times[:, 0], times[:, 1])


def rounds(
    timings: Sequence[Callable[[], float]], *, fewest: int, seconds: float
) -> list[NDArray[np.float64]]:
    """Take timings too long, or too different each time, for :func:`compare` to repeat.

    A round is one timing of each kind. Every other round goes backwards, so that a machine that
    slows down or speeds up favours none.

    Args:
        timings: each does a unit of work and returns its seconds, timed by itself: what only
            prepares the work is left out.
        fewest: rounds.
        seconds: no round is begun after that long, but the fewest.

    Returns:
        The seconds of each kind, (rounds,): two of them are what :meth:`Comparison.of` compares.
    """
    seconds_of_each: list[list[float]] = [[] for _ in timings]
    number = 0
    start = perf_counter()
    while number < fewest or perf_counter() - start < seconds:
        kinds = list(zip(timings, seconds_of_each, strict=True))
        for timing, times in kinds[:: -1 if number % 2 else 1]:
            times.append(timing())
        number += 1
    return [np.array(times) for times in seconds_of_each]


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    start = perf_counter()
    call()
    return perf_counter() - start


@contextmanager
def threads_restored() -> Iterator[None]:
    """Compute with one thread, then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
