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
    growth,
    headline,
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
from rlidim.report.places import BASES, COVERAGE, FAMILIES
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

    FAMILIES.md too, where ``families/`` holds records that compare the families of P.

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
    records, problems = results.scan()
    measurements = gather(records, tasks, results_folder=results.folder)
    problems = [f"{problem}; skipped" for problem in problems]
    natives = baselines.unmeasured(records, measurements, tasks)
    problems += [warning for measurement in measurements for warning in measurement.warnings]
    problems += [warning for native in natives for warning in native.warnings]
    described, damaged = descriptions.read(results.folder)
    problems += damaged
    problems = list(dict.fromkeys(problems))
    ladder = plot_ladder(measurements, results.folder / "figures" / "ladder")
    figures = [*ladder]
    figures += plot_task_ladder(measurements, results.folder / "figures" / "tasks")
    for measurement in measurements:
        if measurement.estimate is not None:
            figures += plot_measurement(measurement, results.folder / "figures" / measurement.stem)
    unsolved = [each for each in map(baselines.of_unsolved, measurements) if each is not None]
    for stem, native in {native.stem: native for native in [*natives, *unsolved]}.items():
        figures += baselines.plot_curves(native, results.folder / "figures" / stem)
    # Only here: it rebuilds P, for which torch is loaded.
    from rlidim.report import conditioning

    figures += conditioning.plot(measurements, results.folder / "figures")
    at_full, unreadable = Results(results.folder / BASES).scan()
    problems += [f"{problem}; skipped" for problem in unreadable]
    judged = claims.claims(measurements)
    try:
        cost = growth.claim(growth.read(results.folder))
        judged += [] if cost is None else [cost]
    except RlidimError as error:
        problems.append(f"{error}; skipped")
    otherwise, unreadable = choices.read(measurements, results.folder, tasks)
    problems += [f"{problem}; skipped" for problem in unreadable]
    width = choices.width_claim(otherwise)
    of_atlas = [*atlas.claims(measurements), *([] if width is None else [width])]
    studied: list[Table] = []
    try:
        studied = coverages.tables(coverages.read(results.folder / COVERAGE))
    except RlidimError as error:
        problems.append(f"{error}; skipped")
    # Paths below the folder, so that the text does not depend on where the folder is.
    outside = f"{results.folder}{os.sep}"
    left_out = [line.replace(outside, "") for line in problems]
    page = _Page(
        measurements,
        natives,
        records,
        left_out,
        described,
        at_full,
        judged,
        [choices.table(otherwise), verdicts.listed("Claims about RL tasks", of_atlas, COMPARED)],
        tasks,
        ladder=bool(ladder),
    )
    contents = {
        "TABLES.md": page.markdown(),
        "tables.csv": tables.measurements_csv(measurements),
        "scores.csv": tables.scores_csv(measurements),
        "tables.tex": page.latex(),
    }
    comparison = Results(results.folder / FAMILIES)
    if comparison.folder.is_dir():
        records, unreadable = comparison.scan()
        problems += [f"{problem}; skipped" for problem in unreadable]
        compared = gather(records, tasks, results_folder=comparison.folder)
        problems += [warning for each in compared for warning in each.warnings]
        table = families.table(compared)
        parts = [f"# {table.title}", *_markdown(table), "```console\n$ rlidim tables\n```"]
        contents["FAMILIES.md"] = "\n\n".join(parts) + "\n"
    if studied:
        parts = ["# Coverage of the 95 % interval"]
        for table in studied:
            parts += [f"## {table.title}", *_markdown(table)]
        parts.append("```console\n$ rlidim calibrate --coverage\n$ rlidim tables\n```")
        contents["COVERAGE.md"] = "\n\n".join(parts) + "\n"
    for name, content in contents.items():
        write_atomically(results.folder / name, content)
    return [*(results.folder / name for name in contents), *figures], problems


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
            parts.append("![The difficulty ladder](figures/ladder.svg)")
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

    return f"![{render.escape_markdown(label)}](figures/{quote(f'{stem}.svg')})"
