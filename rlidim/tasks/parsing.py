"""A section of a task's file becomes a frozen dataclass, or one line says why not."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rlidim.errors import RlidimError, nearest

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Range:
    """The finite numbers that a setting may be."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    also: float | None = None  # a number outside that means something else

    def __contains__(self, value: float) -> bool:
        """Say whether a number is one of them."""
        return value == self.also or (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Return it in words: ``above 0 and at most 1``."""
        ends = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        words = " and ".join(f"{name} {end:g}" for name, end in ends.items() if end is not None)
        return words if self.also is None else f"{words}, or {self.also:g}"


COUNT = Range(at_least=1)


POSITIVE = Range(above=0)


NOT_NEGATIVE = Range(at_least=0)


SHARE = Range(at_least=0, at_most=1)


SOME_SHARE = Range(above=0, at_most=1)


DECAY = Range(at_least=0, below=1)  # of a running mean


# Of any section that a YAML file has: every number that has a range, and of a list each number.
RANGES = {
    # evolution strategies
    "population": COUNT,
    "sigma": POSITIVE,
    "sigma0": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "diagonal_above": NOT_NEGATIVE,
    # descent
    "n_iterations": COUNT,
    "n_epochs": COUNT,
    "batch_size": COUNT,
    "learning_rate": POSITIVE,
    "l2": NOT_NEGATIVE,
    "beta2": DECAY,
    "momentum": DECAY,
    # reinforcement learning
    "n_timesteps": COUNT,
    "n_envs": COUNT,
    "n_steps": COUNT,
    "eval_freq": COUNT,
    "gamma": SHARE,
    "max_grad_norm": POSITIVE,
    "gae_lambda": SHARE,
    "ent_coef": NOT_NEGATIVE,
    "vf_coef": NOT_NEGATIVE,
    "clip_range": POSITIVE,
    "buffer_size": COUNT,
    "learning_starts": NOT_NEGATIVE,
    "tau": SOME_SHARE,
    "train_freq": COUNT,
    "gradient_steps": Range(at_least=1, also=-1),
    "target_update_interval": COUNT,
    "exploration_fraction": SOME_SHARE,
    "exploration_initial_eps": SHARE,
    "exploration_final_eps": SHARE,
    "policy_delay": COUNT,
    "noise_std": NOT_NEGATIVE,
    # the other sections
    "frame_skip": COUNT,
    "repeat_action_probability": DECAY,
    "noop_max": NOT_NEGATIVE,
    "max_frames": COUNT,
    "hidden": COUNT,
    "output_gain": POSITIVE,
    "share": SOME_SHARE,
    "episodes": COUNT,
    "checkpoint_episodes": COUNT,
    "hint": COUNT,
    "largest": COUNT,
    "seeds": COUNT,
    "most_seeds": COUNT,
    "baseline_seeds": COUNT,
    "runs": COUNT,
    "precision": Range(at_least=1),
    "d_int": COUNT,
    "D": COUNT,
    "fraction": Range(above=0, below=1),
}


# Text in place of a number: what stands before the number, and what stands for it alone.
PREFIXES = {"learning_rate": "lin_", "clip_range": "lin_", "ent_coef": "auto_"}


WORDS = {"ent_coef": "auto"}


def parse(kind: type[Settings], values: object, where: str) -> Settings:
    """Build a settings dataclass from a mapping, strictly.

    Args:
        kind: the dataclass.
        values: what the YAML file says.
        where: file and section, for the message.

    Raises:
        RlidimError: an unknown key (with the nearest), a missing one, or a value of the wrong type
            or out of its range.
    """
    if not isinstance(values, Mapping):
        raise RlidimError(f"{where}: expected a mapping of settings, found {values!r}")
    assert dataclasses.is_dataclass(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
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
    for name, value in checked.items():
        if name in RANGES:
            _check_range(name, value, where)
    if checked.get("population", 2) % 2:
        raise RlidimError(f"{where}: population must be even, got {checked['population']}")
    try:
        return kind(**checked)
    except RlidimError as error:
        raise RlidimError(f"{where}: {error}") from error


def _check_range(name: str, value: Any, where: str) -> None:
    """Refuse a number, or a text or a list with one, that is out of the setting's range."""
    if isinstance(value, tuple):
        for item in value:
            if item not in RANGES[name]:
                raise RlidimError(f"{where}: {name}: each must be {RANGES[name]}, got {item}")
        return
    if value is None or value == WORDS.get(name):
        return
    number = value
    if isinstance(value, str):
        prefix = PREFIXES[name]
        try:
            number = float(value.removeprefix(prefix)) if value.startswith(prefix) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            forms = " or ".join(filter(None, ("a number", WORDS.get(name), f"{prefix}<number>")))
            raise RlidimError(f"{where}: {name} must be {forms}, got '{value}'")
    if number not in RANGES[name]:
        shown = f"{value:g}" if isinstance(value, float) else value
        raise RlidimError(f"{where}: {name} must be {RANGES[name]}, got {shown}")


def _check(value: Any, hint: Any, where: str) -> Any:
    """Return the value as the hinted type, or say what it should have been."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        for option in typing.get_args(hint):
            try:
                return _check(value, option, where)
            except RlidimError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_check(item, typing.get_args(hint)[0], where) for item in value)
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return dict(value)
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
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_describe(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list of {_describe(typing.get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "nothing" if hint is type(None) else "a mapping")
