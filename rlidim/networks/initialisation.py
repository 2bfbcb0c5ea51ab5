"""Initial weights of layers, of which theta_0 consists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.tasks.problems import Start

HIDDEN_GAIN = math.sqrt(2.0)  # of hidden layers, under orthogonal
TRUNCATION = 2.0  # standard deviations at which Keras cuts its normal initialisations off
TRUNCATED_STD = 0.87962566103423978  # of a standard normal cut off there


def with_tuples(content: dict[str, Any]) -> dict[str, Any]:
    """Return JSON's values with tuples, as a frozen dataclass has them, in place of lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }


def fitting(theta: NDArray[Any], D: int) -> NDArray[np.float32]:
    """Return parameters as float32 (D,), or a population's (N, D).

    Raises:
        RlidimError: they are of another shape.
    """
    theta = np.ascontiguousarray(theta, dtype=np.float32)
    if theta.ndim not in (1, 2) or theta.shape[-1] != D:
        raise RlidimError(
            f"a solution of shape {theta.shape} does not fit a network of {D} parameters"
        )
    return theta


def initial_weight(
    generator: np.random.Generator, initialisation: str, shape: tuple[int, int], gain: float
) -> NDArray[np.float64]:
    """Return a layer's weight, (outputs, inputs); the gain is of ``orthogonal`` alone."""
    outputs, inputs = shape
    if initialisation == "he_normal":
        return truncated_normal(generator, shape) * math.sqrt(2.0 / inputs)
    return _orthogonal(generator, outputs, inputs) * gain


def moved(theta_0: NDArray[np.float32], start: Start) -> NDArray[np.float32]:
    """Return a solution's parameters theta_0 + P theta_d, float32 (D,).

    Raises:
        RlidimError: an unknown family or another layout of it, or more numbers than D.
    """
    import torch

    from rlidim.projections import from_spec
    from rlidim.projections.spec import ProjectionSpec

    size = (start.D, len(start.theta_d), start.seed)
    P = from_spec(ProjectionSpec(start.family, *size, start.layout_version))
    theta_d = torch.tensor(start.theta_d, dtype=torch.float32)
    return np.asarray(P.forward(theta_d, base=torch.from_numpy(theta_0)).numpy())


def truncated_normal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return normal numbers cut off at two deviations and rescaled to deviation one, as Keras."""
    values = generator.standard_normal(shape)
    while (outside := np.abs(values) > TRUNCATION).any():
        values[outside] = generator.standard_normal(int(outside.sum()))
    return np.asarray(values / TRUNCATED_STD)


def _orthogonal(generator: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """Return a matrix with orthonormal rows or columns, uniform (Saxe et al. 2014)."""
    tall = generator.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return np.asarray(q if rows >= columns else q.T)
