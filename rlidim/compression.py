"""Description lengths measured by writing the file: a header of seeds and theta_d in few levels.

Li, Farkhoor, Liu, Yosinski, "Measuring the Intrinsic Dimension of Objective Landscapes", ICLR 2018,
section 4: a network found in a subspace is described by d floats and a seed. Here the floats become
indices into a codebook, and the indices an arithmetic code:

    magic, version, flags, levels, header's size, d    | 12 bytes, little-endian
    header: compact JSON, deflated where that is less  | what rebuilds theta_0 and P
    codebook: its ends; inner levels if not even       | float32, float32; uint16 each
    indices                                            | see ``encode_indices``
    CRC-32 of all that                                 | 4 bytes

The code's model is adaptive, so that no table of frequencies is stored. A library's static coder
would need one, and comes out larger: for d = 750 and 64 even levels the indices' entropy is 482
bytes; this coder takes 495, zlib's Huffman code 520, and a range coder 484 and the 64 frequencies.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlidim.errors import RlidimError, nearest
from rlidim.records.files import replace_file

UNIFORM, KMEANS = METHODS = ("uniform", "kmeans")
LEVELS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)  # that ``smallest`` tries
MOST_LEVELS = 256  # an index is one byte
LARGEST_D = 2**24  # keeps the coder's totals below its span: see ``_SEEN``
ITERATIONS = 50  # of Lloyd, at most
SLACK = 1e-9  # of a score: a sum of floats such as 0.9 - 0.01 misses the number it means
GRID = 2**16 - 1  # steps between the codebook's ends: one part in 65,535 of the range

MAGIC = b"rlz"
VERSION = 2  # 1 had no settings and no score in the header's dictionary
_START = struct.Struct("<3sBBBHI")  # magic, version, flags, levels - 1, header's bytes, d
_ENDS = struct.Struct("<ff")
_CHECKSUM = struct.Struct("<I")
# Flags.
_GROWTH_BITS = 0b11  # of the indices' model
_NOT_EVEN = 0b100
_DEFLATED = 0b1000
_HEADER_LIMIT = 2**16 - 1  # bytes, of JSON as well as of what is stored
# Deflate refers back into this text, so that the usual keys cost next to nothing. A change of it
# is a new version of the format.
_USUAL_HEADER = (
    b'"gaussian","sparse","fastfood","hashed","options":{"entries":"rotation","kronecker"'
    b'"classifier":{"architecture":"lenet""fc","bias":true,"input":[1,28,28],"data":{"name":"cifar'
    b'"tanh","continuous","normal","orthogonal","xavier_uniform","seed":0,"seeds":[0,false'
    b'{"network":{"action":"argmax","activation":"relu","clip_observation":10.0,"hidden":[200,200],'
    b'"high":null,"initialisation":"he_normal","low":null,"observation_mean":null,'
    b'"observation_size":784,"observation_variance":null,"output_gain":1.0,"output_size":10},'
    b'{"score":0.,"settings":"","spec":{"D":,"d":,"family":"stacked_fastfood""rademacher","layout_version":1,'
    b'"options":{},"seed":},"task":"mnist-","theta_0_seed":'
)
SEED_BYTES = 8  # 0 .. 2^64 - 1

# The arithmetic coder's state is 64 bits wide and moves 32 at a time.
_WORD = 32
_WORD_MASK = 2**_WORD - 1
_STATE_MASK = 2 ** (2 * _WORD) - 1
# Counts are integers in units of 1/32 observation. 2^24 observations and the strongest prior,
# 2 * 4^7 more, are below 2^30 units, so a span of 2^32 or more splits into two that are not empty.
_SEEN = 32
GROWTHS = (0, 1, 2)
_PRIOR = 2 * _SEEN


@dataclass(frozen=True, eq=False)
class Quantised:
    """theta_d in few levels.

    The codebook is kept as its ends and its levels' places between them, because that is the form
    it has in the file. 16 bits a level are half of float32 and, unlike float16, as fine for any
    scale and offset of theta_d.

    Attributes:
        method: ``uniform`` or ``kmeans``.
        low: the lowest level, a float32 number.
        high: the highest.
        places: uint16 (levels,), ascending from 0: a level is ``low + (high - low) * place / last
            place``. 0, 1, 2, ... for even levels; 0 .. ``GRID`` otherwise.
        indices: uint8 (d,), into the codebook.

    Raises:
        RlidimError: these do not make a codebook and indices into it.
    """

    method: str
    low: float
    high: float
    places: NDArray[np.uint16]
    indices: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Check what both the encoder and a file's reader rely on."""
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
        """Return theta_d as it comes back from the file, float32 (d,)."""
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
    numbers = _as_theta_d(theta_d)
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


def _as_theta_d(theta_d: ArrayLike) -> NDArray[np.float32]:
    """Return float32 (d,), checked."""
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


# ---------------------------------------------------------------------------------------------
# The indices' code: binary decisions down a tree of splits, each with a count of either outcome.


def _splits(levels: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first, middle, end, depth) of each split; ``middle`` is different in each."""
    waiting = [(0, levels, 0)]
    while waiting:
        first, end, depth = waiting.pop()
        if end - first > 1:
            middle = (first + end) // 2
            yield first, middle, end, depth
            waiting += [(first, middle, depth + 1), (middle, end, depth + 1)]


def _prior(levels: int, growth: int) -> tuple[list[int], list[int]]:
    """Return the counts before anything is seen, of indices below and not below each middle.

    A split at depth l starts with 2 * 2^(growth l) observations, shared by the number of levels on
    either side: a Polya tree (Lavine, "Some aspects of Polya tree distributions for statistical
    modelling", 1992). The more of them deep in the tree, the more alike are neighbouring levels
    taken to be: 0 suits any histogram, 2 a smooth one.
    """
    below, above = [0] * levels, [0] * levels
    for first, middle, end, depth in _splits(levels):
        total = _PRIOR << (growth * depth)
        below[middle] = total * (middle - first) // (end - first)
        above[middle] = total - below[middle]
    return below, above


def code_length(indices: NDArray[np.uint8], levels: int, growth: int) -> float:
    """Return the bits of the indices' code, in closed form.

    Args:
        indices: uint8 (d,), below ``levels``.
        levels: 1 .. 256.
        growth: of the model: one of ``GROWTHS``.

    The file's bytes are these, rounded up, and at most one more.
    """
    counts = np.concatenate([[0], np.cumsum(np.bincount(indices, minlength=levels))]).tolist()
    below, above = _prior(levels, growth)
    nats = 0.0
    for first, middle, end, _ in _splits(levels):
        seen = (counts[middle] - counts[first], counts[end] - counts[middle])
        prior = (below[middle] / _SEEN, above[middle] / _SEEN)
        nats += math.lgamma(sum(prior) + sum(seen)) - math.lgamma(sum(prior))
        for start, more in zip(prior, seen, strict=True):
            nats -= math.lgamma(start + more) - math.lgamma(start)
    return nats / math.log(2)


def _best_growth(indices: NDArray[np.uint8], levels: int) -> tuple[float, int]:
    """Return the least bits and the growth that gives them."""
    return min((code_length(indices, levels, growth), growth) for growth in GROWTHS)


def encode_indices(indices: NDArray[np.uint8], levels: int, growth: int) -> bytes:
    """Return the indices' code.

    Arithmetic coding (Witten, Neal, Cleary, "Arithmetic coding for data compression", 1987) of
    each index's binary decisions down a tree of splits; the counts behind a decision's probability
    are those of the indices before it. Integers alone, so that every machine decodes the same.

    Args:
        indices: uint8 (d,), below ``levels``.
        levels: 1 .. 256.
        growth: of the model: one of ``GROWTHS``.
    """
    below, above = _prior(levels, growth)
    low, span = 0, _STATE_MASK
    words: list[int] = []
    for index in indices.tolist():
        first, end = 0, levels
        while end - first > 1:
            middle = (first + end) >> 1
            count = below[middle]
            bound = span * count // (count + above[middle])
            if index < middle:
                span = bound
                below[middle] = count + _SEEN
                end = middle
            else:
                low += bound
                span -= bound
                above[middle] += _SEEN
                first = middle
            if span <= _WORD_MASK:
                words.append(low >> _WORD)  # may not fit: carried below
                low = (low & _WORD_MASK) << _WORD
                span <<= _WORD
    # The number in low .. low + span - 1 with the most zeros at its end, which are not stored.
    for zeros in range(2 * _WORD, -1, -8):
        last = -(-low >> zeros) << zeros
        if last < low + span:
            break
    words += [last >> _WORD, last & _WORD_MASK]
    carry = 0
    for position in reversed(range(len(words))):
        carry, words[position] = divmod(words[position] + carry, _WORD_MASK + 1)
    return struct.pack(f">{len(words)}I", *words).rstrip(b"\0")


def decode_indices(code: bytes, levels: int, growth: int, d: int) -> NDArray[np.uint8]:
    """Undo :func:`encode_indices`; any bytes decode to some d indices below ``levels``.

    Args:
        code: what :func:`encode_indices` returned; zeros follow it.
        levels: as encoded.
        growth: as encoded.
        d: how many indices.
    """
    below, above = _prior(levels, growth)
    padded = code + bytes(-len(code) % 4)
    words = iter(struct.unpack(f">{len(padded) // 4}I", padded))
    point = next(words, 0) << _WORD | next(words, 0)  # less the encoder's low
    span = _STATE_MASK
    indices = bytearray(d)
    for position in range(d):
        first, end = 0, levels
        while end - first > 1:
            middle = (first + end) >> 1
            count = below[middle]
            bound = span * count // (count + above[middle])
            if point < bound:
                span = bound
                below[middle] = count + _SEEN
                end = middle
            else:
                point -= bound
                span -= bound
                above[middle] += _SEEN
                first = middle
            if span <= _WORD_MASK:
                point = point << _WORD | next(words, 0)
                span <<= _WORD
        indices[position] = first
    return np.frombuffer(bytes(indices), np.uint8)


# ---------------------------------------------------------------------------------------------
# The file.


@dataclass(frozen=True)
class Parts:
    """Bytes of a file's parts.

    Attributes:
        frame: magic, version, sizes and checksum.
        header: task, seeds and projection, as stored.
        codebook: its ends and inner levels.
        indices: their code.
    """

    frame: int
    header: int
    codebook: int
    indices: int

    @property
    def total(self) -> int:
        """The file's size."""
        return self.frame + self.header + self.codebook + self.indices


def paper_bound(d: int, seeds: int = 1) -> int:
    """Return the bytes of "d floats and a seed" (Li et al. 2018, section 4): 4 d and 8 a seed.

    Args:
        d: the subspace dimension.
        seeds: the paper's one draws both theta_0 and P.
    """
    return 4 * d + SEED_BYTES * seeds


def _pieces(header: dict[str, Any], quantised: Quantised) -> tuple[bytes, bytes, bytes, bytes]:
    """Return start, header, codebook and code; the checksum is missing."""
    try:
        text = json.dumps(
            header, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RlidimError(f"the header is not JSON-ready ({error})") from error
    if len(text) > _HEADER_LIMIT:
        raise RlidimError(f"the header has {len(text)} bytes, the most is {_HEADER_LIMIT}")
    deflate = zlib.compressobj(9, wbits=-15, zdict=_USUAL_HEADER)
    stored = deflate.compress(text) + deflate.flush()
    flags = _DEFLATED
    if len(stored) >= len(text):
        stored, flags = text, 0
    if quantised.method == KMEANS:
        flags |= _NOT_EVEN
    levels, d = quantised.places.size, quantised.indices.size
    _, growth = _best_growth(quantised.indices, levels)
    start = _START.pack(MAGIC, VERSION, flags | growth, levels - 1, len(stored), d)
    code = encode_indices(quantised.indices, levels, growth)
    return start, stored, _stored_codebook(quantised), code


def _stored_codebook(quantised: Quantised) -> bytes:
    ends = _ENDS.pack(quantised.low, quantised.high)
    if quantised.method == UNIFORM:
        return ends
    return ends + quantised.places[1:-1].astype("<u2").tobytes()  # the outer two are 0 and GRID


def size_of_parts(header: dict[str, Any], quantised: Quantised) -> Parts:
    """Return how the bytes that :func:`write` would write divide.

    Raises:
        RlidimError: see :func:`write`.
    """
    start, stored, codebook, code = _pieces(header, quantised)
    return Parts(len(start) + _CHECKSUM.size, len(stored), len(codebook), len(code))


def write(path: Path, header: dict[str, Any], quantised: Quantised) -> int:
    """Write a file so that no reader ever sees half of it, and return its bytes.

    Args:
        path: the file; its folder is made.
        header: JSON-ready values that rebuild theta_0 and P and say of what: task, settings,
            score, seeds, the projection's specification. At most 65,535 bytes.
        quantised: theta_d.

    Raises:
        RlidimError: the header is not JSON-ready or too long; the file cannot be written.
    """
    content = b"".join(_pieces(header, quantised))
    content += _CHECKSUM.pack(zlib.crc32(content))
    try:
        replace_file(path, content)
    except OSError as error:
        raise RlidimError(f"{path}: cannot be written ({error.strerror})") from error
    return len(content)


def recognises(path: Path) -> bool:
    """Say whether a file begins as these do, whatever its name; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read(path: Path) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Read a file.

    Returns:
        The header, and theta_d float32 (d,), bit-equal to what ``Quantised.values`` returned.

    Raises:
        RlidimError: missing, damaged, truncated, foreign, or of another version (names the file).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        header, quantised = _parse(content)
    except RlidimError as error:
        raise RlidimError(f"{path}: {error}") from error
    return header, quantised.values()


def _parse(content: bytes) -> tuple[dict[str, Any], Quantised]:
    """Return what a file's content holds."""
    if not content.startswith(MAGIC):
        raise RlidimError("not a compressed solution of rlidim")
    if len(content) < _START.size + _ENDS.size + _CHECKSUM.size:
        raise RlidimError("a compressed solution, but truncated")
    body, end = content[: -_CHECKSUM.size], content[-_CHECKSUM.size :]
    _, version, flags, last_level, header_size, d = _START.unpack_from(body)
    # Before the checksum: another version may have another one, or none.
    if version != VERSION:
        raise RlidimError(
            f"format {version}, this rlidim reads {VERSION}: install the one it is by"
        )
    if _CHECKSUM.unpack(end) != (zlib.crc32(body),):
        raise RlidimError("damaged or truncated: its checksum does not match")
    # From here on only a file that was made wrong can fail.
    levels = last_level + 1
    growth = flags & _GROWTH_BITS
    if growth not in GROWTHS or flags > _DEFLATED | _NOT_EVEN | _GROWTH_BITS or d > LARGEST_D:
        raise RlidimError("not a compressed solution of rlidim (flags or d)")
    position = _START.size + header_size
    header = _parse_header(body[_START.size : position], deflated=bool(flags & _DEFLATED))
    inner = max(0, levels - 2) if flags & _NOT_EVEN else 0
    if len(body) < position + _ENDS.size + 2 * inner:
        raise RlidimError("not a compressed solution of rlidim (sizes)")
    low, high = _ENDS.unpack_from(body, position)
    position += _ENDS.size
    if flags & _NOT_EVEN:
        places = np.array([0, *np.frombuffer(body, "<u2", inner, position), GRID][:levels])
    else:
        places = np.arange(levels)
    indices = decode_indices(body[position + 2 * inner :], levels, growth, d)
    method = KMEANS if flags & _NOT_EVEN else UNIFORM
    return header, Quantised(method, low, high, places.astype(np.uint16), indices)


def _parse_header(stored: bytes, *, deflated: bool) -> dict[str, Any]:
    """Return the header's values."""
    try:
        if deflated:
            inflate = zlib.decompressobj(wbits=-15, zdict=_USUAL_HEADER)
            stored = inflate.decompress(stored, _HEADER_LIMIT)
        header = json.loads(stored)
    except (ValueError, RecursionError, zlib.error) as error:
        raise RlidimError(f"not a compressed solution of rlidim ({error})") from error
    if not isinstance(header, dict):
        raise RlidimError("not a compressed solution of rlidim (its header is no mapping)")
    return header


def smallest(
    theta_d: ArrayLike,
    evaluate: Callable[[NDArray[np.float32]], float],
    least: float,
) -> Quantised | None:
    """Return the smallest form of theta_d that is still good enough, or None if none is.

    Every method and every number in ``LEVELS`` is a candidate. Their sizes are computed in closed
    form, to within a byte, and they are evaluated from the smallest on until one passes: at most 24
    evaluations, usually far fewer. No bisection, because a score need not grow with the levels, and
    the first that passes is the smallest whether it does or not. Candidates with equal values share
    an evaluation.

    Args:
        theta_d: (d,).
        evaluate: scores a theta_d, float32 (d,); the larger the better. NaN passes nothing.
        least: the least score that is good enough, ``SLACK`` below it included.

    Raises:
        RlidimError: see :func:`quantise`.
    """
    numbers = _as_theta_d(theta_d)
    candidates: list[tuple[int, int, Quantised]] = []
    for method in METHODS:
        for levels in LEVELS:
            quantised = quantise(numbers, levels, method)
            bits, _ = _best_growth(quantised.indices, quantised.places.size)
            size = len(_stored_codebook(quantised)) + math.ceil(bits / 8)
            candidates.append((size, len(candidates), quantised))
    failed: set[bytes] = set()
    for _, _, quantised in sorted(candidates, key=lambda candidate: candidate[:2]):
        values = quantised.values()
        if values.tobytes() in failed:
            continue
        if evaluate(values) >= least - SLACK:
            return quantised
        failed.add(values.tobytes())
    return None
