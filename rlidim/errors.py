"""Errors that the user can mend: one line each, shown without a traceback, exit code 2."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable

LONGEST = 2_000  # characters of a message
# What a command may be told that makes runs and ends before its time.
GO_ON = "every finished run is on record; the same command goes on from here"
# Control characters, and marks that turn the direction of writing.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def unprintable(text: str) -> bool:
    """Say whether a text holds control characters, turns of direction, or halves of characters."""
    return _UNPRINTABLE.search(text) is not None


def printable(text: str, longest: int = LONGEST) -> str:
    """Return text as one line without control characters, cut where it is longer than that."""
    shown = _UNPRINTABLE.sub(lambda found: repr(found[0])[1:-1], text)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


class RlidimError(Exception):
    r"""A mistake of the user's, in one line: what is wrong, where, and what would be right.

    The command line prints the message after ``error:`` and exits with code 2. Anything else that
    escapes is a defect of rlidim and keeps its traceback. What stands in the message may be a
    stranger's: control characters are shown as ``\x1b``, and the end of a very long one is cut.
    """

    def __str__(self) -> str:
        """Return the message as one line that a terminal only shows."""
        return printable(super().__str__())


class MachineLostError(Exception):
    """The loss of a machine, or of its process, that made a part of a run, which begins again."""


def whole(name: str, value: object) -> int:
    """Return a whole number, Python's or numpy's, as Python's.

    Raises:
        RlidimError: it is none.
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise RlidimError(f"{name} must be a whole number, got {value!r:.60}") from error


def nearest(name: object, options: Iterable[str], *, listed: bool = True) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest option, or the list of all options.

    Args:
        name: as the user wrote it.
        options: the valid names.
        listed: whether to list them where none is close: not if there are many.
    """
    known = sorted(options)
    matches = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.6)
    if matches:
        return f" (did you mean '{matches[0]}'?)"
    return f" (one of: {', '.join(known)})" if known and listed else ""
