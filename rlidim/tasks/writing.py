"""A task as a file: every setting that its runs depend on, defaults included, as YAML."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlidim.tasks.loading import MODULE
from rlidim.tasks.settings import known_trainers
from rlidim.tasks.task import Task

WIDE = 120  # characters of a line


def yaml_of(task: Task, trainers: Iterable[str]) -> str:
    """Return the YAML of a task with some of its trainers; read as a file it gives the same runs.

    Args:
        task: any.
        trainers: names of those of its trainers that are to be in it.

    Raises:
        RlidimError: the task has no such trainer.
    """
    import yaml

    problem = task.problem
    content: dict[str, Any] = {"title": task.title, "kind": problem.kind}
    for field in dataclasses.fields(problem):
        section = getattr(problem, field.name)
        if not isinstance(section, Mapping):  # the settings of another protocol, which is not this
            content[field.name] = _plain(dataclasses.asdict(section))
    if task.target is not None:
        content["target"] = _plain(dataclasses.asdict(task.target))
    names = list(trainers)
    searches = {name: dataclasses.asdict(task.search_for(name)) for name in names}
    content["search"] = {name: _search(search) for name, search in searches.items()}
    content["trainers"] = {name: _settings(task, name) for name in names}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=WIDE)
    return text


def _settings(task: Task, trainer: str) -> dict[str, Any]:
    """Return a trainer's settings; those of the user's own name its module."""
    settings = task.settings(trainer)
    values = _plain(dataclasses.asdict(settings))
    if trainer not in known_trainers():
        return {MODULE: _module_of(settings, task.file), **values}
    return values  # type: ignore[no-any-return]


def _module_of(settings: Any, file: Path) -> str:
    """Return the name of the user's module, that of its file where it lies beside the task's."""
    name: str = type(settings).__module__
    source = Path(getattr(sys.modules[name], "__file__", None) or name)
    return source.name if source.parent == file.parent.resolve() else name


def _search(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a search's settings, its budget as the file's readers write it."""
    seconds = settings["budget"]
    return {**settings, "budget": f"{int(seconds) if seconds == int(seconds) else seconds}s"}


def _plain(value: Any) -> Any:
    """Return what YAML's safe dumper knows: lists in place of tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
