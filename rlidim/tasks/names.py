"""Tasks by name: the folders of YAML files, and the variants that a name asks for."""

from __future__ import annotations

import contextlib
import os
import re
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
    """Return the folders that tasks are read from: the user's own first, then the suite's.

    The suite's are beside the package in a checkout and inside it in an installed wheel.

    Args:
        extra: the user's folder; without one, the variable RLIDIM_ENVS is asked.

    Raises:
        RlidimError: the user's folder does not exist.
    """
    package = Path(__file__).resolve().parent.parent
    inside, beside = package / "envs", package.parent / "envs"
    own = [inside if inside.is_dir() else beside]
    if extra is None and os.environ.get("RLIDIM_ENVS"):
        extra = Path(os.environ["RLIDIM_ENVS"])
    if extra is None:
        return own
    if not extra.is_dir():
        raise RlidimError(f"--envs {extra}: no such folder")
    return [extra, *own]


def task_files(extra: Path | None = None) -> dict[str, Path]:
    """Return every task's file by name, without opening any; the user's come before the suite's.

    Raises:
        RlidimError: the user's folder does not exist, or has two files for one task.
    """
    found: dict[str, Path] = {}
    for folder in task_folders(extra):
        paths = [path for ending in ENDINGS for path in sorted(folder.glob(f"*{ending}"))]
        for path in paths:
            if path.stem not in found:
                found[path.stem] = path
            elif found[path.stem].parent == folder:
                raise RlidimError(
                    f"{path}: {found[path.stem].name} is task '{path.stem}' too: remove one"
                )
    return dict(sorted(found.items()))


def find_task(name: str, extra: Path | None = None) -> Task:
    """Load a task by name, or a variant of one: ``mnist-fc-400x3``, ``mnist-fc-paper``.

    Raises:
        RlidimError: there is none of that name (with the nearest).
    """
    known = task_files(extra)
    found = split_name(name, known)
    if found is None:
        raise RlidimError(f"unknown task '{name}'{nearest(name, known)}")
    task = load_task(known[found.base])
    return task if found.base == name else task.variant(**found.choices)


class Variant(NamedTuple):
    """What a name says: a task's own, and what a variant's adds to it."""

    base: str
    width: int | None = None
    depth: int | None = None
    protocol: str | None = None
    game: str | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """What :meth:`Task.variant` takes."""
        return {name: value for name, value in self._asdict().items() if name != "base"}


def split_name(name: str, known: Collection[str]) -> Variant | None:
    """Take a name apart, without opening a file.

    ``mnist-fc`` for ``mnist-fc`` and ``mnist-fc-400x3-paper``; ``mnist-fc-lenet`` for itself;
    ``atari`` for ``atari-seaquest``. None if the name is neither a task's nor a variant's.
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
    """Load every task of the folders, and what variants of them are among the names.

    Args:
        names: of tasks and variants; those that are unknown here are passed over.
        extra: the user's folder.
        bad: is told of each file that is no task's, which is then left out; None raises.

    Raises:
        RlidimError: see :func:`task_files`; or a file is wrong and there is nobody to tell.
    """
    found = {}
    for name, path in task_files(extra).items():
        try:
            found[name] = load_task(path)
        except RlidimError as error:
            if bad is None:
                raise
            bad(str(error))
    for name in names:
        if name not in found:
            with contextlib.suppress(RlidimError):  # records of tasks that are unknown here
                found[name] = find_task(name, extra)
    return found
