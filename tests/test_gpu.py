"""What waits for a GPU is ready for it: the same checks with the CPU in its place."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from math import inf, nan
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from rlidim.cli import cli
from rlidim.errors import RlidimError
from rlidim.projections.backends import FAMILIES
from rlidim.speed import cases as product_cases
from rlidim.speed import products, rows, steps
from rlidim.speed.cases import SPENT, Limits
from rlidim.speed.gpu import (
    compared,
    correctness,
    everything,
    many_runs,
    populations,
    processes,
    queued,
)
from rlidim.speed.gpu.processes import Processes
from rlidim.speed.rows import RowFile
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import Network
from rlidim.tasks.settings import PPOManySettings

CPU = torch.device("cpu")
NOTHING: dict[str, Any] = {"rows": [], "bars": []}
ROOT = Path(__file__).parent.parent
RECORD = "mnist-fc/adam-rotation/d1-s0.json"

# What a machine has that was made for torch alone: neither the packages of ours, nor the extension,
# nor a click whose parameter types are generic.
BARE_MACHINE = """
import dataclasses, sys
import click, numpy, torch, triton
import torch._dynamo  # imported by torch on first use, with what it needs

there = {name.partition(".")[0] for name in sys.modules} | {"rlidim"} | sys.stdlib_module_names

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in there or name.endswith(".cpp_kernels._kernels"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
click.ParamType.__class_getitem__ = None

from rlidim.cli import main
from rlidim.speed import cases, paired, steps
from rlidim.speed.gpu import correctness, everything, many_runs, populations, queued

everything.device = lambda: torch.device("cpu")
correctness.SIZES_CHECKED, correctness.WIDE_SIZES, correctness.POPULATIONS = ((562, 4),), (), (2,)
populations.MEMBERS = (2,)
many_runs.RUNS, many_runs.ROUNDS, many_runs.SECONDS = (8,), 1, 0.0
many_runs.SETTINGS["n_timesteps"] = 2048
queued.QUEUE = queued.QUEUE[:1]
cases.SIZES = ((562, 4),)
cases.NARROW = ("none", 0, 0)
steps.SETTINGS = (dataclasses.replace(steps.SETTINGS[0], d=10),)
paired.MOST_PAIRS = paired.FEWEST_PAIRS
paired.MOST_REPEATED = steps.ROUNDS = 1
main(["gpu", "--json", "--out", sys.argv[1]])
"""


def silent(line: str) -> None:
    """Hear nothing."""


def case(
    family: str, backend: str = "torch", D: int = 562, d: int = 4, dtype: Any = torch.float32
) -> everything.Case:
    return correctness.Case(family, D, d, dtype, (D // 3 + 1, D - D // 5), CPU, backend)


@pytest.fixture
def in_its_place(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put the CPU in the GPU's place, nothing in the benchmarks'; return what they are asked."""
    asked: dict[str, Any] = {}

    def benchmark(name: str) -> Any:
        def run(*arguments: Any, **options: Any) -> dict[str, Any]:
            asked[name] = (arguments, options)
            return NOTHING

        return run

    monkeypatch.setattr(everything, "device", lambda: CPU)
    monkeypatch.setattr(correctness, "plan", lambda device: [case("rotation")])
    monkeypatch.setattr(products, "run", benchmark("kernels"))
    monkeypatch.setattr(steps, "run", benchmark("steps"))
    monkeypatch.setattr(populations, "run", benchmark("populations"))
    monkeypatch.setattr(many_runs, "run", benchmark("many_runs"))
    monkeypatch.setattr(processes, "MOST", 1)
    monkeypatch.setattr(queued, "QUEUE", ())  # which trains for as long as the budget lasts
    return asked


@pytest.mark.slow
def test_on_a_bare_machine(tmp_path: Path) -> None:
    """Every part runs there but the queue, which says in one row what is missing."""
    ended = subprocess.run(
        [sys.executable, "-c", BARE_MACHINE, str(tmp_path)],
        cwd=ROOT,
        # The queue is asked in a process of its own, which nothing is hidden from but the data.
        env={**os.environ, "RLIDIM_DATA": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout)
    assert {row["agrees"] for row in content["correctness"]["rows"]} == {True}
    for row in (*content["populations"]["rows"], *content["many_runs"]["rows"]):
        assert row["agrees"], row
    assert set(content["many_runs"]["rows"][0]["solved"]) == {"2", "4", "8", "16"}
    for part in ("kernels", "steps"):
        found = content[part]["rows"]
        assert {row["family"] for row in found} == set(FAMILIES)
        assert {row["backend"] for row in found} == {"torch"}
        assert {row["reason"] for row in found} == {None}
    (row,) = content["queue"]
    assert row["code"] == 1
    assert "the queue cannot run: " in row["reason"]
    assert "RLIDIM_DATA names a folder" in row["reason"]
    assert "nowhere" in row["reason"]


def test_many_runs_have_the_task_s_settings() -> None:
    task = find_task("cartpole")
    settings = PPOManySettings(**many_runs.SETTINGS)
    evaluated = dataclasses.replace(settings, eval_freq=task.settings("ppo-many").eval_freq)
    assert task.settings("ppo-many") == evaluated
    network = task.control.network
    assert isinstance(network, Network)
    assert (network.hidden, network.activation) == (many_runs.HIDDEN, many_runs.ACTIVATION)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_check_agrees_with_itself(family: str) -> None:
    row = correctness.check(case(family), seed=7)
    assert row["agrees"]
    assert set(row["differences"].values()) == {0.0}
    kinds = {"forward", "adjoint", "forward 80", "adjoint 80", "members 80", "rows' adjoint 5"}
    assert kinds < set(row["differences"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_fastest_backend_here_agrees(family: str, dtype: torch.dtype) -> None:
    row = correctness.check(case(family, "auto", 4610, 16, dtype), seed=7)
    assert row["agrees"], row


def test_the_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that makes another P is found out, and so is a kernel that does not run."""
    from rlidim import projections

    real = projections.projection

    def other(family: str, D: int, d: int, seed: int, **where: Any) -> Any:
        return real(family, D, d, seed + ("device" in where), **where)

    monkeypatch.setattr(projections, "projection", other)
    row = correctness.check(case("rademacher"), seed=7)
    assert not row["agrees"]
    assert "bits of column 0" in row["reason"]
    row = correctness.check(case("rademacher", "triton"), seed=7)
    assert not row["agrees"]
    assert "triton" in row["reason"]


def test_the_plan_has_every_family_on_both_devices() -> None:
    cases = correctness.plan(torch.device("cuda"))
    there = [each for each in cases if each.place.type == "cuda"]
    assert {each.family for each in there if each.backend == "torch"} == set(FAMILIES)
    for each in there:
        same = dataclasses.replace(each, dtype=torch.float64)
        assert each.far or same in cases
    assert all(each.backend != "torch" for each in cases if each.place == CPU)
    whole = [each.D * each.d for each in cases if not each.far]
    assert whole == sorted(whole)
    assert {each.family for each in cases if each.far} == set(correctness.FAR_SIZES)


def test_correctness_on_file_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_its_place: dict[str, Any]
) -> None:
    late = correctness.run(tmp_path, CPU, Limits(deadline=0.0), silent, Processes())
    assert [row["reason"] for row in late["rows"]] == [SPENT]
    first = everything.run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["correctness.json"]
    real = correctness.check
    monkeypatch.setattr(correctness, "check", lambda *arguments: pytest.fail("checked again"))
    assert everything.run(tmp_path) == first
    assert "1 of 1 families, sizes and types agree" in everything.table(first)
    # Another device's figures, or other code's, are no answer for this one.
    monkeypatch.setattr(correctness, "check", real)
    monkeypatch.setattr(rows, "sources_hash", lambda device: "of other code")
    again = everything.run(tmp_path)["correctness"]
    assert again["rows"][0]["seed"] != first["correctness"]["rows"][0]["seed"]


def test_a_difference_is_an_error_and_is_checked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_its_place: dict[str, Any]
) -> None:
    real = correctness.check
    wrong = {"seed": 1, "agrees": False, "reason": "it differs in forward"}
    monkeypatch.setattr(correctness, "check", lambda case, seed: wrong)
    with pytest.raises(RlidimError, match="differs from the CPU"):
        everything.run(tmp_path)
    benchmarks = {"kernels", "steps", "populations", "many_runs"}
    assert in_its_place.keys() == benchmarks  # other families are right
    (row,) = json.loads((tmp_path / "correctness.json").read_text())["rows"]
    assert row["reason"] == wrong["reason"]
    # A sitting without the time to check it again does not forget it.
    late = correctness.run(tmp_path, CPU, Limits(deadline=0.0), silent, Processes())
    assert late["rows"] == [row]
    monkeypatch.setattr(correctness, "check", real)
    assert everything.run(tmp_path)["correctness"]["rows"][0]["agrees"]


def test_each_part_has_its_share_and_what_the_last_left_over(
    tmp_path: Path, in_its_place: dict[str, Any]
) -> None:
    assert sum(everything.SHARES.values()) == pytest.approx(1.0)
    now = perf_counter()
    deadlines = [limits.deadline - now for limits in everything.limits_of(100.0).values()]
    assert deadlines == pytest.approx([20, 28, 45, 65, 75, 80, 100], abs=1)
    everything.run(tmp_path, budget=100.0)
    arguments, options = in_its_place["kernels"]
    assert arguments == ("cpu",)
    assert options["out"] == in_its_place["steps"][1]["out"] == tmp_path
    between = in_its_place["steps"][1]["limits"].deadline - options["limits"].deadline
    assert between == pytest.approx(10)
    assert in_its_place["steps"][1]["device"] == CPU


@pytest.mark.slow
def test_commands_end_in_time_or_are_ended() -> None:
    # The output of a child of its own would be waited for, if that were left running.
    script = "echo said; sleep 600 & sleep 600"
    commands = {
        "a": [sys.executable, "-c", "print('said'); raise SystemExit(3)"],
        "b": ["sh", "-c", script],
    }
    first, second = queued.ended(commands, Limits(deadline=perf_counter() + 5))
    assert first == {"command": "a", "code": 3, "output": "said", "reason": None}
    assert (second["command"], second["code"], second["output"]) == ("b", None, "said")
    assert "was ended" in second["reason"]
    (row,) = queued.ended({"c": ["no such command"]}, Limits(deadline=0.0))
    assert row["reason"] == "the budget was spent"


def test_a_commands_children_end_with_the_queue(tmp_path: Path) -> None:
    """As by Ctrl-C, which does not reach another session."""
    alive = tmp_path / "alive"
    script = f"while true; do touch {alive}; sleep 0.05; done"
    rows = queued.ended({"a": ["sh", "-c", "exit 0"], "b": ["sh", "-c", script]}, Limits())
    assert next(rows)["command"] == "a"
    while not alive.exists():
        sleep(0.05)
    rows.close()
    alive.unlink(missing_ok=True)
    sleep(0.3)
    assert not alive.exists()


def test_a_process_that_lost_the_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost() -> None:
        raise RuntimeError("CUDA error: an illegal memory access\nin a kernel")

    monkeypatch.setattr(processes, "_lost", None)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    assert processes._call(half, (3,)) == 1.5
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    expected = "the process had lost the GPU to 3 (CUDA error: an illegal memory access)"
    assert processes._call(half, (4,)) == expected


def test_what_could_not_be_compared_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_its_place: dict[str, Any]
) -> None:
    died = [((case("rotation"), 1), "the process died")]
    monkeypatch.setattr(Processes, "run", lambda *arguments: iter(died))
    with pytest.raises(RlidimError, match=r"could be compared.*the process died"):
        everything.run(tmp_path)
    everything.check(
        tmp_path, [{"agrees": None, "reason": SPENT}, {"agrees": True, "reason": None}]
    )


def test_a_comparison_that_fails_is_no_difference(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.json", rows.provenance(CPU), ("name",))

    def fill(row: rows.Row) -> None:
        compared.judge(row, *{"right": (0.0, 1.0), "wrong": (2.0, 1.0)}[row["name"]], "they")
        if row["name"] == "right":
            raise MemoryError  # the timing that follows

    def run(limits: Limits) -> list[rows.Row]:
        blank = [compared.blank(name=name) for name in ("right", "wrong")]
        found = compared.filled(file, blank, fill, lambda row: row["name"], limits, silent)
        return list(found["rows"])

    first = run(Limits())
    assert [(row["agrees"], row["reason"]) for row in first] == [
        (True, "out of memory"),
        (False, "they differ"),
    ]
    with pytest.raises(RlidimError, match="not everything could be compared, first of all not"):
        everything.check(tmp_path, first[:1])
    late = run(Limits(deadline=0.0))
    assert (late[0]["reason"], late[1]) == (SPENT, first[1])
    with pytest.raises(RlidimError, match="the GPU differs from the CPU"):
        everything.check(tmp_path, late)


def test_what_is_timed_is_compiled_ahead_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is not on file, but what would take long; here in this process."""
    monkeypatch.setattr(product_cases, "SIZES", ((562, 4), (10**6, 10**5)))
    monkeypatch.setattr(processes, "MOST", 1)
    touched: list[Any] = []
    monkeypatch.setattr(product_cases, "touch", lambda case, device: touched.append(case))
    pool = Processes()
    everything.compile_ahead(tmp_path, CPU, Limits(), silent, pool)
    assert touched == []  # one process compiles as it times
    pool.count = 2
    monkeypatch.setattr(
        pool, "run", lambda function, every, deadline: [(each, function(*each)) for each in every]
    )
    everything.compile_ahead(tmp_path, CPU, Limits(), silent, pool)
    assert {each.family for each in touched if each.D == 562} == set(FAMILIES)
    assert all(each.D * each.d <= products.LARGEST_TOUCHED for each in touched)
    assert not any(each.d == 10**5 for each in touched)


@pytest.mark.parametrize("operation", ["forward", "adjoint", "population"])
def test_touching_makes_every_product(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = product_cases.product
    monkeypatch.setattr(
        product_cases, "product", lambda P, inputs, name: made.append(name) or real(P, inputs, name)
    )
    product_cases.touch(product_cases.Case("rotation", 562, 4), CPU)
    assert operation in made
    product_cases.touch(
        product_cases.Case("rotation", 4, 562), CPU
    )  # no P, which the timing is to say


def half(number: int) -> float:
    return number / 2


def slow(seconds: float) -> float:
    sleep(seconds)
    return seconds


def deadly() -> None:
    os._exit(1)


def deadly_at_three(number: int) -> int:
    if number == 3:
        sleep(0.5)  # while others are under way
        os._exit(1)
    return number


@pytest.mark.slow
def test_processes_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    with closing(Processes()) as pool:
        assert pool.count == 2
        found = dict(pool.run(half, [(number,) for number in range(5)], inf))
        assert found == {(number,): number / 2 for number in range(5)}
        with pytest.raises(ZeroDivisionError):
            list(pool.run(divmod, [(1, 0)], inf))
        # What has begun is waited for, what has not is left out.
        late = list(pool.run(slow, [(0.5,)] * 20, perf_counter() + 0.1))
        assert 2 <= len(late) < 20
        assert list(pool.run(half, [(1,)], 0.0)) == []
        assert [found for _, found in pool.run(deadly, [()], inf)] == ["the process died"]
        assert list(pool.run(half, [(1,)], inf)) == [((1,), 0.5)]
        # Of the others that a death took along nothing is lost.
        found = dict(pool.run(deadly_at_three, [(number,) for number in range(6)], inf))
        expected = {(number,): number for number in range(6)}
        assert found == {**expected, (3,): "the process died"}


def test_a_nan_is_a_difference_and_no_number() -> None:
    row = compared.blank(runs=8)
    compared.judge(row, nan, 1.0, "the parameters")
    assert (row["agrees"], row["difference"]) == (False, None)
    assert row["reason"] == "the parameters differ"
    json.dumps(row, allow_nan=False)


def test_records_are_packed_while_a_command_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "PACKED", 0.0)
    packed: list[int] = []
    commands = {"a": ["sh", "-c", "sleep 0.5"]}
    (row,) = queued.ended(commands, Limits(), lambda: packed.append(1))
    assert row["code"] == 0
    assert len(packed) > 1


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Let a queued command write one record; return what records each found."""
    found: list[dict[str, str]] = []

    def ended(
        commands: dict[str, list[str]], limits: Limits, now_and_then: Any = None
    ) -> Iterator[dict[str, Any]]:
        for name, command in commands.items():
            if command[1] != "-c":
                write(command)
            yield {"command": name, "code": 0, "output": "", "reason": None}

    def write(command: list[str]) -> None:
        folder = Path(command[command.index("--results") + 1])
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        found.append({str(path.relative_to(folder)): path.read_text() for path in paths})
        record = folder / RECORD
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"of command {len(found)}")
        (folder / "figures").mkdir(exist_ok=True)
        (folder / "figures/figure.svg").write_text("a figure")

    monkeypatch.setattr(queued, "QUEUE", (("mnist-fc", "measure"),))
    monkeypatch.setattr(queued, "ended", ended)
    return found


def test_the_queues_records_are_packed_and_gone_on_from(
    tmp_path: Path, commands: list[dict[str, str]]
) -> None:
    out, results = tmp_path / "out", tmp_path / "results"
    committed = {"mnist-fc/a/d1-s0.json": "old", "mnist-fc-50x1/a/d1-s0.json": "a variant's"}
    for name, text in {**committed, "cartpole/a/d1-s0.json": "another task's"}.items():
        (results / name).parent.mkdir(parents=True)
        (results / name).write_text(text)
    (row,) = queued.run(out, results, Limits(), silent)
    assert json.loads((out / "queue.json").read_text()) == [row]
    assert row["command"] == "rlidim mnist-fc measure"
    with tarfile.open(out / queued.ARCHIVE) as packed:
        assert packed.getnames() == [RECORD]
    queued.run(out, results, Limits(), silent)
    assert commands == [committed, {**committed, RECORD: "of command 1"}]
    # Unpacked, it is no news any more.
    with tarfile.open(out / queued.ARCHIVE) as packed:
        packed.extractall(results, filter="data")
    assert (results / RECORD).read_text() == "of command 2"
    assert not (results / "figures").exists()


def test_one_task_of_the_queue(
    tmp_path: Path, commands: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "QUEUE", (("mnist-fc", "measure"), ("pong", "measure")))
    monkeypatch.setattr(everything, "device", lambda: CPU)
    content = everything.run(tmp_path / "out", results=tmp_path / "results", only="pong")
    assert [row["command"] for row in content["queue"]] == ["rlidim pong measure"]
    assert content.keys() == {"queue"}
    assert "rlidim pong measure" in everything.table(content)
    queued.run(tmp_path / "out", tmp_path / "results", Limits(), silent, "mnist-fc")
    rows = json.loads((tmp_path / "out" / "queue.json").read_text())
    assert [row["command"].split()[1] for row in rows] == ["pong", "mnist-fc"]
    with pytest.raises(RlidimError, match=r"--queue pon: nothing of it is queued \(did you mean"):
        everything.run(tmp_path / "out", only="pon")


@pytest.mark.parametrize("arguments", queued.QUEUE, ids=" ".join)
def test_what_is_queued_can_run(arguments: tuple[str, ...]) -> None:
    name, command, *options = arguments
    shown = CliRunner().invoke(cli, [name, command, "--help"]).output
    assert all(option in shown for option in options if option.startswith("--"))
    task = find_task(name)
    assert task.problem.on_device


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="no CUDA device"):
        everything.run(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_gpu(family: str) -> None:
    for row in products.run("cuda", [family], [(44_426, 290)])["rows"]:
        assert row["seconds"] > 0, row["reason"]
