"""A run's transitions, the oldest overwritten, and returns of several steps drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.fleets import Stepped
from rlidim.trainers.many.learner import Numbers


@dataclass(frozen=True)
class Drawn:
    """Transitions drawn from a memory.

    Attributes:
        observations: (count, size), those acted on.
        actions: (count, 1).
        rewards: (count,), discounted, of as many steps as there were.
        following: (count, size), what the last of these steps led to.
        discounts: (count,), of what follows: 0 where the task itself ended the episode.
    """

    observations: Numbers
    actions: Numbers
    rewards: Numbers
    following: Numbers
    discounts: Numbers


class Memory:
    """Steps of N environments of a run, the last ``capacity`` of them."""

    def __init__(self, capacity: int, width: int, size: int, steps: int, gamma: float) -> None:
        """Begin empty.

        Args:
            capacity: steps kept.
            width: environments, N.
            size: of an observation.
            steps: of a return before the network's own value.
            gamma: the discount.
        """
        self._observations = np.empty((capacity, width, size), dtype=np.float32)
        self._following = np.empty((capacity, width, size), dtype=np.float32)
        self._actions = np.empty((capacity, width), dtype=np.float32)
        self._rewards = np.empty((capacity, width), dtype=np.float32)
        self._terminated = np.empty((capacity, width), dtype=bool)
        self._over = np.empty((capacity, width), dtype=bool)
        self._added = 0
        self._steps, self._gamma = steps, gamma

    def add(self, observations: Numbers, actions: Numbers, stepped: Stepped, place: int) -> None:
        """Add a step: observations acted on (N, size), actions (N, 1), what came in a fleet."""
        at = self._added % len(self._actions)
        self._added += 1
        over = stepped.terminated[place] | stepped.truncated[place]
        self._observations[at], self._actions[at] = observations, actions[:, 0]
        self._following[at] = stepped.observations[place]
        if stepped.final is not None:
            self._following[at, over] = stepped.final[place, over]
        self._rewards[at] = stepped.rewards[place]
        self._terminated[at], self._over[at] = stepped.terminated[place], over

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from: the steps that were filled in."""
        filled = min(self._added, len(self._actions))
        parts = {name: kept[:filled] for name, kept in self._parts.items()}
        return {"added": self._added, **parts}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same size stood.

        Raises:
            ValueError: it was of another size.
        """
        self._added = int(state["added"])
        filled = min(self._added, len(self._actions))
        for name, kept in self._parts.items():
            kept[:filled] = state[name]

    @property
    def _parts(self) -> dict[str, NDArray[Any]]:
        """Every array, by its name in a checkpoint."""
        return {
            "observations": self._observations,
            "following": self._following,
            "actions": self._actions,
            "rewards": self._rewards,
            "terminated": self._terminated,
            "over": self._over,
        }

    def draw(self, count: int, generator: np.random.Generator) -> Drawn:
        """Draw transitions, each as likely as another; a return ends with its episode."""
        capacity, width = self._actions.shape
        first = generator.integers(min(self._added, capacity), size=count)
        return self.at(first, generator.integers(width, size=count))

    def at(self, first: NDArray[np.intp], rows: NDArray[np.intp]) -> Drawn:
        """Return transitions by their places and environments, both (count,)."""
        capacity = len(self._actions)
        last_added = (self._added - 1) % capacity
        weights = (self._gamma ** np.arange(self._steps + 1)).astype(np.float32)
        rewards = np.zeros(len(first), dtype=np.float32)
        going = np.ones(len(first), dtype=bool)
        taken = np.zeros(len(first), dtype=np.intp)  # steps of each return
        for step in range(self._steps):
            here = (first + step) % capacity
            rewards += np.where(going, weights[step] * self._rewards[here, rows], np.float32(0.0))
            taken += going
            # The newest step is followed by the oldest, another episode's.
            going &= ~self._over[here, rows] & (here != last_added)
        last = (first + taken - 1) % capacity
        discounts = np.where(self._terminated[last, rows], np.float32(0.0), weights[taken])
        return Drawn(
            self._observations[first, rows],
            self._actions[first, rows, None],
            rewards,
            self._following[last, rows],
            discounts,
        )
