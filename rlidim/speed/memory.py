"""What a projection takes of memory: what it holds, and what a product needs while it runs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # written to clear_refs, see proc(5)
SHARE = 0.8  # of the free memory that may be asked for


def held_bytes(thing: object) -> int:
    """Return the bytes of all tensors and arrays that an object of ours holds, each once."""
    found: dict[int, int] = {}
    _collect(thing, found, set())
    return sum(found.values())


def _collect(thing: object, found: dict[int, int], seen: set[int]) -> None:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        if thing.layout == torch.sparse_csr:
            for part in (thing.crow_indices(), thing.col_indices(), thing.values()):
                _collect(part, found, seen)
        else:
            storage = thing.untyped_storage()
            found[storage.data_ptr()] = storage.nbytes()
    elif isinstance(thing, np.ndarray):
        found[thing.__array_interface__["data"][0]] = thing.nbytes
    elif isinstance(thing, dict):
        _collect_all(thing.values(), found, seen)
    elif isinstance(thing, list | tuple):
        _collect_all(thing, found, seen)
    elif type(thing).__module__.startswith("rlidim."):
        _collect_all(getattr(thing, "__dict__", {}).values(), found, seen)


def _collect_all(things: Iterable[object], found: dict[int, int], seen: set[int]) -> None:
    for thing in things:
        _collect(thing, found, seen)


def peak_growth(call: Callable[[], object], device: torch.device) -> int | None:
    """Return the most bytes that a call had in use beyond those before it.

    On a GPU the allocator counts them. On the CPU it is the growth of the process's resident
    memory, exact to a few pages once free memory is given back; None where Linux is not asked.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) - int(before)
    try:
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text(RESET_PEAK)
        before = _status("VmRSS")
        call()
        return max(0, _status("VmHWM") - before)
    except (AttributeError, OSError, ValueError):
        return None


def _status(name: str) -> int:
    """Return a line of this process's status, in bytes.

    Raises:
        ValueError: there is no such line.
    """
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def available_bytes(device: torch.device) -> int:
    """Return how much memory may be asked for."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(SHARE * torch.cuda.mem_get_info()[0])
    information = Path("/proc/meminfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(SHARE * int(line.split()[1]) * 1024)
    return int(SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
