"""The ladder: a row a task, the easiest first; a lane a trainer; each group on its own axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rlidim.report import text
from rlidim.report.rows import easiest
from rlidim.report.site.axis import Axis
from rlidim.report.site.entry import CALIBRATION, GROUPS, REINFORCEMENT, SUPERVISED, Entry, address
from rlidim.report.site.markup import Markup, element, together
from rlidim.report.site.track import UNDETERMINED, grid, mark, shown, track

HEADINGS = {
    REINFORCEMENT: (
        "Reinforcement learning",
        "Control and games, the easiest first.",
    ),
    SUPERVISED: ("Supervised", "The yardstick: classifiers, as Li et al. measured them."),
    CALIBRATION: (
        "Calibration",
        "Tasks whose dimension is known by construction: does the instrument read them right?",
    ),
}


def ladder(entries: Sequence[Entry]) -> Markup:
    """Return every group of the ladder, what is not determined after each."""
    parts = []
    for group in GROUPS:
        those = [entry for entry in entries if entry.group == group]
        drawn = [entry for entry in those if entry.kind != UNDETERMINED]
        open_ = [entry for entry in those if entry.kind == UNDETERMINED]
        if not those:
            continue
        title, lead = HEADINGS[group]
        parts.append(
            element(
                "section",
                element("h2", title),
                element("p", lead),
                _drawn(drawn) if drawn else None,
                _undetermined(open_) if open_ else None,
                id=group.split()[0],
            )
        )
    return together(*parts)


def _drawn(entries: Sequence[Entry]) -> Markup:
    axis = Axis.around(
        [d for entry in entries for d in shown(entry.estimate)]
        + [d for entry in entries for d in _others(entry)]
    )
    rows = [
        element(
            "div",
            element(
                "a",
                element("b", name),
                element("small", f"D = {text.whole(lanes[0].measurement.D)}"),
                href=address(name),
                class_="task",
            ),
            element("div", *(lane(entry, axis) for entry in lanes), class_="lanes"),
            class_="row",
        )
        for name, lanes in by_task(entries)
    ]
    return element("div", grid(axis), *rows, class_="ladder")


def by_task(entries: Iterable[Entry]) -> list[tuple[str, list[Entry]]]:
    """Return each task's entries, the easiest task first."""
    tasks: dict[str, list[Entry]] = {}
    for entry in entries:
        tasks.setdefault(entry.measurement.task_name, []).append(entry)
    for those in tasks.values():
        those.sort(key=lambda entry: (entry.difficulty, entry.name))
    return sorted(
        tasks.items(), key=lambda item: (easiest(each.measurement for each in item[1]), item[0])
    )


def lane(entry: Entry, axis: Axis) -> Markup:
    """Return a trainer's lane: what was read, along the axis, and in words."""
    measurement = entry.measurement
    D = measurement.D or 1
    marks = [mark(axis, D, "size", f"D = {D:,}")] if axis.high >= D else []
    if measurement.known is not None:
        marks.append(mark(axis, measurement.known, "known", f"known: {measurement.known:,}"))
    marks += [
        mark(axis, found.d_int, "published", f"published: {text.published(found)}")
        for found in measurement.published
        if found.trainer == measurement.trainer
    ]
    return element(
        "a",
        track(axis, entry.estimate, entry.kind, marks),
        element(
            "span",
            element("i", entry.name),
            element("b", entry.number),
            element("small", entry.interval),
            class_="reading",
        ),
        tip(entry),
        href=f"{address(measurement.task_name)}#{entry.anchor}",
        class_=f"lane {entry.kind}",
        data_trainer=measurement.trainer,
    )


def tip(entry: Entry) -> Markup:
    """Return what is shown on hover and focus."""
    lines = [
        f"{entry.measurement.task_name} by {entry.name}: {entry.reading}",
        f"{entry.runs}; {entry.cost}",
        entry.why,
        *(f"published: {text.published(each)}" for each in entry.measurement.published),
    ]
    spans = [element("span", line) for line in dict.fromkeys(lines) if line]
    return element("span", *spans, class_="tip", role="tooltip")


def _others(entry: Entry) -> list[int]:
    """Return the numbers of others that stand in an entry's lane."""
    measurement = entry.measurement
    found = [each.d_int for each in measurement.published if each.trainer == measurement.trainer]
    return found if measurement.known is None else [*found, measurement.known]


def _undetermined(entries: Sequence[Entry]) -> Markup:
    """Return what is not determined: a list of its own, with the reason."""
    rows = [
        element(
            "li",
            element(
                "a",
                f"{entry.measurement.task_name} by {entry.name}",
                href=f"{address(entry.measurement.task_name)}#{entry.anchor}",
            ),
            f": {entry.why or entry.reading}",
            data_trainer=entry.measurement.trainer,
        )
        for entry in entries
    ]
    return element(
        "div",
        element("h3", "Not determined"),
        element("ul", *rows),
        class_="undetermined-list",
    )


def legend(entries: Sequence[Entry]) -> Markup:
    """Return what the marks mean, and each trainer's colour."""
    trainers = sorted({entry.measurement.trainer for entry in entries})
    shapes = [
        ("measured", "measured, with its 95 % interval"),
        ("bounded", "a bound: the open end reaches to the row's own D"),
        ("published", "published"),
        ("known", "known by construction"),
    ]
    return element(
        "ul",
        *(element("li", element("i", class_=f"key {name}"), words) for name, words in shapes),
        *(
            element("li", element("i", class_="key colour"), name, data_trainer=name)
            for name in trainers
        ),
        class_="legend",
    )
