"""The paper's claims, each supported, refuted or left open by the records.

Li et al. 2018, sections 2 and 3. A claim about supervised tasks compares measurements by one
trainer and family of P, the first that has all it needs; one about the ratio of two tasks takes
those by the trainers that there are. Intervals decide, not estimates alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from rlidim.records.measurement import Measurement
from rlidim.report import published
from rlidim.report.ratios import lies_above, lies_below, ratio_interval
from rlidim.report.rows import estimate_of, most_telling, reading_of
from rlidim.report.tables import Table
from rlidim.report.verdicts import OPEN, REFUTED, SUPPORTED, Claim, all_of, listed, narrower
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
    low, high = ends = ratio_interval(second, first)
    verdict = OPEN
    if low is not None and high is not None and times / ABOUT <= low and high <= ABOUT * times:
        verdict = SUPPORTED
    elif lies_below(ends, times / ABOUT) or lies_above(ends, ABOUT * times):
        verdict = REFUTED
    bounds = [("at least", low), ("at most", high)]
    ratio = [f"{word} {end:.3g}" for word, end in bounds if end is not None]
    if not any(estimate_of(each).censored for each in (first, second)):
        ratio.insert(0, f"{reading_of(second) / reading_of(first):.3g} times")
    words = ", ".join(ratio) or "any ratio"
    about = "about as hard as" if times == 1.0 else f"about {times:g} times easier than"
    return Claim(
        f"{first.task_name} is {about} {second.task_name}",
        verdict,
        f"{first.task_name} by {first.trainer} {_reading(first)}, {second.task_name} by "
        f"{second.trainer} {_reading(second)}: {words}{_wanting(verdict, first, second)}",
    )


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
    verdict = SUPPORTED if most <= HARDLY else REFUTED if least > HARDLY else OPEN
    same = f", {theirs[0]:,} to {theirs[-1]:,} at the paper's accuracy" if theirs else ""
    return Claim(
        "d_int90 hardly moves over fully connected MNIST networks of very different D",
        verdict,
        f"over {len(grid)} networks, D from {sizes[0]:,} to {sizes[-1]:,} "
        f"({sizes[-1] / sizes[0]:.1f} times), d_int90 goes from {dims[0]:,} to {dims[-1]:,} "
        f"({dims[-1] / dims[0]:.2f} times, at most {most:.2f} by the intervals' ends{same}; the "
        f"paper: 24.1 and 1.33 times over 20){_wanting(verdict, *grid)}",
    )


def _lenet(group: Measured) -> Claim | None:
    if not {FC, LENET} <= group.keys():
        return None
    lenet, fc = group[LENET], group[FC]
    verdict = _below(lenet, fc)
    return Claim(
        "LeNet needs fewer dimensions than the fully connected network on MNIST",
        verdict,
        f"LeNet {_reading(lenet)}, fully connected {_reading(fc)}{_wanting(verdict, lenet, fc)}",
    )


def _pixels(group: Measured) -> Claim | None:
    names = (FC, LENET, SHUFFLED_FC, SHUFFLED_LENET)
    if not set(names) <= group.keys():
        return None
    fc, lenet, shuffled_fc, shuffled_lenet = (group[name] for name in names)
    verdict = all_of(
        [
            _below(lenet, shuffled_lenet),  # shuffling costs LeNet something
            _at_least(shuffled_lenet, shuffled_fc),  # and all of its advantage
            _alike(fc, shuffled_fc),  # and the other network nothing
        ]
    )
    return Claim(
        "shuffling the pixels removes LeNet's advantage and leaves the other network as it was",
        verdict,
        f"LeNet {_reading(lenet)} becomes {_reading(shuffled_lenet)}, fully connected "
        f"{_reading(fc)} becomes {_reading(shuffled_fc)}"
        f"{_wanting(verdict, fc, lenet, shuffled_fc, shuffled_lenet)}",
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
    verdict = all_of([*far, *(falls or [OPEN])])
    figures = ", ".join(
        f"{share:.0%} of the labels {_reading(measurement)}, "
        f"{reading_of(measurement) / (share * IMAGES):.1f} numbers a label"
        for measurement, share in costs
    ).replace("%", " %")
    wanting = _wanting(verdict, group[FC], *known)
    if verdict == OPEN and not falls:
        others = " or ".join(name for name in LABELS if name not in group)
        wanting = f"; {others}, measured too, would decide"
    return Claim(
        "memorising shuffled labels costs far more than learning, and less a label as they grow",
        verdict,
        f"{figures}; true labels {_reading(group[FC])} (the paper: {PAPERS_LABELS}){wanting}",
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
        f"smaller (the paper: 260 times){_wanting(verdict, measurement)}",
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


def _by_their_rule(measurement: Measurement) -> int | None:
    """Return d_int at the paper's own accuracy, None if it published none for the network."""
    for entry in measurement.published:
        estimate = published.reread(entry, measurement)
        if entry.baseline.kind == "global" and estimate is not None and not estimate.censored:
            return estimate.d_int
    return None


def _reading(measurement: Measurement) -> str:
    return wording.beside(measurement.estimate)


def _wanting(verdict: str, *compared: Measurement) -> str:
    """Return what would decide a claim, as the end of its figures; nothing of a decided one."""
    return f"; {narrower(*compared)} would decide" if verdict == OPEN else ""


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
