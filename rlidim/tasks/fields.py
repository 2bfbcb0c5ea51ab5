"""Fields of a task's file: ranges of numbers, texts for numbers, and the form that records keep."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from rlidim.errors import RlidimError


@dataclass(frozen=True)
class Range:
    """The finite numbers that a field may hold, and the texts that stand for some.

    ``also`` is a number outside that means something else; ``prefix`` stands before a number in
    text (``lin_0.001``), and ``word`` for a number that the trainer chooses (``auto``).
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    also: float | None = None
    prefix: str | None = None
    word: str | None = None

    def __contains__(self, value: float) -> bool:
        """Say whether a number lies in the range."""
        return value == self.also or (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Return the range in words: ``above 0 and at most 1``."""
        ends = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        words = " and ".join(f"{name} {end:g}" for name, end in ends.items() if end is not None)
        return words if self.also is None else f"{words}, or {self.also:g}"

    def check(self, name: str, value: Any) -> None:
        """Refuse a number, or a text or a list with one, that is out of the range.

        Args:
            name: of the field.
            value: of the field, of the right type.

        Raises:
            RlidimError: the number is out of the range; the line names the field and the range.
        """
        if isinstance(value, tuple):
            for item in value:
                if item not in self:
                    raise RlidimError(f"{name}: each must be {self}, got {item}")
            return
        if value is None or value == self.word:
            return
        number = self._number(name, value) if isinstance(value, str) else value
        if number not in self:
            shown = f"{value:g}" if isinstance(value, float) else value
            raise RlidimError(f"{name} must be {self}, got {shown}")

    def _number(self, name: str, text: str) -> float:
        """Return the number that a text holds after the prefix."""
        prefix = self.prefix or ""
        try:
            number = float(text.removeprefix(prefix)) if text.startswith(prefix) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            forms = " or ".join(filter(None, ("a number", self.word, f"{prefix}<number>")))
            raise RlidimError(f"{name} must be {forms}, got '{text}'")
        return number


Count = Annotated[int, Range(at_least=1)]
Members = Annotated[int, Range(at_least=1, at_most=100_000)]  # each with memory of its own
Seed = Annotated[int, Range(at_least=0, at_most=2**64 - 1)]
Positive = Annotated[float, Range(above=0)]
NotNegative = Annotated[float, Range(at_least=0)]
Share = Annotated[float, Range(at_least=0, at_most=1)]
SomeShare = Annotated[float, Range(above=0, at_most=1)]
Decay = Annotated[float, Range(at_least=0, below=1)]  # of a running mean
Rate = Annotated[float | str, Range(above=0, prefix="lin_")]  # "lin_x": from x linearly to zero


UNITS = {"h": 3600, "m": 60, "s": 1}  # of a length of time, in seconds


def seconds_of(text: str) -> float:
    """Return the seconds of a length of time such as ``3h``, ``20m`` or ``90s``.

    Raises:
        ValueError: it is none, or zero; the message names the form expected.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hms])", text)
    if match is None or float(match[1]) == 0:
        raise ValueError(f"expected a time such as 3h, 20m or 90s, got '{text}'")
    return float(match[1]) * UNITS[match[2]]


def range_of(hint: Any) -> Range | None:
    """Return the range in a field's annotated type; that of a list holds for each number."""
    for part in (*getattr(hint, "__metadata__", ()), *typing.get_args(hint)):
        range = part if isinstance(part, Range) else range_of(part)
        if range is not None:
            return range
    return None


def added_later(default: Any) -> Any:
    """Return a dataclass's field that is younger than some records: they lack it."""
    return dataclasses.field(default=default, metadata={"added_later": True})


def recorded(section: Any) -> dict[str, Any]:
    """Return a section of a task file in the form that a run's record keeps.

    This is the one place where a record's settings and a dataclass's fields part: a field that was
    ``added_later`` is left out while it has its default. Runs older than the field were
    made with that default, so that their records' settings are still today's.

    Args:
        section: a dataclass: a trainer's settings, an environment, a network ...
    """
    values = {field: getattr(section, field.name) for field in dataclasses.fields(section)}
    return {
        field.name: _recorded(value)
        for field, value in values.items()
        if not (field.metadata.get("added_later") and value == field.default)
    }


def _recorded(value: Any) -> Any:
    """Return a field's value in that form, of sections within it too."""
    if dataclasses.is_dataclass(value):
        return recorded(value)
    if isinstance(value, (tuple, list)):
        return type(value)(_recorded(item) for item in value)
    return dict(value) if isinstance(value, dict) else value
