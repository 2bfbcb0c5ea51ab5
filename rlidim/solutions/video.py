"""Videos of episodes, GIF or MP4: frame after frame, and in their place once they are whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError

Keep = Callable[[NDArray[np.uint8]], None]
"""Called with each frame, uint8 (height, width, 3)."""


def check_writer(path: Path) -> None:
    """Make sure that videos of this kind can be written here.

    Raises:
        RlidimError: a package that writes them is missing.
    """
    try:
        import imageio.v2  # noqa: F401

        if path.suffix != ".gif":
            import imageio_ffmpeg  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise RlidimError(
            f"writing a video needs {error.name}: pip install 'rlidim[video]'"
        ) from error


@contextlib.contextmanager
def filming(path: Path, frames_per_second: int) -> Iterator[Keep]:
    """Yield what takes the frames of a video, which is there when the block is left, or not at all.

    An MP4's frames are written as they come; a GIF's are held until the end.

    Raises:
        RlidimError: the file cannot be written.
    """
    import imageio.v2 as imageio

    options: dict[str, Any] = (
        {"duration": 1000 / frames_per_second, "loop": 0}
        if path.suffix == ".gif"
        else {"fps": frames_per_second}
    )
    unfinished = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    with _told(path):
        writer: Any = imageio.get_writer(unfinished, **options)

    def keep(frame: NDArray[np.uint8]) -> None:
        with _told(path):
            writer.append_data(frame)

    try:
        yield keep
        with _told(path):
            writer.close()
            unfinished.replace(path)
    except BaseException:
        # It has to be closed before it can go: another process may be writing it.
        with contextlib.suppress(Exception):
            writer.close()
        unfinished.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RlidimError(f"--video {path}: cannot be written ({error})") from error


def dropped(frame: NDArray[np.uint8]) -> None:
    """Keep nothing of a frame: there is no video."""
