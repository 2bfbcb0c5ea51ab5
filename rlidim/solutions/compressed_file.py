"""The file of a compressed solution (``.rlz``): a header of seeds, and theta_d in few levels.

Li, Farkhoor, Liu, Yosinski, "Measuring the Intrinsic Dimension of Objective Landscapes", ICLR 2018,
section 4: a network trained in a subspace is described by d floats and a seed. The floats become
indices into a codebook (:mod:`rlidim.solutions.quantisation`), and the indices an arithmetic code
(:mod:`rlidim.solutions.arithmetic_code`):

    magic, version, flags, levels, header's size, d    | 12 bytes, little-endian
    header: compact JSON, deflated where that is less  | how to rebuild theta_0 and P
    codebook: its ends; inner levels if not even       | float32, float32; uint16 each
    indices                                            | see ``encode_indices``
    CRC-32 of all the above                            | 4 bytes

The code's model is adaptive, so that no table of frequencies is stored. A library's static coder
would need one, and comes out larger: for d = 750 and 64 even levels the indices' entropy is 482
bytes; this coder takes 495, zlib's Huffman code 520, and a range coder 484 and the 64 frequencies.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlidim.errors import RlidimError
from rlidim.records.files import replace_file
from rlidim.solutions.arithmetic_code import GROWTHS, best_growth, decode_indices, encode_indices
from rlidim.solutions.quantisation import (
    GRID,
    KMEANS,
    LARGEST_D,
    METHODS,
    UNIFORM,
    Quantised,
    as_theta_d,
    quantise,
)
from rlidim.tasks.reading import check_plain, parse_json, read_file

LEVELS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)  # that ``smallest`` tries
SLACK = 1e-9  # of a score: a sum of floats such as 0.9 - 0.01 misses the number it means

MAGIC = b"rlz"
VERSION = 2  # 1 had no settings and no score in the header's dictionary
_START = struct.Struct("<3sBBBHI")  # magic, version, flags, levels - 1, header's bytes, d
_ENDS = struct.Struct("<ff")
_CHECKSUM = struct.Struct("<I")
# Flags.
_GROWTH_BITS = 0b11  # of the indices' model
_NOT_EVEN = 0b100
_DEFLATED = 0b1000
LARGEST_FILE = LARGEST_D + 2**17  # bytes: an index has at most one
_HEADER_LIMIT = 2**16 - 1  # bytes, of the JSON as well as of its stored form
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


@dataclass(frozen=True)
class Parts:
    """The sizes of a file's parts, in bytes.

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
    """Return the bytes of "d floats and a seed" (Li et al. 2018, section 4): 4 a float, 8 a seed.

    Args:
        d: the subspace dimension.
        seeds: how many; the paper's one draws both theta_0 and P.
    """
    return 4 * d + SEED_BYTES * seeds


def _pieces(header: dict[str, Any], quantised: Quantised) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the file's parts before its checksum: start, header, codebook and code."""
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
    _, growth = best_growth(quantised.indices, levels)
    start = _START.pack(MAGIC, VERSION, flags | growth, levels - 1, len(stored), d)
    code = encode_indices(quantised.indices, levels, growth)
    return start, stored, _stored_codebook(quantised), code


def _stored_codebook(quantised: Quantised) -> bytes:
    ends = _ENDS.pack(quantised.low, quantised.high)
    if quantised.method == UNIFORM:
        return ends
    return ends + quantised.places[1:-1].astype("<u2").tobytes()  # the outer two are 0 and GRID


def write(path: Path, header: dict[str, Any], quantised: Quantised) -> Parts:
    """Write a file so that no reader ever sees half of it, and return the sizes of its parts.

    Args:
        path: the file; its folder is made.
        header: JSON-ready values that name the solution and rebuild theta_0 and P: task,
            settings, score, seeds, the projection's specification. At most 65,535 bytes.
        quantised: theta_d.

    Raises:
        RlidimError: the header is not JSON-ready or too long; the file cannot be written.
    """
    start, stored, codebook, code = _pieces(header, quantised)
    content = start + stored + codebook + code
    content += _CHECKSUM.pack(zlib.crc32(content))
    try:
        replace_file(path, content)
    except OSError as error:
        raise RlidimError(f"{path}: cannot be written ({error.strerror})") from error
    return Parts(len(start) + _CHECKSUM.size, len(stored), len(codebook), len(code))


def recognises(path: Path) -> bool:
    """Say whether a file begins as a compressed solution; False if it cannot be read."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except (OSError, ValueError):
        return False


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Read a file's header and d alone: who wrote it chose how long its numbers take to decode.

    Raises:
        RlidimError: see :func:`read`.
    """
    content = read_file(path, LARGEST_FILE)
    try:
        framed = _framed(content)
    except RlidimError as error:
        raise RlidimError(f"{path}: {error}") from error
    return framed.header, framed.d


def read(path: Path) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Read a file.

    Returns:
        The header, and theta_d float32 (d,), bit-equal to ``Quantised.values``.

    Raises:
        RlidimError: missing, damaged, truncated, foreign, or of another version (names the file).
    """
    content = read_file(path, LARGEST_FILE)
    try:
        header, quantised = _parse(content)
    except RlidimError as error:
        raise RlidimError(f"{path}: {error}") from error
    return header, quantised.values()


@dataclass(frozen=True)
class _Framed:
    """A file whose checksum, flags and header are right; ``rest`` begins with the codebook."""

    flags: int
    levels: int
    d: int
    header: dict[str, Any]
    rest: bytes


def _framed(content: bytes) -> _Framed:
    """Take a file's content apart, nothing decoded but its header."""
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
    # From this point on only a badly written file can fail.
    growth = flags & _GROWTH_BITS
    if growth not in GROWTHS or flags > _DEFLATED | _NOT_EVEN | _GROWTH_BITS or d > LARGEST_D:
        raise RlidimError("not a compressed solution of rlidim (flags or d)")
    position = _START.size + header_size
    header = _parse_header(body[_START.size : position], deflated=bool(flags & _DEFLATED))
    return _Framed(flags, last_level + 1, d, header, body[position:])


def _parse(content: bytes) -> tuple[dict[str, Any], Quantised]:
    """Return what a file's content holds."""
    framed = _framed(content)
    levels, rest = framed.levels, framed.rest
    inner = max(0, levels - 2) if framed.flags & _NOT_EVEN else 0
    if len(rest) < _ENDS.size + 2 * inner:
        raise RlidimError("not a compressed solution of rlidim (sizes)")
    low, high = _ENDS.unpack_from(rest)
    if framed.flags & _NOT_EVEN:
        places = np.array([0, *np.frombuffer(rest, "<u2", inner, _ENDS.size), GRID][:levels])
    else:
        places = np.arange(levels)
    code = rest[_ENDS.size + 2 * inner :]
    indices = decode_indices(code, levels, framed.flags & _GROWTH_BITS, framed.d)
    method = KMEANS if framed.flags & _NOT_EVEN else UNIFORM
    return framed.header, Quantised(method, low, high, places.astype(np.uint16), indices)


def _parse_header(stored: bytes, *, deflated: bool) -> dict[str, Any]:
    """Return the header's values."""
    try:
        if deflated:
            inflate = zlib.decompressobj(wbits=-15, zdict=_USUAL_HEADER)
            stored = inflate.decompress(stored, _HEADER_LIMIT)
        header = parse_json(stored)
    except (ValueError, zlib.error) as error:
        raise RlidimError(f"not a compressed solution of rlidim ({error})") from error
    if not isinstance(header, dict):
        raise RlidimError("not a compressed solution of rlidim (its header is no mapping)")
    check_plain(header, "not a compressed solution of rlidim (its header)")
    return header


def smallest(
    theta_d: ArrayLike,
    evaluate: Callable[[NDArray[np.float32]], float],
    least: float,
) -> Quantised | None:
    """Return the smallest quantised theta_d that scores at least ``least``, or None.

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
    numbers = as_theta_d(theta_d)
    candidates: list[tuple[int, int, Quantised]] = []
    for method in METHODS:
        for levels in LEVELS:
            quantised = quantise(numbers, levels, method)
            bits, _ = best_growth(quantised.indices, quantised.places.size)
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
