"""A projection from a family's name, or from a specification."""

from __future__ import annotations

from typing import Any

import torch

from rlidim.errors import RlidimError, nearest, whole
from rlidim.projections.backends import AUTO, families, implementation
from rlidim.projections.base import Projection
from rlidim.projections.choice import choose
from rlidim.projections.spec import ProjectionSpec


def projection(
    family: str,
    D: int,
    d: int,
    seed: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    backend: str = AUTO,
    **options: Any,
) -> Projection:
    """Return P, a pure function of (family, D, d, seed, options).

    Args:
        family: one of ``backends.families()``, or ``auto``, which goes by the size and the type of
            device: see :mod:`rlidim.projections.choice`.
        D: rows: the native dimension.
        d: columns: the subspace dimension.
        seed: 0 .. 2^64 - 1.
        dtype: of vectors and products: float32 or float64.
        device: where they live.
        backend: what computes them: ``cpp``, ``triton``, ``torch``, or the fastest here.
        options: the family's own; ``entries`` for hashed.

    Raises:
        RlidimError: an unknown family, option or device, d not in 1 .. D, a seed out of range, a
            backend that does not serve the family and device here.

    Example:
        >>> import rlidim, torch
        >>> P = rlidim.projection("stacked_fastfood", 1000, 10, seed=0)
        >>> theta = torch.randn(10)
        >>> g = torch.randn(1000)
        >>> bool(torch.isclose((P @ theta) @ g, theta @ (P.T @ g), rtol=1e-3, atol=1e-3))
        True
    """
    place = _device(device)
    D, d, seed = (whole(name, value) for name, value in (("D", D), ("d", d), ("seed", seed)))
    if family == AUTO:
        family = choose(D, d, place.type)
    check_family(family)
    known = families()[family].option_names
    for name in options:
        if name not in known:
            raise RlidimError(f"projection '{family}' has no option '{name}'{nearest(name, known)}")
        options[name] = whole(name, options[name])
    kind = implementation(family, place, backend)
    return kind(D, d, seed, dtype=dtype, device=place, **options)


def _device(name: torch.device | str) -> torch.device:
    """Return a device that projections are computed on.

    Raises:
        RlidimError: there is none of that name here.
    """
    try:
        place = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise RlidimError(f"unknown device {name!r}: projections live on cpu or cuda") from error
    if place.type not in ("cpu", "cuda"):
        raise RlidimError(f"device '{place}': projections live on cpu or cuda")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise RlidimError(f"device '{place}': no CUDA device is visible here, use cpu")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise RlidimError(f"device '{place}': there are cuda:0 to cuda:{last} here")
    return place


def check_family(name: str) -> None:
    """Make sure that there is such a family.

    Raises:
        RlidimError: there is none (with the nearest).
    """
    if not isinstance(name, str) or name not in families():
        raise RlidimError(f"unknown projection '{name}'{nearest(name, families())}")


def from_spec(
    spec: ProjectionSpec,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    backend: str = AUTO,
) -> Projection:
    """Return the projection that a specification names.

    Raises:
        RlidimError: see :func:`projection`; or a layout version other than the family's.
    """
    check_family(spec.family)
    known = families()[spec.family].option_names
    for name in spec.options:  # a stranger's may name anything
        if name not in known:
            raise RlidimError(f"projection '{spec.family}' has no option '{name!s:.60}'")
    options: dict[str, Any] = dict(spec.options)
    size = (spec.D, spec.d, spec.seed)
    P = projection(spec.family, *size, dtype=dtype, device=device, backend=backend, **options)
    if P.layout != spec.layout_version:
        raise RlidimError(
            f"projection '{spec.family}' has layout version {P.layout} here, not "
            f"{spec.layout_version}: install the rlidim that its specification is of"
        )
    return P
