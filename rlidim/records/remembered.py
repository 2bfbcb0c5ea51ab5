"""What was worked out before, kept while all that it was made of is the same.

A file of it can be deleted at any time: it is made again. A folder that cannot be written remembers
nothing, and everything is worked out each time.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.files import replace_file
from rlidim.tasks.reading import parse_json, read_file

FOLDER = ".remembered"  # beside the records; git ignores it
LARGEST = 50_000_000  # bytes of a file that is read again


class Remembered:
    """Values by name, each under the key of what it was made of."""

    def __init__(self, values: dict[str, dict[str, Any]]) -> None:
        """Begin with what a file says."""
        self.values = values
        self.changed = False

    def recall(self, name: str, key: str, make: Callable[[], Any]) -> Any:
        """Return the value of that name, made anew unless it was made of the same.

        Args:
            name: of a task, or of a file.
            key: see :func:`key_of`.
            make: returns the value, as JSON has it.
        """
        before = self.values.get(name)
        if before is None or before.get("key") != key:
            before = self.values[name] = {"key": key, "value": make()}
            self.changed = True
        return before["value"]

    def forget(self, name: str) -> None:
        """Have the value of that name made anew."""
        self.values.pop(name, None)


@contextmanager
def remembered(path: Path | None) -> Iterator[Remembered]:
    """Yield what a file remembers, and write it back if anything is new; None remembers nothing."""
    memory = Remembered({} if path is None else _read(path))
    try:
        yield memory
    finally:
        if memory.changed and path is not None:
            with contextlib.suppress(OSError):
                replace_file(path, json.dumps(memory.values).encode())


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return a file's values; none where no file can be read, or it is not one of these."""
    try:
        content = parse_json(read_file(path, LARGEST))
    except (RlidimError, ValueError):
        return {}
    values = content.items() if isinstance(content, dict) else ()
    return {
        name: entry
        for name, entry in values
        if isinstance(entry, dict) and entry.keys() == {"key", "value"}
    }


def key_of(*parts: str | bytes) -> str:
    """Return the SHA-256 of all that a value is made of, and of the program that makes it."""
    digest = hashlib.sha256(program().encode())
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(content) + content)
    return digest.hexdigest()


@functools.cache
def program() -> str:
    """Return the SHA-256 of rlidim's own sources and of the names of what is installed.

    A task's D is its environment's, which comes from a package; a name tells the version.
    """
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    installed = {  # a folder may stand on the path twice
        place.name
        for folder in sys.path
        for ending in ("dist-info", "egg-info")
        for place in Path(folder).glob(f"*.{ending}")
    }
    digest.update("\n".join([sys.version, *sorted(installed)]).encode())
    return digest.hexdigest()
