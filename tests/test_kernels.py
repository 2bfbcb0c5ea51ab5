"""The benchmark of the products: its rows, its pairs, its bars, its resuming; no time decides."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click.testing
import numpy as np
import pytest
import torch

from rlidim.cli import cli
from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES
from rlidim.speed import bars, families, memory, paired, peers, products, rows, text
from rlidim.speed import cases as product_cases
from rlidim.speed import peers as speed_peers
from rlidim.speed.cases import Case, Limits, blank_rows, plan
from rlidim.speed.paired import Timed, compare
from rlidim.speed.peers import Inputs, UnavailableError
from rlidim.speed.rows import RowFile

CPU = torch.device("cpu")
FIELDS = {
    *("family", "D", "d", "operation", "members", "threads", "backend", "seconds", "rate"),
    *("rate_unit", "prepare_seconds", "extra_vectors", "against", "reason"),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three pairs of single calls say nothing about speed, and take no time."""
    monkeypatch.setattr(paired, "MOST_PAIRS", 3)
    monkeypatch.setattr(paired, "MOST_REPEATED", 1)
    with paired.threads_restored():
        yield


class Clock:
    """Time that passes only when a call lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.calls: list[str] = []
        monkeypatch.setattr(paired, "perf_counter", lambda: self.now)

    def call(self, name: str, seconds: float | list[float]) -> Callable[[], None]:
        """Return a call that takes so long, or each time as long as the next in the list."""

        def run() -> None:
            self.calls.append(name)
            self.now += seconds.pop(0) if isinstance(seconds, list) else seconds

        return run


def test_pairs_alternate_and_the_ratio_is_the_median_of_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    # A call each to get warm, then three pairs with ratios 4, 3 and 0.5: the median of the ratios
    # is 3, the ratio of the medians would be 2.
    ours = clock.call("ours", [2, 4, 6, 1])
    other = clock.call("other", [1, 1, 2, 2])
    found = compare(Timed(ours, CPU), Timed(other, CPU), seconds=0)
    assert clock.calls[-6:] == ["ours", "other"] * 3
    assert found.ratio == 3
    assert (found.seconds, found.other_seconds, found.pairs) == (4, 2, 3)
    assert (found.low, found.high) == (1.75, 3.5)
    assert found.to_json()["seconds"] == 2


def test_short_calls_are_repeated_and_slow_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "MOST_REPEATED", 1000)
    clock = Clock(monkeypatch)
    assert Timed(clock.call("", 0.9e-6), CPU).repeats() == 112
    assert Timed(clock.call("", 1e-9), CPU).repeats() == 1000
    clock.calls.clear()
    assert Timed(clock.call("", 5.0), CPU).repeats() == 1
    assert len(clock.calls) == 1


def test_comparing_stops_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "MOST_PAIRS", 101)
    clock = Clock(monkeypatch)
    ours, other = (Timed(clock.call("", 0.1), CPU) for _ in range(2))
    assert compare(ours, other, seconds=0).pairs == paired.FEWEST_PAIRS
    assert compare(ours, other, seconds=0.95).pairs == 5
    assert compare(ours, other, seconds=1e9).pairs == 101


def test_every_other_round_of_runs_goes_backwards() -> None:
    made: list[str] = []

    def run(name: str, seconds: float) -> float:
        made.append(name)
        return seconds

    ours, other = paired.rounds(
        [lambda: run("ours", 3.0), lambda: run("other", 2.0)], fewest=3, seconds=0.0
    )
    assert made == ["ours", "other", "other", "ours", "ours", "other"]
    found = paired.Comparison.of(ours, other)
    assert (found.seconds, found.other_seconds, found.pairs) == (3.0, 2.0, 3)
    assert found.figures("share") == {
        "share": 1.5,
        "share_quartiles": [1.5, 1.5],
        "share_pairs": 3,
    }


def test_threads_are_set_for_each_timing_and_restored() -> None:
    torch.set_num_threads(3)  # the fixture puts back what there was
    seen: list[int] = []
    with paired.threads_restored():
        for threads in (2, 1):
            Timed(lambda: seen.append(torch.get_num_threads()), CPU, threads).seconds(1)
    assert set(seen) == {1, 2}
    assert seen[-1] == 1
    assert torch.get_num_threads() == 3


def measured(case: Case, limits: Limits = product_cases.DEFAULT_LIMITS) -> list[rows.Row]:
    return product_cases.time_cases([case], CPU, RowFile(None, {}, product_cases.NAMES), limits)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_says_everything(family: str) -> None:
    found = measured(Case(family, 562, 4))
    assert [row["operation"] for row in found] == ["forward", "adjoint", "population"]
    beside = {peer.name for peer in peers.peers_of(family, CPU)}
    for row in found:
        assert row.keys() == FIELDS
        assert row["reason"] is None
        assert row["seconds"] > 0
        assert row["backend"] == projection(family, 562, 4, 0).backend
        members = 32 if row["operation"] == "population" else 1
        work = 562 * 4 if family in ("gaussian", "rademacher") else 4 * (562 + 4)
        assert row["rate"] == pytest.approx(work * members / row["seconds"])
        expected = {"fill"} | beside | ({"forward"} if row["operation"] == "adjoint" else set())
        assert set(row["against"]) == expected
        for other in row["against"].values():
            assert "reason" in other or (
                other["low"] <= other["ratio"] <= other["high"] and other["seconds"] > 0
            )
        assert (row["extra_vectors"] is None) == (row["operation"] == "population")
    json.dumps(found, allow_nan=False)


def test_two_threads_are_compared_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_cases, "THREADED_FROM", 562)
    monkeypatch.setattr(product_cases.os, "cpu_count", lambda: 2)
    row = measured(Case("rademacher", 562, 4))[-1]
    assert (row["operation"], row["threads"]) == ("forward", 2)
    assert set(row["against"]) == {"1 thread", "fill itself"}
    monkeypatch.setattr(product_cases.os, "cpu_count", lambda: 1)
    assert len(blank_rows(Case("rademacher", 562, 4), CPU)) == 3


def test_the_plan_is_the_issues_table() -> None:
    cases = plan(CPU)
    sizes = {(case.D, case.d) for case in cases}
    assert {(562, 4), (4610, 16), (44426, 290), (199210, 750)} < sizes
    assert {(1005974, 6000), (10**7, 10**4), (5000, 10)} < sizes
    assert len(cases) == 6 * len(FAMILIES) + 1
    work = [case.work for case in cases]
    assert work == sorted(work)
    assert Case("rademacher", 562, 4).work > Case("rotation", 562, 4).work
    on_gpu = {(case.D, case.d) for case in plan(torch.device("cuda"))}
    assert on_gpu - sizes == {(10**8, 10**4), (10**9, 10**5)}
    assert plan(CPU, ["sparse"], [(562, 4)]) == [Case("sparse", 562, 4)]


def test_what_would_take_too_long_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_cases, "PROBED_FROM", 1)
    monkeypatch.setattr(product_cases, "PROBE_ENTRIES", 1000)
    monkeypatch.setattr(
        speed_peers.Inputs, "out", property(lambda self: pytest.fail("was begun")), raising=True
    )
    found = measured(Case("rademacher", 5000, 10), Limits(longest=0.0))
    assert len(found) == 3
    for row in found:
        assert row["seconds"] is None
        assert "would take about" in row["reason"]
    shown = text.kernel_table(found, [])
    assert shown.count("rademacher (5,000, 10)") > 0
    assert all(shown.count(operation) == 1 for operation in peers.OPERATIONS)


def test_time_is_foretold_from_a_smaller_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_cases, "PROBED_FROM", 1)
    monkeypatch.setattr(product_cases, "PROBE_ENTRIES", 10_000)
    monkeypatch.setattr(paired.Timed, "seconds", lambda self, repeats: 2.0)
    foretold = product_cases.foretell(Case("rademacher", 100_000, 100), CPU, Limits(1e9))
    assert {name: foretold[name] for name in peers.OPERATIONS} == dict.fromkeys(
        peers.OPERATIONS, 2.0 * 1000
    )
    foretold = product_cases.foretell(Case("sparse", 100_000, 100), CPU, Limits(1e9))
    assert foretold["forward"] == pytest.approx(2.0 * np.sqrt(1000))
    monkeypatch.setattr(product_cases, "PROBED_FROM", 10**9)
    assert product_cases.foretell(Case("rademacher", 100_000, 100), CPU, Limits(1e9)) == {}


def test_after_the_deadline_everything_is_listed() -> None:
    found = measured(Case("sparse", 562, 4), Limits(deadline=0.0))
    assert [row["reason"] for row in found] == ["the time for the whole benchmark was spent"] * 3


def test_a_product_that_would_outlast_the_deadline_is_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(product_cases, "foretell", lambda *arguments: {"adjoint": 9.0})
    found = measured(Case("sparse", 562, 4), Limits(deadline=product_cases.perf_counter() + 60.0))
    assert [row["reason"] for row in found] == [None, product_cases.SPENT, None]


def test_what_does_not_fit_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product_cases, "available_bytes", lambda device: 10_000)
    found = measured(Case("rotation", 562, 4))
    assert [row["seconds"] is None for row in found] == [False, False, True]
    assert "32 members need" in found[2]["reason"]
    monkeypatch.setattr(product_cases, "available_bytes", lambda device: 1_000)
    assert "do not fit" in measured(Case("rotation", 562, 4))[0]["reason"]


def test_a_kernel_that_fails_is_listed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(self: Any, *arguments: Any) -> None:
        raise RuntimeError("broken\nin many lines")

    monkeypatch.setattr(FAMILIES["hashed"], "adjoint", broken)
    reasons = [row["reason"] for row in measured(Case("hashed", 562, 4))]
    assert reasons == [None, "failed: RuntimeError: broken", None]


def test_resuming_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def benchmark(**options: Any) -> dict[str, Any]:
        return products.run(sizes=[(562, 4)], out=tmp_path, **options)

    told: list[str] = []
    first = benchmark(families=["sparse"], listener=told.append)
    assert len(told) == 1
    path = tmp_path / "cpu.json"
    on_file = json.loads(path.read_text())
    assert on_file["rows"] == first["rows"]
    assert on_file["versions"]["torch"]
    assert on_file["hardware"]["processor"]
    told.clear()
    assert benchmark(families=["sparse"], listener=told.append) == first
    assert told == []
    # Another family is added to the file, the first one stays.
    benchmark(families=["rotation"])
    assert len(json.loads(path.read_text())["rows"]) == 6
    again = benchmark(families=["sparse"], again=True, listener=told.append)
    assert len(told) == 1
    assert len(again["rows"]) == 3
    assert len(json.loads(path.read_text())["rows"]) == 6
    # Other versions' rows are no answer.
    path.write_text(path.read_text().replace('"python": "', '"python": "0.'))
    told.clear()
    benchmark(families=["sparse"], listener=told.append)
    assert "other versions" in told[0]
    assert len(json.loads(path.read_text())["rows"]) == 3


def test_rows_without_a_time_are_tried_again(tmp_path: Path) -> None:
    def benchmark(limits: Limits) -> list[rows.Row]:
        found = products.run(families=["sparse"], sizes=[(562, 4)], out=tmp_path, limits=limits)
        return list(found["rows"])

    assert all(row["reason"] for row in benchmark(Limits(deadline=0.0)))
    assert not any(row["reason"] for row in benchmark(Limits()))


def test_a_time_on_file_outlives_a_sitting_without_time(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    products.run(families=["sparse"], sizes=[(562, 4)], out=tmp_path)
    content = json.loads(path.read_text())
    content["rows"][-1] |= {"seconds": None, "reason": "it did not fit"}
    path.write_text(json.dumps(content))
    limits = Limits(deadline=0.0)
    found = products.run(families=["sparse"], sizes=[(562, 4)], out=tmp_path, limits=limits)
    assert found["rows"][:-1] == content["rows"][:-1]
    assert found["rows"][-1]["reason"] == product_cases.SPENT


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rows": 1'])
def test_half_a_file_is_made_anew(content: str, tmp_path: Path) -> None:
    (tmp_path / "cpu.json").write_text(content)
    products.run(families=["sparse"], sizes=[(562, 4)], out=tmp_path)
    assert len(json.loads((tmp_path / "cpu.json").read_text())["rows"]) == 3


def row(family: str, D: int, d: int, **fields: Any) -> rows.Row:
    blank: rows.Row = {"family": family, "D": D, "d": d, "operation": "forward", "threads": 1}
    return {**blank, "against": {}, "extra_vectors": None, **fields}


def states(found: list[rows.Row], source: str = bars.KERNELS) -> dict[str, tuple[Any, str]]:
    return {
        reading["bar"]: (reading["value"], reading["state"])
        for reading in bars.readings(found, source)
    }


def ratio(name: str, value: float) -> dict[str, Any]:
    return {name: {"ratio": value}}


READINGS = [
    ("rotation forward", row("rotation", 1005974, 6000, against=ratio("fill", 1.5)), 1.5, "met"),
    ("rotation forward", row("rotation", 1005974, 6000, against=ratio("fill", 1.6)), 1.6, "missed"),
    ("GEMV", row("rademacher", 199210, 750, against=ratio("torch dense", 0.08)), 0.08, "met"),
    ("(5000, 10)", row("rademacher", 5000, 10, against=ratio("torch dense", 2)), 2, "missed"),
    ("scipy CSR", row("sparse", 199210, 750, against=ratio("scipy CSR", 0.3)), 0.3, "missed"),
    (
        "hashed adjoint",
        row("hashed", 199210, 750, operation="adjoint", against=ratio("forward", 1.7)),
        1.7,
        "missed",
    ),
    ("extra memory", row("hashed", 199210, 750, extra_vectors=3.1), 3.1, "missed"),
    (
        "rademacher: 2 threads",
        row("rademacher", 1005974, 6000, threads=2, against=ratio("1 thread", 0.5)),
        2.0,
        "met",
    ),
    (
        "stacked_fastfood: 2 threads",
        row("stacked_fastfood", 1005974, 6000, threads=2, against=ratio("1 thread", 0.8)),
        1.25,
        "missed",
    ),
]


@pytest.mark.parametrize(("name", "given", "value", "state"), READINGS)
def test_a_bar_is_met_or_missed(name: str, given: rows.Row, value: float, state: str) -> None:
    found = {bar: reading for bar, reading in states([given]).items() if reading[0] is not None}
    assert len(found) == 1
    ((bar, reading),) = found.items()
    assert name in bar
    assert reading == (value, state)


def test_a_bar_reads_the_worst_row_and_no_foreign_one() -> None:
    adjoints = [
        row("hashed", D, 750, operation="adjoint", against=ratio("forward", value))
        for D, value in ((199210, 1.2), (1005974, 1.9), (562, 9.0))
    ]
    assert states(adjoints)["hashed adjoint / forward, D >= 199210"] == (1.9, "missed")
    stored = row("sparse", 199210, 750, extra_vectors=12.0)
    assert all(state == "not measured" for _, state in states([stored]).values())
    absent = row("rotation", 1005974, 6000, against={"fill": {"reason": "failed"}})
    assert all(state == "not measured" for _, state in states([absent]).values())


def test_every_bar_is_read_from_rows_that_are_measured() -> None:
    """No bar asks for a family, size or product that the benchmark does not have."""
    planned = [row for case in plan(CPU) for row in blank_rows(case, CPU)]
    if all(row["threads"] == 1 for row in planned):
        pytest.skip("one core")
    for bar in bars.BARS:
        if bar.source == bars.KERNELS:
            assert any(
                all(row[name] == value for name, value in bar.where.items()) and bar.only(row)
                for row in planned
            ), bar.name


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_memory_that_a_projection_holds_and_a_product_needs() -> None:
    shared = torch.zeros(1000)
    held = [shared, shared[:10], {"a": np.zeros(10)}, object()]
    assert memory.held_bytes(held) == 4000 + 80
    offsets, columns, values = torch.arange(101), torch.arange(100), torch.ones(100)
    compressed = torch.sparse_csr_tensor(
        offsets, columns, values, (100, 100), check_invariants=True
    )
    assert memory.held_bytes(compressed) == 100 * (4 + 8) + 101 * 8
    stored = projection("rademacher", 1000, 20, 0, backend="torch")
    assert memory.held_bytes(stored) == 4 * (1000 * 20 + 20)
    growth = memory.peak_growth(lambda: torch.ones(10**7).sum(), CPU)
    if growth is not None:
        assert growth == pytest.approx(4e7, rel=0.1)
    assert memory.available_bytes(CPU) > 0


@pytest.mark.parametrize("peer", peers.PEERS, ids=lambda peer: peer.name)
def test_peers_make_the_product_or_say_why_not(peer: peers.Peer) -> None:
    inputs = Inputs(562, 4, CPU, 32)
    shapes = {"forward": (562,), "adjoint": (4,), "population": (562, 32)}
    for operation, shape in shapes.items():
        with contextlib.suppress(UnavailableError):
            result: Any = peer.build(inputs, operation)()
            assert sorted(result.shape) == sorted(shape)


def test_the_textbook_transform_is_the_transform() -> None:
    from scipy.linalg import hadamard

    x = torch.randn(3, 64, dtype=torch.float64)
    right = x @ torch.as_tensor(hadamard(64), dtype=torch.float64)
    torch.testing.assert_close(peers.butterflies(x), right)


def test_the_textbook_adjoint_is_the_adjoint() -> None:
    inputs = Inputs(562, 4, CPU, 32)
    forward: Any = peers.textbook_fwht(inputs, "forward")()
    adjoint: Any = peers.textbook_fwht(inputs, "adjoint")()
    assert float(forward @ inputs.g) == pytest.approx(float(inputs.theta @ adjoint), rel=1e-3)


def test_a_matrix_too_large_to_store_is_no_peer() -> None:
    with pytest.raises(UnavailableError, match="22 GiB"):
        peers.dense(Inputs(1005974, 6000, CPU, 32), "forward")


def rlidim(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(cli, arguments)


def test_the_command_prints_json_and_text(tmp_path: Path) -> None:
    narrow = ["kernels", "--family", "sparse", "--size", "562,4", "--out", str(tmp_path)]
    done = rlidim(*narrow, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert len(content["rows"]) == 3
    assert {bar["state"] for bar in content["bars"]} == {"not measured"}
    assert "sparse (562, 4) on cpu" in done.stderr
    shown = rlidim(*narrow)
    assert shown.stderr == ""
    assert "scipy CSR" in shown.stdout
    assert "not measured" in shown.stdout


MISTAKES = [
    (["kernels", "--family", "spars"], "did you mean 'sparse'"),
    (["kernels", "--size", "4,562"], "d must be between 1 and D = 4"),
    (["kernels", "--size", "562"], "expected two whole numbers"),
    (["kernels", "--device", "tpu"], "unknown device 'tpu'"),
    (["projections", "--device", "tpu"], "unknown device 'tpu'"),
    (["kernels", "--size", "562,4", "--out", "/dev/null/x"], "cannot be written"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from rlidim.cli import main

    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    with pytest.raises(RlidimError, match="no CUDA device"):
        products.run("cuda")


def test_the_families_and_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    from rlidim.projections.choice import RULE

    monkeypatch.setattr(families, "SIZE", (1000, 20))
    found = json.loads(rlidim("projections", "--json").stdout)
    assert [row["family"] for row in found["families"]] == list(FAMILIES)
    assert [row["family"] for row in found["rule"]] == [row.family for row in RULE]
    shown = rlidim("projections").stdout
    assert all(row.why in shown for row in RULE)
