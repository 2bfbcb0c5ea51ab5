"""The files that ``rlidim tables`` writes, from the records alone and the same every time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.files import write_atomically
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.records.record import RunRecord
from rlidim.report import (
    atlas,
    baselines,
    bases,
    choices,
    claims,
    coverages,
    descriptions,
    families,
    fractions,
    growth,
    headline,
    placing,
    protocols,
    render,
    replications,
    tables,
    together,
    trainers,
    verdicts,
)
from rlidim.report.baselines import Baseline
from rlidim.report.ladder import plot_ladder
from rlidim.report.overview import statements
from rlidim.report.places import BASES, COVERAGE, FAMILIES, FIGURES
from rlidim.report.plot import plot_measurement
from rlidim.report.rows import COMPARED
from rlidim.report.tables import Table
from rlidim.report.task_ladder import plot_task_ladder
from rlidim.report.verdicts import Claim
from rlidim.tasks.task import Task

_ABOUT = (
    "The intrinsic dimension of a task is the smallest number d of dimensions in which at least "
    "half of the runs still solve it, when the network's D parameters may move only in a random "
    "d-dimensional subspace (Li et al., ICLR 2018)."
)
_RUNGS = (
    "Mean and sd are of the scores on the measurement's scale; solved: how many runs reach 0.9 of "
    "it; fit: the isotonic fit of their share, read where it crosses a half (-: beyond three times "
    "the d where it does, of which it is not); passes: whether half of the runs at that d alone "
    "solve the task, which a few lucky ones may below the reading."
)
_AGAIN = (
    "Everything here is made from the records, one JSON file a run, by this command; the same "
    "records give the same files."
)


def write_tables(results: Results, tasks: Mapping[str, Task]) -> tuple[list[Path], list[str]]:
    """Write TABLES.md, tables.csv, scores.csv, tables.tex and the figures.

    HEADLINE.md too, README's table, where a task has a closed interval, headline.csv where one is
    to be compared, FAMILIES.md where ``families/`` holds records that compare the families of P,
    and COVERAGE.md where the interval's coverage was simulated.

    Args:
        results: the folder of records, where the files go too.
        tasks: the known tasks by name.

    Returns:
        The paths written, TABLES.md first, and one line for each file that is no record and each
        group of records that was left out.

    Raises:
        RlidimError: there is no such folder, or a file cannot be written.
    """
    results.check_there()
    records, unreadable = results.scan()
    measurements = gather(records, tasks, results_folder=results.folder)
    natives = baselines.unmeasured(records, measurements, tasks)
    at_full, no_records = Results(results.folder / BASES).scan()
    described, damaged = descriptions.read(results.folder)
    otherwise, unfit = choices.read(measurements, results.folder, tasks)
    compared, unfit_families = _compared(results, tasks)
    judged, no_growth = _judged(measurements, results)
    studied, no_study = _studied(results)
    problems = [
        *_skipped(unreadable),
        *(warning for measurement in measurements for warning in measurement.warnings),
        *(warning for native in natives for warning in native.warnings),
        *damaged,
        *_skipped(no_records),
        *no_growth,
        *unfit,
        *no_study,
        *unfit_families,
    ]
    problems = list(dict.fromkeys(problems))
    figures, ladder = _draw(measurements, natives, results.folder / FIGURES)
    width = choices.width_claim(otherwise)
    of_atlas = [*atlas.claims(measurements), *([] if width is None else [width])]
    # Paths below the folder, so that the text does not depend on where the folder is.
    outside = f"{results.folder}{os.sep}"
    page = _Page(
        measurements,
        natives,
        records,
        [line.replace(outside, "") for line in problems],
        described,
        at_full,
        judged,
        [choices.table(otherwise), verdicts.listed("Claims about RL tasks", of_atlas, COMPARED)],
        tasks,
        ladder=ladder,
    )
    contents = {
        "TABLES.md": page.markdown(),
        "tables.csv": tables.measurements_csv(measurements),
        "scores.csv": tables.scores_csv(measurements),
        "tables.tex": page.latex(),
    }
    shown = headline.read(measurements)
    if shown.rows:
        contents["HEADLINE.md"] = _document(shown.title, _markdown(shown), "rlidim tables")
    if rows := placing.known(measurements):
        contents["headline.csv"] = placing.to_csv(rows)
    if compared is not None:
        contents["FAMILIES.md"] = _document(compared.title, _markdown(compared), "rlidim tables")
    if studied:
        parts = [part for table in studied for part in (f"## {table.title}", *_markdown(table))]
        again = ("rlidim calibrate --coverage", "rlidim tables")
        contents["COVERAGE.md"] = _document("Coverage of the 95 % interval", parts, *again)
    for name, content in contents.items():
        write_atomically(results.folder / name, content)
    return [*(results.folder / name for name in contents), *figures], problems


def _skipped(unreadable: Sequence[str]) -> list[str]:
    """Return what is said of files that are no records."""
    return [f"{line}; skipped" for line in unreadable]


def _draw(
    measurements: Sequence[Measurement], natives: Sequence[Baseline], folder: Path
) -> tuple[list[Path], bool]:
    """Draw every figure; return their paths, and whether there is a ladder among them."""
    ladder = plot_ladder(measurements, folder / "ladder")
    figures = [*ladder, *plot_task_ladder(measurements, folder / "tasks")]
    for measurement in measurements:
        if measurement.estimate is not None:
            figures += plot_measurement(measurement, folder / measurement.stem)
    unsolved = [each for each in map(baselines.of_unsolved, measurements) if each is not None]
    for stem, native in {native.stem: native for native in [*natives, *unsolved]}.items():
        figures += baselines.plot_curves(native, folder / stem)
    # Late: it rebuilds P, for which torch is loaded.
    from rlidim.report import conditioning

    return [*figures, *conditioning.plot(measurements, folder)], bool(ladder)


def _judged(measurements: Sequence[Measurement], results: Results) -> tuple[list[Claim], list[str]]:
    """Judge the paper's claims; return them, and what could not be read for them."""
    judged = claims.claims(measurements)
    try:
        cost = growth.claim(growth.read(results.folder))
    except RlidimError as error:
        return judged, _skipped([str(error)])
    return [*judged, *([] if cost is None else [cost])], []


def _studied(results: Results) -> tuple[list[Table], list[str]]:
    """Return the tables of the interval's coverage, and what could not be read for them."""
    try:
        return coverages.tables(coverages.read(results.folder / COVERAGE)), []
    except RlidimError as error:
        return [], _skipped([str(error)])


def _compared(results: Results, tasks: Mapping[str, Task]) -> tuple[Table | None, list[str]]:
    """Return the table of the families of P, None without records of it, and what is left out."""
    of_families = Results(results.folder / FAMILIES)
    if not of_families.folder.is_dir():
        return None, []
    records, unreadable = of_families.scan()
    compared = gather(records, tasks, results_folder=of_families.folder)
    warnings = [warning for each in compared for warning in each.warnings]
    return families.table(compared), [*_skipped(unreadable), *warnings]


def _document(title: str, parts: Sequence[str], *again: str) -> str:
    """Return a page with the commands that make it anew."""
    commands = "\n".join(f"$ {command}" for command in again)
    return "\n\n".join([f"# {title}", *parts, f"```console\n{commands}\n```"]) + "\n"


class _Page:
    """The measurements as one document."""

    def __init__(
        self,
        measurements: Sequence[Measurement],
        natives: Sequence[Baseline],
        records: Sequence[RunRecord],
        problems: Sequence[str],
        described: list[dict[str, Any]],
        at_full: Sequence[RunRecord],
        judged: Sequence[Claim],
        of_rl: Sequence[Table],
        tasks: Mapping[str, Task],
        *,
        ladder: bool,
    ) -> None:
        self.measurements = measurements
        self.natives = natives
        self.problems = problems
        ours = [measurement for measurement in measurements if measurement.known is None]
        known = [measurement for measurement in measurements if measurement.known is not None]
        candidates = [
            headline.table(ours),
            tables.summary(ours),
            tables.calibration(known),
            tables.comparison(measurements, tasks),
            claims.table(judged),
            replications.table(measurements),
            bases.table(measurements, at_full),
            trainers.gradients(measurements),
            trainers.correlations(measurements),
            fractions.table(measurements),
            *of_rl,
            protocols.table(measurements),
            together.table(measurements),
            descriptions.table(described),
            baselines.table(natives),
        ]
        self.tables = [table for table in candidates if table.rows]
        self.origins = tables.origins(records)
        self.ladder = ladder

    def markdown(self) -> str:
        """Return TABLES.md."""
        parts = ["# Intrinsic dimensions", _ABOUT]
        if self.ladder:
            parts.append(f"![The difficulty ladder]({FIGURES}/ladder.svg)")
        if not self.measurements:
            parts.append("There are no runs in subspaces on record yet.")
        for table in self.tables:
            parts += [f"## {table.title}", *_markdown(table)]
        if self.measurements:
            parts += ["## Every tested d", _RUNGS]
        for measurement in self.measurements:
            parts.append(f"### {render.escape_markdown(measurement.label)}")
            lines = [f"- {render.escape_markdown(line)}" for line in statements(measurement)]
            parts.append("\n".join(lines))
            native = baselines.of_unsolved(measurement)
            if native is not None:
                parts.append(_figure(native.label, native.stem))
            if measurement.estimate is not None:
                parts.append(_figure(measurement.label, measurement.stem))
                parts.append(render.markdown_table(tables.rungs(measurement)))
        for native in self.natives:
            label = render.escape_markdown(native.label)
            parts += [f"### {label}", _figure(native.label, native.stem)]
        if self.problems:
            items = [f"- {render.escape_markdown(problem)}" for problem in self.problems]
            parts += ["## Left out", "\n".join(items)]
        parts += ["## Regenerate", _AGAIN, "```console\n$ rlidim tables\n```"]
        if self.origins.rows:
            parts += [f"### {self.origins.title}", *_markdown(self.origins)]
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """Return tables.tex, to be included where booktabs and graphicx are loaded."""
        head = "% Made by: rlidim tables. Needs \\usepackage{booktabs,graphicx}.\n"
        return head + "\n".join(render.latex_table(table) for table in self.tables)


def _markdown(table: Table) -> list[str]:
    notes = [render.markdown_notes(table)] if table.notes else []
    return [render.markdown_table(table), *notes]


def _figure(label: str, stem: str) -> str:
    """Return a figure as it stands in the page."""
    from urllib.parse import quote

    return f"![{render.escape_markdown(label)}]({FIGURES}/{quote(f'{stem}.svg')})"
