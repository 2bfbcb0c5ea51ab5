"""The settings that a run's result depends on, and their hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.cell import RANDOM, Cell
from rlidim.tasks.fields import recorded
from rlidim.tasks.problems import Control, Supervised
from rlidim.tasks.task import Task


def configuration(task: Task, cell: Cell) -> dict[str, Any]:
    """Return every setting that the run's result depends on, as JSON-ready values.

    Raises:
        RlidimError: a value that JSON has not, such as a date or infinity.

    Fields that came after the first records are left out at their defaults: ``fields.recorded``.
    """
    settings: dict[str, Any] = {}
    if cell.trainer != RANDOM:
        settings["trainer"] = recorded(task.settings(cell.trainer))
    problem = task.problem
    # A task without an environment says so: records have had these three keys since the first.
    settings |= {"environment": None, "network": None, "evaluation": recorded(problem.evaluation)}
    if isinstance(problem, Control):
        settings["environment"] = recorded(problem.environment)
        settings["network"] = recorded(problem.network)
    elif isinstance(problem, Supervised):
        settings["data"] = recorded(problem.data)
        settings["classifier"] = recorded(problem.classifier)
    try:
        return json.loads(json.dumps(settings, allow_nan=False))  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise RlidimError(
            f"{task.file}: a value that no record can hold ({error}): numbers, text, true, false, "
            "lists and mappings are what an environment's kwargs may be"
        ) from error


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
