"""Errors that the user can mend: one line each, shown without a traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RlidimError(Exception):
    """A mistake of the user's, in one line: what is wrong, where, and what would be right.

    The command line prints the message after ``error:`` and exits with code 2. Anything else that
    escapes is a defect of rlidim and keeps its traceback.
    """


class MachineLostError(Exception):
    """The loss of a machine, or of its process, that made a part of a run, which begins again."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest option, or the list of all options.

    Args:
        name: as the user wrote it.
        options: the valid names.
    """
    known = sorted(options)
    matches = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if matches:
        return f" (did you mean '{matches[0]}'?)"
    return f" (one of: {', '.join(known)})" if known else ""
