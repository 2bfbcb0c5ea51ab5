"""Ours against published: a line between two numbers, with the verdict and the reason."""

from __future__ import annotations

from collections.abc import Sequence

from rlidim.records.measurement import Measurement
from rlidim.report import published, text
from rlidim.report.columns import one_line
from rlidim.report.site.axis import Axis
from rlidim.report.site.entry import Entry, address
from rlidim.report.site.markup import Markup, element
from rlidim.report.site.track import grid, kind_of, mark, shown, track
from rlidim.statistics.reading import Reading
from rlidim.statistics.wording import NONE, beside
from rlidim.tasks.task import Published


def against(entries: Sequence[Entry]) -> Markup | None:
    """Return a row for each published number of a measured task, None if there is none."""
    pairs = [
        (entry, each, *_ours(each, entry.measurement))
        for entry in sorted(entries, key=lambda entry: (entry.difficulty, entry.measurement.label))
        for each in entry.measurement.published
    ]
    if not pairs:
        return None
    axis = Axis.around(
        [each.d_int for _, each, _, _ in pairs]
        + [d for _, _, ours, _ in pairs for d in shown(ours)]
    )
    rows = [_row(axis, *pair) for pair in pairs]
    return element("div", grid(axis), *rows, class_="ladder against")


def _ours(entry: Published, measurement: Measurement) -> tuple[Reading | None, str]:
    """Return the reading of ours that is compared, and by which rule it is."""
    theirs = published.reread(entry, measurement)
    if theirs is not None:
        return theirs, "by their rule"
    return None if measurement.estimate is None else measurement.estimate.mean, "by the mean"


def _row(axis: Axis, entry: Entry, each: Published, ours: Reading | None, rule: str) -> Markup:
    measurement = entry.measurement
    verdict = published.verdict(each, measurement)
    marks = [_line(axis, each.d_int, ours.d_int)] if ours is not None and ours.d_int else []
    marks.append(mark(axis, each.d_int, "published", f"published: {text.published(each)}"))
    reasons = [text.differences(each, measurement), one_line(each.note)]
    return element(
        "div",
        element(
            "a",
            element("b", measurement.task_name),
            element("small", f"{entry.name}, {rule}"),
            href=address(measurement.task_name),
            class_="task",
        ),
        element(
            "div",
            element(
                "div",
                track(axis, ours, kind_of(ours), marks),
                element(
                    "span",
                    element("b", beside(ours)),
                    element("small", f"theirs {text.published(each)}"),
                    class_="reading",
                ),
                class_=f"lane {kind_of(ours)}",
                data_trainer=measurement.trainer,
            ),
            element(
                "p",
                element("b", f"Our interval {verdict}", class_=verdict.split()[0]),
                *(f"; {reason}" for reason in reasons if reason and reason != NONE),
                ". ",
                element("small", one_line(each.source)),
                class_="verdict",
            ),
            class_="lanes",
        ),
        class_="row",
    )


def _line(axis: Axis, theirs: int, ours: int) -> Markup:
    low, high = sorted((axis.at(theirs), axis.at(ours)))
    return element("span", class_="joined", style=f"--from:{low};--to:{high}")
