"""The specification of a projection: P is a pure function of it, on every device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlidim.errors import RlidimError


@dataclass(frozen=True)
class ProjectionSpec:
    """All that P depends on: two projections of one specification are equal on every device.

    ``layout_version`` is raised whenever a family's bits change.
    """

    family: str
    D: int
    d: int
    seed: int
    layout_version: int = 1
    options: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "family": self.family,
            "D": self.D,
            "d": self.d,
            "seed": self.seed,
            "layout_version": self.layout_version,
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ProjectionSpec:
        """Undo :meth:`to_json`.

        Raises:
            RlidimError: the content is no specification.
        """
        try:
            spec = cls(**content)
        except TypeError as error:
            raise RlidimError(f"not the specification of a projection ({error})") from error
        for name in ("D", "d", "seed", "layout_version"):
            if type(getattr(spec, name)) is not int:
                raise RlidimError(
                    f"not the specification of a projection ({name} must be a whole number, got "
                    f"{getattr(spec, name)!r})"
                )
        if not isinstance(spec.family, str) or not isinstance(spec.options, Mapping):
            raise RlidimError(
                "not the specification of a projection (family must be a name, options a mapping)"
            )
        return spec


def check_size(D: int, d: int, seed: int) -> None:
    """Check what every family asks of its size and seed.

    Raises:
        RlidimError: d is not in 1 .. D, or the seed not in 0 .. 2^64 - 1.
    """
    if not 1 <= d <= D:
        raise RlidimError(f"d must be between 1 and D = {D}, got {d}")
    if not 0 <= seed < 2**64:
        raise RlidimError(f"the seed must be between 0 and 2^64 - 1, got {seed}")
