"""The training-step table: the networks are the paper's, the steps are steps, the rows are told."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rlidim.cli import main
from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES
from rlidim.projections.choice import choose
from rlidim.speed import bars, paired, steps
from rlidim.speed.cases import Limits
from rlidim.speed.runs import table, write

CPU = torch.device("cpu")
TINY = steps.Setting(
    "tiny", 4 * 30 + 30 + 30 * 2 + 2, 5, 8, (4,), 2,
    lambda: nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 2)),
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs of single steps of one small network."""
    monkeypatch.setattr(paired, "MOST_PAIRS", 3)
    monkeypatch.setattr(paired, "MOST_REPEATED", 1)
    monkeypatch.setattr(steps, "SETTINGS", (TINY,))


@pytest.mark.parametrize("setting", steps.SETTINGS, ids=lambda setting: setting.name)
def test_the_networks_have_the_papers_sizes(setting: steps.Setting) -> None:
    network = setting.build()
    assert sum(parameter.numel() for parameter in network.parameters()) == setting.D
    assert network(torch.randn(2, *setting.shape)).shape == (2, setting.classes)


def test_nature_cnn_is_stable_baselines_3s() -> None:
    from gymnasium import spaces
    from stable_baselines3.dqn.policies import CnnPolicy

    screen = spaces.Box(0, 255, (4, 84, 84), dtype="uint8")  # type: ignore[arg-type]
    theirs = CnnPolicy(screen, spaces.Discrete(6), lambda progress: 1e-4).q_net
    assert [parameter.shape for parameter in theirs.parameters()] == [
        parameter.shape for parameter in steps.nature_cnn().parameters()
    ]


def test_both_steps_train_and_ours_stays_in_the_subspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LEARNING_RATE", 1e-2)
    networks: list[nn.Module] = []
    real = copy.deepcopy

    def remember(network: nn.Module) -> nn.Module:
        networks.extend((network, real(network)))
        return networks[-1]

    monkeypatch.setattr(steps.copy, "deepcopy", remember)
    native, ours = steps.steps(TINY, "rademacher", CPU)
    network, confined = networks
    before = nn.utils.parameters_to_vector(network.parameters()).detach().clone()
    native()
    ours()
    moved = [
        nn.utils.parameters_to_vector(module.parameters()).detach() - before
        for module in (network, confined)
    ]
    assert all(float(change.abs().max()) > 0 for change in moved)
    P = projection("rademacher", TINY.D, TINY.d, 0).to_dense()
    inside = P @ torch.linalg.lstsq(P, moved[1].unsqueeze(1)).solution
    torch.testing.assert_close(inside.squeeze(1), moved[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_says_everything(family: str) -> None:
    (row,) = steps.run(families=[family])["rows"]
    assert row["reason"] is None
    assert row["native_seconds"] > 0
    assert row["low"] <= row["ratio"] <= row["high"]
    assert row["pairs"] == 3
    assert row["default"] == (family == choose(TINY.D, TINY.d))


def test_resuming_and_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    families = ["rotation", "sparse"]
    late = steps.run(families=families, out=tmp_path, limits=Limits(deadline=0.0))
    assert all("was spent" in row["reason"] for row in late["rows"])
    assert "tiny in sparse" in steps.table(late)
    first = steps.run(families=families, out=tmp_path, listener=told.append)
    assert len(told) == 2
    assert steps.run(families=families, out=tmp_path, listener=told.append) == first
    assert len(told) == 2
    assert json.loads((tmp_path / "steps-cpu.json").read_text())["rows"] == first["rows"]
    assert "/ native" in steps.table(first)


def test_what_would_take_too_long_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "foretell", lambda *arguments: {"forward": 99.0})
    (row,) = steps.run(families=["rademacher"])["rows"]
    assert row["seconds"] is None
    assert "would take about 99 s" in row["reason"]


def test_the_bars_read_the_default_family_alone() -> None:
    rows = [
        {"network": "LeNet", "family": "rademacher", "default": True, "ratio": 1.01},
        {"network": "LeNet", "family": "gaussian", "default": False, "ratio": 9.0},
        {"network": "MNIST-FC", "family": "stacked_fastfood", "default": True, "ratio": 1.06},
        {"network": "NatureCNN", "family": "stacked_fastfood", "default": True, "ratio": None},
    ]
    found = {
        reading["bar"].rsplit(" ", 1)[1]: (reading["value"], reading["state"])
        for reading in bars.readings(rows, bars.STEPS)
    }
    assert found == {
        "LeNet": (1.01, "met"),
        "MNIST-FC": (1.06, "missed"),
        "NatureCNN": (None, "not measured"),
    }


def test_a_trainers_figures_are_written(tmp_path: Path) -> None:
    path = write({"task": "toy", "trainer": "es", "ratio": 1.0}, tmp_path)
    assert path.name == "toy-es.json"
    assert json.loads(path.read_text())["ratio"] == 1.0


def test_a_ratio_is_of_pairs_and_the_figures_beside_it_agree() -> None:
    """The medians' own ratio, 1.5 here, is another number than the pairs' median, 2."""
    ours, other = np.array([2.0, 3.0, 8.0]), np.array([1.0, 2.0, 4.0])
    comparison = paired.Comparison.of(ours, other)
    assert (comparison.ratio, comparison.pairs) == (2.0, 3)
    assert comparison.agreeing_seconds / comparison.other_seconds == comparison.ratio
    figures = {
        "native_seconds": comparison.other_seconds,
        "subspace_seconds": comparison.agreeing_seconds,
        **comparison.figures("ratio"),
        "hardware": {"processor": "none"},
    }
    *lines, note = table(figures).splitlines()
    assert "ratio            2 (q1 1.75, q3 2, 3 pairs)" in lines
    assert "quartiles" not in "".join(lines)
    assert note == paired.NOTE


def test_the_table_of_steps_says_what_a_ratio_is() -> None:
    content = steps.run(families=["rotation"])
    text = steps.table(content)
    (row,) = content["rows"]
    assert text.endswith(paired.NOTE)
    assert f"[{row['low']:.3g}, {row['high']:.3g}]" in text
    assert row["seconds"] / row["native_seconds"] == pytest.approx(row["ratio"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["speed", "--network", "tiny", "--projection", "rotation", "--json"])
    assert not exit_.value.code
    content = json.loads(capsys.readouterr().out)
    assert [row["family"] for row in content["rows"]] == ["rotation"]


MISTAKES = [
    (["--network", "tinny"], "did you mean 'tiny'"),
    (["--projection", "rotations"], "did you mean 'rotation'"),
    (["--trainer", "es"], "belong to a task"),
    (["--dim", "3"], "belong to a task"),
    (["cartpole", "--again"], "leave out TASK"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["speed", *arguments])
    assert exit_.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_an_unknown_family_is_an_error() -> None:
    with pytest.raises(RlidimError, match="unknown projection"):
        steps.run(families=["fast"])
