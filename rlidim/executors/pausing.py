"""A pause while a file exists, such as during a timing: of a pool's workers and of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rlidim.executors.local import ProcessPool

LOOKED = 1.0  # seconds between two looks for the file


@contextmanager
def pausing(pool: ProcessPool, file: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Stop a pool's processes while a file exists, and let them go on.

    Args:
        pool: whose processes are stopped where they are.
        file: looked for once a second.
        tell: called with a line at each change.
    """
    over = threading.Event()

    def watch() -> None:
        paused = False
        while not over.wait(LOOKED):
            if file.exists() != paused:
                paused = not paused
                tell(f"{file}: paused until it is gone" if paused else f"{file} is gone: going on")
            pool.pause(paused)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        pool.pause(False)


def stand_still(file: Path) -> None:
    """Wait until the file is gone: this process's part of the pause, between two of its steps."""
    while file.exists():
        time.sleep(LOOKED)
