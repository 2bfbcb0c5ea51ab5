"""The paper's claims, each supported, refuted or left open by the records.

Li et al. 2018, sections 2 and 3. A claim about supervised tasks compares measurements by one
trainer and family of P, the first that has all it needs; one about the ratio of two tasks takes
those by the trainers that there are. Intervals decide, not estimates alone.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlidim.records.measurement import Measurement
from rlidim.report import published
from rlidim.report.rows import estimate_of, most_telling, reading_of
from rlidim.report.tables import Table
from rlidim.statistics import wording

FC, LENET = "mnist-fc", "mnist-lenet"
SHUFFLED_FC, SHUFFLED_LENET = "mnist-shuffled-pixels-fc", "mnist-shuffled-pixels-lenet"
LABELS = ("mnist-shuffled-labels-fc-10", "mnist-shuffled-labels-fc-50", "mnist-shuffled-labels-fc")
IMAGES = 60_000  # that MNIST trains on; 50,000 in the paper
PAPERS_LABELS = "18 numbers a label at 10 %, 5.2 at 50 %, 3.8 at 100 % of 50,000"
HARDLY = 1.5  # times, from the smallest d_int to the largest: a rung of the ladder
SPAN = 4.0  # times, from the smallest D to the largest: very different
FAR = 10.0  # times as much is far more
HUNDREDFOLD = 100.0
ABOUT = 3.0  # times: about so many, half an order of magnitude either way
# Of the paper's comparisons across trainers: the easier task, the harder, how many times.
RATIOS = (
    (("inverted-pendulum", "es"), (FC, "adam"), 100.0),
    (("pong", None), ("cifar10-fc", "adam"), 1.0),  # None: by any trainer
)

SUPPORTED, REFUTED, OPEN = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, the records' verdict on it, and their figures."""

    claim: str
    verdict: str
    figures: str


Measured = dict[str, Measurement]


def claims(measurements: Sequence[Measurement]) -> list[Claim]:
    """Return every claim that the measurements can judge."""
    groups: dict[tuple[str, str, str], Measured] = {}
    for measurement in measurements:
        if measurement.estimate is not None:
            key = (measurement.trainer, measurement.projection, measurement.scope)
            groups.setdefault(key, {})[measurement.task_name] = measurement
    largest = sorted(groups.values(), key=len, reverse=True)
    verdicts = []
    for judge in (_size, _lenet, _pixels, _labels, _compression):
        judged = [claim for group in largest if (claim := judge(group)) is not None]
        verdicts += judged[:1]
    ratios = [_ratio(measurements, *pair) for pair in RATIOS]
    return [*verdicts, *(claim for claim in ratios if claim is not None)]


def _ratio(
    measurements: Sequence[Measurement],
    easier: tuple[str, str | None],
    harder: tuple[str, str | None],
    times: float,
) -> Claim | None:
    """Judge how many times the dimension of one task another's is; None while one is unmeasured."""
    first, second = (_measured(measurements, *name) for name in (easier, harder))
    if first is None or second is None:
        return None
    low, high = ratio_interval(second, first)
    verdict = OPEN
    if low is not None and high is not None and times / ABOUT <= low and high <= ABOUT * times:
        verdict = SUPPORTED
    elif (high is not None and high < times / ABOUT) or (low is not None and low > ABOUT * times):
        verdict = REFUTED
    ends = [("at least", low), ("at most", high)]
    ratio = [f"{word} {end:.3g}" for word, end in ends if end is not None]
    if not any(estimate_of(each).censored for each in (first, second)):
        ratio.insert(0, f"{reading_of(second) / reading_of(first):.3g} times")
    words = ", ".join(ratio) or "any ratio"
    if verdict == OPEN:
        open_ones = [each.task_name for each in (first, second) if not _closed(each)]
        names = " and ".join(open_ones)
        words += (
            f"; {f'a closed interval of {names}' if names else 'narrower intervals'} would decide"
        )
    about = "about as hard as" if times == 1.0 else f"about {times:g} times easier than"
    return Claim(
        f"{first.task_name} is {about} {second.task_name}",
        verdict,
        f"{first.task_name} by {first.trainer} {_reading(first)}, {second.task_name} by "
        f"{second.trainer} {_reading(second)}: {words}",
    )


def _closed(measurement: Measurement) -> bool:
    return measurement.estimate is not None and measurement.estimate.closed


def _measured(
    measurements: Sequence[Measurement], name: str, trainer: str | None
) -> Measurement | None:
    """Return the most telling measurement of a natively solved task, by a trainer or any."""
    return most_telling(
        each
        for each in measurements
        if each.task_name == name
        and trainer in (None, each.trainer)
        and each.estimate is not None
        and not each.estimate.unreached
        and not each.estimate.scale.unsolved
    )


def ratio_interval(first: Measurement, second: Measurement) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the ratio of two measurements' d_int; None is an open end.

    The ends of two independent intervals give that of a difference of logarithms (Zou and Donner,
    Statistics in Medicine 2008: the method of variance estimates recovery).
    """
    one, other = reading_of(first), reading_of(second)
    low, high = estimate_of(first).interval
    other_low, other_high = estimate_of(second).interval

    def reach(end: int | None, other_end: int | None) -> float | None:
        if end is None or other_end is None:
            return None
        return math.hypot(math.log(end / one), math.log(other_end / other))

    down, up = reach(low, other_high), reach(high, other_low)
    return (
        None if down is None else one / other * math.exp(-down),
        None if up is None else one / other * math.exp(up),
    )


def _size(group: Measured) -> Claim | None:
    grid = [
        measurement
        for name, measurement in group.items()
        if re.fullmatch(rf"{FC}(-\d+x\d+)?", name) and measurement.D is not None
    ]
    if len(grid) < 2 or max(m.D or 0 for m in grid) < SPAN * min(m.D or 0 for m in grid):
        return None
    dims = sorted(reading_of(measurement) for measurement in grid)
    sizes = sorted(measurement.D or 0 for measurement in grid)
    ends = [_ends(measurement) for measurement in grid]
    most = max(high for _, high in ends) / min(low for low, _ in ends)
    least = max(low for low, _ in ends) / min(high for _, high in ends)
    theirs = sorted(d for measurement in grid if (d := _by_their_rule(measurement)) is not None)
    same = f", {theirs[0]:,} to {theirs[-1]:,} at the paper's accuracy" if theirs else ""
    return Claim(
        "d_int90 hardly moves over fully connected MNIST networks of very different D",
        SUPPORTED if most <= HARDLY else REFUTED if least > HARDLY else OPEN,
        f"over {len(grid)} networks, D from {sizes[0]:,} to {sizes[-1]:,} "
        f"({sizes[-1] / sizes[0]:.1f} times), d_int90 goes from {dims[0]:,} to {dims[-1]:,} "
        f"({dims[-1] / dims[0]:.2f} times, at most {most:.2f} by the intervals' ends{same}; the "
        "paper: 24.1 and 1.33 times over 20)",
    )


def _lenet(group: Measured) -> Claim | None:
    if not {FC, LENET} <= group.keys():
        return None
    return Claim(
        "LeNet needs fewer dimensions than the fully connected network on MNIST",
        _below(group[LENET], group[FC]),
        f"LeNet {_reading(group[LENET])}, fully connected {_reading(group[FC])}",
    )


def _pixels(group: Measured) -> Claim | None:
    names = (FC, LENET, SHUFFLED_FC, SHUFFLED_LENET)
    if not set(names) <= group.keys():
        return None
    fc, lenet, shuffled_fc, shuffled_lenet = (group[name] for name in names)
    parts = [
        _below(lenet, shuffled_lenet),  # shuffling costs LeNet something
        _at_least(shuffled_lenet, shuffled_fc),  # and all of its advantage
        _alike(fc, shuffled_fc),  # and the other network nothing
    ]
    return Claim(
        "shuffling the pixels removes LeNet's advantage and leaves the other network as it was",
        _all(parts),
        f"LeNet {_reading(lenet)} becomes {_reading(shuffled_lenet)}, fully connected "
        f"{_reading(fc)} becomes {_reading(shuffled_fc)}",
    )


def _labels(group: Measured) -> Claim | None:
    known = [group[name] for name in LABELS if name in group and group[name].task is not None]
    if not known or FC not in group:
        return None
    costs = []
    for measurement in known:
        assert measurement.task is not None
        costs.append((measurement, measurement.task.supervised.data.share))
    far = [_above(_ends(measurement), FAR * _ends(group[FC])[1]) for measurement in known]
    # Dimensions a label, from the fewest labels to the most.
    label_costs = [tuple(end / share for end in _ends(measurement)) for measurement, share in costs]
    falls = [_order(more, fewer) for fewer, more in itertools.pairwise(label_costs)]
    verdict = _all([*far, *(falls or [OPEN])])
    figures = ", ".join(
        f"{share:.0%} of the labels {_reading(measurement)}, "
        f"{reading_of(measurement) / (share * IMAGES):.1f} numbers a label"
        for measurement, share in costs
    ).replace("%", " %")
    caveat = "; the costs of several sizes have yet to be compared" if len(known) < 2 else ""
    return Claim(
        "memorising shuffled labels costs far more than learning, and less a label as they grow",
        verdict,
        f"{figures}; true labels {_reading(group[FC])}{caveat} (the paper: {PAPERS_LABELS})",
    )


def _compression(group: Measured) -> Claim | None:
    if FC not in group:
        return None
    measurement = group[FC]
    D, (_, high) = measurement.D or 0, _ends(measurement)
    least = D / high
    verdict = SUPPORTED if least > HUNDREDFOLD else OPEN
    if D / _low(measurement) < HUNDREDFOLD:
        verdict = REFUTED
    return Claim(
        "a seed and d numbers describe a network that solves MNIST more than 100 times shorter",
        verdict,
        f"{D:,} parameters by {_reading(measurement)} numbers: "
        f"{D / reading_of(measurement):.0f} times, at least {least:.0f}, before any number is made "
        "smaller (the paper: 260 times)",
    )


def _ends(measurement: Measurement) -> tuple[int, int]:
    low, high = estimate_of(measurement).interval
    return low or 1, high or measurement.D or reading_of(measurement)


def _low(measurement: Measurement) -> int:
    return _ends(measurement)[0]


def _below(first: Measurement, second: Measurement) -> str:
    """Say whether the first needs fewer dimensions than the second, by their intervals."""
    return _order(_ends(first), _ends(second))


def _order(first: tuple[float, ...], second: tuple[float, ...]) -> str:
    """Say whether an interval lies below another."""
    if first[1] < second[0]:
        return SUPPORTED
    return REFUTED if first[0] > second[1] else OPEN


def _above(interval: tuple[float, ...], bound: float) -> str:
    """Say whether an interval lies above a number."""
    return _order((bound, bound), interval)


def _at_least(first: Measurement, second: Measurement) -> str:
    """Say whether the first needs as many dimensions as the second, or more."""
    if SUPPORTED in (_below(second, first), _alike(first, second)):
        return SUPPORTED
    return REFUTED if _below(first, second) == SUPPORTED else OPEN


def _alike(first: Measurement, second: Measurement) -> str:
    """Say whether two measurements agree: both intervals lie within one rung."""
    ends = [*_ends(first), *_ends(second)]
    if max(ends) <= HARDLY * min(ends):
        return SUPPORTED
    return OPEN if _below(first, second) == _below(second, first) == OPEN else REFUTED


def by_intervals(
    claim: str, figures: Sequence[str], holds: Sequence[bool], fails: Sequence[bool]
) -> Claim:
    """Return a claim whose verdict is that of several intervals.

    Args:
        claim: in words.
        figures: that say what was found.
        holds: whether each interval supports it: all have to.
        fails: whether each refutes it: one is enough.
    """
    verdict = SUPPORTED if all(holds) else REFUTED if any(fails) else OPEN
    ending = "; narrower intervals would decide" if verdict == OPEN else ""
    return Claim(claim, verdict, "; ".join(figures) + ending)


def _all(verdicts: Sequence[str]) -> str:
    """Return the verdict on a claim of several parts."""
    return REFUTED if REFUTED in verdicts else OPEN if OPEN in verdicts else SUPPORTED


def _by_their_rule(measurement: Measurement) -> int | None:
    """Return d_int at the paper's own accuracy, None if it published none for the network."""
    for entry in measurement.published:
        estimate = published.reread(entry, measurement)
        if entry.baseline.kind == "global" and estimate is not None and not estimate.censored:
            return estimate.d_int
    return None


def _reading(measurement: Measurement) -> str:
    return wording.beside(measurement.estimate)


def listed(title: str, judged: Sequence[Claim], *notes: str) -> Table:
    """Return a table with a row for each claim."""
    rows = tuple((claim.claim, claim.verdict, claim.figures) for claim in judged)
    return Table(title, ("claim", "verdict", "figures"), rows, 3, notes)


def table(judged: Sequence[Claim]) -> Table:
    """Return a row for each claim of the paper."""
    return listed(
        "The paper's claims",
        judged,
        "Intervals are 95 %, and their ends decide. A claim that two intervals overlap on is "
        f"undecided; d that hardly moves: by no more than {HARDLY:g} times; far more: "
        f"{FAR:g} times; about so many: the whole interval of the ratio within {ABOUT:g} times of "
        "it.",
    )
