"""The Walsh-Hadamard transform of the last axis, by matrix products of its Kronecker factors."""

from __future__ import annotations

import torch
from torch import Tensor

FACTOR = 256  # the largest factor: the transform is a few products with small matrices


def next_power_of_two(n: int) -> int:
    """Return the least power of two that is at least n."""
    return 1 << (n - 1).bit_length()


def sylvester(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return Sylvester's Hadamard matrix, entries +1 and -1, (n, n)."""
    index = torch.arange(n, dtype=torch.int64, device=device)
    common = index.unsqueeze(1) & index
    parity = torch.zeros_like(common)
    while int(common.max()) > 0:
        parity ^= common & 1
        common = common >> 1
    return (1 - 2 * parity).to(dtype)


class Hadamard:
    """H x, unnormalised, in the natural order, for x (..., n), n a power of two."""

    def __init__(self, n: int, dtype: torch.dtype, device: torch.device) -> None:
        """Split n into factors of at most 256."""
        self.n = n
        sizes = []
        rest = n
        while rest > 1:
            sizes.append(min(FACTOR, rest))
            rest //= sizes[-1]
        self._factors = [sylvester(size, dtype, device) for size in sizes or [1]]

    def __call__(self, x: Tensor) -> Tensor:
        """Transform the last axis."""
        shape = x.shape
        if len(self._factors) == 1:
            return x @ self._factors[0]
        # H_n = H_a (x) H_b (x) ...: one product along each axis of x seen as (..., a, b, ...).
        sizes = [len(factor) for factor in self._factors]
        x = x.reshape(-1, *sizes)
        for axis, factor in enumerate(self._factors, 1):
            x = torch.movedim(torch.movedim(x, axis, -1) @ factor, -1, axis)
        return x.reshape(shape)


def rows_last(x: Tensor) -> Tensor:
    """Transpose a block (m, N) to (N, m), or back; leave a vector as it is."""
    return x.mT if x.ndim == 2 else x
