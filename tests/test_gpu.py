"""What waits for a GPU is ready for it: the same checks with the CPU in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from rlidim import gpu, kernels, steps
from rlidim import task as tasks
from rlidim.cli import cli
from rlidim.errors import RlidimError
from rlidim.kernels import rows
from rlidim.kernels.measure import Limits
from rlidim.projections import FAMILIES

CPU = torch.device("cpu")
NOTHING: dict[str, Any] = {"rows": [], "bars": []}


def silent(line: str) -> None:
    """Hear nothing."""


@pytest.fixture
def in_its_place(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put the CPU in the GPU's place, nothing in the benchmarks'; return what they are asked."""
    asked: dict[str, Any] = {}

    def benchmark(name: str) -> Any:
        def run(*arguments: Any, **options: Any) -> dict[str, Any]:
            asked[name] = (arguments, options)
            return NOTHING

        return run

    monkeypatch.setattr(gpu, "device", lambda: CPU)
    monkeypatch.setattr(gpu, "check_all", lambda device: [{"family": "x", "agrees": True}])
    monkeypatch.setattr(kernels, "run", benchmark("kernels"))
    monkeypatch.setattr(steps, "run", benchmark("steps"))
    monkeypatch.setattr(gpu, "QUEUE", ())  # which trains for as long as the budget lasts
    return asked


@pytest.mark.parametrize("family", FAMILIES)
def test_the_check_agrees_with_itself(family: str) -> None:
    row = gpu.check(family, 562, 4, seed=7, place=CPU, backend="torch")
    assert row["agrees"]
    assert row["forward"] == row["adjoint"] == row["population"] == 0.0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fastest_backend_here_agrees(family: str) -> None:
    assert gpu.check(family, 4610, 16, seed=7, place=CPU, backend="auto")["agrees"]


def test_the_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that makes another P is found out, and so is a kernel that does not run."""
    from rlidim import projections

    real = projections.projection

    def other(family: str, D: int, d: int, seed: int, **where: Any) -> Any:
        return real(family, D, d, seed + ("device" in where), **where)

    monkeypatch.setattr(projections, "projection", other)
    assert not gpu.check("rademacher", 562, 4, seed=7, place=CPU, backend="torch")["agrees"]
    row = gpu.check("rademacher", 562, 4, seed=7, place=CPU, backend="triton")
    assert not row["agrees"]
    assert "triton" in row["error"]


def test_every_family_is_checked_on_both_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "SIZES_CHECKED", ((562, 4),))
    checked = []
    monkeypatch.setattr(
        gpu, "check", lambda family, D, d, seed, place, backend: checked.append((family, place))
    )
    gpu.check_all(torch.device("cuda"))
    assert {family for family, place in checked if place.type == "cuda"} == set(FAMILIES)


def test_correctness_on_file_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_its_place: dict[str, Any]
) -> None:
    first = gpu.run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["correctness.json"]
    monkeypatch.setattr(gpu, "check_all", lambda device: pytest.fail("checked again"))
    assert gpu.run(tmp_path) == first
    assert "1 products agree" in gpu.table(first)
    # Another device's figures are no answer for this one.
    monkeypatch.setattr(rows, "hardware", lambda: {"processor": "another"})
    monkeypatch.setattr(gpu, "check_all", lambda device: [{"family": "y"}])
    assert gpu.run(tmp_path)["correctness"]["rows"] == [{"family": "y"}]


def test_a_difference_is_an_error_and_is_checked_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_its_place: dict[str, Any]
) -> None:
    wrong = {"family": "x", "agrees": False}
    monkeypatch.setattr(gpu, "check_all", lambda device: [wrong])
    with pytest.raises(RlidimError, match="differs from the CPU"):
        gpu.run(tmp_path)
    assert in_its_place == {}
    assert json.loads((tmp_path / "correctness.json").read_text())["rows"] == [wrong]
    assert gpu.on_file(tmp_path / "correctness.json", rows.provenance(CPU)) is None


def test_the_benchmarks_share_one_budget(tmp_path: Path, in_its_place: dict[str, Any]) -> None:
    gpu.run(tmp_path, budget=100.0)
    arguments, options = in_its_place["kernels"]
    assert arguments == ("cuda",)
    assert options["out"] == in_its_place["steps"][1]["out"] == tmp_path
    assert options["limits"] == in_its_place["steps"][1]["limits"]
    assert in_its_place["steps"][1]["device"] == CPU


def test_queued_commands_run_while_time_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_its_place: dict[str, Any]
) -> None:
    monkeypatch.setattr(gpu, "QUEUE", (("--version",), ("no-such-command",)))
    monkeypatch.chdir(Path(__file__).parent.parent)
    content = gpu.run(tmp_path)
    assert [row["code"] for row in content["queue"]] == [0, 2]
    assert "rlidim" in content["queue"][0]["output"]
    assert json.loads((tmp_path / "queue.json").read_text()) == content["queue"]
    assert "no-such-command" in gpu.table(content)
    late = gpu.queue(tmp_path / "queue.json", Limits(deadline=0.0), silent)
    assert [row["reason"] for row in late] == ["the budget was spent"] * 2


@pytest.mark.parametrize("arguments", gpu.QUEUE, ids=" ".join)
def test_what_is_queued_can_run(arguments: tuple[str, ...]) -> None:
    name, command, *options = arguments
    shown = CliRunner().invoke(cli, [name, command, "--help"]).output
    assert all(option in shown for option in options if option.startswith("--"))
    assert tasks.find(name).kind == "supervised"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="no CUDA device"):
        gpu.run(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_gpu(family: str) -> None:
    for row in kernels.run("cuda", [family], [(44_426, 290)])["rows"]:
        assert row["seconds"] > 0, row["reason"]
