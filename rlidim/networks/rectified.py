"""A population's small networks evaluated in one call, where numpy makes one an operation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import rlidim.projections.cpp_kernels._kernels as kernels


class RectifiedNetworks:
    """Multilayer perceptrons of the same sizes with rectified hidden units, one for each member.

    A member's outputs do not depend on the members beside it, nor on the instruction set.

    Args:
        theta: parameters (N, D): each layer's weight (out, in), then its bias (out,).
        sizes: units of every layer, inputs and outputs included.
    """

    def __init__(self, theta: NDArray[np.float32], sizes: tuple[int, ...]) -> None:
        """Lay the members side by side."""
        self._begin(np.ascontiguousarray(theta.T), np.array(sizes, dtype=np.int64))

    def _begin(self, parameters: NDArray[np.float32], sizes: NDArray[np.int64]) -> None:
        members = parameters.shape[1]
        self._parameters, self._sizes = parameters, sizes
        # Kept, because to ask numpy for an address takes as long as a small product.
        self._inputs = np.empty((members, sizes[0]), dtype=np.float32)
        self._outputs = np.empty((members, sizes[-1]), dtype=np.float32)
        arrays = parameters, self._inputs, self._outputs, sizes
        self._addresses = [array.ctypes.data for array in arrays]

    def __call__(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs (N, outputs) of observations (N, inputs), until the next call."""
        np.copyto(self._inputs, observations)
        kernels.float32.networks(*self._addresses, len(self._sizes) - 1, len(self._inputs))
        return self._outputs

    def select(self, members: NDArray[np.intp]) -> RectifiedNetworks:
        """Return the networks of some members."""
        chosen = object.__new__(RectifiedNetworks)
        chosen._begin(np.ascontiguousarray(self._parameters[:, members]), self._sizes)
        return chosen

    def __getstate__(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return parameters and sizes; addresses are taken anew."""
        return self._parameters, self._sizes

    def __setstate__(self, state: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
        """Undo :meth:`__getstate__`."""
        self._begin(*state)
