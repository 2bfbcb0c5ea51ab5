"""Long short-term memory (Hochreiter and Schmidhuber 1997), for one policy or a population.

The parameters are those of ``torch.nn.LSTM`` with one layer, in its order and with its gates:
input, forget, cell, output.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

PARTS = 4  # of the parameters: weights of inputs and of the memory, and a bias for each


def shapes(inputs: int, units: int) -> list[tuple[int, ...]]:
    """Return the parameters' shapes, in order."""
    return [(4 * units, inputs), (4 * units, units), (4 * units,), (4 * units,)]


class Memory:
    """An LSTM with a state for each row of observations.

    Args:
        parts: the parameters (4 m, inputs), (4 m, m), (4 m,), (4 m,), for m units; of a population
            with its members before.
    """

    def __init__(self, parts: list[NDArray[np.float32]]) -> None:
        """Have no rows before :meth:`begun`."""
        inputs, kept, *biases = parts
        self._weights = [np.ascontiguousarray(np.swapaxes(part, -1, -2)) for part in (inputs, kept)]
        self._bias = biases[0] + biases[1]
        self._state: NDArray[np.float32] = np.zeros((2, 0, kept.shape[-1]), dtype=np.float32)

    def begun(self, rows: int) -> Memory:
        """Return the same with an empty memory for so many rows."""
        chosen = copy.copy(self)
        chosen._state = np.zeros((2, rows, self._state.shape[2]), dtype=np.float32)
        return chosen

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take in a number of inputs for each row, (N, inputs); return what is recalled, (N, m)."""
        recalled, cells = self._state
        gates = self._bias + _rowwise(x, self._weights[0]) + _rowwise(recalled, self._weights[1])
        let_in, let_stay, new, let_out = np.split(gates, 4, axis=1)
        cells = _sigmoid(let_stay) * cells + _sigmoid(let_in) * np.tanh(new)
        recall: NDArray[np.float32] = _sigmoid(let_out) * np.tanh(cells)
        self._state = np.stack([recall, cells])
        return recall

    def select(self, rows: NDArray[np.intp]) -> Memory:
        """Return some rows' memory, with their parameters where each has its own."""
        chosen = copy.copy(self)
        chosen._state = self._state[:, rows] if self._state.shape[1] else self._state
        if self._bias.ndim == 2:
            chosen._weights = [weight[rows] for weight in self._weights]
            chosen._bias = self._bias[rows]
        return chosen


def _rowwise(x: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Multiply rows (N, n) by one weight (n, m), or each by its own, (N, n, m)."""
    product = np.matmul(x[:, None, :], weight)[:, 0, :] if weight.ndim == 3 else x @ weight
    return np.asarray(product)


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.tanh(x * np.float32(0.5)) * np.float32(0.5) + np.float32(0.5))
