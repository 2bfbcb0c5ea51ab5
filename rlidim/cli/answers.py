"""Answers that need no run: the list and a task's page, at once where nothing has changed.

They are remembered beside the records; the sizes of networks, which are no records' matter, in the
user's cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from rlidim.cli.options import results_of, skipped
from rlidim.data import home
from rlidim.errors import RlidimError, printable
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.remembered import FOLDER, key_of, remembered
from rlidim.report.places import BASES, CHOICES, COVERAGE, DESCRIPTIONS, FAMILIES, GROWTH
from rlidim.tasks.problems import Control
from rlidim.tasks.reading import LARGEST_YAML, read_file
from rlidim.tasks.task import Task

LIST, PAGES, TABLES, SIZES = "list.json", "pages.json", "tables.json", "sizes.json"


def rows(context: click.Context, tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """Return the rows of ``rlidim list``, with a warning for each file that is no record."""
    results = results_of(context)
    places = results.folder.iterdir() if results.folder.is_dir() else ()
    sizes = sizes_of(tasks.values())
    found: list[dict[str, Any]] = []
    with remembered(memory_of(results, LIST)) as memory:
        for name in sorted({*tasks, *(place.name for place in places)}):
            task, D = tasks.get(name), sizes.get(name)
            key = key_of(about(task), str(D), results.fingerprint(name))
            said = memory.recall(name, key, lambda: _row(results, name, task, D))  # noqa: B023
            skipped(said["warnings"])
            found += said["rows"]
    return sorted(found, key=lambda row: (row["family"], row["task"]))


def _row(results: Results, name: str, task: Task | None, D: int | None) -> dict[str, Any]:
    """Return the row of a task, none of a folder that is no task's, and what is wrong there."""
    records, problems = results.scan(name)
    if task is None:
        return {"rows": [], "warnings": problems}
    from rlidim.records.measurement import gather
    from rlidim.report.overview import list_rows

    measurements = gather(records, {name: task}, results_folder=results.folder)
    return {"rows": list_rows({name: task}, measurements, {name: D}), "warnings": problems}


def page(context: click.Context, task: Task) -> str:
    """Return a task's page, with a warning for each file of its records that is none."""
    results = results_of(context)
    D = size_of(task)
    key = key_of(about(task), str(D), results.fingerprint(task.name))
    with remembered(memory_of(results, PAGES)) as memory:
        said = memory.recall(task.name, key, lambda: _page(results, task, D))
    skipped(said["warnings"])
    return "\n".join(printable(line) for line in said["page"].splitlines())


def _page(results: Results, task: Task, D: int | None) -> dict[str, Any]:
    """Return a task's page, and what is wrong among its records."""
    from rlidim.records.measurement import gather
    from rlidim.report.baselines import unmeasured
    from rlidim.report.overview import task_page

    records, problems = results.scan(task.name)
    known = {task.name: task}
    measurements = gather(records, known, results_folder=results.folder)
    natives = unmeasured(records, measurements, known)
    return {"page": task_page(task, measurements, D, natives=natives), "warnings": problems}


def tables(context: click.Context, tasks: Mapping[str, Task]) -> tuple[list[str], list[str]]:
    """Write every table and figure, unless they stand there as the same records made them.

    Returns:
        The paths, and a line for each thing that was left out.
    """
    results = results_of(context)
    results.check_there()
    folder = results.folder
    beside = [folder / COVERAGE, folder / GROWTH, *sorted((folder / DESCRIPTIONS).glob("*.json"))]
    key = key_of(
        *(about(task) for _, task in sorted(tasks.items())),
        results.fingerprint(),
        *(Results(path).fingerprint() for path in (folder / FAMILIES, folder / BASES)),
        *(Results(path).fingerprint() for path in sorted((folder / CHOICES).glob("*"))),
        *(path.read_bytes() for path in beside if path.is_file()),
    )

    def make() -> dict[str, Any]:
        from rlidim.report import write

        written, problems = write.write_tables(results, tasks)
        return {"files": {str(path): _digest(path) for path in written}, "warnings": problems}

    with remembered(memory_of(results, TABLES)) as memory:
        said = memory.recall(TABLES, key, make)
        if any(_digest(Path(name)) != digest for name, digest in said["files"].items()):
            memory.forget(TABLES)
            said = memory.recall(TABLES, key, make)
    return list(said["files"]), said["warnings"]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def size_of(task: Task) -> int | None:
    """Return D of a task's network: see :func:`sizes_of`."""
    return sizes_of([task])[task.name]


def sizes_of(tasks: Iterable[Task]) -> dict[str, int | None]:
    """Return D of each task's network; None where a package that it needs is missing.

    Where the user's own module makes the environment, it is asked each time.
    """
    from rlidim.networks.dimension import native_dimension

    sizes = {}
    with remembered(_cache(SIZES)) as memory:
        for task in tasks:
            if isinstance(task.problem, Control) and task.problem.environment.own:
                sizes[task.name] = native_dimension(task)
            else:
                key = key_of(about(task))
                make = lambda: native_dimension(task)  # noqa: B023, E731
                sizes[task.name] = memory.recall(task.name, key, make)
    return sizes


def check_dimensions(task: Task, dims: Iterable[int], scope: str) -> None:
    """Check that subspaces of the task's network have these dimensions, before torch is loaded.

    Of another scope than the policy's the critic's parameters count too: the trainer alone knows
    how many they are.

    Raises:
        RlidimError: one of them is not in 1 .. D.
    """
    dims = list(dims)
    D = size_of(task) if dims and scope == Cell.scope else None
    for d in dims:
        if D is not None and not 1 <= d <= D:
            raise RlidimError(f"d must be between 1 and D = {D}, got {d}")
        if d < 1:
            raise RlidimError(f"d must be at least 1, got {d}")


def memory_of(results: Results, name: str) -> Path | None:
    """Return the file beside the records that remembers; None where there is no such folder."""
    return results.folder / FOLDER / name if results.folder.is_dir() else None


def _cache(name: str) -> Path | None:
    try:
        return home.folder() / name
    except RlidimError:  # this user has no home
        return None


def about(task: Task | None) -> bytes:
    """Return all that a task's files say, as far as a key is made of it.

    Its file alone does not say what a module of the user's has for settings, nor what stands in a
    record that the network starts at: the loaded task does.
    """
    return b"" if task is None else f"{task!r}\n".encode() + read_file(task.file, LARGEST_YAML)
