"""Tasks by name: the folders of their YAML files, and variants such as ``mnist-fc-400x3``."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rlidim.errors import RlidimError, nearest
from rlidim.tasks.loading import load_task
from rlidim.tasks.task import ANY_GAME, Task

ENDINGS = (".yml", ".yaml")
VARIANT = re.compile(r"(?=.)(?:(\d+)x(\d+))?(?:(?:^|-)(paper))?")


GAME = re.compile(r"[a-z0-9_]+")


def task_folders(extra: Path | None = None) -> list[Path]:
    """Return the folders of the tasks' files: the user's own first, then the suite's.

    The suite's are beside the package in a checkout and inside it in an installed wheel.

    Args:
        extra: the user's folder; without one, the variable RLIDIM_ENVS is asked.

    Raises:
        RlidimError: the user's folder does not exist.
    """
    own = [suite_folder()]
    if extra is None and os.environ.get("RLIDIM_ENVS"):
        extra = Path(os.environ["RLIDIM_ENVS"])
    if extra is None:
        return own
    if not extra.is_dir():
        raise RlidimError(f"--envs or RLIDIM_ENVS {extra}: no such folder")
    return [extra, *own]


def suite_folder() -> Path:
    """Return the folder of the suite's own tasks."""
    package = Path(__file__).resolve().parent.parent
    inside, beside = package / "envs", package.parent / "envs"
    return inside if inside.is_dir() else beside


def task_files(extra: Path | None = None) -> dict[str, Path]:
    """Return every task's file by name, without opening any; the user's come before the suite's.

    Raises:
        RlidimError: the user's folder does not exist, or has two files for one task.
    """
    files: dict[str, Path] = {}
    for folder in task_folders(extra):
        paths = [path for ending in ENDINGS for path in sorted(folder.glob(f"*{ending}"))]
        for path in paths:
            if path.stem not in files:
                files[path.stem] = path
            elif files[path.stem].parent == folder:
                raise RlidimError(
                    f"{path}: {files[path.stem].name} is task '{path.stem}' too: remove one"
                )
    return dict(sorted(files.items()))


def hiding(name: str, extra: Path | None = None) -> Path | None:
    """Return the user's file that hides the suite's task of that name, or of that variant's base.

    Raises:
        RlidimError: see :func:`task_files`.
    """
    *users, suite = task_folders(extra)
    if not users:
        return None
    files = task_files(extra)
    parts = split_name(name, files)
    if parts is None:
        return None
    hidden = any((suite / f"{parts.base}{ending}").exists() for ending in ENDINGS)
    return files[parts.base] if hidden and files[parts.base].parent in users else None


def command(task: Task, *words: str) -> str:
    """Return a command about a task as it is typed: ``rlidim --envs my_tasks lander measure``."""
    folder = task.file.parent
    own = [] if folder.resolve() == suite_folder() else ["--envs", str(folder)]
    return shlex.join(["rlidim", *own, task.name, *words])


def find_task(name: str, extra: Path | None = None) -> Task:
    """Load a task by name, or a variant of one: ``mnist-fc-400x3``, ``mnist-fc-paper``.

    Raises:
        RlidimError: there is none of that name (with the nearest).
    """
    known = task_files(extra)
    parts = split_name(name, known)
    if parts is None:
        raise RlidimError(f"unknown task '{name}'{nearest(name, known)}")
    task = load_task(known[parts.base])
    return task if parts.base == name else task.variant(**parts.choices)


class Variant(NamedTuple):
    """The parts of a name: the task's own name, and the choices of a variant."""

    base: str
    width: int | None = None
    depth: int | None = None
    protocol: str | None = None
    game: str | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """The arguments of :meth:`Task.variant`."""
        return {name: value for name, value in self._asdict().items() if name != "base"}


def split_name(name: str, known: Collection[str]) -> Variant | None:
    """Split a name into its parts, without opening a file.

    The base of ``mnist-fc-400x3-paper`` is ``mnist-fc``, that of ``atari-seaquest`` is ``atari``.
    None if the name is neither a task's nor a variant's.
    """
    if name in known:
        return Variant(name)
    for base in sorted(known, key=len, reverse=True):
        if not name.startswith(f"{base}-"):
            continue
        rest = name.removeprefix(f"{base}-")
        if base == ANY_GAME and GAME.fullmatch(rest):
            return Variant(base, game=rest)
        parts = VARIANT.fullmatch(rest)
        if parts is not None:
            width, depth, protocol = parts.groups()
            return Variant(
                base, int(width) if width else None, int(depth) if depth else None, protocol
            )
    return None


def find_tasks(
    names: Iterable[str], extra: Path | None = None, bad: Callable[[str], object] | None = None
) -> dict[str, Task]:
    """Load every task of the folders, and those of the names that are variants of one.

    Args:
        names: of tasks and variants; those that are unknown here are passed over.
        extra: the user's folder.
        bad: is told of each file that is no task's, which is then left out; None raises.

    Raises:
        RlidimError: see :func:`task_files`; or a file is wrong and there is nobody to tell.
    """
    tasks = {}
    for name, path in task_files(extra).items():
        try:
            tasks[name] = load_task(path)
        except RlidimError as error:
            if bad is None:
                raise
            bad(str(error))
    for name in names:
        if name not in tasks:
            with contextlib.suppress(RlidimError):  # a record's task may have no file
                tasks[name] = find_task(name, extra)
    return tasks
