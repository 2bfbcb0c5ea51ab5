"""The settings that a run's result depends on, and their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from rlidim.records.cell import RANDOM, Cell
from rlidim.tasks.settings import recorded
from rlidim.tasks.task import Task


def configuration(task: Task, cell: Cell) -> dict[str, Any]:
    """Return every setting that the run's result depends on, as JSON-ready values.

    Fields that came after the first records are left out at their defaults: ``settings.recorded``.
    """
    settings: dict[str, Any] = {}
    if cell.trainer != RANDOM:
        settings["trainer"] = recorded(task.settings(cell.trainer))
    for name in ("environment", "network", "evaluation"):
        part = getattr(task, name)
        settings[name] = None if part is None else recorded(part)
    if task.data is not None and task.classifier is not None:
        settings["data"] = recorded(task.data)
        settings["classifier"] = recorded(task.classifier)
    return json.loads(json.dumps(settings))  # type: ignore[no-any-return]


def differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Find where two configurations differ: the setting, its value before, and now."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            inner = f"{name}.{key}" if name else key
            yield from differences(before.get(key), now.get(key), inner)
    elif before != now:
        yield name, before, now


def hash_of(configuration: dict[str, Any]) -> str:
    """Return the first 16 hexadecimal digits of the configuration's SHA-256."""
    canonical = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
