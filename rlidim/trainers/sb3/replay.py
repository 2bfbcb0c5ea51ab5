"""A replay buffer as arrays for a checkpoint: what was filled of it, in as few bytes as hold it.

What a step led to is nearly always what the next one began with: it is written once. Numbers whose
every bit a shorter dtype holds too (pictures, flags, counts, choices) are written in that dtype.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer

ARRAYS = ("observations", "actions", "rewards", "dones", "timeouts")  # next_observations apart
SHORTER = ("u1", "i2", "i4", "f2", "f4")  # dtypes tried in place of a longer one, the best first
ROWS = 1024  # looked at together, so that no second buffer is in memory


def packed(buffer: ReplayBuffer) -> dict[str, Any]:
    """Return a buffer's content, of plain values and arrays; arrays are views where that is right.

    ``later`` holds the next observations that are not the following row's observations, ``places``
    where they belong, counted over rows and environments.
    """
    rows = buffer.buffer_size if buffer.full else buffer.pos
    observations, later = buffer.observations[:rows], buffer.next_observations[:rows]
    places: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for first in range(0, rows, ROWS):
        chunk = np.arange(first, min(first + ROWS, rows))
        same = _bits(later[chunk]) == _bits(observations[(chunk + 1) % rows])
        row, environment = np.nonzero(~same.reshape(*same.shape[:2], -1).all(axis=2))
        places.append(chunk[row] * buffer.n_envs + environment)
    chosen = np.concatenate(places)
    flat = later.reshape(rows * buffer.n_envs, *later.shape[2:])
    return {
        "pos": buffer.pos,
        "full": buffer.full,
        "places": shortened(chosen),
        "later": shortened(flat[chosen]),
        **{name: shortened(getattr(buffer, name)[:rows]) for name in ARRAYS},
    }


def unpack(buffer: ReplayBuffer, content: dict[str, Any]) -> None:
    """Undo :func:`packed`, into a buffer that is empty.

    Raises:
        ValueError: the content is not that of such a buffer.
    """
    pos, full = content["pos"], content["full"]
    if type(full) is not bool or type(pos) is not int or not 0 <= pos < buffer.buffer_size:
        raise ValueError(f"a replay buffer that stands at {pos!r} of {buffer.buffer_size}")
    rows = buffer.buffer_size if full else pos
    for name in ARRAYS:
        target = getattr(buffer, name)[:rows]
        if content[name].shape != target.shape:
            raise ValueError(f"{name} of another shape")
        target[:] = content[name]
    if rows:
        buffer.next_observations[: rows - 1] = buffer.observations[1:rows]
        buffer.next_observations[rows - 1] = buffer.observations[0]
    later = buffer.next_observations[:rows]
    later.reshape(rows * buffer.n_envs, *later.shape[2:])[content["places"]] = content["later"]
    buffer.pos, buffer.full = pos, full


def shortened(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in the shortest dtype that holds it to the bit; itself, where there is none.

    Its dtype is that of whatever it is copied into.
    """
    for name in SHORTER:
        dtype = np.dtype(name)
        if dtype.itemsize < array.itemsize and _fits(array[:ROWS], dtype) and _fits(array, dtype):
            return array.astype(dtype)
    return array


def _fits(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Say whether a dtype holds every bit of an array."""
    with np.errstate(all="ignore"):
        return all(
            bool((_bits(part.astype(dtype).astype(array.dtype)) == _bits(part)).all())
            for part in (array[first : first + ROWS] for first in range(0, len(array), ROWS))
        )


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array's bits as whole numbers: -0.0 is not 0.0, and a NaN is itself."""
    whole: NDArray[Any] = np.ascontiguousarray(array).view(f"u{array.itemsize}")
    return whole
