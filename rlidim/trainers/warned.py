"""Warnings of foreign code: each once in a process, in a line, with its place."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from rlidim.errors import printable

LOUD = re.compile(r"\x1b\[[0-9;]*m|WARN: ")  # colours and words of Gymnasium's own


def tell_once() -> None:
    """From now on print each warning once.

    Python itself repeats one as soon as somebody has changed the filters, which is whenever an
    environment is made.
    """
    told: set[str] = set()

    def show(
        message: Warning | str, category: type[Warning], file: str, number: int, *_: object
    ) -> None:
        said = printable(" ".join(LOUD.sub("", str(message)).split()))
        line = f"{said} ({Path(file).name}, line {number})"
        if line not in told and sys.stderr is not None:
            told.add(line)
            print(f"warning: {line}", file=sys.stderr)

    warnings.showwarning = show  # type: ignore[assignment]


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Print each warning once for a while; see :func:`tell_once`."""
    with warnings.catch_warnings():
        tell_once()
        yield
