"""Summaries of tasks and measurements as text, for the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rlidim.errors import printable
from rlidim.records.measurement import Measurement
from rlidim.report import published, text
from rlidim.report.baselines import Baseline
from rlidim.report.columns import one_line
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.scale import LOCAL
from rlidim.statistics.wording import NONE, OPEN, beside, in_short, interval, statement, why_open
from rlidim.tasks.names import command
from rlidim.tasks.problems import Analytic, Control, Data, Supervised
from rlidim.tasks.task import FRACTION, Task

LONGEST_TITLE = 200  # characters that a page begins with


def describe(measurement: Measurement) -> str:
    """Return a measurement in a few lines, its name first."""
    return f"{measurement.label}: " + "\n  ".join(statements(measurement))


def statements(measurement: Measurement) -> list[str]:
    """Return the statements about a measurement, a line each."""
    estimate = measurement.estimate
    random = None if measurement.random is None else measurement.random.score
    steps = "steps" if measurement.task is None else measurement.task.steps
    if estimate is None:
        lines = [f"no estimate: {measurement.reason}"]
    else:
        lines = [
            f"{statement(estimate)}, 95 % interval {interval(estimate)}, "
            f"D = {text.whole(measurement.D)}",
            text.scale_of(measurement, estimate),
            f"beside it: by the mean {beside(estimate.mean)}; by the paper's rule "
            f"{text.whole(estimate.paper_rule_d)}",
        ]
    lines += [
        f"baseline {text.spread(measurement.baseline_scores)}, random {text.number(random)}",
        f"{len(measurement.runs)} runs in subspaces ({measurement.diverged} diverged, "
        f"{measurement.failed} failed); {text.whole(measurement.environment_steps)} "
        f"{steps} and {text.hours(measurement.seconds)} core hours with the baseline's",
    ]
    if estimate is not None and measurement.known is not None:
        where = {
            True: "inside the interval",
            False: "OUTSIDE the interval",
            None: "where the tested d leave the interval open",
        }[estimate.holds(measurement.known)]
        lines.append(f"known by construction: {measurement.known}, {where}")
    for entry in measurement.published:
        line = f"published: {entry.d_int:,}, {one_line(entry.source)}"
        theirs = published.reread(entry, measurement)
        if theirs is not None:
            line += f"; by their rule ours is {beside(theirs)}, which"
            line += f" {published.verdict(entry, measurement)}"
        elif estimate is not None:
            line += f"; our interval by the mean {published.verdict(entry, measurement)}"
        other = text.differences(entry, measurement)
        lines.append(line if other == NONE else f"{line}; theirs: {other}")
    reason = None if estimate is None else why_open(estimate)
    if reason is not None:
        lines.append(reason)
    failed = measurement.failed_everywhere
    if estimate is not None and failed:
        lines.append(f"every run failed at d = {', '.join(f'{d:,}' for d in failed)}")
    return [*lines, *(f"warning: {warning}" for warning in measurement.warnings)]


def plainly(measurement: Measurement) -> str:
    """Return what a measurement says to somebody who knows none of its words."""
    estimate = measurement.estimate
    name = f"{measurement.task_name} by {measurement.trainer}"
    if estimate is None:
        said = f"nothing is known yet: {measurement.reason}"
    elif estimate.scale.unsolved:
        said = "the whole network does not solve it within its budget: nothing is known of the task"
    elif estimate.unreached:
        said = f"not even {estimate.D:,} numbers in a random basis are enough"
    else:
        share, what = f"{estimate.fraction * 100:g} %", ""
        if estimate.scale.kind == LOCAL:
            what = f" for {share} of what the whole network reaches"
        elif estimate.fraction != FRACTION:
            what = f" for {share} of the way to the target"
        sure = "open" if interval(estimate) == OPEN else f"95 %: {_plain_interval(estimate)}"
        if estimate.d_int is None:
            tested = f"{estimate.tested[-1]:,} of {estimate.D:,}"
            said = f"more than {tested} numbers are needed{what} ({sure})"
        else:
            about = "at most" if estimate.censored == "below" else "about"
            said = f"{about} {estimate.d_int:,} of {estimate.D:,} numbers are enough{what} ({sure})"
    random = 0 if measurement.random is None else 1
    return (
        f"{name}: {said}. {len(measurement.runs)} runs in subspaces, {len(measurement.baseline)} "
        f"native, {random} of random actions; {text.core_time(measurement.seconds)}."
    )


def _plain_interval(estimate: Estimate) -> str:
    """Return ``4 to 11``, or ``at least 7``."""
    low, high = estimate.interval
    both = low is not None and high is not None
    return f"{low:,} to {high:,}" if both else interval(estimate)


def list_rows(
    tasks: Mapping[str, Task], measurements: Sequence[Measurement], sizes: Mapping[str, int | None]
) -> list[dict[str, Any]]:
    """Return the rows of ``rlidim list``, one for each task, by families, as JSON-ready values.

    Args:
        tasks: by name.
        measurements: of any of them.
        sizes: each task's D; None where its environment cannot be made.
    """
    rows = []
    for name, task in sorted(tasks.items(), key=lambda item: (item[1].family, item[0])):
        measured = [measurement for measurement in measurements if measurement.task_name == name]
        names = text.short_names(measured)
        rows.append(
            {
                "family": task.family,
                "task": name,
                "kind": task.kind if task.known is None else f"{task.kind}, known",
                "network": network(task),
                "D": sizes[name],
                "trainers": " ".join(task.trainers),
                "published": [text.published(entry) for entry in task.published],
                "ours": [
                    f"{' '.join(parts)} {in_short(measurement.estimate)}"
                    f"{', with a warning on its page' if measurement.warnings else ''}"
                    for measurement, (_, *parts) in zip(measured, names, strict=True)
                    if measurement.estimate is not None
                ],
            }
        )
    return rows


def network(task: Task) -> str:
    """Return the network in words: ``20-20 relu``."""
    match task.problem:
        case Control(network=network):
            return str(network)
        case Supervised(classifier=classifier):
            return str(classifier)
        case Analytic():
            return NONE


def _facts(task: Task, D: int | None) -> dict[str, str]:
    """Return the facts about a task's problem that its page shows, by name."""
    score = one_line(task.scores)
    match task.problem:
        case Control(environment=environment, network=network, evaluation=evaluation):
            given = [f"{name}={value}" for name, value in environment.kwargs.items()]
            facts = {"environment": " ".join([environment.id, *given])}
            if environment.extra is not None:
                facts["needs"] = f"pip install 'rlidim[{environment.extra}]'"
            reason = f"unknown: 'rlidim check {task.file}' says why"
            unknown = "the game's" if environment.any_game else reason
            size = unknown if D is None else f"{D:,}"
            facts["network"] = f"{network}, {network.initialisation}, D = {size}"
            score += f" over {evaluation.episodes} episodes"
            if evaluation.solved is not None:
                score += f", solved at {evaluation.solved:g}"
        case Supervised(data=data, classifier=classifier):
            facts = {"network": f"{classifier}, D = {text.whole(D)}", "data": _data(data)}
        case Analytic():
            facts = {} if D is None else {"D": f"{D:,}"}
    return {**facts, "score": score}


def task_page(
    task: Task,
    measurements: Sequence[Measurement],
    D: int | None,
    natives: Sequence[Baseline] = (),
) -> str:
    """Return a task's page: its file, settings, published numbers and our records.

    ``D`` is None where the task's environment cannot be made; ``natives`` are the native runs of
    trainers without a measurement.
    """
    lines = [f"{task.name}: {printable(one_line(task.title), LONGEST_TITLE)}", ""]
    facts = {"file": str(task.file), "kind": task.kind}
    facts |= _facts(task, D)
    if task.known is not None:
        facts["known"] = f"d_int = {task.known} by construction"
    width = max(map(len, facts)) + 2
    lines += [f"  {name:<{width}}{value}" for name, value in facts.items()]
    lines += ["", "Trainers", ""]
    for name, settings in task.trainers.items():
        values = " ".join(
            f"{field.name}={_plain(getattr(settings, field.name))}"
            for field in dataclasses.fields(settings)
        )
        lines.append(f"  {name:<{width}}{values}")
    lines += ["", "Published", ""]
    for entry in task.published:
        lines.append(
            f"  {text.whole(entry.d_int):<{width}}{entry.trainer}, D = {entry.D:,}, rule "
            f"{entry.rule}, baseline {entry.baseline}; {one_line(entry.source)}"
        )
        if entry.network:
            lines.append(f"  {'':<{width}}network {one_line(entry.network)}")
        if entry.note:
            lines.append(f"  {'':<{width}}{one_line(entry.note)}")
    if not task.published:
        lines.append("  none")
    lines += ["", "Our records", ""]
    for measurement in measurements:
        lines += [f"  {line}" for line in describe(measurement).splitlines()]
    for native in natives:
        lines.append(f"  {native.label}: {text.spread(native.scores)}; no run in a subspace yet")
    if not measurements and not natives:
        trainer = next(iter(task.trainers))
        lines.append(f"  none; {command(task, 'measure', '--trainer', trainer)}")
    if task.sources:
        lines += ["", "Sources", ""]
        lines += [f"  {line}".rstrip() for line in task.sources.strip().splitlines()]
    return "\n".join(printable(line) for line in lines)


def _data(data: Data) -> str:
    """Return ``mnist, pixels shuffled, 10 % of the training images``."""
    parts = [data.name, f"{data.scaling} scaling"]
    if data.shuffled is not None:
        parts.append(f"{data.shuffled} shuffled")
    if data.share < 1:
        parts.append(f"{data.share:.0%} of the training images".replace("%", " %"))
    return ", ".join(parts)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
