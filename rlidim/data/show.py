"""The progress of a download on standard error: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

QUIET_SECONDS = 5.0  # between plain lines


def _console() -> Console:
    return Console(stderr=True, highlight=False)


def say(line: str) -> None:
    """Print one line."""
    _console().print(line, markup=False, soft_wrap=True)


@contextmanager
def progress(name: str, url: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show a download; yield a function to call with the number of bytes so far."""
    console = _console()
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(name, total=size)
            yield lambda done: bar.update(task, completed=done)
        return
    say(f"{name}: downloading {size / 1e6:.1f} MB from {url}")
    shown = time.monotonic()

    def line(done: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= QUIET_SECONDS:
            shown = time.monotonic()
            say(f"{name}: {done / 1e6:.1f} of {size / 1e6:.1f} MB")

    yield line
