"""Networks that start at another task's solution: the same numbers, trained, recorded, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rlidim
from rlidim.errors import RlidimError
from rlidim.networks.acting import architecture
from rlidim.projections import projection
from rlidim.records.record import RunRecord, decode
from rlidim.solutions import playback

RESULTS = Path(__file__).parent.parent.parent / "results"


def solve(folder: Path, **choices: Any) -> tuple[RunRecord, Path]:
    """Train for a few steps; return the record and its file."""
    task = rlidim.load("cartpole").replace_settings("es", {"n_timesteps": 3_000, "population": 8})
    record = rlidim.train(task, "es", results=folder, **choices)
    return record, folder / f"{record.cell}.json"


def write(folder: Path, start: object, network: str = "hidden: [20, 20]") -> Path:
    """Write a task that starts so, and return its folder."""
    folder.mkdir(exist_ok=True)
    folder.joinpath("warm.yml").write_text(
        "title: Warm\nenvironment: {id: CartPole-v1}\n"
        f"network: {{{network}, start: {json.dumps(start)}}}\n"
        "trainers: {es: {n_timesteps: 3_000, population: 8}, ppo-many: {n_timesteps: 2_000}}\n"
    )
    return folder


@pytest.mark.parametrize(
    ("trainer", "family"),
    [("es", "rademacher"), ("ppo-many", "rademacher"), ("es", "gaussian"), ("es", "fastfood")],
)
def test_a_run_starts_at_a_record_s_solution(tmp_path: Path, trainer: str, family: str) -> None:
    first, path = solve(tmp_path / "first", d=4, seed=1, projection=family)
    _, theta = playback.parameters_of(first, path, tmp_path)
    task = rlidim.load("warm", write(tmp_path / "envs", [f"../first/{first.cell}.json"]))
    for seed in (0, 12345):
        np.testing.assert_array_equal(architecture(task).initial_parameters(seed), theta)
    second = rlidim.train(task, trainer, d=2, results=tmp_path / "second")
    path.unlink()  # the second record knows all that it needs
    file = tmp_path / "second" / f"{second.cell}.json"
    _, found = playback.parameters_of(second, file, tmp_path)
    assert second.solution is not None
    theta_d = torch.from_numpy(decode(second.solution["theta_d"]))
    P = projection("rademacher", 562, 2, second.seeds.projection)
    np.testing.assert_allclose(found, theta + P.forward(theta_d).numpy(), atol=1e-6)


def test_the_seed_picks_one_of_several(tmp_path: Path) -> None:
    starts = [
        {"theta_0_seed": 7, "family": "rademacher", "D": 562, "seed": 1, "theta_d": [number]}
        for number in (0.5, 1.5, 2.5)
    ]
    several = architecture(rlidim.load("warm", write(tmp_path, starts)))
    alone = [architecture(rlidim.load("warm", write(tmp_path, [start]))) for start in starts]
    for seed in range(6):
        np.testing.assert_array_equal(
            several.initial_parameters(seed), alone[seed % 3].initial_parameters(0)
        )
    assert type(several).from_json(json.loads(json.dumps(several.to_json()))) == several


def test_what_is_no_start_has_one_line(tmp_path: Path) -> None:
    start = {"theta_0_seed": 7, "family": "rademacher", "D": 562, "seed": 1, "theta_d": [0.5]}
    native, path = solve(tmp_path / "results")
    assert native.cell.d is None
    for wrong, expected in (
        ([str(path)], "no record of a solution in a subspace"),
        (["nothing.json"], "nothing.json: cannot be read"),
        ([{**start, "family": "rademaker"}], "start: unknown projection 'rademaker'"),
        ([{**start, "theta_d": []}], "start: theta_d: 0 numbers"),
        ([{**start, "theta_0_seed": -1}], "start: theta_0_seed must be at least 0"),
        ([{**start, "d": 1}], "start: unknown key 'd'"),
        ([3], "start: expected a mapping"),
        ("nothing.json", r"start: expected a list of records: \[nothing.json\]"),
        ([{**start, "theta_d": [1e39]}], "start: theta_d: a number beyond 3e\\+38"),
    ):
        with pytest.raises(RlidimError, match=expected):
            rlidim.load("warm", write(tmp_path / "envs", wrong))
    _, here = solve(tmp_path / "results", d=2)
    for words, expected in (
        ("hidden: [20, 20], activation: tanh", "its network has activation relu, this one tanh"),
        ("hidden: [20, 20], scale: 2", "its network has scale 1.0, this one 2"),
        ("hidden: [20, 8]", "its network has hidden"),
    ):
        with pytest.raises(RlidimError, match=expected):
            rlidim.load("warm", write(tmp_path / "envs", [str(here)], network=words))
    edited = json.loads(here.read_text())
    edited["solution"]["theta_0_seed"] += 1
    (tmp_path / "edited.json").write_text(json.dumps(edited))
    with pytest.raises(RlidimError, match=r"warm\.yml: .*edited\.json.*its checksum is not that"):
        rlidim.load("warm", write(tmp_path / "envs", ["../edited.json"]))
    again = rlidim.load("warm", write(tmp_path / "envs", [str(here)]))
    record = rlidim.train(again, "es", d=2, results=tmp_path / "second")
    path = tmp_path / "second" / f"{record.cell}.json"
    with pytest.raises(RlidimError, match="it began at another solution itself"):
        rlidim.load("warm", write(tmp_path / "envs", [str(path)]))
    normalised = RESULTS / "mountaincar/es-rademacher/d12-s0.json"
    with pytest.raises(RlidimError, match="its observations were normalised"):
        rlidim.load("warm", write(tmp_path / "envs", [str(normalised)]))
    other = rlidim.load("warm", write(tmp_path / "envs", [start], network="hidden: [8]"))
    with pytest.raises(RlidimError, match="a solution of D = 562, this network has 58"):
        architecture(other)
