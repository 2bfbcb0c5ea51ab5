"""Claims about reinforcement-learning tasks that the atlas judges, by rules stated beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from rlidim.records.measurement import Measurement
from rlidim.report.headline import by_trainer
from rlidim.report.ratios import lies_above, lies_below, ratio_interval, times
from rlidim.report.rows import counts, estimate_of, reading_of
from rlidim.report.trainers import readings
from rlidim.report.verdicts import OPEN, REFUTED, SUPPORTED, Claim, Part, from_parts, narrower
from rlidim.statistics.reading import isotonic_fit
from rlidim.statistics.scale import HALF
from rlidim.statistics.wording import beside

# What one number that makes tasks harder does to their dimension, and the tasks, easiest first.
KNOBS: dict[str, tuple[str, ...]] = {
    "a shorter pole makes CartPole's dimension larger": (
        "cartpole",
        "cartpole-50cm",
        "cartpole-20cm",
    ),
    "pushes that slip make CartPole's dimension larger": (
        "cartpole",
        "cartpole-slip-5",
        "cartpole-slip-10",
    ),
    "a larger room makes the dimension of MiniGrid's empty one larger": (
        "minigrid-empty-5x5",
        "minigrid-empty-6x6",
        "minigrid-empty",
    ),
}
# Tasks that begin at solutions of a neighbour, and those that begin at random theta_0.
STARTED = {"cartpole-from-20cm": "cartpole", "cartpole-20cm-from-1m": "cartpole-20cm"}
NEVER, ALWAYS = 0.1, 0.9  # shares of runs that solve, where a transition begins and ends
SHARP = 4.0  # times: within so many of d

# The rules, as they stand below the table.
HARDER = (
    "A task made harder has a larger dimension: judged by every trainer that has read all of its "
    "levels. Supported where for each of them the 95 % interval of the hardest level's reading "
    "over the easiest's lies above 1 and that of no single step lies below 1; refuted where for "
    "some trainer that of the hardest over the easiest lies below 1."
)
TRANSITION = (
    "Phase transition: judged by the rows in which, by the isotonic fit, at most "
    f"{100 * NEVER:g} % of the runs solve the task at some tested d, the largest such d being the "
    f"failing one. A row has the transition where at least {100 * ALWAYS:g} % do at a tested d of "
    f"at most {SHARP:g} times that. A row without any such d is left out where no d of "
    f"{SHARP:g} times the failing one or more, nor d = D, was tested. Supported where at least "
    "half of the rows have it, refuted where fewer, undecided while the 95 % interval of their "
    "share (Clopper and Pearson 1934) holds a half."
)
NEIGHBOUR = (
    "theta_0 from a neighbouring task: judged by every trainer that has read a task from there "
    "and from random theta_0. Supported where each time the 95 % interval of the first reading "
    "over the second lies below 1, refuted where some time it lies above 1."
)


def claims(measurements: Sequence[Measurement]) -> list[Claim]:
    """Return every claim that the measurements can judge."""
    rows = by_trainer(measurements)
    judged = [_harder(words, names, rows) for words, names in KNOBS.items()]
    judged.append(_transition(measurements))
    judged.append(_started(rows, by_trainer(measurements, started=True)))
    return [claim for claim in judged if claim is not None]


def _harder(
    words: str, names: tuple[str, ...], rows: Mapping[str, Mapping[str, Measurement]]
) -> Claim | None:
    """Judge whether the dimension grows as a task is made harder, by ``HARDER``."""
    levels = [rows.get(name, {}) for name in names]
    parts = []
    for trainer in levels[0]:
        of = [row[trainer] for row in levels if trainer in row and counts(row[trainer])]
        if len(of) == len(names):
            parts.append(_grows(of))
    if not parts:
        return None
    return from_parts(f"{words} ({' to '.join(names)})", parts, HARDER)


def _grows(levels: Sequence[Measurement]) -> Part:
    """Judge whether a trainer's readings grow from the easiest level to the hardest."""
    easiest, *_, hardest = levels
    whole = ratio_interval(hardest, easiest)
    steps = " to ".join(beside(each.estimate) for each in levels)
    figures = f"{hardest.trainer} {steps}, in all {times(hardest, easiest)} times"
    if lies_below(whole, 1):
        return Part(REFUTED, figures)
    fall = next(
        (
            f"{before.task_name} to {after.task_name}"
            for before, after in itertools.pairwise(levels)
            if lies_below(ratio_interval(after, before), 1)
        ),
        None,
    )
    if not lies_above(whole, 1):
        return Part(OPEN, figures, _to_tell_apart(easiest, hardest))
    if fall is None:
        return Part(SUPPORTED, figures)
    return Part(OPEN, figures, f"no interval: {hardest.trainer} rises in all but falls from {fall}")


def _to_tell_apart(one: Measurement, other: Measurement) -> str:
    """Return what would say which of two readings by a trainer is the larger."""
    if reading_of(one) == reading_of(other):
        names = f"{one.task_name} and {other.task_name}"
        return f"tasks further apart than {names}, which {one.trainer} reads alike"
    return f"{narrower(one, other)} by {one.trainer}"


def _transition(measurements: Sequence[Measurement]) -> Claim | None:
    """Judge whether success appears all at once (Larsen et al. 2022), by ``TRANSITION``."""
    from scipy.stats import binomtest

    judged = [_is_sharp(each) for row in readings(measurements).values() for each in row.values()]
    sharp, total = judged.count(True), len(judged) - judged.count(None)
    if not total:
        return None
    ends = binomtest(sharp, total).proportion_ci()
    verdict = SUPPORTED if ends.low >= HALF else REFUTED if ends.high < HALF else OPEN
    part = Part(
        verdict,
        f"from at most {100 * NEVER:g} % of the runs to at least {100 * ALWAYS:g} % within "
        f"{SHARP:g} times d in {sharp} of the {total} rows in which the failing d were "
        f"tested: a share of {ends.low:.2f} to {ends.high:.2f}",
        "more rows",
    )
    return from_parts(
        "whether runs solve a task is a phase transition in log d", [part], TRANSITION
    )


def _is_sharp(measurement: Measurement) -> bool | None:
    """Say whether a row goes from failing to solving within ``SHARP`` times d.

    None where no tested d fails, or where none solves and nobody looked so far above the failing.
    """
    estimate = estimate_of(measurement)
    rungs = estimate.rungs
    fit = isotonic_fit([rung.share for rung in rungs], [len(rung.scores) for rung in rungs])
    shares = [(rung.d, float(share)) for rung, share in zip(rungs, fit, strict=True)]
    failing = max((d for d, share in shares if share <= NEVER), default=None)
    if failing is None:
        return None
    solving = min((d for d, share in shares if share >= ALWAYS), default=None)
    if solving is not None:
        return solving <= SHARP * failing
    largest = estimate.tested[-1]
    return False if largest >= SHARP * failing or largest == estimate.D else None


def _started(
    rows: Mapping[str, Mapping[str, Measurement]], started: Mapping[str, Mapping[str, Measurement]]
) -> Claim | None:
    """Judge whether theta_0 from a neighbouring task lowers the dimension, by ``NEIGHBOUR``."""
    parts = []
    for name, plain in STARTED.items():
        for trainer, there in started.get(name, {}).items():
            own = rows.get(plain, {}).get(trainer)
            if own is not None and counts(own) and counts(there):
                parts.append(_lowers(own, there))
    if not parts:
        return None
    claim = "theta_0 from a neighbouring task, a pole of another length, lowers the dimension"
    return from_parts(claim, parts, NEIGHBOUR)


def _lowers(own: Measurement, there: Measurement) -> Part:
    """Judge whether the reading from a neighbour's solution is less than from random theta_0."""
    ends = ratio_interval(there, own)
    readings = f"{beside(own.estimate)} to {beside(there.estimate)}"
    figures = f"{own.task_name} {own.trainer} {readings}, {times(there, own)} times"
    if lies_below(ends, 1):
        return Part(SUPPORTED, figures)
    if lies_above(ends, 1):
        return Part(REFUTED, figures)
    return Part(OPEN, figures, _to_tell_apart(own, there))
