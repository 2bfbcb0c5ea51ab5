"""The actions of a run's environments since it began, in a file beside its checkpoint.

Few environments can be copied: a resumed run plays its actions again to bring them where they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.records.checkpoints import writing


class Actions:
    """Rows of actions, one a step, appended to a file whenever a checkpoint is written.

    Attributes:
        count: steps so far.
    """

    def __init__(self) -> None:
        """Record nothing until :meth:`to` or :meth:`again` names a file."""
        self.count = 0
        self._waiting: list[bytes] = []
        self._file: Path | None = None

    def to(self, path: Path) -> None:
        """Write to a file from now on, in place of its content.

        Raises:
            RlidimError: it cannot be written.
        """
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # a link would lead to what is not ours
            path.write_bytes(b"")
        self._file = path

    def add(self, actions: NDArray[Any]) -> None:
        """Record a step's actions."""
        if self._file is not None:
            self._waiting.append(np.ascontiguousarray(actions).tobytes())
        self.count += 1

    def flush(self) -> None:
        """Append the actions taken since the last time.

        Raises:
            RlidimError: the file cannot be written.
        """
        if self._file is not None:
            with writing(self._file), self._file.open("ab") as file:
                file.write(b"".join(self._waiting))
        self._waiting.clear()

    def again(self, path: Path, count: int, like: NDArray[Any]) -> Iterator[NDArray[Any]] | None:
        """Return the first ``count`` steps' actions of a file, and go on recording to it.

        Args:
            path: the file.
            count: of steps.
            like: one step's actions, for their dtype and shape.

        Returns:
            None if the file is no regular one, or holds fewer.
        """
        row = like.nbytes
        if path.is_symlink() or not path.is_file() or path.stat().st_size < count * row:
            return None
        with path.open("r+b") as file:
            file.truncate(count * row)  # what a killed run wrote after its last checkpoint
        self.count, self._file = count, path
        return _rows(path, count, like)


def _rows(path: Path, count: int, like: NDArray[Any]) -> Iterator[NDArray[Any]]:
    with path.open("rb") as file:
        for _ in range(count):
            yield np.frombuffer(file.read(like.nbytes), like.dtype).reshape(like.shape)
