"""The pages written: each beside the data, records and scripts that it needs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

from rlidim.records.files import replace_file, write_atomically, writing
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement
from rlidim.records.record import RunRecord
from rlidim.report.site import against, film, ladder, page, sliders, table, task
from rlidim.report.site.entry import Entry, address, entries_of
from rlidim.report.site.film import Filming
from rlidim.report.site.sliders import Driven
from rlidim.report.site.solution import solution_of

RECORDS = "records"  # a copy of those that pages lead to
OUT = "--out"  # the option that names the folder
TASKS = "tasks"  # their pages, and what stands on them
LEAD = (
    "How many numbers does it take? The intrinsic dimension of a task is the smallest d at which "
    "at least half of the runs still solve it when a network's D parameters may move only in a "
    "random subspace of d dimensions. Dots are what was measured, bars are 95 % intervals; a row "
    "leads to its runs."
)


def write_site(
    measurements: Sequence[Measurement],
    results: Results,
    out: Path,
    *,
    drive: Callable[[RunRecord], Driven | None],
    filming: Filming,
    documentation: str | None = None,
) -> list[Path]:
    """Write the pages of the results.

    Args:
        measurements: that are shown, those without an estimate left out.
        results: where their records lie; those that pages lead to are copied.
        out: the folder of the pages.
        drive: returns what the sliders' page needs of a run, None if it cannot be played there.
        filming: returns the film of a task's solution, None where it cannot be drawn.
        documentation: the address of the documentation from the first page, if there is one.

    Returns:
        The pages, the first one first.

    Raises:
        RlidimError: a file cannot be written.
    """
    entries = entries_of(measurements)
    best = sliders.driven(entries)
    run = None if best is None else drive(best)
    pairs = against.against(entries)
    missing = {"sliders.html": run is None, "published.html": pairs is None}
    framed = functools.partial(
        page.page,
        documentation=documentation,
        without=tuple(name for name, gone in missing.items() if gone),
    )
    pages = {
        "index.html": framed(
            "Ladder",
            page.heading("How hard are they?", LEAD),
            ladder.legend(entries),
            ladder.ladder(entries),
            here="index.html",
            scripts=("tips.js",),
        ),
        "table.html": framed(
            "Table",
            page.heading("Every measurement", "Sort by a column, filter by a word or a choice."),
            table.table(entries),
            here="table.html",
            scripts=("table.js",),
        ),
    }
    if pairs is not None:
        pages["published.html"] = framed(
            "Ours against published",
            page.heading(
                "Ours against published",
                "Each line joins a published number (the diamond) to ours (the dot), read from our "
                "scores by their rule where that is known, with our 95 % interval.",
            ),
            pairs,
            here="published.html",
        )
    if run is not None:
        pages["sliders.html"] = framed(
            "Six sliders",
            sliders.sliders_page(run),
            here="sliders.html",
            scripts=("philox.js", "cartpole.js", "sliders.js"),
        )
    pictures: dict[str, bytes] = {}
    for name, those in ladder.by_task(entries):
        seen, shown = film.subject(those), None
        made = None if seen is None else filming(seen[0], seen[1].record)
        if seen is not None and made is not None:
            pictures |= film.files(name, made)
            shown = film.shown(name, seen[1], made)
        driven = run is not None and name == sliders.TASK
        pages[address(name)] = framed(
            name,
            task.task_page(those, _link, sliders=driven, film=shown),
            here=address(name),
            scripts=("curve.js", "copy.js"),
        )
    for name, content in pages.items():
        write_atomically(out / _unquoted(name), content, OUT)
    for name, picture in pictures.items():
        with writing(out / TASKS / name, OUT):
            replace_file(out / TASKS / name, picture)
    _write_beside(entries, results, out)
    return [out / _unquoted(name) for name in pages]


def _link(record: RunRecord) -> str:
    """Return the address of a record's copy from a task's page."""
    return f"../{RECORDS}/{quote(str(record.cell))}.json"


def _unquoted(name: str) -> str:
    from urllib.parse import unquote

    return unquote(name)


def _write_beside(entries: Sequence[Entry], results: Results, out: Path) -> None:
    """Write what pages lead to: assets, records, and solutions too long for a page."""
    assets = resources.files("rlidim.report.site") / "assets"
    for asset in assets.iterdir():
        write_atomically(out / page.ASSETS / asset.name, asset.read_text(), OUT)
    for entry in entries:
        found = solution_of(entry)
        if found is not None and len(found.theta_d) > task.SHOWN:
            write_atomically(out / TASKS / task.solution_file(entry), found.words + "\n", OUT)
        measurement = entry.measurement
        random = [measurement.random] if measurement.random is not None else []
        for record in (*measurement.runs, *measurement.baseline, *random):
            source = results.path(record.cell)
            target = out / RECORDS / source.relative_to(results.folder)
            content = source.read_bytes()
            if not target.exists() or target.read_bytes() != content:
                with writing(target, OUT):
                    replace_file(target, content, durable=False)
