"""The built wheel, in a folder of its own, has everything that the checkout has."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build with the tools installed here: a test needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    build = tmp_path_factory.mktemp("build")
    command = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    where = ["--config-settings", f"build-dir={build}", "--wheel-dir", str(folder), "."]
    subprocess.run([*command, *where], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def test_contents(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "rlidim/py.typed" in names
    assert [name for name in names if name.startswith("rlidim/projections/native/_kernels.")]
    tasks = {f"rlidim/envs/{path.name}" for path in (ROOT / "envs").glob("*.yml")}
    assert tasks <= set(names)
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "rlidim").rglob("*.py")}
    assert modules <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "results/"))]


def test_it_works_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    code = (
        "import sys, pathlib, rlidim; "
        f"assert pathlib.Path(rlidim.__file__).is_relative_to({str(place)!r}), rlidim.__file__; "
        "from rlidim.cli import main; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code]
    # In front of the installed checkout, whose tasks must not be the ones that are found.
    environment = {**os.environ, "PYTHONPATH": str(place)}
    environment.pop("RLIDIM_ENVS", None)
    measure = ["codimension-1", "measure", "--trainer", "cmaes", "--dims", "1", "--seeds", "2"]
    done = subprocess.run(
        [*command, *measure], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "d_int90" in done.stdout
    page = subprocess.run(
        [*command, "cartpole"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert str(place) in page.stdout
