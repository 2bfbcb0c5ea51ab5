"""The house's arrows: a module imports only what stands to its left."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rlidim"

# Layers from the left to the right; modules of one layer may import each other.
LAYERS = [
    {"errors"},
    {"settings"},
    {"task"},
    {"records"},
    {"statistics", "projections"},
    {
        "atari",
        "checkpoints",
        "compression",
        "cuda_graphs",
        "data",
        "devices",
        "environments",
        "networks",
        "pixels",
        "report",
        "solution",
        "subspace",
    },
    {"classifiers"},
    {"trainers"},
    {"executors", "ray_driver", "ray_node", "playback", "description", "kernels", "steps", "speed"},
    {"sweep"},
    {"progress", "bench", "calibration", "doctor", "gpu"},
    {"cli", "__main__"},
]
LIGHT = ("statistics", "report", "records", "task", "settings", "errors")
HEAVY = {"torch", "gymnasium", "stable_baselines3", "triton", "ray"}
# The one home of each heavy package that must not leak.
HOMES = {
    "stable_baselines3": "trainers/sb3",
    "triton": "projections/triton_kernels",
    "ray": "ray_",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(name: str) -> int:
    for index, layer in enumerate(LAYERS):
        if name in layer:
            return index
    raise AssertionError(f"{name} stands in no layer: add it to LAYERS")


def imports(path: Path) -> set[str]:
    """Return the dotted names of everything a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_only_from_the_left() -> None:
    wrong = []
    for path in modules():
        if top(path) == "__init__":
            continue  # names only the homes of what it offers, for type checkers
        for name in sorted(imports(path)):
            parts = name.split(".")
            if parts[0] != "rlidim" or len(parts) == 1 or parts[1] == "__version__":
                continue
            if not any((PACKAGE / parts[1]).with_suffix(s).exists() for s in ("", ".py")):
                continue
            if layer_of(parts[1]) > layer_of(top(path)):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_heavy_packages_stay_at_home() -> None:
    wrong = []
    for path in modules():
        relative = str(path.relative_to(PACKAGE))
        for root in sorted({name.split(".")[0] for name in imports(path)}):
            away = root in HOMES and not relative.startswith(HOMES[root])
            if away or (root in HEAVY and top(path) in LIGHT):
                wrong.append(f"{relative} imports {root}")
    assert wrong == []


@pytest.mark.parametrize(
    "statement",
    ["import rlidim", "import rlidim.statistics, rlidim.report", "import rlidim.cli"],
)
def test_light_imports_load_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
