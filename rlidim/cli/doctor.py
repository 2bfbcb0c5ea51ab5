"""The state of an installation: versions, devices, kernels, optional parts, data, and gaps."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.folder import Results
from rlidim.records.provenance import hardware, versions

OPTIONAL = {
    "mujoco": ("mujoco", "inverted pendulums and other MuJoCo tasks"),
    "Box2D": ("box2d", "LunarLander and BipedalWalker"),
    "ale_py": ("atari", "Atari games (ale-py is GPL-2)"),
    "minatar": ("minatar", "MinAtar games (GPL-3)"),
    "envpool": ("envpool", "MiniGrid, DeepMind Control, highway and parking (740 MB)"),
    "sb3_contrib": (
        "contrib",
        "the trainers qrdqn, tqc, crossq, trpo, recurrent_ppo and maskable_ppo",
    ),
    "imageio": ("video", "play --video"),
    "tensorboard": ("tensorboard", "TensorBoard logs"),
    "wandb": ("wandb", "--log wandb: Weights & Biases"),
    "ray": ("ray", "--executor ray: measurements on many machines"),
}
FASTER = {"cpu": "cpp", "cuda": "triton"}  # than torch, by device


def examine(results: Results) -> dict[str, Any]:
    """Return the findings about this machine.

    Returns:
        Versions, hardware, devices, kernels (the backend of each family on each device), optional
        parts with the pip extra that brings them, data folders, and whether the results folder can
        be written.
    """
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    # A folder that is not there is not made: where it would be says whether it could.
    nearest = next(
        place for place in (results.folder, *results.folder.absolute().parents) if place.exists()
    )
    try:
        Results(nearest).check_writable()
        writable, reason = True, None
    except RlidimError as error:
        writable, reason = False, str(error)
    return {
        "versions": versions(),
        "hardware": hardware(),
        "devices": devices,
        "kernels": kernels(["cpu"] + ["cuda"] * (len(devices) > 1)),
        "optional": {
            module: {
                "present": importlib.util.find_spec(module) is not None,
                "extra": f"rlidim[{extra}]",
                "for": purpose,
            }
            for module, (extra, purpose) in OPTIONAL.items()
        },
        "data": data_sets(),
        "results": {
            "folder": str(results.folder),
            "there": results.folder.exists(),
            "writable": writable,
            "error": reason,
        },
    }


def kernels(devices: list[str]) -> dict[str, dict[str, Any]]:
    """Return each device's backend of every family, and the reason why none is faster."""
    import torch

    from rlidim.projections import cpp_kernels
    from rlidim.projections.backends import AUTO, FAMILIES, implementation, reason

    by_device = {}
    for device in devices:
        backends = {
            family: implementation(family, torch.device(device), AUTO).backend
            for family in FAMILIES
        }
        missing = "torch" in backends.values()
        by_device[device] = {
            "backends": backends,
            "missing": reason(FASTER[device]) if missing else None,
            "instruction_set": cpp_kernels.instruction_set() if device == "cpu" else None,
        }
    return by_device


def data_sets() -> dict[str, Any]:
    """Return the folder of each data set; None where its first use downloads it."""
    from rlidim.data import datasets, home

    folders: dict[str, str | None] = {}
    problems: list[str] = []
    notes: list[str | None] = []
    for name in datasets.NAMES:
        try:
            place = datasets.place(name)
            folders[name] = None if place is None else str(place)
            notes.append(datasets.passed_by(name))
        except RlidimError as error:
            folders[name] = None
            problems.append(str(error))
    try:
        downloads = str(home.folder())
    except RlidimError as error:
        downloads = str(error)
    return {
        "folder": os.environ.get("RLIDIM_DATA"),
        "cache": downloads,
        "found": folders,
        "problems": list(dict.fromkeys(problems)),
        "notes": [note for note in notes if note is not None],
    }


def problems(findings: dict[str, Any]) -> list[str]:
    """Return what has to be mended before a command that needs it works."""
    error = findings["results"]["error"]
    return [*findings["data"]["problems"], *([] if error is None else [error])]


def table(findings: dict[str, Any]) -> str:
    """Return the findings as text."""
    lines = [f"{name:20} {version}" for name, version in findings["versions"].items()]
    machine = findings["hardware"]
    lines.append(f"{'processor':20} {machine['processor']}, {machine['cores']} cores")
    lines.append(f"{'devices':20} {', '.join(findings['devices'])}")
    for device, kernel in findings["kernels"].items():
        for family, backend in kernel["backends"].items():
            instructions = kernel["instruction_set"] if backend == "cpp" else None
            shown = f"{backend} ({instructions})" if instructions else backend
            lines.append(f"{'projection':20} {family} on {device}: {shown}")
        if kernel["missing"]:
            lines.append(f"{FASTER[device]:20} not for every family: {kernel['missing']}")
    for module, part in findings["optional"].items():
        state = "present" if part["present"] else f"missing: pip install '{part['extra']}'"
        lines.append(f"{module:20} {state} ({part['for']})")
    data = findings["data"]
    for name, place in data["found"].items():
        lines.append(f"{'data':20} {name}: {place or 'not here'}")
    if None in data["found"].values() and not data["problems"]:
        lines.append(f"{'data':20} what is not here is downloaded into {data['cache']}")
    lines += [f"{'data':20} {line}" for line in (*data["notes"], *data["problems"])]
    results = findings["results"]
    state = "writable" if results["there"] else "not there yet, can be made"
    lines.append(f"{'results':20} {results['folder']}: {results['error'] or state}")
    return "\n".join(lines)
