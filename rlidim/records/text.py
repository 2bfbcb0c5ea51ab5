"""A record as text: JSON with a list of numbers on one line, under a checksum of its content."""

from __future__ import annotations

import json
from typing import Any

from rlidim.tasks.reading import CHECKSUM, checksum

NESTED = (dict, list)


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return a record's content with its checksum."""
    return {**content, CHECKSUM: checksum(content)}


def text_of(value: Any, indent: str = "") -> str:
    """Return JSON, indented by a space a level; a list without a list in it takes one line.

    Raises:
        ValueError: a number that JSON has not.
        TypeError: a value that JSON has not.
    """
    plain = not isinstance(value, NESTED) or not value
    if plain or (isinstance(value, list) and not any(isinstance(each, NESTED) for each in value)):
        return json.dumps(value, allow_nan=False)
    inner = indent + " "
    if isinstance(value, list):
        lines, ends = [text_of(each, inner) for each in value], "[]"
    else:
        named = value.items()
        lines, ends = [f"{json.dumps(key)}: {text_of(each, inner)}" for key, each in named], "{}"
    body = ",\n".join(f"{inner}{line}" for line in lines)
    return f"{ends[0]}\n{body}\n{indent}{ends[1]}"
