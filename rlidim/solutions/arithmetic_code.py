"""An adaptive arithmetic coder of small whole numbers.

Witten, Neal, Cleary, "Arithmetic coding for data compression", 1987. A number is a path of binary
decisions down a tree of splits of the levels; each decision has a count of either outcome so far,
which both sides keep, so that no table of frequencies is stored beside the code.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# The arithmetic coder's state is 64 bits wide and moves 32 at a time.
_WORD = 32
_WORD_MASK = 2**_WORD - 1
_STATE_MASK = 2 ** (2 * _WORD) - 1
# Counts are integers in units of 1/32 observation. 2^24 observations and the strongest prior,
# 2 * 4^7 more, are below 2^30 units, so a span of 2^32 or more splits into two that are not empty.
_SEEN = 32
_PRIOR = 2 * _SEEN  # at the first split
GROWTHS = (0, 1, 2)  # of the model: how fast the prior grows down the tree, see ``_prior``


def _splits(levels: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (first, middle, end, depth) of each split; ``middle`` is different in each."""
    stack = [(0, levels, 0)]
    while stack:
        first, end, depth = stack.pop()
        if end - first > 1:
            middle = (first + end) // 2
            yield first, middle, end, depth
            stack += [(first, middle, depth + 1), (middle, end, depth + 1)]


def _prior(levels: int, growth: int) -> tuple[list[int], list[int]]:
    """Return the prior counts of indices below and not below each middle.

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

    The code's bytes are these bits, rounded up, and at most one more.
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


def best_growth(indices: NDArray[np.uint8], levels: int) -> tuple[float, int]:
    """Return the shortest code's bits over the model's growths, and that growth.

    Args:
        indices: uint8 (d,), below ``levels``.
        levels: 1 .. 256.
    """
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
        code: of :func:`encode_indices`; zeros follow it.
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
