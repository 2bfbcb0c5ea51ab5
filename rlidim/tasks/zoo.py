"""Lines of rl_zoo3's YAML in a task's ``trainers:``: what reads as it stands, and what to write.

github.com/DLR-RM/rl-baselines3-zoo, ``hyperparams/*.yml``. Most keys are its own here too. Some
belong elsewhere in a task's file, and some hold Python in a text; that is parsed, never evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from rlidim.errors import RlidimError

NORMALISED = {"norm_obs": True, "norm_reward": True}  # what `normalize: true` means there
# Keys of its files that a task's trainers have not, and what to do with each.
ELSEWHERE = {
    "policy": "leave it out: the task's network: is the policy",
    "policy_kwargs": "leave it out: the task's network: says hidden and activation",
    "env_wrapper": "leave it out: register an id whose environment is wrapped already",
    "env_kwargs": "write it as kwargs: of environment:",
    "frame_stack": "leave it out: a game's policy sees four frames",
    "noise_type": "leave it out where it is 'normal': noise_std alone is enough",
    "optimize_memory_usage": "leave it out: it changes no result",
    "replay_buffer_kwargs": "leave it out: transitions that a time limit cut are bootstrapped",
}


def translated(values: Mapping[str, Any], known: Iterable[str], where: str) -> dict[str, Any]:
    """Return a trainer's settings with rl_zoo3's forms in ours.

    Args:
        values: of the section, as YAML reads them.
        known: the settings' names.
        where: file, section and trainer, for the message.

    Raises:
        RlidimError: a key that has another place in a task's file; the line says which.
    """
    known = set(known)
    for key in values:
        if key in ELSEWHERE and key not in known:
            hint = ELSEWHERE[key]
            if key == "policy_kwargs":
                hint = _network(values[key]) or hint
            raise RlidimError(f"{where}: unknown key '{key}': {hint}")
    normalize = values.get("normalize")
    if isinstance(normalize, str) and "normalize" in known:
        return {**values, "normalize": _normalised(normalize)}
    return dict(values)


def _normalised(text: str) -> bool | str:
    """Return what ``normalize: "{...}"`` says; the text itself, where true and false do not say it.

    Ours are observations and rewards, both or neither, with the trainer's gamma.
    """
    try:
        given = parse_python(text)
    except ValueError:
        return text
    if not isinstance(given, dict) or not given.keys() <= NORMALISED.keys():
        return text
    meant = [*{**NORMALISED, **given}.values()]
    same = type(meant[0]) is bool and all(value is meant[0] for value in meant)
    return meant[0] if same else text


def _network(arguments: Any) -> str | None:
    """Return which ``network:`` a policy's arguments mean, None where none does."""
    try:
        given = parse_python(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return None
    if not isinstance(given, Mapping):
        return None
    hidden = given.get("net_arch")
    if isinstance(hidden, Mapping):
        hidden = hidden.get("pi")
    activation = str(given.get("activation_fn", "")).rpartition(".")[2].lower()
    parts = []
    if isinstance(hidden, list) and all(type(width) is int for width in hidden):
        parts.append(f"hidden: {hidden}")
    if activation in ("relu", "tanh"):
        parts.append(f"activation: {activation}")
    return f"leave it out, and write network: {{{', '.join(parts)}}}" if parts else None


def parse_python(text: str) -> Any:
    """Return the value of a Python expression of numbers, texts, lists, dicts and ``dict(...)``.

    A name, such as ``nn.ReLU``, is its text. Nothing is evaluated.

    Raises:
        ValueError: it is no such expression.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"no expression: {text!r:.60}") from error


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() | str() | None):
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List() | ast.Tuple():
            return [_value(each) for each in node.elts]
        case ast.Dict():
            keys = [None if key is None else _value(key) for key in node.keys]
            if not all(isinstance(key, str) for key in keys):
                raise ValueError("a dict whose keys are not texts")
            return dict(zip(keys, map(_value, node.values), strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[]):
            if any(keyword.arg is None for keyword in node.keywords):
                raise ValueError("a dict of another one")
            return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
        case ast.Name() | ast.Attribute():
            return ast.unparse(node)
    raise ValueError(f"a {type(node).__name__}")
