"""A task's page: each measurement's curve, command, cost, solution and records."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from rlidim.records.record import RunRecord
from rlidim.report import text
from rlidim.report.columns import one_line
from rlidim.report.overview import network, statements
from rlidim.report.rows import has_usual_family
from rlidim.report.site.curve import curve
from rlidim.report.site.entry import Entry
from rlidim.report.site.markup import Markup, data, element, together
from rlidim.report.site.page import heading
from rlidim.report.site.solution import Solution, solution_of
from rlidim.statistics.wording import name_of
from rlidim.tasks.names import command

SHOWN = 100  # numbers of theta_d that stand on the page; more are in a file

Link = Callable[[RunRecord], str]


def task_page(
    entries: Sequence[Entry], link: Link, sliders: bool, film: Markup | None = None
) -> Markup:
    """Return the content of a task's page.

    Args:
        entries: all of the task.
        link: returns the address of a run's record from this page.
        sliders: whether the sliders' page shows this task.
        film: a solution at work, if there is one to be seen.
    """
    first = entries[0].measurement
    task = first.task
    lead = [one_line(task.title) if task is not None else first.task_name]
    facts = [f"D = {text.whole(first.D)}"]
    if task is not None:
        facts.append(network(task))
    return together(
        heading(first.task_name, *lead),
        element("p", " · ".join(facts), class_="facts"),
        film,
        element("p", element("a", "Drive it with six sliders", href="../sliders.html"))
        if sliders
        else None,
        *(_section(entry, link) for entry in entries),
    )


def _section(entry: Entry, link: Link) -> Markup:
    measurement, estimate = entry.measurement, entry.estimate
    assert estimate is not None
    where = f"curve-{entry.anchor}"
    said = statements(measurement)[1:]  # the first is the heading's
    return element(
        "section",
        element(
            "h2",
            element("i", entry.name),
            " ",
            element("span", f"{name_of(estimate.fraction)}: {entry.reading}"),
        ),
        element("ul", *(element("li", line) for line in said), class_="says"),
        element(
            "figure",
            element("div", class_="curve", data_from=where),
            data(where, curve(measurement, link)),
            element(
                "figcaption",
                "Above, the share of runs that solve the task and its fit; below, each dot is a "
                "run and leads to its record. Shaded: the 95 % interval.",
            ),
        ),
        element("h3", "The command"),
        copied(_command(entry)),
        element("p", f"{entry.runs}; {entry.cost} in all.", class_="cost"),
        _solution(entry, link),
        element("details", element("summary", "Every run's record"), _records(entry, link)),
        id=entry.anchor,
        class_="measurement",
        data_trainer=measurement.trainer,
    )


def _command(entry: Entry) -> str:
    measurement = entry.measurement
    words = ["measure", "--trainer", measurement.trainer]
    if not has_usual_family(measurement):
        words += ["--projection", measurement.projection]
    if measurement.scope != "policy":
        words += ["--scope", measurement.scope]
    if measurement.task is None:  # whose file is not known here
        return shlex.join(["rlidim", measurement.task_name, *words])
    return command(measurement.task, *words)


def copied(words: str, name: str = "command") -> Markup:
    """Return text with a button that copies it."""
    return element(
        "div",
        element("pre", element("code", words), tabindex=0),
        element("button", "Copy", type="button", class_="copy"),
        class_=f"copied {name}",
    )


def _solution(entry: Entry, link: Link) -> Markup | None:
    found = solution_of(entry)
    if found is None:
        return None
    d = len(found.theta_d)
    about = element(
        "p",
        f"A run that solves it with d = {d:,} ",
        element("a", f"(seed {found.record.cell.seed})", href=link(found.record)),
        f", score {text.number(found.record.score)}: these numbers, and two seeds, are the policy"
        f"{_beside(found)}.",
    )
    if d > SHOWN:
        where = f"{solution_file(entry)}"
        numbers = element("p", element("a", f"theta_d, {d:,} numbers", href=where, download=True))
    else:
        numbers = copied(found.words, "numbers")
    return together(element("h3", "A solution"), about, numbers)


def _beside(found: Solution) -> str:
    """Return what else a policy is, which its record has."""
    network = (found.record.solution or {}).get("network") or {}
    normalised = network.get("observation_mean") is not None
    return ", with the mean and variance of its observations in the record" if normalised else ""


def solution_file(entry: Entry) -> str:
    """Return the name of the file of a long solution, beside the task's page."""
    return f"{entry.measurement.stem}-theta_d.txt"


def _records(entry: Entry, link: Link) -> Markup:
    rows = []
    estimate = entry.estimate
    assert estimate is not None
    shares = {rung.d: f"{rung.solved} of {len(rung.scores)}" for rung in estimate.rungs}
    by_d: dict[str, list[RunRecord]] = {}
    for record in entry.measurement.runs:
        by_d.setdefault(f"{record.cell.d:,}", []).append(record)
    by_d["native"] = list(entry.measurement.baseline)
    if entry.measurement.random is not None:
        by_d["random"] = [entry.measurement.random]
    for name, records in by_d.items():
        links: list[object] = []
        for record in records:
            score = text.number(record.score) if record.status == "ok" else record.status
            links += [element("a", score, href=link(record), title=f"seed {record.cell.seed}"), " "]
        solved = shares.get(records[0].cell.d or 0, "") if records else ""
        rows.append(
            element(
                "tr", element("th", name, scope="row"), element("td", solved), element("td", *links)
            )
        )
    head = element("tr", *(element("th", name) for name in ("d", "solve", "scores, by seed")))
    return element(
        "div",
        element("table", element("thead", head), element("tbody", *rows), class_="records"),
        class_="scroll",
        tabindex=0,
    )
