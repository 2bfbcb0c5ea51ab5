"""What is here and what is missing: versions, devices, kernels, optional parts, data."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.folder import Results
from rlidim.records.provenance import hardware, versions

OPTIONAL = {
    "mujoco": ("mujoco", "inverted pendulums and other MuJoCo tasks"),
    "Box2D": ("box2d", "lunarlander"),
    "ale_py": ("atari", "Atari games (ale-py is GPL-2)"),
    "imageio": ("video", "play --video"),
    "tensorboard": ("tensorboard", "TensorBoard logs"),
    "ray": ("ray", "--executor ray: measurements on many machines"),
}
FASTER = {"cpu": "cpp", "cuda": "triton"}  # than torch, by device


def examine(results: Results) -> dict[str, Any]:
    """Look at this machine.

    Returns:
        versions, hardware, devices, kernels (what computes each family on each device), optional
        parts with the pip extra that brings them, data folders, and whether the results folder can
        be written.
    """
    import torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    try:
        results.check_writable()
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
        "results": {"folder": str(results.folder), "writable": writable, "error": reason},
    }


def kernels(devices: list[str]) -> dict[str, dict[str, Any]]:
    """Say by device what computes each family, and why nothing faster does."""
    import torch

    from rlidim.projections import cpp_kernels
    from rlidim.projections.backends import AUTO, FAMILIES, implementation, reason

    found = {}
    for device in devices:
        backends = {
            family: implementation(family, torch.device(device), AUTO).backend
            for family in FAMILIES
        }
        missing = "torch" in backends.values()
        found[device] = {
            "backends": backends,
            "missing": reason(FASTER[device]) if missing else None,
            "instruction_set": cpp_kernels.instruction_set() if device == "cpu" else None,
        }
    return found


def data_sets() -> dict[str, Any]:
    """Say where each supervised data set lies; None is one that its first use downloads."""
    from rlidim.data import cache, datasets

    found: dict[str, str | None] = {}
    problems = []
    for name in datasets.NAMES:
        try:
            place = datasets.place(name)
            found[name] = None if place is None else str(place)
        except RlidimError as error:
            found[name] = None
            problems.append(str(error))
    try:
        downloads = str(cache.folder())
    except RlidimError as error:
        downloads = str(error)
    return {
        "folder": os.environ.get("RLIDIM_DATA"),
        "cache": downloads,
        "found": found,
        "problems": list(dict.fromkeys(problems)),
    }


def table(findings: dict[str, Any]) -> str:
    """Return the findings as text."""
    lines = [f"{name:20} {version}" for name, version in findings["versions"].items()]
    machine = findings["hardware"]
    lines.append(f"{'processor':20} {machine['processor']}, {machine['cores']} cores")
    lines.append(f"{'devices':20} {', '.join(findings['devices'])}")
    for device, found in findings["kernels"].items():
        for family, backend in found["backends"].items():
            path = found["instruction_set"] if backend == "cpp" else None
            shown = f"{backend} ({path})" if path else backend
            lines.append(f"{'projection':20} {family} on {device}: {shown}")
        if found["missing"]:
            lines.append(f"{FASTER[device]:20} not for every family: {found['missing']}")
    for module, part in findings["optional"].items():
        state = "present" if part["present"] else f"missing: pip install '{part['extra']}'"
        lines.append(f"{module:20} {state} ({part['for']})")
    data = findings["data"]
    for name, place in data["found"].items():
        lines.append(f"{'data':20} {name}: {place or 'not here'}")
    if None in data["found"].values() and not data["problems"]:
        lines.append(f"{'data':20} what is not here is downloaded into {data['cache']}")
    lines += [f"{'data':20} {problem}" for problem in data["problems"]]
    results = findings["results"]
    lines.append(f"{'results':20} {results['folder']}: {results['error'] or 'writable'}")
    return "\n".join(lines)
