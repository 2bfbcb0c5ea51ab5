"""Errors that are the user's to mend: one line each, shown without a traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RlidimError(Exception):
    """What is wrong, where, and what would be right, in one line.

    The command line prints the message after ``error:`` and exits with code 2. Anything else that
    escapes is a defect of rlidim and keeps its traceback.
    """


class MachineLostError(Exception):
    """A machine, or its process, that did a part of a run is gone: the run begins again."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest option, or the list of all options.

    Args:
        name: what the user wrote.
        options: what would have been right.
    """
    known = sorted(options)
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if matches:
        return f" (did you mean '{matches[0]}'?)"
    return f" (one of: {', '.join(known)})" if known else ""
