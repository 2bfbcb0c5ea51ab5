"""The paper's claims about supervised tasks, each supported, refuted or left open by the records.

Li et al. 2018, section 3. A claim compares measurements by one trainer and family of P, the first
that has all it needs; intervals decide, not estimates alone.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlidim.records.measurement import Measurement
from rlidim.report import published
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
    return verdicts


def _size(group: Measured) -> Claim | None:
    grid = [
        measurement
        for name, measurement in group.items()
        if re.fullmatch(rf"{FC}(-\d+x\d+)?", name) and measurement.D is not None
    ]
    if len(grid) < 2 or max(m.D or 0 for m in grid) < SPAN * min(m.D or 0 for m in grid):
        return None
    dims = sorted(_d(measurement) for measurement in grid)
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
        f"{_d(measurement) / (share * IMAGES):.1f} numbers a label"
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
        f"{D:,} parameters by {_reading(measurement)} numbers: {D / _d(measurement):.0f} times, at "
        f"least {least:.0f}, before any number is made smaller (the paper: 260 times)",
    )


def _d(measurement: Measurement) -> int:
    """Return the estimate, or the largest tested d where none passes."""
    assert measurement.estimate is not None
    return measurement.estimate.d_int or measurement.estimate.rungs[-1].d


def _ends(measurement: Measurement) -> tuple[int, int]:
    assert measurement.estimate is not None
    low, high = measurement.estimate.interval
    return low or 1, high or measurement.D or _d(measurement)


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


def table(measurements: Sequence[Measurement]) -> Table:
    """Return a row for each claim."""
    rows = tuple((claim.claim, claim.verdict, claim.figures) for claim in claims(measurements))
    notes = (
        "Intervals are 95 %, and their ends decide. A claim that two intervals overlap on is "
        f"undecided; d that hardly moves: by no more than {HARDLY:g} times; far more: "
        f"{FAR:g} times.",
    )
    return Table(
        "The paper's claims on supervised tasks", ("claim", "verdict", "figures"), rows, 3, notes
    )
