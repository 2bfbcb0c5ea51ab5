"""How much the readings of a row depend on choices that nobody can argue for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rlidim.records.folder import Results
from rlidim.records.measurement import Measurement, gather
from rlidim.report import text
from rlidim.report.claims import Claim, by_intervals, ratio_interval
from rlidim.report.places import CHOICES as FOLDER
from rlidim.report.rows import counts, estimate_of, is_read, most_telling, reading_of
from rlidim.report.tables import Table
from rlidim.statistics.wording import NONE, beside
from rlidim.tasks.choices import BY_WIDTH, CHOICES, SUBJECTS, WIDTHS
from rlidim.tasks.task import Task

MATTERS = 2.0  # times: a choice by which a reading changes by more than that matters
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
        The measurements, and a line for each file that is no record.
    """
    found: dict[Key, Measurement] = {}
    problems: list[str] = []
    for choice in CHOICES:
        records, unreadable = Results(folder(results, choice.name)).scan()
        problems += unreadable
        for each in gather(records, tasks, results_folder=folder(results, choice.name)):
            found[each.task_name, each.trainer, choice.name] = each
    for task, trainer in (*SUBJECTS, *BY_WIDTH):
        own = most_telling(
            each
            for each in measurements
            if (each.task_name, each.trainer, each.scope) == (task, trainer, "policy")
        )
        if own is not None:
            found[task, trainer, ""] = own
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
    ratio = reading_of(changed) / reading_of(own)
    low, high = ratio_interval(changed, own)
    ends = ", ".join("open" if end is None else f"{end:.2g}" for end in (low, high))
    unsolved = ", native unsolved" if estimate_of(changed).scale.unsolved else ""
    return f"{ratio:.2g} [{ends}]{unsolved}"


def width_claim(found: Mapping[Key, Measurement]) -> Claim | None:
    """Judge whether the dimension follows the environment and not the network's width.

    Supported where every width's reading of both first subjects, one by evolution and one by
    gradients, is within ``MATTERS`` times that of the row, its ratio's interval included; refuted
    where some ratio's interval lies beyond that; None before all widths of a subject were measured.
    A width whose native runs do not reach the target supports nothing and refutes nothing.
    """
    words, inside, beyond = [], [], []
    for subject in (*SUBJECTS, *BY_WIDTH):
        own = found.get((*subject, ""))
        changed = [found.get((*subject, choice.name)) for choice in WIDTHS]
        if own is None or not counts(own):
            inside.append(subject not in SUBJECTS)
            continue
        if not all(each is not None and is_read(each, local=True) for each in changed):
            inside.append(subject not in SUBJECTS)
            continue
        for choice, each in zip(WIDTHS, changed, strict=True):
            assert each is not None
            if not is_read(each):
                words.append(f"{' '.join(subject)} {choice.words}: native unsolved")
                inside.append(False)
                continue
            low, high = ratio_interval(each, own)
            inside.append(
                low is not None and high is not None and low >= 1 / MATTERS and high <= MATTERS
            )
            beyond.append(
                (low is not None and low > MATTERS) or (high is not None and high < 1 / MATTERS)
            )
            words.append(f"{' '.join(subject)} {choice.words}: {_times(each, own)}")
    if not beyond:
        return None
    claim = (
        f"the dimension follows the environment, not the network's width (within {MATTERS:g} times)"
    )
    return by_intervals(claim, words, inside, beyond)
