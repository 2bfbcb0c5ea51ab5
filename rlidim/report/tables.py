"""The tables' contents: rows of text for Markdown, LaTeX and HTML; numbers in full for CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlidim.records.measurement import Measurement, total_seconds, total_steps
from rlidim.records.record import RunRecord
from rlidim.report import published, text
from rlidim.report.columns import one_line
from rlidim.statistics.reading import Reading
from rlidim.statistics.wording import (
    NONE,
    UNSOLVED,
    beside,
    in_short,
    interval,
    name_of,
    read,
    why_open,
)
from rlidim.tasks.task import FRACTION, Task

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet calculate a cell
SHORT = 8  # digits that tell Ray's nodes apart


@dataclass(frozen=True)
class Table:
    """A table of plain text: nothing in it is escaped yet.

    ``left`` is how many columns, counted from the first, hold words; the others hold numbers.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int
    notes: tuple[str, ...] = ()


def summary(measurements: Sequence[Measurement]) -> Table:
    """Return one row for each measurement of a task of unknown dimension."""
    name = name_of(FRACTION)
    rows, reasons = [], []
    for measurement in measurements:
        estimate = measurement.estimate
        if estimate is None:
            reasons.append(f"{measurement.label}: no estimate: {measurement.reason}")
        elif why := why_open(estimate):
            reasons.append(f"{measurement.label}: {why}")
        if estimate is not None and estimate.scale.unsolved:
            reasons.append(f"{measurement.label}: {text.scale_of(measurement, estimate)}")
        random = None if measurement.random is None else measurement.random.score
        rows.append(
            (
                *names_of(measurement),
                text.whole(measurement.D),
                read(estimate),
                interval(estimate),
                *scale_and_natives(measurement),
                beside(None if estimate is None else estimate.mean),
                text.whole(None if estimate is None else estimate.paper_rule_d),
                "; ".join(text.published(entry) for entry in measurement.published) or NONE,
                text.spread(measurement.baseline_scores),
                text.number(random),
                text.budget(measurement),
                _runs(measurement),
                text.whole(measurement.environment_steps),
                text.hours(measurement.seconds),
            )
        )
    header = (
        "task",
        "trainer",
        "projection",
        "D",
        name,
        "95 % interval",
        "scale",
        "native reach it",
        "by the mean",
        "paper's rule",
        "published",
        "baseline",
        "random",
        "a run at most",
        "runs",
        "steps",
        "core hours",
    )
    notes = (
        f"{name}: the smallest d at which at least half of the runs reach {FRACTION:g}, where "
        "random actions are 0 and 1 is the target that the task declares, or else the median of "
        "native training (local); > and <= where the tested d only bound it; none where not even "
        "d = D reaches it.",
        f"Scale: what 1 is. Native reach it: of the native runs so many reach {FRACTION:g} too; "
        "where fewer than half reach that of the target, the row is native unsolved and its "
        "reading local.",
        f"By the mean: the smallest d whose expected score reaches {FRACTION:g} of the native "
        "runs' mean, with its own interval.",
        "Paper's rule: the first tested d whose mean score exceeds the same share of the native "
        "mean, scores shifted so that the lowest possible is 0 (random actions' mean, where there "
        "is no lowest or none is known); no interpolation.",
        "Baseline: native training, mean ± standard deviation (seeds). Runs: in subspaces, ok / "
        "diverged / failed; one that diverged counts as random actions do, one that failed not at "
        "all. A run at most: its budget; it ends early once it has solved the task. Steps and core "
        "hours include the baseline's.",
        *reasons,
    )
    return Table("Measurements", header, tuple(rows), 3, notes)


def calibration(measurements: Sequence[Measurement]) -> Table:
    """Return one row for each measurement of a task whose dimension is known by construction."""
    rows = []
    for measurement in measurements:
        estimate, known = measurement.estimate, measurement.known
        assert known is not None
        holds = "not measured" if estimate is None else text.verdict(estimate.holds(known))
        rows.append(
            (
                *names_of(measurement),
                text.whole(measurement.D),
                text.whole(known),
                read(estimate),
                interval(estimate),
                holds,
                _runs(measurement),
                text.whole(measurement.environment_steps),
                text.hours(measurement.seconds),
            )
        )
    header = (
        "task",
        "trainer",
        "projection",
        "D",
        "known",
        name_of(FRACTION),
        "95 % interval",
        "holds",
        "runs",
        "steps",
        "core hours",
    )
    notes = (
        "Holds: whether the known dimension lies in the interval; open where an end that the "
        "tested d leave open would decide.",
    )
    return Table("Calibration", header, tuple(rows), 3, notes)


def comparison(measurements: Sequence[Measurement], tasks: Mapping[str, Task]) -> Table:
    """Return one row for each measurement and published number of its task.

    The published numbers of the other tasks are named below the table.
    """
    rows = []
    notes = [
        "Differs: in what the published number was read otherwise than ours, as far as trainer "
        "and D tell; the notes below say more. A published number has no interval.",
        "Ours, their rule: the d at which our mean score, shifted so that the lowest possible is "
        "0, crosses the same share of their baseline (global: the number; local: native training, "
        "here our own); ratio: that over theirs; at their score: the same share of the very score "
        "that they had. The last column says whether the interval by their rule, or that of our "
        "reading by the mean where their baseline is neither, holds the published number, or would "
        f"with ends {published.RUNG:g} times further out, which is one rung; an open end holds "
        "nothing.",
    ]
    for measurement in measurements:
        for entry in measurement.published:
            estimate = measurement.estimate
            theirs = published.reread(entry, measurement)
            same = published.reread_at_their_number(entry, measurement)
            rows.append(
                (
                    *names_of(measurement),
                    one_line(entry.rule),
                    str(entry.baseline),
                    text.differences(entry, measurement),
                    one_line(entry.source),
                    text.whole(entry.D),
                    text.whole(entry.d_int),
                    beside(theirs),
                    _ratio(theirs, entry.d_int),
                    beside(same),
                    in_short(estimate),
                    published.verdict(entry, measurement),
                )
            )
            details = [one_line(part) for part in (entry.network, entry.note) if part]
            if details:
                line = f"{measurement.task_name}, {entry.d_int:,} ({entry.trainer}): "
                notes.append(line + "; ".join(details))
    measured = {measurement.task_name for measurement in measurements}
    missing = [
        f"{name} {text.published(entry)}"
        for name, task in sorted(tasks.items())
        for entry in task.published
        if name not in measured
    ]
    if missing:
        notes.append(f"Published and not measured here: {'; '.join(missing)}.")
    header = (
        "task",
        "trainer",
        "projection",
        "published rule",
        "published baseline",
        "differs",
        "source",
        "published D",
        "published",
        "ours, their rule",
        "ratio",
        "ours, at their score",
        f"ours, {name_of(FRACTION)}",
        "our interval",
    )
    return Table("Against published numbers", header, tuple(rows), 7, tuple(dict.fromkeys(notes)))


def _ratio(estimate: Reading | None, d: int) -> str:
    """Return our d_int over the published one."""
    if estimate is None or estimate.censored or estimate.d_int is None:
        return NONE
    return f"{estimate.d_int / d:.2f}"


def rungs(measurement: Measurement) -> Table:
    """Return one row for each tested d."""
    rows = []
    if measurement.estimate is not None:
        fit = dict(measurement.estimate.fit)
        rows = [
            (
                text.whole(rung.d),
                str(len(rung.scores)),
                f"{rung.mean:.3f}",
                f"{np.std(rung.normalised, ddof=1):.3f}" if len(rung.scores) > 1 else NONE,
                f"{rung.solved}",
                f"{fit[rung.d]:.2f}" if rung.d in fit else NONE,
                "yes" if rung.passes else "no",
            )
            for rung in measurement.estimate.rungs
        ]
    header = ("d", "seeds", "mean", "sd", "solved", "fit", "passes")
    return Table(measurement.label, header, tuple(rows), 0)


def origins(records: Sequence[RunRecord]) -> Table:
    """Return the versions, machines and nodes that the records name, with how many name each."""
    counts: Counter[tuple[str, str]] = Counter()
    for record in records:
        for package, version in record.provenance.get("versions", {}).items():
            counts[str(package), str(version)] += 1
        hardware = record.provenance.get("hardware", {})
        machine = ", ".join(
            str(hardware[name]) + (" cores" if name == "cores" else "")
            for name in ("processor", "cores", "system")
            if hardware.get(name) is not None
        )
        if machine:
            counts["machine", machine] += 1
        node = record.provenance.get("ray_node")
        if node is not None:
            counts["Ray node", str(node)[:SHORT]] += 1
    rows = tuple((*name, str(count)) for name, count in sorted(counts.items()))
    notes = (
        f"{len(records):,} records of measurements, {text.whole(total_steps(records))} environment "
        f"steps, {text.hours(total_seconds(records))} core hours; those of choices, of families of "
        "P and at d = D come on top.",
    )
    return Table("Versions and machines", ("what", "which", "records"), rows, 2, notes)


def scale_and_natives(measurement: Measurement) -> tuple[str, str]:
    """Return what 1 is, and how many native runs reach the fraction of it."""
    estimate = measurement.estimate
    if estimate is None:
        return NONE, NONE
    reaching, runs = estimate.scale.native
    kind = f"{UNSOLVED}, local" if estimate.scale.unsolved else estimate.scale.kind
    return kind, f"{reaching} of {runs}"


def names_of(measurement: Measurement) -> tuple[str, str, str]:
    """Return the first three columns of a row: task, trainer, and the projection with a scope."""
    task, trainer, *rest = measurement.names
    return task, trainer, ", ".join(rest)


def _runs(measurement: Measurement) -> str:
    return f"{measurement.succeeded} / {measurement.diverged} / {measurement.failed}"


def measurements_csv(measurements: Sequence[Measurement]) -> str:
    """Return a CSV with one line for each measurement, every number in full."""
    rows = []
    for measurement in measurements:
        content = measurement.to_json()
        scores = measurement.baseline_scores
        estimate = measurement.estimate
        low, high = content["interval"]
        rows.append(
            {
                **{name: content[name] for name in ("task", "trainer", "projection", "scope")},
                "D": content["D"],
                "fraction": content["fraction"],
                "d_int": content["d_int"],
                "interval_low": low,
                "interval_high": high,
                "censored": content["censored"],
                "smallest_d": None if estimate is None else estimate.rungs[0].d,
                "largest_d": None if estimate is None else estimate.rungs[-1].d,
                "first_passing_d": content["first_passing_d"],
                **_scale_numbers(measurement),
                "paper_rule_d": content["paper_rule_d"],
                "known": measurement.known,
                "published": " ".join(
                    f"{entry.trainer}:{entry.d_int}" for entry in measurement.published
                ),
                "baseline_mean": content["baseline"]["mean"],
                "baseline_sd": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
                "baseline_seeds": len(scores),
                "random_mean": content["random"]["mean"],
                "runs_ok": measurement.succeeded,
                "runs_diverged": measurement.diverged,
                "runs_failed": measurement.failed,
                "environment_steps": measurement.environment_steps,
                "seconds": round(measurement.seconds, 3),
                "reason": measurement.reason,
            }
        )
    return _csv(rows)


def _scale_numbers(measurement: Measurement) -> dict[str, Any]:
    """Return the scale and the reading by the mean, as columns."""
    estimate = measurement.estimate
    scale = None if estimate is None else estimate.scale
    mean = None if estimate is None else estimate.mean
    low, high = (None, None) if mean is None else mean.interval
    return {
        "scale": None if scale is None else scale.kind,
        "solved_score": None if scale is None else scale.solved,
        "native_reaching": None if scale is None else scale.native[0],
        "native_unsolved": None if scale is None else scale.unsolved,
        "mean_d_int": None if mean is None else mean.d_int,
        "mean_low": low,
        "mean_high": high,
    }


def scores_csv(measurements: Sequence[Measurement]) -> str:
    """Return a CSV with one line for each run in a subspace: its score, raw and normalised."""
    rows = []
    for measurement in measurements:
        normalised: dict[int, list[float]] = {}
        if measurement.estimate is not None:
            normalised = {rung.d: list(rung.normalised) for rung in measurement.estimate.rungs}
        for record in measurement.runs:
            d = record.cell.d
            assert d is not None
            counts = record.status != "failed" and d in normalised
            rows.append(
                {
                    "task": measurement.task_name,
                    "trainer": measurement.trainer,
                    "projection": measurement.projection,
                    "scope": measurement.scope,
                    "d": d,
                    "seed": record.cell.seed,
                    "status": record.status,
                    "score": record.score,
                    # The estimate keeps the runs' own order, failed ones left out.
                    "normalised": normalised[d].pop(0) if counts else None,
                    "environment_steps": record.environment_steps,
                    "stopped": record.stopped,
                }
            )
    return _csv(rows)


def _csv(rows: Sequence[dict[str, Any]]) -> str:
    output = io.StringIO()
    if rows:
        writer = csv.DictWriter(output, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _quoted(cell) for name, cell in row.items()} for row in rows)
    return output.getvalue()


def _quoted(cell: Any) -> Any:
    """Return a text that a spreadsheet would calculate with an apostrophe in front of it."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
