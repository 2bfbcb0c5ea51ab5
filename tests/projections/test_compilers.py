"""The kernels' C++ compiles with whichever compilers are here, for other machines too."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "rlidim"
SOURCES = PACKAGE / "projections" / "cpp_kernels" / "src"
LEARNERS = PACKAGE / "trainers" / "many" / "cpp"
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


# Zig brings Clang with the headers of other systems. By target: how the object files begin.
WINDOWS = "x86_64-windows-gnu"
TARGETS = {
    "aarch64-linux-gnu": b"\x7fELF\x02",
    "aarch64-macos": b"\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
    "x86_64-macos": b"\xcf\xfa\xed\xfe\x07\x00\x00\x01",
    WINDOWS: b"\x64\x86",
}
ZIG_OPTIONS = ("-std=c++17", "-O0", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-psabi")
ALIGNED, HEADERS = "std::aligned_alloc is not there", "Python's headers are this system's"
# What does not compile for Windows, and why: the install falls back to torch there.
UNSERVED = {
    SOURCES / "portable.cpp": ALIGNED,
    SOURCES / "avx2.cpp": ALIGNED,
    SOURCES / "avx512.cpp": ALIGNED,
    SOURCES / "module.cpp": HEADERS,
    LEARNERS / "module.cpp": HEADERS,
}


def extensions() -> list[object]:
    """Return each target with each source of both extensions."""
    found: list[object] = []
    for target in TARGETS:
        for source in (*sorted(SOURCES.glob("*.cpp")), *sorted(LEARNERS.glob("*.cpp"))):
            name = f"{target}-{source.parent.parent.name}-{source.stem}"
            reason = UNSERVED.get(source) if target == WINDOWS else None
            marks = [] if reason is None else [pytest.mark.xfail(strict=True, reason=reason)]
            found.append(pytest.param(target, source, id=name, marks=marks))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("target", "source"), extensions())
def test_both_extensions_compile_for_other_systems(
    target: str, source: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no Zig here: pip install ziglang")
    nanobind = pytest.importorskip("nanobind")
    cache = str(tmp_path_factory.getbasetemp() / "zig")
    made = tmp_path / "made.o"
    zig = [sys.executable, "-m", "ziglang", "c++", "-target", target, *ZIG_OPTIONS]
    headers = ["-I", sysconfig.get_paths()["include"], "-I", nanobind.include_dir()]
    done = subprocess.run(
        [*zig, *headers, "-c", source, "-o", made],
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert made.read_bytes().startswith(TARGETS[target])
