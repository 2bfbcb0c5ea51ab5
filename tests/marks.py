"""Which of many parameters' tests run each time, and which with the slow ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def slow_but(quick: Collection[Any], every: Iterable[Any]) -> list[Any]:
    """Return every parameter (a tuple for several), all marked slow but the quick ones.

    Raises:
        ValueError: a quick one is none of them.
    """
    params = list(every)
    if strangers := [one for one in quick if one not in params]:
        raise ValueError(f"no such parameters: {strangers}")
    return [one if one in quick else _slow(one) for one in params]


def _slow(param: Any) -> Any:
    values = param if isinstance(param, tuple) else (param,)
    return pytest.param(*values, marks=pytest.mark.slow)
