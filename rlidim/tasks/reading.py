"""Files that anybody may have written: regular ones alone, no larger than they need be."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError, unprintable

LONGEST_NAME = 120  # bytes of a task's name: with a trainer's and a projection's it names figures
LONGEST_PART = 48  # bytes of a trainer's or a projection's name
LARGEST_YAML = 100_000  # bytes; the suite's own files have at most 5,000
DEEPEST = 20  # mappings and lists within one another
LARGEST_RECORD = 8 * 2**20  # bytes; one of 10,000 numbers and 100 returns has 60,000
CHECKSUM = "checksum"  # the last key of a record
WITH_CHECKSUM = 2  # the first schema whose records have one
NESTED = (dict, list, float)  # what check_plain looks into
SPACES = {ord("\n"): " ", ord("\t"): " "}  # that a text of YAML may have


def read_file(path: Path, most: int) -> bytes:
    """Return a file's content.

    Args:
        path: of a regular file, or of a link to one: a pipe would be waited for, and a device such
            as /dev/zero has no end.
        most: bytes that such a file may have.

    Raises:
        RlidimError: it is no such file, larger, or cannot be read (names the file).
    """
    size = check_regular(path, most)
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error


def check_regular(path: Path, most: int) -> int:
    """Return a regular file's bytes, at most so many, without opening it.

    Raises:
        RlidimError: it is not.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a NUL in its name
        raise RlidimError(f"{path}: no name of a file ({error})") from error
    if not stat.S_ISREG(about.st_mode):
        raise RlidimError(f"{path}: cannot be read (not a regular file)")
    if about.st_size > most:
        raise RlidimError(f"{path}: {about.st_size:,} bytes, at most {most:,} are read")
    return about.st_size


def check_name(name: str, most: int = LONGEST_NAME) -> str:
    """Return a name that files and folders below the results are given, or say why it cannot be.

    Args:
        name: of a task, a trainer or a projection.
        most: bytes that it may have.

    Raises:
        RlidimError: it is empty or too long, leads to another folder, or holds characters that
            cannot be printed.
    """
    if not name or name[0] == "." or ".." in name or "/" in name or "\\" in name:
        raise RlidimError(f"{name!r:.60} is no name: no /, \\, .. and no dot in front")
    if unprintable(name):
        raise RlidimError(f"{name!r:.60} is no name: it has characters that cannot be printed")
    if len(name.encode()) > most:
        raise RlidimError(f"{name!r:.60} is no name: it has more than {most} bytes")
    return name


def parse_json(content: bytes) -> Any:
    """Return what JSON says: no NaN, no infinity, no text that is none, nothing nested too deep.

    Raises:
        ValueError: it is not that.
    """
    text = content.decode("utf-8")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if "\\ud" in text or "\\uD" in text:  # half of a surrogate pair cannot be written
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return value


def checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's content, however it is laid out; its own key is left out.

    Raises:
        ValueError: a number that JSON has not.
    """
    bare = {name: value for name, value in content.items() if name != CHECKSUM}
    canonical = json.dumps(bare, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def check_checksum(content: dict[str, Any]) -> None:
    """Make sure that a record is as it was written, if it is of a schema that can tell.

    Raises:
        RlidimError: it was changed since.
    """
    has_one = content["schema"] >= WITH_CHECKSUM or CHECKSUM in content
    if has_one and content.get(CHECKSUM) != checksum(content):
        raise RlidimError("its checksum is not that of its content: changed since it was written")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def check_plain(value: Any, where: str, deepest: int = DEEPEST) -> None:
    """Check what a file may say freely: mappings, lists, texts and finite numbers.

    Args:
        value: from JSON or YAML.
        where: for the message.
        deepest: mappings and lists within one another.

    Raises:
        RlidimError: nested deeper, or a number that is not finite.
    """
    kind = type(value)
    if kind is dict or kind is list:
        if deepest == 0:
            raise RlidimError(f"{where}: nested deeper than {DEEPEST}")
        for inner in value.values() if kind is dict else value:
            if type(inner) in NESTED:
                check_plain(inner, where, deepest - 1)
    elif kind is float and not math.isfinite(value):
        raise RlidimError(f"{where}: a number that is not finite")


def parse_yaml(text: str) -> Any:
    """Return what YAML says, without what makes one text mean another than it seems to.

    Raises:
        ValueError: not YAML; an alias or an anchor, a key twice, control characters, a value that
            its tag does not allow, or nested too deep: in one line, with the place.
    """
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # a SafeLoader, and stricter
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _safe_loader() -> Any:
    """Return PyYAML's safe loader, its events read by libyaml where that is there, which is fast.

    PyYAML's own loader of that kind composes nodes in C too, where no check can be put.
    """
    import yaml
    from yaml.composer import Composer
    from yaml.constructor import SafeConstructor
    from yaml.resolver import Resolver

    if not yaml.__with_libyaml__:
        return yaml.SafeLoader
    from yaml.cyaml import CParser  # type: ignore[attr-defined]

    class Fast(Composer, CParser, SafeConstructor, Resolver):
        def __init__(self, stream: Any) -> None:
            for part in (CParser, SafeConstructor, Resolver):
                part.__init__(self, *([stream] if part is CParser else []))
            self.anchors: dict[str, Any] = {}

    return Fast


@functools.cache
def _loader() -> Any:
    """Return PyYAML's safe loader, made strict; the package is imported when a file is read."""
    from yaml.constructor import ConstructorError

    class Strict(_safe_loader()):  # type: ignore[misc]
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event: Any = self.peek_event()
            if getattr(event, "anchor", None) is not None:
                raise ConstructorError(
                    None, None, "aliases and anchors are not allowed", event.start_mark
                )
            self.depth += 1
            if self.depth > DEEPEST:
                raise ConstructorError(None, None, "nested too deep", event.start_mark)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                value = super().construct_object(node, deep)
            except (ValueError, ArithmeticError, AttributeError, LookupError, TypeError) as error:
                # Of the constructors of dates, numbers and truth values.
                reason = f"no {node.tag.rpartition(':')[2]} ({error})"
                raise ConstructorError(None, None, reason, node.start_mark) from error
            if isinstance(value, str) and unprintable(value.translate(SPACES)):
                reason = "a text with characters that cannot be printed"
                raise ConstructorError(None, None, reason, node.start_mark)
            return value

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[Hashable] = set()
            for inner, _ in getattr(node, "value", ()):
                key = self.construct_object(inner, deep=True)
                if isinstance(key, Hashable):
                    if key in seen:
                        reason = f"the key '{key}' stands here twice"
                        raise ConstructorError(None, None, reason, inner.start_mark)
                    seen.add(key)
            return super().construct_mapping(node, deep)

    return Strict
