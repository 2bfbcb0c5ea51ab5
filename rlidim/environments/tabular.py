"""Gymnasium's toy text in NumPy: environments that are a table of transitions, many at a time.

A state is a number, which a network observes one-hot. Each step draws one number from the
environment's own stream, as Gymnasium's does, so that both are the same, seed for seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.bare import bare_of
from rlidim.environments.moving import Motion, Numbers, Stepped
from rlidim.environments.plain_spaces import Plain

MODULES = "gymnasium.envs.toy_text."
SERVED = ("frozen_lake.FrozenLakeEnv", "cliffwalking.CliffWalkingEnv", "taxi.TaxiEnv")


class Table:
    """An environment that is a table: outcomes of each action in each state, with chances."""

    def __init__(self, environment: Any) -> None:
        """Copy the table.

        Args:
            environment: with ``P[state][action]``, a list of (chance, next state, reward, whether
                the episode ends), and ``initial_state_distrib``.
        """
        states, actions = len(environment.P), environment.action_space.n
        most = max(len(row) for of in environment.P.values() for row in of.values())
        self._states = states
        self._beginnings = np.cumsum(environment.initial_state_distrib)
        # Of the chances summed up: one that no number exceeds is of an outcome that is not there.
        self._sums = np.full((states, actions, most), -1.0)
        self._next = np.zeros((states, actions, most))
        self._rewards = np.zeros((states, actions, most))
        self._ends = np.zeros((states, actions, most), dtype=bool)
        for state, of in environment.P.items():
            for action, outcomes in of.items():
                chances, following, rewards, ends = zip(*outcomes, strict=True)
                here = (state, action, slice(len(outcomes)))
                self._sums[here] = np.cumsum(chances)
                self._next[here], self._rewards[here] = following, rewards
                self._ends[here] = ends

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """Draw the first states."""
        first = np.argmax(self._beginnings > _drawn(generators), axis=1)
        state = first[None].astype(np.float64)
        return state, self.observe(state)

    def observe(self, state: Numbers) -> Numbers:
        """The state one-hot."""
        observations = np.zeros((state.shape[1], self._states), dtype=np.float32)
        observations[np.arange(len(observations)), state[0].astype(np.intp)] = 1.0
        return observations

    def step(
        self, state: Numbers, actions: NDArray[Any], generators: Sequence[np.random.Generator]
    ) -> Stepped:
        """Draw what the actions lead to."""
        here = state[0].astype(np.intp), np.asarray(actions).astype(np.intp)
        outcome = np.argmax(self._sums[here] > _drawn(generators), axis=1)
        there = (*here, outcome)
        return self._next[there][None], self._rewards[there], self._ends[there]


class MaskedTable(Table):
    """A table of which some actions in some states do nothing, or are fined."""

    def __init__(self, environment: Any) -> None:
        """Copy the table, and the masks.

        Args:
            environment: with ``action_mask(state)`` too.
        """
        super().__init__(environment)
        self._masks = np.stack([environment.action_mask(state) for state in range(self._states)])

    def masks(self, state: Numbers) -> NDArray[np.int8]:
        """Look the masks up."""
        found: NDArray[np.int8] = self._masks[state[0].astype(np.intp)]
        return found


def _drawn(generators: Sequence[np.random.Generator]) -> NDArray[np.float64]:
    return np.array([[each.random()] for each in generators]).reshape(-1, 1)


def table_of(environment: gymnasium.Env[Any, Any]) -> Motion | None:
    """Return the table that an environment in plain spaces is; None where it is more than that."""
    if type(environment) is not Plain:
        return None
    bare = bare_of(environment.env)
    kind = type(bare)
    if f"{kind.__module__.removeprefix(MODULES)}.{kind.__name__}" not in SERVED:
        return None
    # A passenger who changes their mind is drawn anew within an episode.
    if getattr(bare, "fickle_passenger", False):
        return None
    return MaskedTable(bare) if hasattr(bare, "action_mask") else Table(bare)
