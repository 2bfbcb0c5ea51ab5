"""The paper's Fastfood P over the whole network (Li et al. 2018, after Le et al. 2013)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import STORED_ENTRIES, Projection, add_base, multiply
from rlidim.projections.hadamard import Hadamard, next_power_of_two, rows_last
from rlidim.projections.normal import normal
from rlidim.projections.philox import sign_stream, words

PERMUTATION = 0x0100  # added to the tag: the parts of the stream
GAUSSIAN = 0x0200


class Fastfood(Projection):
    """One transform of length L = 2^ceil(log2 D), as in the paper's released code.

    theta_d is padded to L, multiplied by signs B, transformed, permuted, multiplied by normal
    numbers G, transformed, cut to D and divided by sqrt(D sum G^2). Where D < L the columns have
    unit length on average only: so has the paper's. A range of rows costs as much as all of them.
    """

    family: ClassVar[str] = "fastfood"
    tag: ClassVar[int] = 4
    layout_version: ClassVar[int] = 2
    transformed = True
    stored = True

    def _prepare(self) -> None:
        """Draw, and keep P where it is small."""
        self._draw()
        self._hadamard = Hadamard(self.L, self.dtype, self.device)
        self._stored: Tensor | None = None
        if self.D * self.d <= STORED_ENTRIES:
            self._stored = self._to_dense(0, self.D)

    def _draw(self) -> None:
        """Draw B, Pi and G: three vectors of L."""
        D, seed, dtype, device = self.D, self.seed, self.dtype, self.device
        self.L = L = next_power_of_two(D)
        self._signs = sign_stream(self.d, self.tag, seed, device).to(dtype)
        index = torch.arange(L, dtype=torch.int64, device=device)
        drawn = words(index, torch.zeros_like(index), self.tag + PERMUTATION, seed)
        # Sorted by 62 random bits; the index breaks ties, the same on every device.
        keys = (drawn[:, 0] >> 1 << 31) | (drawn[:, 1] >> 1)
        self._permutation = torch.argsort(keys, stable=True)
        calls = torch.arange(-(-L // 8), dtype=torch.int64, device=device)
        scales = normal(words(calls, torch.zeros_like(calls), self.tag + GAUSSIAN, seed))
        scales = scales.flatten()[:L].to(torch.float64)
        self._scales = (scales / (D * scales.square().sum()).sqrt()).to(dtype)

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        if self._stored is not None:
            return multiply(self._stored[start:stop], theta, base, out)
        padded = torch.zeros((*theta.shape[1:], self.L), dtype=self.dtype, device=self.device)
        padded[..., : self.d] = rows_last(theta) * self._signs
        mixed = self._hadamard(padded)[..., self._permutation] * self._scales
        product = self._hadamard(mixed)[..., start:stop]
        return add_base(rows_last(product).contiguous(), base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        if self._stored is not None:
            return self._stored[start:stop].T @ g
        padded = torch.zeros((*g.shape[1:], self.L), dtype=self.dtype, device=self.device)
        padded[..., start:stop] = rows_last(g)
        scaled = self._hadamard(padded) * self._scales
        undone = torch.empty_like(scaled)
        undone[..., self._permutation] = scaled
        result = self._hadamard(undone)[..., : self.d] * self._signs
        return rows_last(result).contiguous()
