"""The house's arrows: which room may import which, and no circles, of rooms or of files."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rlidim"

# Each room, and the rooms it may import: no other arrow, and none that leads back.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "devices": set(),
    "tasks": {"errors"},
    "statistics": {"errors"},
    "data": {"errors"},
    "projections": {"errors"},
    "subspace": {"errors", "projections"},
    "records": {"errors", "tasks", "statistics"},
    "environments": {"errors", "tasks", "data"},
    "networks": {"errors", "tasks", "devices", "projections", "environments"},
    "report": {"errors", "tasks", "statistics", "records", "projections", "environments"},
    "trainers": {
        "errors",
        "tasks",
        "devices",
        "data",
        "records",
        "projections",
        "subspace",
        "environments",
        "networks",
    },
    "solutions": {
        "errors",
        "tasks",
        "records",
        "projections",
        "environments",
        "networks",
        "trainers",
    },
    "executors": {
        "errors",
        "tasks",
        "devices",
        "records",
        "projections",
        "trainers",
        "solutions",
    },
    "sweep": {
        "errors",
        "tasks",
        "statistics",
        "data",
        "records",
        "environments",
        "networks",
        "report",
        "trainers",
        "executors",
    },
    "speed": {
        "errors",
        "tasks",
        "devices",
        "data",
        "records",
        "projections",
        "subspace",
        "environments",
        "networks",
        "report",
        "trainers",
        "executors",
    },
    "interface": {
        "errors",
        "tasks",
        "statistics",
        "records",
        "networks",
        "trainers",
        "executors",
        "sweep",
    },
    "cli": {
        "errors",
        "tasks",
        "statistics",
        "data",
        "projections",
        "records",
        "environments",
        "networks",
        "report",
        "solutions",
        "trainers",
        "executors",
        "sweep",
        "speed",
        "interface",
    },
    "__main__": {"cli"},
}
MOST_ENTRIES = 20
REGISTRIES = ("projections", "trainers")  # what a folder's __init__ may hold beside its docstring
REGISTERS = ("environments",)  # with Gymnasium, whose ids name the folder
LIGHT = ("statistics", "report", "records", "tasks", "errors")
HEAVY = {"torch", "gymnasium", "stable_baselines3", "triton", "ray"}
# The homes of the heavy packages that must not leak.
HOMES = {
    "stable_baselines3": ("trainers/sb3/", "speed/sb3.py", "speed/atari.py"),
    "triton": ("projections/triton_kernels/",),
    "ray": ("executors/ray/",),
    "wandb": ("trainers/logs.py",),
}


def module_of(path: Path) -> str:
    parts = ["rlidim", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(path: Path) -> set[str]:
    """Return the dotted names of everything a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def targets(module: str) -> set[str]:
    """Return the modules of rlidim that a module imports, those for type checkers too."""
    found = set()
    for name in imported(FILES[module]):
        # A name of a module, or a module; the compiled extension is neither.
        inner = name if name in FILES else name.rpartition(".")[0]
        if inner in FILES and not name.endswith("._kernels"):
            found.add(inner)
    return found - {module, "rlidim"}  # rlidim itself: the version alone


def room_of(module: str) -> str:
    return module.split(".")[1]


MODULES = sorted(FILES.keys() - {"rlidim"})  # whose __init__ names the homes of what it offers


def test_a_room_imports_only_what_its_arrows_allow() -> None:
    wrong = [
        f"{module} -> {target}"
        for module in MODULES
        for target in sorted(targets(module))
        if room_of(target) not in {room_of(module), *ARROWS[room_of(module)]}
    ]
    assert wrong == []


def test_no_arrow_is_allowed_that_nobody_needs() -> None:
    used = {(room_of(module), room_of(target)) for module in MODULES for target in targets(module)}
    idle = [(room, other) for room in ARROWS for other in ARROWS[room] if (room, other) not in used]
    assert idle == []


def test_rooms_form_no_circle() -> None:
    graphlib.TopologicalSorter(ARROWS).prepare()


def test_files_form_no_circle() -> None:
    graphlib.TopologicalSorter({module: targets(module) for module in MODULES}).prepare()


def test_there_are_few_rooms() -> None:
    entries = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert len(entries - {"__pycache__", "py.typed", "envs"}) <= MOST_ENTRIES
    assert {room_of(module) for module in MODULES} == ARROWS.keys()


def test_folders_hand_nothing_on() -> None:
    wrong = [
        module
        for module in MODULES
        if FILES[module].name == "__init__.py"
        and room_of(module) not in (*REGISTRIES, *REGISTERS)
        and module != "rlidim.cli"  # the entry point
        and imported(FILES[module])
    ]
    assert wrong == []


def test_heavy_packages_stay_at_home() -> None:
    wrong = []
    for module in MODULES:
        path = FILES[module].relative_to(PACKAGE).as_posix()
        for name in imported(FILES[module]):
            package = name.split(".")[0]
            if package in HOMES and not path.startswith(HOMES[package]):
                wrong.append(f"{path} imports {package}")
            if room_of(module) in LIGHT and package in HEAVY:
                wrong.append(f"{path} imports {package}")
    assert wrong == []


@pytest.mark.parametrize(
    "statement",
    [
        "import rlidim",
        "import rlidim.statistics.estimate, rlidim.report.write",
        "import rlidim.cli",
        "import rlidim.executors.ray.driver",
    ],
)
def test_light_imports_load_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
