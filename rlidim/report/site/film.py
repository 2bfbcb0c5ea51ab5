"""A found solution at work beside random actions, in the same episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from rlidim.records.record import RunRecord
from rlidim.report import text
from rlidim.report.site.entry import Entry
from rlidim.report.site.markup import Markup, element
from rlidim.report.site.solution import Solution, solution_of
from rlidim.tasks.task import Task


@dataclass(frozen=True)
class Clip:
    """A moving picture of one episode.

    Attributes:
        content: an animated WebP.
        size: width and height in pixels.
        score: the whole episode's return.
        steps: of the whole episode.
        whole: whether all of it is shown.
    """

    content: bytes
    size: tuple[int, int]
    score: float
    steps: int
    whole: bool


@dataclass(frozen=True)
class Film:
    """What a task's page shows: a solution, and random actions."""

    found: Clip
    by_chance: Clip


Filming = Callable[[Task, RunRecord], Film | None]
"""Returns the film of a run, None where it cannot be drawn."""


def subject(entries: Sequence[Entry]) -> tuple[Task, Solution] | None:
    """Return a task and its solution of the fewest numbers, None if no record holds one."""
    task = entries[0].measurement.task
    found = [solution for entry in entries if (solution := solution_of(entry)) is not None]
    if task is None or task.kind != "control" or not found:
        return None
    return task, min(found, key=lambda solution: len(solution.theta_d))


def files(name: str, film: Film) -> dict[str, bytes]:
    """Return the contents of a task's moving pictures by their names beside its page."""
    return {f"{name}-found.webp": film.found.content, f"{name}-random.webp": film.by_chance.content}


def shown(name: str, solution: Solution, film: Film) -> Markup:
    """Return both pictures, side by side."""
    found, by_chance = (quote(file) for file in files(name, film))
    cell = solution.record.cell
    return element(
        "div",
        _figure(
            found,
            film.found,
            f"A policy of {text.whole(solution.record.D)} parameters, found by {cell.trainer} in "
            f"{text.whole(len(solution.theta_d))} numbers",
        ),
        _figure(by_chance, film.by_chance, "Random actions in the same episode"),
        class_="films",
    )


def _figure(address: str, clip: Clip, what: str) -> Markup:
    width, height = clip.size
    part = "" if clip.whole else "; its beginning is shown"
    return element(
        "figure",
        element("img", src=address, width=width, height=height, alt=what),
        element(
            "figcaption",
            f"{what}: return {text.number(clip.score)} in {text.whole(clip.steps)} steps{part}.",
        ),
    )
