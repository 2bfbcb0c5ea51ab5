"""The acting network of a task: an architecture for its environment's spaces."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.making import make_vector, spaces_of
from rlidim.errors import RlidimError
from rlidim.networks.atari import KIND, PixelArchitecture, PixelPolicy
from rlidim.networks.perceptron import Architecture, Policy
from rlidim.tasks.problems import PixelNetwork
from rlidim.tasks.task import Task

REFERENCE = (8, 16, 20)  # games, observations of each, and random steps before each of them


AnyArchitecture = Architecture | PixelArchitecture


AnyPolicy = Policy | PixelPolicy


def architecture(
    task: Task,
    *,
    squash: bool = False,
    quantiles: int | None = None,
    masked: bool = False,
    output_bound: float | None = None,
    seed: int | None = None,
) -> AnyArchitecture:
    """Return the acting network's architecture in the task's environment.

    Args:
        task: a control task.
        squash: see :meth:`Architecture.of`.
        quantiles: likewise; networks on frames have none.
        masked: likewise; no game has masks.
        output_bound: likewise.
        seed: of the episodes that a normalising network's reference batch is taken from; None for
            no batch, where only sizes are asked for.

    Raises:
        RlidimError: as :func:`make`, or spaces that the network does not serve.
    """
    observations, actions = spaces_of(task)
    network = task.control.network
    if not isinstance(network, PixelNetwork):
        return Architecture.of(
            network,
            observations,
            actions,
            squash=squash,
            quantiles=quantiles,
            masked=masked,
            output_bound=output_bound,
        )
    if quantiles is not None:
        raise RlidimError(
            f"task '{task.name}': a network on frames gives no quantiles; dqn does without"
        )
    assert observations.shape is not None
    assert isinstance(actions, gymnasium.spaces.Discrete)
    convolutional = PixelArchitecture.of(network, observations.shape, int(actions.n))
    if not convolutional.batch_norm or seed is None:
        return convolutional
    return dataclasses.replace(convolutional, reference=reference_batch(task, seed))


def architecture_of(content: dict[str, Any]) -> AnyArchitecture:
    """Return the acting network that a solution's JSON describes.

    Raises:
        RlidimError: it describes none.
    """
    if content.get("kind") == KIND:
        return PixelArchitecture.from_json(content)
    return Architecture.from_json(content)


def reference_batch(task: Task, seed: int) -> NDArray[Any]:
    """Return observations (N, ...) of random play (Salimans et al. 2017, section 2.2)."""
    games, count, apart = REFERENCE
    vector = make_vector(task, games)
    discrete: Any = vector.single_action_space
    choices = int(discrete.n)
    generator = np.random.default_rng(seed)
    observations, _ = vector.reset(seed=seed)
    batch = []
    for _ in range(count):
        for _ in range(apart):
            actions = generator.integers(choices, size=games)
            observations, *_ = vector.step(actions)
        batch.append(observations.copy())
    vector.close()
    return np.concatenate(batch)
