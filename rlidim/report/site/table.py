"""The table of all measurements: sorted and filtered by the reader; each row leads to its page."""

from __future__ import annotations

from collections.abc import Sequence

from rlidim.report import text
from rlidim.report.site.entry import GROUPS, Entry, address
from rlidim.report.site.markup import Markup, element, together
from rlidim.report.site.track import BOUNDED, MEASURED, UNDETERMINED
from rlidim.report.tables import scale_and_natives
from rlidim.statistics.reading import Reading
from rlidim.statistics.wording import NONE, beside

COLUMNS = (
    ("task", False),
    ("trainer", False),
    ("d_int90", True),
    ("95 % interval", True),
    ("D", True),
    ("scale", False),
    ("native reach it", True),
    ("by the mean", True),
    ("paper's rule", True),
    ("published", True),
    ("runs", True),
    ("core hours", True),
)
LAST = 1e18  # of a row that has no number, in whatever column


def table(entries: Sequence[Entry]) -> Markup:
    """Return the filters and the table."""
    head = [
        element(
            "th",
            element("button", name, type="button"),
            scope="col",
            class_="number" if number else None,
            aria_sort="none",
        )
        for name, number in COLUMNS
    ]
    ordered = sorted(entries, key=lambda entry: (entry.difficulty, entry.measurement.label))
    return together(
        _filters(entries),
        element(
            "div",
            element(
                "table",
                element("thead", element("tr", *head)),
                element("tbody", *(_row(entry) for entry in ordered)),
                id="measurements",
            ),
            class_="scroll",
            tabindex=0,
        ),
        element("p", id="count", role="status"),
    )


def _row(entry: Entry) -> Markup:
    measurement, estimate = entry.measurement, entry.estimate
    mean = None if estimate is None else estimate.mean
    rule = None if estimate is None else estimate.paper_rule_d
    scale, reaching = scale_and_natives(measurement)
    published = [each.d_int for each in measurement.published]
    theirs = "; ".join(map(text.published, measurement.published)) or NONE
    reading = (
        (entry.number, entry.difficulty),
        (entry.interval, None if entry.interval == NONE or estimate is None else estimate.ratio),
        (text.whole(measurement.D), measurement.D),
    )
    beside_it = (
        (reaching, None if estimate is None else _share(*estimate.scale.native)),
        (beside(mean), _value(mean)),
        (text.whole(rule), rule),
        (theirs, min(published, default=None)),
        (text.whole(len(measurement.runs)), len(measurement.runs)),
        (text.hours(measurement.seconds), measurement.seconds),
    )
    link = element(
        "a",
        measurement.task_name,
        href=f"{address(measurement.task_name)}#{entry.anchor}",
    )
    return element(
        "tr",
        element("th", link, scope="row", data_value=measurement.task_name),
        element("td", element("i", entry.name), data_value=entry.name, class_="trainer"),
        *(_number(words, value) for words, value in reading),
        element("td", scale, data_value=scale),
        *(_number(words, value) for words, value in beside_it),
        data_group=entry.group,
        data_trainer=measurement.trainer,
        data_kind=entry.kind,
    )


def _number(words: str, value: float | None) -> Markup:
    return element("td", words, class_="number", data_value=_sortable(value))


def _share(reaching: int, runs: int) -> float | None:
    return reaching / runs if runs else None


def _value(reading: Reading | None) -> float | None:
    return None if reading is None else reading.d_int


def _sortable(value: float | None) -> float:
    return LAST if value is None or value == float("inf") else value


def _filters(entries: Sequence[Entry]) -> Markup:
    trainers = sorted({entry.measurement.trainer for entry in entries})
    kinds = {MEASURED: "measured", BOUNDED: "bounded", UNDETERMINED: "not determined"}
    return element(
        "form",
        element("label", "Find ", element("input", type="search", name="words", size=14)),
        _choice("group", "kind", {name: name for name in GROUPS}),
        _choice("trainer", "trainer", {name: name for name in trainers}),
        _choice("kind", "determined", kinds),
        id="filters",
    )


def _choice(name: str, label: str, options: dict[str, str]) -> Markup:
    return element(
        "label",
        f"{label} ",
        element(
            "select",
            element("option", "all", value=""),
            *(element("option", words, value=value) for value, words in options.items()),
            name=name,
        ),
    )
