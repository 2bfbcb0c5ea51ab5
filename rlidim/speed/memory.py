"""The memory of a projection: what it holds, and what a product needs while it is computed."""

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


def held_bytes(value: object) -> int:
    """Return the bytes of all tensors and arrays that an object of ours holds, each once."""
    sizes: dict[int, int] = {}
    _collect(value, sizes, set())
    return sum(sizes.values())


def _collect(value: object, sizes: dict[int, int], visited: set[int]) -> None:
    if id(value) in visited:
        return
    visited.add(id(value))
    if isinstance(value, Tensor):
        if value.layout == torch.sparse_csr:
            for tensor in (value.crow_indices(), value.col_indices(), value.values()):
                _collect(tensor, sizes, visited)
        else:
            storage = value.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, np.ndarray):
        sizes[value.__array_interface__["data"][0]] = value.nbytes
    elif isinstance(value, dict):
        _collect_all(value.values(), sizes, visited)
    elif isinstance(value, list | tuple):
        _collect_all(value, sizes, visited)
    elif type(value).__module__.startswith("rlidim."):
        _collect_all(getattr(value, "__dict__", {}).values(), sizes, visited)


def _collect_all(values: Iterable[object], sizes: dict[int, int], visited: set[int]) -> None:
    for value in values:
        _collect(value, sizes, visited)


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
