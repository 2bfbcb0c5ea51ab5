"""The kernels' C++ compiles with whichever compilers are here, for other machines too."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent.parent.parent / "rlidim" / "projections" / "cpp_kernels" / "src"
OPTIONS = ("-std=c++17", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi", "-Werror")
# By the name of the compiler; the last two are Debian's, which reach a 64-bit ARM from elsewhere.
COMPILERS: dict[str, tuple[str, ...]] = {
    "g++": (),
    "clang++": (),
    "aarch64-linux-gnu-g++": (),
    "clang++ for ARM": ("--target=aarch64-linux-gnu",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILERS)
def test_every_path_compiles(name: str) -> None:
    compiler = name.split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    if "for ARM" in name and shutil.which("aarch64-linux-gnu-g++") is None:
        pytest.skip("no headers of a 64-bit ARM here")
    for source in ("pool.cpp", "portable.cpp", "avx2.cpp", "avx512.cpp"):
        done = subprocess.run(
            [compiler, *COMPILERS[name], *OPTIONS, "-fsyntax-only", SOURCES / source],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
