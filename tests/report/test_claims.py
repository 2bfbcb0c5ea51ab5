"""The paper's claims: each verdict from measurements that can be read by eye."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rlidim.records.measurement import Measurement, gather
from rlidim.records.record import RunRecord
from rlidim.report import claims, ratios
from rlidim.statistics.estimate import Estimate
from rlidim.tasks.names import find_task
from tests.report.synthetic import baseline, classifier, random, runs


def judge(*found: list[RunRecord]) -> dict[str, claims.Claim]:
    """Return the claims by their first word."""
    everything = [record for part in found for record in part]
    names = {record.cell.task for record in everything}
    measured = gather(
        everything, {name: find_task(name) for name in names}, results_folder=Path("results")
    )
    return {claim.claim.split()[0]: claim for claim in claims.claims(measured)}


@pytest.mark.parametrize(
    ("wide", "verdict"),
    [(800, claims.SUPPORTED), (1040, claims.OPEN), (2000, claims.REFUTED)],
)
def test_size(wide: int, verdict: str) -> None:
    found = judge(classifier("mnist-fc", 700), classifier("mnist-fc-400x5", wide, 959_610))[
        "d_int90"
    ]
    assert found.verdict == verdict
    assert "D from 199,210 to 959,610 (4.8 times), d_int90 goes from " in found.figures
    wanting = "; narrower intervals of mnist-fc and mnist-fc-400x5 would decide"
    assert found.figures.endswith(wanting) == (verdict == claims.OPEN)


@pytest.mark.parametrize(("lenet", "verdict"), [(300, claims.SUPPORTED), (900, claims.REFUTED)])
def test_lenet(lenet: int, verdict: str) -> None:
    assert judge(classifier("mnist-fc", 700), classifier("mnist-lenet", lenet))[
        "LeNet"
    ].verdict == (verdict)


@pytest.mark.parametrize(
    ("shuffled_fc", "shuffled_lenet", "verdict"),
    [
        (700, 1400, claims.SUPPORTED),
        (700, 300, claims.REFUTED),  # LeNet kept all its advantage
        (700, 200, claims.REFUTED),  # it even helped
        (700, 500, claims.REFUTED),  # LeNet kept an advantage
        (1400, 1500, claims.REFUTED),  # the other network suffered too
    ],
)
def test_pixels(shuffled_fc: int, shuffled_lenet: int, verdict: str) -> None:
    found = judge(
        classifier("mnist-fc", 700),
        classifier("mnist-lenet", 300),
        classifier("mnist-shuffled-pixels-fc", shuffled_fc),
        classifier("mnist-shuffled-pixels-lenet", shuffled_lenet),
    )["shuffling"]
    assert found.verdict == verdict


def test_pixels_are_undecided_where_an_interval_is_open() -> None:
    bound = classifier("mnist-shuffled-pixels-fc", 700, shares=(1.2, 1.5))
    found = judge(
        classifier("mnist-fc", 700),
        classifier("mnist-lenet", 300),
        bound,
        classifier("mnist-shuffled-pixels-lenet", 1400),
    )["shuffling"]
    assert found.verdict == claims.OPEN


def test_networks_of_one_size_say_nothing_of_size() -> None:
    assert "d_int90" not in judge(
        classifier("mnist-fc", 700), classifier("mnist-fc-100x4", 700, 150_000)
    )


def test_the_family_with_the_most_measurements_speaks() -> None:
    few = [
        dataclasses.replace(
            record, cell=dataclasses.replace(record.cell, projection="gaussian"), D=D
        )
        for name, at, D in (("mnist-fc", 700, 199_210), ("mnist-fc-400x5", 3_000, 959_610))
        for record in classifier(name, at)
        if record.cell.d is not None
    ]
    found = judge(
        few,
        classifier("mnist-fc", 700),
        classifier("mnist-fc-400x5", 720, 959_610),
        classifier("mnist-fc-50x1", 680, 39_760),
    )["d_int90"]
    assert "over 3 networks" in found.figures
    assert found.verdict == claims.SUPPORTED


def test_labels() -> None:
    fc, tenth = classifier("mnist-fc", 700), classifier("mnist-shuffled-labels-fc-10", 90_000)
    alone = judge(fc, tenth)["memorising"]
    assert alone.verdict == claims.OPEN
    others = "mnist-shuffled-labels-fc-50 or mnist-shuffled-labels-fc"
    assert alone.figures.endswith(f"; {others}, measured too, would decide")
    assert "15.0 numbers a label" in alone.figures
    both = judge(fc, tenth, classifier("mnist-shuffled-labels-fc", 190_000))["memorising"]
    assert both.verdict == claims.SUPPORTED
    cheap = judge(fc, classifier("mnist-shuffled-labels-fc-10", 2_000))["memorising"]
    assert cheap.verdict == claims.REFUTED
    dearer = judge(fc, tenth, classifier("mnist-shuffled-labels-fc", 1_800_000, 4_000_000))
    assert dearer["memorising"].verdict == claims.REFUTED
    # Where every tested d passes, the interval says nothing of its lower end.
    bound = classifier("mnist-shuffled-labels-fc-10", 90_000, shares=(1.2, 1.5))
    assert judge(fc, bound)["memorising"].verdict == claims.OPEN


@pytest.mark.parametrize(
    ("d", "verdict"), [(700, claims.SUPPORTED), (3_000, claims.REFUTED), (1_992, claims.OPEN)]
)
def test_compression(d: int, verdict: str) -> None:
    assert judge(classifier("mnist-fc", d))["a"].verdict == verdict


def test_nothing_measured_claims_nothing() -> None:
    assert claims.claims([]) == []
    assert claims.table(claims.claims([])).rows == ()


def pendulum(at: int) -> list[RunRecord]:
    """Return searches of the inverted pendulum by es, solved from d = at on."""
    task = find_task("inverted-pendulum")
    dims = sorted({max(at // 2, 1), at - 1, at, 2 * at} - {0})
    scores = {d: [1000.0 if d >= at else 20.0] * 12 for d in dims}
    return [*runs(task, scores), *baseline(task, (1000.0,) * 5), random(task, 5.0)]


@pytest.mark.parametrize(
    ("at", "verdict"), [(7, claims.SUPPORTED), (2, claims.REFUTED), (100, claims.REFUTED)]
)
def test_about_a_hundred_times(at: int, verdict: str) -> None:
    found = judge(pendulum(at), classifier("mnist-fc", 700))["inverted-pendulum"]
    assert found.verdict == verdict
    assert "inverted-pendulum by es" in found.figures


def test_an_open_end_leaves_a_ratio_undecided_and_is_named() -> None:
    pong = find_task("pong")
    low = {1024: [-20.0] * 6, 4096: [-20.0] * 6}
    found = judge(
        [
            *runs(pong, low, trainer="ppo", projection="stacked_fastfood", D=1_005_974),
            *baseline(pong, (20.0, 20.0), "ppo", D=1_005_974),
            random(pong, -20.5),
        ],
        classifier("cifar10-fc", 6_000, 656_810),
    )["pong"]
    assert found.verdict == claims.OPEN
    assert found.figures.endswith("a closed interval of pong would decide")


def test_the_interval_of_a_ratio_by_hand() -> None:
    """Both readings have ends a factor of two away: the ratio's are exp(sqrt(2) log 2) away."""

    def read(d: int) -> Measurement:
        estimate = dataclasses.replace(
            measured_estimate(), d_int=d, interval=(d // 2, 2 * d), censored=None
        )
        return dataclasses.replace(gathered(), estimate=estimate)

    low, high = ratios.ratio_interval(read(400), read(4))
    assert low == pytest.approx(100 * 2 ** -(2**0.5))
    assert high == pytest.approx(100 * 2 ** (2**0.5))


def gathered() -> Measurement:
    records = classifier("mnist-fc", 700)
    (found,) = gather(records, {"mnist-fc": find_task("mnist-fc")}, results_folder=Path("results"))
    return found


def measured_estimate() -> Estimate:
    estimate = gathered().estimate
    assert estimate is not None
    return estimate
