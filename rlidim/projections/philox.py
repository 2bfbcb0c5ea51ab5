"""Philox4x32-10, the counter-based stream behind every projection (Salmon et al., SC 2011).

A value is a pure function of a 64-bit key and a 128-bit counter, so P needs no storage and is the
same whatever the device, the chunking or the number of threads. Written in torch's int64, whose
products wrap modulo 2^64, which leaves both 32-bit halves exact.
"""

from __future__ import annotations

import torch
from torch import Tensor

MULTIPLIER_0 = 0xD2511F53
MULTIPLIER_1 = 0xCD9E8D57
WEYL_0 = 0x9E3779B9
WEYL_1 = 0xBB67AE85
ROUNDS = 10
MASK = 0xFFFFFFFF


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], seed: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return four words for each counter.

    Args:
        counter: four int64 tensors of 32-bit values, of shapes that broadcast.
        seed: the 64-bit key, low word first.

    Returns:
        Four int64 tensors of the broadcast shape, each value in [0, 2^32).
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)  # type: ignore[no-untyped-call]
    key_0, key_1 = seed & MASK, (seed >> 32) & MASK
    for number in range(ROUNDS):
        product_0 = c0 * MULTIPLIER_0
        product_1 = c2 * MULTIPLIER_1
        round_0 = (key_0 + number * WEYL_0) & MASK
        round_1 = (key_1 + number * WEYL_1) & MASK
        c0, c1, c2, c3 = (
            ((product_1 >> 32) & MASK) ^ c1 ^ round_0,
            product_1 & MASK,
            ((product_0 >> 32) & MASK) ^ c3 ^ round_1,
            product_0 & MASK,
        )
    return c0, c1, c2, c3


def words(rows: Tensor, blocks: Tensor, tag: int, seed: int) -> Tensor:
    """Return the stream's words at (row, block) under a family's tag.

    The counter is (row's low word, block, row's high word, tag).

    Args:
        rows: int64, any shape, up to 2^63.
        blocks: int64, of a shape that broadcasts with ``rows``.
        tag: which family, or which part of one.
        seed: the key.

    Returns:
        int64 (..., 4), each value in [0, 2^32).
    """
    tags = torch.full((), tag, dtype=torch.int64, device=rows.device)
    return torch.stack(philox((rows & MASK, blocks, rows >> 32, tags), seed), dim=-1)


def uniform(values: Tensor) -> Tensor:
    """Map words to float64 in the open interval (0, 1)."""
    return (values.to(torch.float64) + 0.5) * 2.0**-32


def signs(values: Tensor) -> Tensor:
    """Map words (..., m) to +1 and -1, int8 (..., 32 m): bit 0 first, a set bit is -1."""
    bits = torch.arange(32, dtype=torch.int64, device=values.device)
    return (1 - 2 * ((values.unsqueeze(-1) >> bits) & 1)).to(torch.int8).flatten(-2)


def sign_stream(count: int, tag: int, seed: int, device: torch.device, start: int = 0) -> Tensor:
    """Return signs start .. start + count - 1 of a stream, 128 to a counter, int8 (count,)."""
    first = start // 128
    calls = torch.arange(first, (start + count + 127) // 128, dtype=torch.int64, device=device)
    skip = start - 128 * first
    drawn = signs(words(calls, torch.zeros_like(calls), tag, seed)).flatten()
    return drawn[skip : skip + count]
