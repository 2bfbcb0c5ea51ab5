"""The built wheel, in a folder of its own, has everything that the checkout has."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow
COMPILED = ("rlidim/projections/cpp_kernels/_kernels.", "rlidim/trainers/many/_learners.")


def build(place: Path, **environment: str) -> Path:
    """Build with the tools installed here: a test needs no network."""
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    where = ["--config-settings", f"build-dir={place / 'build'}", "--wheel-dir", str(place), "."]
    done = subprocess.run(
        [*command, *where],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = place.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def test_without_a_compiler_it_is_the_same_but_for_the_kernels(wheel: Path, tmp_path: Path) -> None:
    plain = set(zipfile.ZipFile(build(tmp_path, CXX="/nowhere/c++")).namelist())
    full = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in full - plain if "dist-info" not in name} == {
        name for name in full if name.startswith(tuple(f"{kernels}c" for kernels in COMPILED))
    }


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "rlidim/py.typed" in names
    for kernels in COMPILED:
        assert [name for name in names if name.startswith(kernels)]
    tasks = {f"rlidim/envs/{path.name}" for path in (ROOT / "envs").glob("*.yml")}
    assert tasks <= set(names)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "rlidim").rglob("*.py")}
    assert modules <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "results/"))]


def test_it_works_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    code = (
        "import sys; "
        # An editable install finds its checkout before any path.
        "sys.meta_path[:] = [f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__]; "
        "import pathlib, rlidim; "
        f"assert pathlib.Path(rlidim.__file__).is_relative_to({str(place)!r}), rlidim.__file__; "
        "from rlidim.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code]
    # In front of the installed checkout, whose tasks must not be the ones that are found.
    environment = {**os.environ, "PYTHONPATH": str(place)}
    environment.pop("RLIDIM_ENVS", None)
    measure = [
        "codimension-1",
        "measure",
        "--trainer",
        "cmaes",
        "--dims",
        "1",
        "--seeds",
        "2",
        "--workers",
        "1",
    ]
    done = subprocess.run(
        [*command, *measure], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "d_int90" in done.stdout
    page = subprocess.run(
        [*command, "cartpole"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert str(place) in page.stdout
