"""What a record may hold: the type and the size of everything in it, checked when it is read."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.cell import NATIVE, RANDOM, Seeds
from rlidim.tasks.problems import ACTIVATIONS, INITIALISATIONS, LARGEST_D, WIDEST
from rlidim.tasks.reading import LARGEST_RECORD, LONGEST_PART, check_name, check_plain

LARGEST_NUMBER = 1e100  # of scores: the square of a sum of them is finite
MOST_STEPS = 2**63 - 1
LONGEST_TEXT = 200  # characters
MOST_SEED = 10**100  # the user's, of which a hash is taken
MOST_PROCESSES = 1_000_000
STATUSES = ("ok", "diverged", "failed")
NUMBERS = {int, float}
SCOPES = ("policy", "all")
BOUNDED = ("clip", "tanh")  # how a network's outputs become actions within bounds
CHOSEN = ("argmax", "argmax_each")  # how they become choices, of which some may be masked
ROUNDING = 1e-9  # of a mean, relative to the largest return

Check = Callable[[Any, str], None]


def _wrong(where: str, expected: str, value: Any) -> RlidimError:
    return RlidimError(f"{where}: expected {expected}, found {value!s:.60}")


def _whole(least: int, most: int) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise _wrong(where, f"a whole number from {least} to {most}", value)

    return check


def _number(least: float = -LARGEST_NUMBER) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) not in (int, float) or not least <= value <= LARGEST_NUMBER:
            raise _wrong(where, "a finite number" + " of at least 0" * (least == 0), value)

    return check


def _text(most: int = LONGEST_TEXT) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not str or len(value) > most:
            raise _wrong(where, f"a text of at most {most} characters", value)

    return check


def _one_of(options: tuple[str, ...]) -> Check:
    def check(value: Any, where: str) -> None:
        if value not in options:
            raise _wrong(where, f"one of {', '.join(options)}", value)

    return check


def _truth(value: Any, where: str) -> None:
    if type(value) is not bool:
        raise _wrong(where, "true or false", value)


def _name(most: int | None = None) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not str:
            raise _wrong(where, "a name", value)
        try:
            check_name(value) if most is None else check_name(value, most)
        except RlidimError as error:
            raise RlidimError(f"{where}: {error}") from error

    return check


def _or_none(inner: Check) -> Check:
    def check(value: Any, where: str) -> None:
        if value is not None:
            inner(value, where)

    return check


def _each(inner: Check) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) is not list:
            raise _wrong(where, "a list", value)
        for item in value:
            inner(item, where)

    return check


def _scores(value: Any, where: str) -> None:
    """Check a list of numbers: its ends alone, since JSON was read without NaN."""
    if type(value) is not list or not NUMBERS.issuperset(map(type, value)):
        raise _wrong(where, "a list of numbers", value)
    if value:
        _score(min(value), where)
        _score(max(value), where)


def _curve(value: Any, where: str) -> None:
    if type(value) is not list or any(type(point) is not list for point in value):
        raise _wrong(where, "a list of pairs", value)
    if any(len(point) != 2 for point in value):
        raise _wrong(where, "pairs of steps and a score", value)
    steps, scores = [point[0] for point in value], [point[1] for point in value]
    if not {int}.issuperset(map(type, steps)):
        raise _wrong(where, "whole numbers of steps", steps)
    for end in (min(steps), max(steps)) if steps else ():
        _steps(end, where)
    _scores(scores, where)


def _plain(value: Any, where: str) -> None:
    if type(value) is not dict:
        raise _wrong(where, "a mapping", value)
    check_plain(value, where)


def _about(value: Any, where: str) -> None:
    """Check a mapping of names to texts and numbers, as machines and versions are told by."""
    if type(value) is not dict:
        raise _wrong(where, "a mapping", value)
    for name, said in value.items():
        _short(name, where)
        if said is not None and type(said) is not int:
            _short(said, f"{where}.{name}")


def _mapping(fields: Mapping[str, Check], needed: tuple[str, ...] = ()) -> Check:
    """Return a check of a mapping's known keys; what others hold is free, if it is plain."""

    def check(value: Any, where: str) -> None:
        if type(value) is not dict:
            raise _wrong(where, "a mapping", value)
        if not fields.keys() >= value.keys():
            for name in value.keys() - fields.keys():
                check_plain(value[name], where)
        for name, inner in fields.items():
            if name in value:
                inner(value[name], f"{where}.{name}")
            elif name in needed:
                raise RlidimError(f"{where}: '{name}' is missing")

    return check


_steps = _whole(0, MOST_STEPS)
_score = _number()
SEED_CHECK = _whole(0, 2**64 - 1)
_size = _whole(1, LARGEST_D)
_short = _text()

SPEC: dict[str, Check] = {
    "family": _text(),
    "D": _size,
    "d": _size,
    "seed": SEED_CHECK,
    "layout_version": _steps,
    "options": _plain,
}
START: dict[str, Check] = {
    "theta_0_seed": SEED_CHECK,
    "family": _text(),
    "D": _size,
    "seed": SEED_CHECK,
    "theta_d": _scores,
    "layout_version": _steps,
}
NETWORK: dict[str, Check] = {
    "hidden": _each(_size),
    "observation_size": _size,
    "memory": _whole(1, WIDEST),
    "output_size": _size,
    "observation_shape": _each(_size),
}
NETWORK_CHECK = _mapping(NETWORK)
# Of a network that is to act: any other word would be taken for one of these, in silence.
ACTING: dict[str, Check] = {
    "activation": _one_of(ACTIVATIONS),
    "initialisation": _one_of(INITIALISATIONS),
    "output_gain": _score,
    "scale": _number(0),
    "action": _one_of((*CHOSEN, "argmax_mean", "positive", *BOUNDED)),
    "masked": _truth,
    "output_bound": _or_none(_number(0)),
    "choices": _or_none(_each(_size)),
    "low": _or_none(_each(_or_none(_score))),
    "high": _or_none(_each(_or_none(_score))),
    "observation_mean": _or_none(_scores),
    "observation_variance": _or_none(_scores),
    "clip_observation": _number(0),
    # Records lack the layout where they are older than its field.
    "start": _each(_mapping(START, tuple(name for name in START if name != "layout_version"))),
    "architecture": _text(),
    "batch_norm": _truth,
    "means": _or_none(_scores),
    "variances": _or_none(_scores),
}
_ACTING_CHECK = _mapping(NETWORK | ACTING)
SOLUTION: dict[str, Check] = {
    "spec": _mapping(SPEC, ("family", "D", "d", "seed")),
    "theta_0_seed": SEED_CHECK,
    "theta_d": _or_none(_text(LARGEST_RECORD)),
    "network": NETWORK_CHECK,
    "sha256": _text(),
}
SETTINGS: dict[str, Check] = {
    "environment": _or_none(_plain),
    "network": _or_none(_plain),
    "evaluation": _mapping({"minimum": _score}),
}
PROVENANCE: dict[str, Check] = {
    "seconds": _number(0),
    "cpu_seconds": _number(0),
    "processes": _whole(1, MOST_PROCESSES),
    "versions": _about,
    "hardware": _about,
    "ray_node": _text(),
}
CELL: dict[str, Check] = {
    "task": _name(),
    "trainer": _name(LONGEST_PART),
    "projection": _name(LONGEST_PART),
    "d": _or_none(_size),
    "seed": _whole(-MOST_SEED, MOST_SEED),
    "scope": _one_of(SCOPES),
}
SEEDS = tuple(field.name for field in dataclasses.fields(Seeds))
RECORD: dict[str, Check] = {
    "cell": _mapping(CELL, ("task", "trainer", "projection", "d", "seed")),
    "status": _one_of(STATUSES),
    "score": _or_none(_score),
    "returns": _scores,
    "D": _whole(0, LARGEST_D),
    "environment_steps": _steps,
    "curve": _curve,
    "stopped": _text(),
    "solution": _or_none(_mapping(SOLUTION, ("network",))),
    "seeds": _mapping(dict.fromkeys(SEEDS, SEED_CHECK), SEEDS),
    "settings": _mapping(SETTINGS, tuple(SETTINGS)),
    "config_hash": _text(),
    "details": _plain,
    "error": _or_none(_text(LARGEST_RECORD)),
    "attempts": _steps,
    "provenance": _mapping(PROVENANCE),
}


def check_record(content: dict[str, Any]) -> None:
    """Check a record's values, and that they agree with one another.

    Args:
        content: from JSON.

    Raises:
        RlidimError: something is missing, of another type, too large, or contradicts the rest.
    """
    for name, check in RECORD.items():
        if name not in content:
            raise RlidimError(f"'{name}' is missing")
        check(content[name], name)
    cell, status, score, D = (content[name] for name in ("cell", "status", "score", "D"))
    d = cell["d"]
    if (d is None) != (cell["projection"] == NATIVE or cell["trainer"] == RANDOM):
        raise RlidimError(f"cell: projection {cell['projection']} with d = {d}")
    if d is not None and status != "failed" and d > D:
        raise RlidimError(f"cell: d = {d} is more than D = {D}")
    if status == "ok":
        _check_score(score, content["returns"])
    elif score is not None:
        raise RlidimError(f"status is {status}, but the score is {score}")
    solution = content["solution"]
    if solution is not None and (text := solution.get("theta_d")) is not None:
        if d is None or len(text) != 4 * -(-4 * d // 3):
            raise RlidimError(f"solution.theta_d: not {d} float32 numbers in base64")
        try:
            base64.b64decode(text, validate=True)
        except ValueError as error:
            raise RlidimError(f"solution.theta_d: not base64 ({error})") from error
        for name in ("spec", "theta_0_seed"):
            if name not in solution:
                raise RlidimError(f"solution: '{name}' is missing")
        if solution["spec"]["d"] != d:
            raise RlidimError(f"solution.spec: d = {solution['spec']['d']}, the cell's is {d}")


def check_acting(network: dict[str, Any]) -> None:
    """Check the description of a network that acts; another kind's has other words.

    Args:
        network: of a solution.

    Raises:
        RlidimError: a value that no such network has, or as many numbers as it has no use for.
    """
    _ACTING_CHECK(network, "network")
    sizes = {"low": "output_size", "high": "output_size"}
    sizes |= dict.fromkeys(("observation_mean", "observation_variance"), "observation_size")
    for name, size in sizes.items():
        numbers = network.get(name)
        if numbers is not None and len(numbers) != network.get(size):
            raise RlidimError(
                f"network.{name}: {len(numbers)} numbers, {size} is {network.get(size)}"
            )
    for one, other in (("low", "high"), ("observation_mean", "observation_variance")):
        if (network.get(one) is None) != (network.get(other) is None):
            raise RlidimError(f"network: '{one}' and '{other}' go together")
    if network.get("masked") and network.get("action") not in CHOSEN:
        raise RlidimError(f"network.masked: {network.get('action')} makes no choice among several")
    if network.get("action") in BOUNDED and network.get("low") is None:
        raise RlidimError(f"network.action: {network['action']} needs 'low' and 'high'")


def _check_score(score: float | None, returns: list[float]) -> None:
    """Check that a score is the mean of the returns, as it was when the record was written."""
    if score is None:
        raise RlidimError("status is ok but the score is None")
    if not returns:
        raise RlidimError(f"the score is {score:g}, but there are no returns")
    mean = math.fsum(returns) / len(returns)
    if abs(mean - score) > ROUNDING * max(1.0, max(map(abs, returns))):
        raise RlidimError(f"the score is {score:g}, but the mean of its returns {mean:g}")
