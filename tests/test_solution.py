"""Solutions: a seed and d floats, whole or not at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from rlidim.errors import RlidimError
from rlidim.projections import projection
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.cell import Cell
from rlidim.records.record import digest
from rlidim.solutions import file as solution_file
from rlidim.solutions.file import Solution
from tests.factory import make_record, make_task

SPEC = ProjectionSpec("stacked_fastfood", D=300, d=5, seed=2**50)
THETA_D = np.arange(5, dtype=np.float32)
CONFINED = Solution(SPEC, THETA_D, 7, None, {"hidden": [8]}, {"rlidim": "0"})
NATIVE = Solution(None, None, None, np.ones(300, np.float32), {"hidden": [8]}, {"rlidim": "0"})


@pytest.mark.parametrize("saved", [CONFINED, NATIVE], ids=["confined", "native"])
def test_round_trip(tmp_path: Path, saved: Solution) -> None:
    path = tmp_path / "folder" / "solution.safetensors"
    save(path, saved)
    found = solution_file.load(path)
    for field in dataclasses.fields(Solution):
        np.testing.assert_equal(getattr(found, field.name), getattr(saved, field.name))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def save(path: Path, solution: solution_file.Solution) -> None:
    solution_file.write(path, solution_file.serialise(solution))


def test_parameters() -> None:
    import torch

    theta_0 = np.linspace(0, 1, 300, dtype=np.float32)
    P = projection(SPEC.family, SPEC.D, SPEC.d, SPEC.seed)
    expected = theta_0 + (P @ torch.from_numpy(THETA_D)).numpy()
    np.testing.assert_allclose(CONFINED.parameters(theta_0), expected, rtol=1e-6)
    np.testing.assert_array_equal(NATIVE.parameters(), NATIVE.theta_0)
    with pytest.raises(RlidimError, match="give theta_0"):
        CONFINED.parameters()
    with pytest.raises(RlidimError, match="network of 300 parameters"):
        CONFINED.parameters(theta_0[:-1])


def test_a_subspace_solution_is_small(tmp_path: Path) -> None:
    save(tmp_path / "s", CONFINED)
    assert (tmp_path / "s").stat().st_size < 1000


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "solution.safetensors"
    save(path, CONFINED)
    content = path.read_bytes()
    for length in (0, 7, 40, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(RlidimError, match=str(path)):
            solution_file.load(path)
    path.write_bytes(b"\x80\x04pickled")
    with pytest.raises(RlidimError, match="cannot be read as a solution"):
        solution_file.load(path)
    save_file({"theta_d": THETA_D}, path)
    with pytest.raises(RlidimError, match="not a solution of rlidim"):
        solution_file.load(path)
    save(path, dataclasses.replace(CONFINED, theta_d=THETA_D[:3]))
    with pytest.raises(RlidimError, match="does not fit"):
        solution_file.load(path)
    with pytest.raises(RlidimError, match="cannot be read"):
        solution_file.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("solution", "seed", "message"),
    [
        (CONFINED, "x", "theta_0_seed: expected a whole number"),
        (CONFINED, -1, "theta_0_seed: expected a whole number"),
        (CONFINED, None, "needs either theta_0 or its seed"),
        (NATIVE, 5, "needs either theta_0 or its seed"),
    ],
)
def test_theta_0_is_told_once(tmp_path: Path, solution: Solution, seed: Any, message: str) -> None:
    path = tmp_path / "solution.safetensors"
    save(path, dataclasses.replace(solution, theta_0_seed=seed))
    with pytest.raises(RlidimError, match=message):
        solution_file.load(path)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RlidimError, match="cannot be written"):
        save(tmp_path / "file" / "solution", CONFINED)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    cell = Cell("synthetic", "es", "hashed", 5, 3, "all")
    for asked, options in (
        (cell, "--dim 5 --projection hashed --scope all --seed 3 --log-dir NEW"),
        (dataclasses.replace(cell, scope="policy"), "--projection hashed --seed 3 --log-dir NEW"),
        (Cell.baseline("synthetic", "es", 3), "train --trainer es --seed 3 --log-dir NEW"),
    ):
        record = make_record(make_task(), asked, 1.0, solution={"theta_d": None})
        with pytest.raises(RlidimError, match=f"rlidim --results NEW synthetic .*{options}'"):
            solution_file.of_record(record, tmp_path / "record.json", tmp_path)


def test_another_run_s_file_is_not_played(tmp_path: Path) -> None:
    """Two folders of results with one folder of logs: the second run wrote over the first's."""
    cell = Cell.baseline("synthetic", "es", 3)
    about = {"network": NATIVE.network, "sha256": digest(np.zeros(300, np.float32))}
    record = make_record(make_task(), cell, 1.0, solution=about)
    file = tmp_path / str(cell) / solution_file.FILE
    save(file, dataclasses.replace(NATIVE, theta_0=np.zeros(300, np.float32)))
    assert (
        not solution_file.of_record(record, tmp_path / "record.json", tmp_path).parameters().any()
    )
    save(file, NATIVE)
    with pytest.raises(RlidimError, match=r"the solution of another run than .*record\.json"):
        solution_file.of_record(record, tmp_path / "record.json", tmp_path)


def test_a_random_record_has_none(tmp_path: Path) -> None:
    record = make_record(make_task(), Cell.random("synthetic"), 1.0)
    with pytest.raises(RlidimError, match="random behaviour, which has no solution"):
        solution_file.of_record(record, tmp_path / "record.json", tmp_path)
