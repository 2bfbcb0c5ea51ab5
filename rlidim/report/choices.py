"""How much the readings of a row depend on choices that nobody can argue for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlidim.records.cell import RANDOM
from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.report import text
from rlidim.report.places import CHOICES as FOLDER
from rlidim.report.ratios import lies_above, lies_below, lies_within, ratio_interval, times
from rlidim.report.rows import counts, estimate_of, is_read, most_telling
from rlidim.report.tables import Table
from rlidim.report.verdicts import OPEN, REFUTED, SUPPORTED, Claim, Part, all_of, from_parts
from rlidim.statistics.wording import NONE, beside
from rlidim.tasks.choices import BY_WIDTH, CHOICES, SUBJECTS, WIDTHS
from rlidim.tasks.task import Task

MATTERS = 2.0  # times: a choice by which a reading changes by more than that matters
# The rule of the claim on widths, as it stands below the table.
WIDTH = (
    "The network's width: judged by "
    f"{', '.join(' '.join(subject) for subject in (*SUBJECTS, *BY_WIDTH))}, each with hidden "
    f"layers of {', '.join(str(choice.width) for choice in WIDTHS)}. Supported where every reading "
    f"over that of the row as it is has its 95 % interval within {MATTERS:g} times either way, "
    "refuted where some interval lies beyond that. A width whose native runs do not reach the "
    "target decides nothing."
)
Key = tuple[str, str, str]  # task, trainer, choice: "" for the row as it is


def folder(results: Path, choice: str) -> Path:
    """Return the folder of a choice's records."""
    return results / FOLDER / choice


def read(
    measurements: Sequence[Measurement], results: Path, tasks: Mapping[str, Task]
) -> tuple[dict[Key, Measurement], list[str]]:
    """Return the measurements of every subject under every choice that was made.

    Args:
        measurements: of the results themselves.
        results: their folder.
        tasks: by name.

    Returns:
        The measurements, and a line for each file that is no record, or whose run was made with
        other settings than the choice's.
    """
    found: dict[Key, Measurement] = {}
    problems: list[str] = []
    for choice in CHOICES:
        records, unreadable = Results(folder(results, choice.name)).scan()
        problems += [f"{line}; skipped" for line in unreadable]
        for name, trainer in (*SUBJECTS, *BY_WIDTH):
            task = tasks.get(name)
            if task is None or trainer not in task.trainers:
                continue
            changed = choice.made(task, trainer)
            made = gather(
                [
                    record
                    for record in records
                    if record.cell.task == name and record.cell.trainer in (trainer, RANDOM)
                ],
                {} if changed is None else {name: changed},
                results_folder=folder(results, choice.name),
            )
            chosen = most_telling(made)
            if chosen is not None:
                found[name, trainer, choice.name] = chosen
            problems += [line for each in made for line in each.warnings]
    for name, trainer in (*SUBJECTS, *BY_WIDTH):
        own = most_telling(
            each
            for each in measurements
            if (each.task_name, each.trainer, each.scope) == (name, trainer, "policy")
        )
        if own is not None:
            found[name, trainer, ""] = own
    return found, problems


def table(found: Mapping[Key, Measurement]) -> Table:
    """Return a row for each choice: the readings, and how many times the row's own they are."""
    rows = []
    for name, words in (("", "as it is"), *((choice.name, choice.words) for choice in CHOICES)):
        cells = []
        for subject in SUBJECTS:
            measurement = found.get((*subject, name))
            estimate = None if measurement is None else measurement.estimate
            cells += [
                text.whole(None if measurement is None else measurement.D),
                beside(estimate) if measurement is not None else NONE,
                _times(measurement, found.get((*subject, ""))) if name else "",
            ]
        if any(found.get((*subject, name)) is not None for subject in SUBJECTS):
            rows.append((words, *cells))
    made = any(key[2] for key in found)
    header = ["choice"]
    for task, trainer in SUBJECTS:
        header += [f"{task} {trainer}: D", "d_int90", "times"]
    notes = (
        "One choice at a time made otherwise, in native training too; all else is as in the row, "
        "but that a larger network gets the family of P that goes with its D. "
        "Times: the reading over that of the row as it is, with the ratio's 95 % interval; native "
        "unsolved: fewer than half of the native runs reach the target so.",
    )
    title = "What a reading depends on"
    return Table(title, tuple(header), tuple(rows) if made else (), 1, notes)


def _times(changed: Measurement | None, own: Measurement | None) -> str:
    if changed is None or own is None or not is_read(changed, local=True) or not is_read(own):
        return NONE
    unsolved = ", native unsolved" if estimate_of(changed).scale.unsolved else ""
    return f"{times(changed, own)}{unsolved}"


def width_claim(found: Mapping[Key, Measurement]) -> Claim | None:
    """Judge whether the dimension follows the environment, not the network's width, by ``WIDTH``.

    None before all widths of some subject were measured.
    """
    parts = [_by_width(found, subject) for subject in (*SUBJECTS, *BY_WIDTH)]
    if not any(part.figures for part in parts):
        return None
    claim = (
        f"the dimension follows the environment, not the network's width (within {MATTERS:g} times)"
    )
    return from_parts(claim, parts, WIDTH)


def _by_width(found: Mapping[Key, Measurement], subject: tuple[str, str]) -> Part:
    """Judge the claim by the widths of one subject, or say which of them are missing."""
    name, own = " ".join(subject), found.get((*subject, ""))
    if own is None or not counts(own):
        return Part(OPEN, wanting=f"a reading of {name} to compare with")
    made = {
        str(choice.width): each
        for choice in WIDTHS
        if (each := found.get((*subject, choice.name))) is not None and is_read(each, local=True)
    }
    missing = [str(choice.width) for choice in WIDTHS if str(choice.width) not in made]
    if missing:
        return Part(OPEN, wanting=f"{name} with hidden layers of {', '.join(missing)}")
    judged = {width: _of_one_width(each, own) for width, each in made.items()}
    unsolved = [width for width, each in made.items() if not is_read(each)]
    wide = [width for width, verdict in judged.items() if verdict == OPEN and width not in unsolved]
    wanting = [
        f"{words} {name} with hidden layers of {', '.join(widths)}"
        for words, widths in (("narrower intervals of", wide), ("native runs that solve", unsolved))
        if widths
    ]
    figures = ", ".join(f"{width}: {_times(each, own)}" for width, each in made.items())
    return Part(
        all_of([*judged.values()]),
        f"{name} with hidden layers of {figures}",
        "; ".join(wanting),
    )


def _of_one_width(changed: Measurement, own: Measurement) -> str:
    """Judge the claim by one width; one that natively does not reach the target decides nothing."""
    ends = ratio_interval(changed, own)
    if not is_read(changed):
        return OPEN
    if lies_within(ends, MATTERS):
        return SUPPORTED
    return REFUTED if lies_above(ends, MATTERS) or lies_below(ends, 1 / MATTERS) else OPEN
