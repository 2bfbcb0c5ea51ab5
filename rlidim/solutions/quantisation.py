"""Quantisation of theta_d to few levels: evenly spaced, or by k-means (Lloyd 1982).

Li et al. 2018, section 4, describes a network by d floats and a seed. Here the floats become
indices into a codebook of at most 256 levels, which :mod:`rlidim.solutions.arithmetic_code` codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlidim.errors import RlidimError, nearest

UNIFORM, KMEANS = METHODS = ("uniform", "kmeans")
MOST_LEVELS = 256  # an index is one byte
LARGEST_D = 2**24  # keeps the arithmetic coder's totals below its span
ITERATIONS = 50  # of Lloyd, at most
GRID = 2**16 - 1  # steps between the codebook's ends: one part in 65,535 of the range


@dataclass(frozen=True, eq=False)
class Quantised:
    """theta_d in few levels: a codebook and indices into it.

    The codebook is kept as its ends and its levels' places between them, because that is the form
    in the file. 16 bits a level are half of float32 and, unlike float16, as fine for any
    scale and offset of theta_d.

    Attributes:
        method: ``uniform`` or ``kmeans``.
        low: the lowest level, a float32 number.
        high: the highest.
        places: uint16 (levels,), ascending from 0: a level is ``low + (high - low) * place / last
            place``. 0, 1, 2, ... for even levels; 0 .. ``GRID`` otherwise.
        indices: uint8 (d,), into the codebook.

    Raises:
        RlidimError: the values make no codebook, or no indices into it.
    """

    method: str
    low: float
    high: float
    places: NDArray[np.uint16]
    indices: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check the values, for the encoder and a file's reader alike."""
        _check_method(self.method)
        levels, d = self.places.size, self.indices.size
        if self.places.dtype != np.uint16 or self.places.shape != (levels,):
            raise RlidimError("places must be uint16 (levels,)")
        if self.indices.dtype != np.uint8 or self.indices.shape != (d,):
            raise RlidimError("indices must be uint8 (d,)")
        if not (1 <= levels <= MOST_LEVELS and 1 <= d <= LARGEST_D):
            raise RlidimError(
                f"levels must be 1 to {MOST_LEVELS} and d 1 to {LARGEST_D}, got {levels} and {d}"
            )
        ends = np.array([self.low, self.high], np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            exact = np.isfinite(ends).all() and (ends.astype(np.float32) == ends).all()
        if not exact or self.low > self.high:
            raise RlidimError(
                f"the codebook's ends must be float32 and ascend, got {self.low} and {self.high}"
            )
        places = self.places.astype(np.int64)
        last = levels - 1 if self.method == UNIFORM or levels == 1 else GRID
        if places[0] != 0 or places[-1] != last or (np.diff(places) <= 0).any():
            raise RlidimError(f"places must ascend from 0 to {last}")
        if int(self.indices.max()) >= levels:
            raise RlidimError(f"indices must be below the {levels} levels")

    @property
    def codebook(self) -> NDArray[np.float32]:
        """The levels, float32 (levels,), ascending; the same bits on every machine."""
        share = self.places.astype(np.float64) / max(1, int(self.places[-1]))
        levels: NDArray[np.float64] = (1 - share) * self.low + share * self.high
        return levels.astype(np.float32)

    def values(self) -> NDArray[np.float32]:
        """Return theta_d as decoded from the file, float32 (d,)."""
        return self.codebook[self.indices]


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise RlidimError(f"unknown method '{method}'{nearest(method, METHODS)}")


def quantise(theta_d: ArrayLike, levels: int, method: str) -> Quantised:
    """Replace each number by the nearest of a few levels. Deterministic.

    ``uniform``: levels evenly spaced from the least number to the largest. ``kmeans``: levels that
    Lloyd's algorithm ("Least squares quantization in PCM", 1982) moves towards the least mean
    squared error; empty ones are dropped. It ends near where it starts, so it starts three times
    and the best end is taken: from the quantiles of the numbers; from those of their density's cube
    root, the best placing of many levels (Panter and Dite, "Quantization distortion in pulse-count
    modulation", 1951); and from the even levels, so that ``kmeans`` is no worse than ``uniform`` up
    to the rounding of its levels to 1/65,535 of the range.

    Args:
        theta_d: (d,), rounded to float32.
        levels: at most so many, 2 .. 256; equal numbers need but one.
        method: ``uniform`` or ``kmeans``.

    Raises:
        RlidimError: an unknown method, levels or d out of range, numbers that are not finite.
    """
    _check_method(method)
    if not 2 <= levels <= MOST_LEVELS:
        raise RlidimError(f"levels must be between 2 and {MOST_LEVELS}, got {levels}")
    numbers = as_theta_d(theta_d)
    ordered = np.sort(numbers).astype(np.float64)
    if ordered[0] == ordered[-1]:
        places = np.zeros(1, np.uint16)
        ends = ordered[[0, -1]]
    elif method == UNIFORM:
        places = np.arange(levels, dtype=np.uint16)
        ends = ordered[[0, -1]]
    else:
        centroids = _kmeans(ordered, levels)
        ends = centroids[[0, -1]].astype(np.float32).astype(np.float64)
        share = np.clip((centroids - ends[0]) / (ends[1] - ends[0]), 0, 1)
        places = np.unique(np.rint(share * GRID).astype(np.uint16))
    low, high = float(ends[0]), float(ends[1])
    empty = Quantised(method, low, high, places, np.zeros(1, np.uint8))
    between = _midpoints(empty.codebook.astype(np.float64))
    indices = np.searchsorted(between, numbers.astype(np.float64)).astype(np.uint8)
    return Quantised(method, low, high, places, indices)


def as_theta_d(theta_d: ArrayLike) -> NDArray[np.float32]:
    """Return the numbers as float32 (d,).

    Raises:
        RlidimError: another shape, d out of range, or numbers that are not finite in float32.
    """
    with np.errstate(over="ignore"):
        numbers = np.asarray(theta_d).astype(np.float32)
    if numbers.ndim != 1 or not 1 <= numbers.size <= LARGEST_D:
        raise RlidimError(f"theta_d must be (d,) with d in 1 .. {LARGEST_D}, got {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise RlidimError("theta_d must be finite in float32")
    return numbers


def _midpoints(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    return (levels[1:] + levels[:-1]) / 2


def _kmeans(ordered: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """Return at most ``levels`` centroids, ascending, of ascending numbers, not all equal."""
    distinct = np.unique(ordered)
    if distinct.size <= levels:
        return distinct
    steps = (np.arange(levels) + 0.5) / levels
    # The gap between neighbours is one over the density: p^(1/3) dx is gap^(2/3).
    scale = np.concatenate([[0.0], np.cumsum(np.cbrt(np.diff(ordered) ** 2))])
    ends = [
        _lloyd(ordered, start)
        for start in (
            ordered[(steps * ordered.size).astype(np.int64)],
            np.interp(steps * scale[-1], scale, ordered),
            np.linspace(ordered[0], ordered[-1], levels),
        )
    ]
    return min(ends, key=lambda end: end[0])[1]


def _lloyd(
    ordered: NDArray[np.float64], centroids: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the sum of squared errors and the centroids that Lloyd's algorithm ends with."""
    for _ in range(ITERATIONS):
        inner = np.searchsorted(ordered, _midpoints(centroids), "right")
        cuts = np.unique([0, *inner.tolist(), ordered.size])  # drops empty clusters
        # float64 sums of up to 2^24 float32 numbers: no mean is rounded out of its cluster.
        moved = np.add.reduceat(ordered, cuts[:-1]) / np.diff(cuts)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    errors = (ordered - np.repeat(centroids, np.diff(cuts))) ** 2
    return float(errors.sum()), centroids
