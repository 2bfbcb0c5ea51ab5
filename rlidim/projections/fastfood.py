"""The paper's Fastfood P over the whole network (Li et al. 2018, after Le et al. 2013)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from rlidim.projections.base import STORED_ENTRIES, Projection, add_base, multiply
from rlidim.projections.hadamard import Hadamard, next_power_of_two, rows_last
from rlidim.projections.normal import normal
from rlidim.projections.philox import sign_stream, words
from rlidim.projections.rank import CHECKED_ROWS, full_column_rank

PERMUTATION = 0x0100  # added to the tag: the parts of the stream
GAUSSIAN = 0x0200
WIDE = 8  # more than L / 8 columns: worse conditioned than a Gaussian P
LONGER = 8  # times the paper's length, then
LEAST_ROWS = 8  # up to here the paper's, or lengths would be far from one


class Fastfood(Projection):
    """One transform of length L = 2^ceil(log2 D), as in the paper's released code.

    theta_d is padded to L, multiplied by signs B, transformed, permuted, multiplied by normal
    numbers G, transformed, cut to D and divided by sqrt(D sum G^2). Where D < L the columns have
    unit length on average only: so has the paper's. A range of rows costs as much as all of them.

    Where d > L / 8 and D > 8, L is eight times as long. The paper's P would be worse conditioned
    than a Gaussian one by G's smallest numbers: 6 times at d = L / 2; at d = D its columns may even
    depend on each other.
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

    @property
    def layout(self) -> int:
        """The layout version: one more where L is longer than the paper's, or P was drawn anew."""
        longer = transform_length(self.D, self.d) > next_power_of_two(self.D)
        return self.layout_version + (longer or self.stream != self.tag)

    def _has_full_rank(self) -> bool:
        self.L = transform_length(self.D, self.d)
        if self.D > CHECKED_ROWS:
            return True
        device = torch.device("cpu")
        signs, permutation, scales = self._draw_whole(device)
        hadamard = Hadamard(self.L, torch.float64, device)
        columns = torch.zeros(self.d, self.L, dtype=torch.float64)
        columns.diagonal().copy_(signs)
        product = hadamard(hadamard(columns)[:, permutation] * scales)
        return full_column_rank(product[:, : self.D].T)

    def _draw(self) -> None:
        """Draw B, Pi and G: three vectors of L."""
        signs, self._permutation, scales = self._draw_whole(self.device)
        self._signs = signs.to(self.dtype)
        self._scales = (scales / (self.D * scales.square().sum()).sqrt()).to(self.dtype)

    def _draw_whole(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return B, int8 (d,), Pi, int64 (L,), and G, float64 (L,) in whole numbers."""
        signs = sign_stream(self.d, self.stream, self.seed, device)
        index = torch.arange(self.L, dtype=torch.int64, device=device)
        drawn = words(index, torch.zeros_like(index), self.stream + PERMUTATION, self.seed)
        # Sorted by 62 random bits; the index breaks ties, the same on every device.
        keys = (drawn[:, 0] >> 1 << 31) | (drawn[:, 1] >> 1)
        calls = torch.arange(-(-self.L // 8), dtype=torch.int64, device=device)
        scales = normal(words(calls, torch.zeros_like(calls), self.stream + GAUSSIAN, self.seed))
        scales = scales.flatten()[: self.L].to(torch.float64)
        return signs, torch.argsort(keys, stable=True), scales

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


def transform_length(D: int, d: int) -> int:
    """Return L, the transforms' length.

    Example:
        >>> transform_length(562, 128), transform_length(562, 129)
        (1024, 8192)
    """
    L = next_power_of_two(D)
    return LONGER * L if D > LEAST_ROWS and WIDE * d > L else L
