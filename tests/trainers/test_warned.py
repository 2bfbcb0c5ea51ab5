"""What foreign code warns of is told once, however often the filters are changed in between."""

from __future__ import annotations

import re
import warnings

import pytest

from rlidim.trainers.warned import told_once


def warn_twice() -> None:
    for _ in range(2):
        with warnings.catch_warnings():  # as whoever makes an environment does
            warnings.filterwarnings("ignore", message="something else")
            warnings.warn("\x1b[33mWARN: a slip\n of theirs\x1b[0m", stacklevel=1)


def test_a_warning_is_one_line_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    before = warnings.showwarning
    with told_once():
        warnings.simplefilter("default")
        warn_twice()
        warnings.warn("another", stacklevel=1)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"warning: a slip of theirs \(test_warned.py, line \d+\)", first)
    assert re.fullmatch(r"warning: another \(test_warned.py, line \d+\)", second)
    assert warnings.showwarning is before
