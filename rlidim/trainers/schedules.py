"""Learning rates and other numbers that change while training lasts, in rl_zoo3's notation."""

from __future__ import annotations

from collections.abc import Callable

from rlidim.errors import RlidimError


def schedule(value: float | str) -> float | Callable[[float], float]:
    """Read ``lin_0.001``: a number that falls linearly to zero.

    A last rollout that goes beyond the budget is trained on a little below zero, as by
    Stable-Baselines3's own schedules.

    Returns:
        The number itself, or a function of the share of training that remains, 1 to 0.

    Raises:
        RlidimError: some other text.
    """
    if not isinstance(value, str):
        return value
    prefix, _, number = value.partition("lin_")
    try:
        initial = float(number)
    except ValueError:
        initial = -1.0
    if prefix or initial <= 0:
        raise RlidimError(f"a schedule is a number or lin_<number>, got '{value}'")
    return lambda remaining: remaining * initial
