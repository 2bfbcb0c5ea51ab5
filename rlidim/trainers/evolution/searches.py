"""What every evolution strategy offers: candidates are asked for, their returns are told."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class Search(Protocol):
    """One generation after another."""

    def ask(self) -> Vector:
        """Return candidates, (population, n)."""
        ...

    def tell(self, returns: Vector) -> None:
        """Take the candidates' returns, (population,)."""
        ...

    @property
    def mean(self) -> Vector:
        """The search distribution's mean, (n,)."""
        ...

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, of plain values and arrays."""
        ...

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on exactly where another search of the same arguments stood, after a :meth:`tell`."""
        ...
