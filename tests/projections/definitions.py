"""Every family's P as its docstring defines it: a dense float64 matrix, by numpy and scipy alone.

Slow and plain: an explicit stream, ``numpy.kron``, explicit transforms, signs and permutations,
and explicit scattering of single entries. Only the constants of the stream and of the normal
numbers' cubics are the package's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from rlidim.projections.normal import CUBICS
from rlidim.projections.philox import MASK, MULTIPLIER_0, MULTIPLIER_1, ROUNDS, WEYL_0, WEYL_1

Matrix = NDArray[np.float64]


# --- the stream -----------------------------------------------------------------------------------


def philox_numpy(counter: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """Return Philox4x32-10's four words at each counter (..., 4), in numpy's uint64 arithmetic."""
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter).astype(np.uint64), -1, 0)
    half, mask = np.uint64(32), np.uint64(MASK)
    for number in range(ROUNDS):
        product_0 = c0 * np.uint64(MULTIPLIER_0)
        product_1 = c2 * np.uint64(MULTIPLIER_1)
        round_0 = np.uint64((seed + number * WEYL_0) & MASK)
        round_1 = np.uint64(((seed >> 32) + number * WEYL_1) & MASK)
        c0, c1, c2, c3 = (
            (product_1 >> half) ^ c1 ^ round_0,
            product_1 & mask,
            (product_0 >> half) ^ c3 ^ round_1,
            product_0 & mask,
        )
    return np.stack((c0, c1, c2, c3), axis=-1).astype(np.uint32)


def drawn(rows: int, blocks: int, tag: int, seed: int) -> NDArray[np.int64]:
    """Return the words of counters (row, block), int64 (rows, 4 blocks); rows have 32 bits here."""
    counter = np.zeros((rows, blocks, 4), np.uint32)
    counter[..., 0] = np.arange(rows)[:, None]
    counter[..., 1] = np.arange(blocks)
    counter[..., 3] = tag
    return philox_numpy(counter, seed).astype(np.int64).reshape(rows, 4 * blocks)


def bits(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row's bits, the low one of the first word first."""
    return ((words[..., None] >> np.arange(32)) & 1).reshape(len(words), -1)


def sign_stream(count: int, tag: int, seed: int) -> Matrix:
    """Return signs, 128 to a counter; a set bit is -1."""
    found = 1.0 - 2.0 * bits(drawn(-(-count // 128), 1, tag, seed))
    return found.reshape(-1)[:count]


def sign_matrix(rows: int, columns: int, tag: int, seed: int) -> Matrix:
    """Return rows of 32, 64 or a multiple of 128 bits: four, two or one of them to a counter."""
    if columns > 64:
        return (1.0 - 2.0 * bits(drawn(rows, -(-columns // 128), tag, seed)))[:, :columns]
    width = 32 if columns <= 32 else 64
    return sign_stream(rows * width, tag, seed).reshape(rows, width)[:, :columns]


def normal_numbers(words: NDArray[np.int64]) -> Matrix:
    """Return two numbers a word, in units of 1/4096: bit 15 is the sign, the rest the place."""
    halves = np.stack((words & 0xFFFF, words >> 16), axis=-1).reshape(len(words), -1)
    odd = 2 * (halves & 0x7FFF) + 1
    octave = np.floor(np.log2(odd)).astype(int)
    within = (odd / 2.0**octave).astype(np.float32)
    constant, linear, square, cube = np.array(CUBICS, np.float32)[:, octave]
    magnitude = constant + within * (linear + within * (square + within * cube))
    return np.where(halves >= 2**15, -1.0, 1.0) * np.round(magnitude).astype(np.float64)


def of_unit_columns(matrix: Matrix) -> Matrix:
    return matrix / np.sqrt((matrix**2).sum(axis=0))


def of_full_rank(draw: Callable[[int], Matrix]) -> Matrix:
    """Return the first draw with independent columns: draw(0), draw(0x1000), ..."""
    for attempt in itertools.count():
        P = draw(0x1000 * attempt)
        d = P.shape[1]
        if P.any(axis=0).all() and np.linalg.matrix_rank(of_unit_columns(P)) == d:
            return P
    raise AssertionError


# --- the families ---------------------------------------------------------------------------------


def rademacher(D: int, d: int, seed: int) -> Matrix:
    return of_full_rank(lambda retry: sign_matrix(D, d, tag=2 + retry, seed=seed)) / math.sqrt(D)


def gaussian(D: int, d: int, seed: int) -> Matrix:
    """Eight entries of a row from a counter, columns then of unit length."""

    def draw(retry: int) -> Matrix:
        return normal_numbers(drawn(D, -(-d // 8), tag=1 + retry, seed=seed))[:, :d]

    return of_unit_columns(of_full_rank(draw))


def sparse(D: int, d: int, seed: int) -> Matrix:
    """Geometric gaps between a column's entries, a word each; a column never stays empty."""
    return of_unit_columns(of_full_rank(lambda retry: sparse_entries(D, d, 3 + retry, seed)))


def sparse_entries(D: int, d: int, tag: int, seed: int) -> Matrix:
    density = 1.0 / math.sqrt(D)
    counter = np.zeros((d, D // 4 + 1, 4), np.uint32)  # a gap is at least one row
    counter[..., 0] = np.arange(D // 4 + 1)
    counter[..., 1] = np.arange(d)[:, None]
    counter[..., 3] = tag
    gap_words = philox_numpy(counter, seed).astype(np.int64).reshape(d, -1)
    counter[..., 3] = tag + 0x0100
    sign_words = philox_numpy(counter, seed).reshape(d, -1)
    P = np.zeros((D, d))
    for column in range(d):
        row = -1
        for gap_word, sign_word in zip(gap_words[column], sign_words[column], strict=True):
            uniform = (int(gap_word) + 0.5) / 2.0**32
            row += 1 if D == 1 else 1 + math.floor(math.log(uniform) / math.log1p(-density))
            if row >= D:
                break
            P[row, column] = 1.0 - 2.0 * (int(sign_word) & 1)
        if not P[:, column].any():
            P[gap_words[column, 1] % D, column] = 1.0 - 2.0 * (int(sign_words[column, 0]) & 1)
    return P


def fastfood(D: int, d: int, seed: int) -> Matrix:
    """H G Pi H B of length L, cut, over sqrt(D sum G^2)."""
    L = 1 << (D - 1).bit_length()
    if D > 8 and d > L / 8:
        L *= 8
    parity = np.arange(D)[:, None] & np.arange(L)  # d <= D: the first d columns are the first rows
    for shift in (16, 8, 4, 2, 1):
        parity ^= parity >> shift
    H = 1.0 - 2.0 * (parity & 1)

    def draw(retry: int) -> Matrix:
        B = sign_stream(d, tag=4 + retry, seed=seed)
        first, second = drawn(L, 1, tag=4 + 0x0100 + retry, seed=seed)[:, :2].T
        permuted = sorted(range(L), key=lambda i: (first[i] >> 1, second[i] >> 1))
        G = normal_numbers(drawn(-(-L // 8), 1, tag=4 + 0x0200 + retry, seed=seed)).reshape(-1)[:L]
        return (H * G) @ (H[:d, permuted].T * B) / math.sqrt(D * (G**2).sum())

    return of_full_rank(draw)


def stacked_fastfood(D: int, d: int, seed: int) -> Matrix:
    """Blocks T_k H S_k H B, cut, columns then of unit length; two such matrices where n > D."""
    n = 1 << (d - 1).bit_length()
    if n <= D:
        return of_unit_columns(stack(D, d, 5, seed))
    halves = ((n // 2, 5), (d - n // 2, 5 + 0x0400))
    return of_unit_columns(
        of_full_rank(
            lambda retry: np.hstack([stack(D, width, tag + retry, seed) for width, tag in halves])
        )
    )


def stack(D: int, d: int, tag: int, seed: int) -> Matrix:
    """[T_1 H S_1 H B; T_2 H S_2 H B; ...], cut."""
    n = 1 << (d - 1).bit_length()
    blocks = -(-D // n)
    H = hadamard(n).astype(float)
    B = sign_stream(d, tag=tag + 0x0100, seed=seed)
    T = sign_stream(blocks * n, tag=tag + 0x0200, seed=seed).reshape(blocks, n)
    S = sign_stream(blocks * n, tag=tag, seed=seed).reshape(blocks, n)
    made = [(t[:, None] * H * s) @ (H[:, :d] * B) for t, s in zip(T, S, strict=True)]
    return np.concatenate(made)[:D]


def scattered(columns: NDArray[np.int64], D: int, width: int, tag: int, seed: int) -> Matrix:
    """One signed entry a row, at its column."""
    P = np.zeros((D, width))
    P[np.arange(D), columns] = sign_stream(D, tag, seed)
    return of_unit_columns(P)


def hashed(D: int, d: int, seed: int, entries: int = 1) -> Matrix:
    """Row t of block k at column (a_k t + b_k) mod width, in each group of columns."""
    P = np.zeros((D, d))
    for group in range(entries):
        width = len(range(group, d, entries))
        tag = 6 + 0x10000 * group
        columns = []
        for row in drawn(-(-D // width), 1, tag + 0x0100, seed)[:, :2]:
            factor, shift = (int(word) % width for word in row)
            while math.gcd(factor, width) != 1:  # upwards to the next one that is coprime
                factor = (factor + 1) % width
            columns += [(factor * t + shift) % width for t in range(width)]
        P[:, group::entries] = scattered(np.array(columns[:D]), D, width, tag, seed)
    return P


def rotation(D: int, d: int, seed: int) -> Matrix:
    """Row k d + t at column (t + r_k) mod d."""
    shifts = drawn(-(-D // d), 1, 7 + 0x0100, seed)[:, 0] % d
    rows = np.arange(D)
    return scattered((rows % d + shifts[rows // d]) % d, D, d, tag=7, seed=seed)


def kronecker(D: int, d: int, seed: int) -> Matrix:
    """A (x) B / sqrt(D), cut to D rows and d columns."""
    D2 = 1 << (math.ceil(math.sqrt(D)) - 1).bit_length()
    D1 = math.ceil(D / D2)
    d1 = min(math.ceil(math.sqrt(d)), D1)
    d2 = math.ceil(d / d1)
    A = sign_matrix(D1, d1, tag=8, seed=seed)
    B = sign_matrix(D2, d2, tag=8 + 0x0100, seed=seed)
    return np.kron(A, B)[:D, :d] / math.sqrt(D)


DEFINITIONS = {
    definition.__name__: definition
    for definition in (
        rademacher,
        gaussian,
        sparse,
        fastfood,
        stacked_fastfood,
        hashed,
        rotation,
        kronecker,
    )
}
