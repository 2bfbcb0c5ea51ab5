"""Strict parsing of a section of a task's file into a frozen dataclass."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rlidim.errors import RlidimError, nearest
from rlidim.tasks.fields import range_of

Section = TypeVar("Section")


def parse(kind: type[Section], values: object, where: str) -> Section:
    """Parse a section into its dataclass.

    Args:
        kind: the dataclass; a field's type may be annotated with the range of its numbers.
        values: of the section, as YAML reads them.
        where: file and section, for the message.

    Raises:
        RlidimError: an unknown key (with the nearest), a missing one, or a value of the wrong type
            or out of its range.
    """
    if not isinstance(values, Mapping):
        raise RlidimError(f"{where}: expected a mapping of settings, found {values!r}")
    assert dataclasses.is_dataclass(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    try:
        hints = typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError) as error:  # of a user's own settings
        raise RlidimError(f"{where}: a type of {kind.__name__} is unknown ({error})") from error
    for key in values:
        if key not in fields:
            raise RlidimError(f"{where}: unknown key '{key}'{nearest(str(key), fields)}")
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise RlidimError(f"{where}: key '{name}' is missing")
    checked = {key: _check(value, hints[key], f"{where}: {key}") for key, value in values.items()}
    try:
        for name, value in checked.items():
            range = range_of(hints[name])
            if range is not None:
                range.check(name, value)
        return kind(**checked)
    except RlidimError as error:
        raise RlidimError(f"{where}: {error}") from error


def _check(value: Any, hint: Any, where: str) -> Any:
    """Return the value as the hinted type, or raise an error that names the type."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return _check(value, typing.get_args(hint)[0], where)
    if origin in (types.UnionType, typing.Union):
        for option in typing.get_args(hint):
            try:
                return _check(value, option, where)
            except RlidimError:
                continue
    elif hint is Any:
        return value
    elif origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
    elif origin is list and isinstance(value, list | tuple):
        return [_check(item, typing.get_args(hint)[0], where) for item in value]
    elif origin in (tuple, Sequence) and isinstance(value, list | tuple):
        return tuple(_check(item, typing.get_args(hint)[0], where) for item in value)
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return dict(value)
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return parse(hint, value, where)
    elif hint is type(None):
        if value is None:
            return None
    elif hint is float:
        if isinstance(value, str):  # YAML 1.1 takes 1e-3 for text: it wants 1.0e-3
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):
                if math.isfinite(value):
                    return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str):  # likewise 1e5
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    elif isinstance(hint, type) and origin is None and isinstance(value, hint):
        return value
    raise RlidimError(f"{where}: expected {_describe(hint)}, found {value!r}")


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Annotated:
        return _describe(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_describe(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    if typing.get_origin(hint) in (tuple, list, Sequence):
        return f"a list of {_describe(typing.get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "nothing" if hint is type(None) else "a mapping")
