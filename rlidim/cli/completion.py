"""What a shell is told at TAB: tasks, a task's trainers, the families of P, logs."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from rlidim.errors import RlidimError


def tasks(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Return the tasks that begin so, those of ``--envs`` too, whose files are not opened."""
    from rlidim.tasks.names import task_files

    try:
        names = task_files(_envs(context))
    except RlidimError:  # a wrong folder: said by the command, not in the middle of a line
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def trainers(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the trainers that begin so, of the task whose command it is; else of any."""
    from rlidim.tasks.names import find_task
    from rlidim.tasks.settings import TRAINERS

    group = context.parent.info_name if context.parent is not None else None
    try:
        names = [*find_task(group or "", _envs(context)).trainers]
    except RlidimError:
        names = [*TRAINERS]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def families(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the families of P that begin so."""
    from rlidim.tasks.families import AUTO, names

    return [CompletionItem(name) for name in (AUTO, *names()) if name.startswith(incomplete)]


def logs(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the places that begin so where a run's numbers are shown."""
    from rlidim.trainers.logs import WRITERS

    return [CompletionItem(name) for name in WRITERS if name.startswith(incomplete)]


def _envs(context: click.Context) -> Path | None:
    """Return the user's folder of tasks; here no command has been run that would note it."""
    folder = context.find_root().params.get("envs")
    return None if folder is None else Path(folder)
