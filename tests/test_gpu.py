"""What waits for a GPU is ready for it: the same checks with the CPU in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rlidim import gpu
from rlidim.errors import RlidimError
from rlidim.projections import FAMILIES
from rlidim.records import versions

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_check_agrees_with_itself(family: str) -> None:
    row = gpu.check(family, 562, 4, seed=7, gpu=CPU)
    assert row["agrees"]
    assert row["forward"] == row["adjoint"] == row["population"] == 0.0


def test_the_check_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that makes another P is found out."""
    from rlidim import projections

    real = projections.projection

    def other(family: str, D: int, d: int, seed: int, **where: Any) -> Any:
        return real(family, D, d, seed + bool(where), **where)

    monkeypatch.setattr(projections, "projection", other)
    assert not gpu.check("rademacher", 562, 4, seed=7, gpu=CPU)["agrees"]


def test_parts_on_file_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "device", lambda: CPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(gpu, "check_all", lambda device: [{"family": "x", "agrees": True}])
    monkeypatch.setattr(gpu, "time_all", lambda device: [{"family": "x", "forward_ms": 1.0}])
    first = gpu.run(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"correctness.json", "timings.json"}
    monkeypatch.setattr(gpu, "time_all", lambda device: pytest.fail("timed again"))
    assert gpu.run(tmp_path) == first
    assert "a GPU" in gpu.table(first)
    # Another device's figures are no answer for this one.
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "another")
    monkeypatch.setattr(gpu, "time_all", lambda device: [{"family": "y"}])
    assert gpu.run(tmp_path)["timings"]["rows"] == [{"family": "y"}]


def test_a_difference_is_an_error_and_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "device", lambda: CPU)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    wrong = {"family": "x", "agrees": False}
    monkeypatch.setattr(gpu, "check_all", lambda device: [wrong])
    with pytest.raises(RlidimError, match="differs from the CPU"):
        gpu.run(tmp_path)
    where = {"device": "a GPU", "versions": versions()}
    assert json.loads((tmp_path / "correctness.json").read_text())["rows"] == [wrong]
    assert gpu.on_file(tmp_path / "correctness.json", where) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="no CUDA device"):
        gpu.run(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
def test_on_a_gpu(tmp_path: Path) -> None:
    row = gpu.time_family("stacked_fastfood", 44_426, 290, gpu.device())
    assert row["forward_ms"] > 0
