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


def check_writer() -> None:
    """Make sure that videos can be written here.

    Raises:
        RlidimError: the package that writes them is missing.
    """
    try:
        import imageio.v2  # noqa: F401
    except ImportError as error:
        raise RlidimError("writing a video needs imageio: pip install 'rlidim[video]'") from error


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
    try:
        writer: Any = imageio.get_writer(unfinished, **options)
        with writer:
            yield writer.append_data
        unfinished.replace(path)
    except OSError as error:
        raise RlidimError(f"--video {path}: cannot be written ({error})") from error
    finally:
        unfinished.unlink(missing_ok=True)  # of one that was interrupted


def dropped(frame: NDArray[np.uint8]) -> None:
    """Keep nothing of a frame: there is no video."""
