"""Episodes: one policy or a whole population played at once, finished episodes counted once."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.gate import check_episodes, regular_actions
from rlidim.environments.making import (
    has_one_stream,
    has_vector_form,
    make_rows,
    make_vector,
    spaces_of,
    trust_actions,
)
from rlidim.environments.masks import KEY, Masks, Reader
from rlidim.environments.moments import Moments
from rlidim.environments.side_by_side import MaskedRows, Rows
from rlidim.errors import RlidimError
from rlidim.tasks.task import Task


class Actor(Protocol):
    """Whatever turns observations (N, ...) into actions (N, ...)."""

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return an action for each row."""
        ...


@runtime_checkable
class Population(Actor, Protocol):
    """An actor that may be many policies, a row of observations each, of which some go on."""

    apart: bool  # whether each row has something of its own

    def begun(self, rows: int) -> Actor:
        """Return the actor at the beginning of so many episodes."""
        ...

    def select(self, members: NDArray[np.intp]) -> Actor:
        """Return the policies of some members."""
        ...


@runtime_checkable
class Chooser(Actor, Protocol):
    """An actor that may have to be told which actions are valid."""

    masked: bool  # whether it has to be

    def act_among(self, observations: NDArray[Any], masks: Masks) -> NDArray[Any]:
        """Return a valid action for each row; masks are (N, choices)."""
        ...


@dataclass(frozen=True)
class Episodes:
    """Finished episodes: undiscounted returns, float64 (N,), and environment steps in all."""

    returns: NDArray[np.float64]
    steps: int

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())


def resets_itself(vector: gymnasium.vector.VectorEnv[Any, Any, Any]) -> bool:
    """Say whether environments that are over begin anew by themselves, as episodes here need.

    A form that must not be stepped then (Gymnasium's ``AutoresetMode.DISABLED``) is of no use.
    """
    mode = vector.metadata.get("autoreset_mode")
    return mode is not gymnasium.vector.AutoresetMode.DISABLED


def plays_whole(task: Task) -> bool:
    """Say whether a whole population plays at once faster than a few members after another."""
    if has_vector_form(task):
        return True
    rows = make_rows(task, 1)
    rows.close()
    return rows.whole


class Arena:
    """``width`` environments of a task, each playing one episode at a time.

    The environment's own vectorised form where there is one (CartPole: ten times faster),
    otherwise environments side by side, of which only those with an unfinished episode are stepped.
    """

    def __init__(self, task: Task, width: int) -> None:
        """Make the environments."""
        self.task = task
        self.width = width
        self._vector = make_vector(task, width) if has_vector_form(task) else None
        if self._vector is not None and not resets_itself(self._vector):
            self._vector.close()
            self._vector = None
        self._one_stream = has_one_stream(task)
        self._regular = (
            None if self._vector is None else regular_actions(self._vector.single_action_space)
        )
        if self._vector is not None and self._one_stream:
            trust_actions(self._vector.unwrapped)
        self._rows = None if self._vector else make_rows(task, width)

    def play(
        self,
        actor: Actor,
        seed: int,
        *,
        members: NDArray[np.intp] | None = None,
        moments: Moments | None = None,
    ) -> Episodes:
        """Play one episode in each environment.

        Args:
            actor: acts for all of them; a population's member i plays in environment i.
            seed: of the first environment; the others count upwards (Gymnasium's vectorised forms
                have one random stream for all, seeded once).
            members: which of a larger population these are, (width,): member i's seed is
                ``seed + i``. None: 0 .. width - 1, all that such a vectorised form can play.
            moments: takes in every observation that was acted on.

        Raises:
            RlidimError: the environment returned NaN or infinity, or no mask where the actor needs
                one.
        """
        if members is None:
            members = np.arange(self.width)
        if isinstance(actor, Population):
            actor = actor.begun(self.width)
        if self._vector is None:
            assert self._rows is not None
            seeds = [seed + int(member) for member in members]
            return self._play_rows(self._rows, actor, seeds, moments)
        if not self._one_stream:
            return self._play_vector(self._vector, actor, seed + members, moments)
        assert np.array_equal(members, np.arange(self.width))
        return self._play_vector(self._vector, actor, seed, moments)

    def close(self) -> None:
        """Close the environments."""
        if self._rows is not None:
            self._rows.close()
        if self._vector is not None:
            self._vector.close()

    def _play_vector(
        self, vector: Any, actor: Actor, seed: int | NDArray[np.intp], moments: Moments | None
    ) -> Episodes:
        observations, info = vector.reset(seed=seed)
        choose = actor.act_among if isinstance(actor, Chooser) and actor.masked else None
        first = int(np.min(seed))
        self._check(observations, 0.0, 0, first)
        returns = np.zeros(self.width)
        active, over = np.ones(self.width, dtype=bool), np.empty(self.width, dtype=bool)
        unfinished, steps, time = self.width, 0, 0
        # Beside a small network and a fast environment each call of numpy is felt here.
        while unfinished:
            steps += unfinished
            time += 1
            if moments is not None:
                rows = np.flatnonzero(active)
                moments.add(rows, observations[rows].reshape(len(rows), -1))
            if choose is None:
                actions = actor.act(observations)
            else:
                actions = choose(observations, self._reader(info.get(KEY), active))
            if self._regular is not None:
                actions = self._regular(actions)
            observations, rewards, terminated, truncated, info = vector.step(actions)
            if rewards.shape != returns.shape:
                rewards = self._one_each(rewards)
            np.add(returns, rewards, out=returns, where=active)
            self._check(observations, np.add.reduce(returns), time, first)
            # A finished environment resets itself and plays on; what it earns then is not counted.
            np.logical_or(terminated, truncated, out=over)
            np.greater(active, over, out=active)
            unfinished = int(np.count_nonzero(active))
        return Episodes(returns, steps)

    def _play_rows(
        self,
        rows: Rows,
        actor: Actor,
        seeds: list[int],
        moments: Moments | None,
    ) -> Episodes:
        observations = rows.reset(seeds)
        self._check(observations, 0.0, 0, seeds[0])
        returns = np.zeros(self.width)
        active = np.arange(self.width)
        members = actor
        chooses = isinstance(actor, Chooser) and actor.masked
        steps, time = 0, 0
        while len(active):
            time += 1
            steps += len(active)
            if moments is not None:
                moments.add(active, observations)
            if chooses:
                assert isinstance(members, Chooser)
                given = rows.masks(active) if isinstance(rows, MaskedRows) else None
                actions = members.act_among(observations, self._reader(given))
            else:
                actions = members.act(observations)
            observations, rewards, over = rows.step(active, actions)
            returns[active] += rewards
            self._check(observations, float(returns.sum()), time, seeds[0])
            if over.any():
                going = np.flatnonzero(~over)
                active, observations = active[going], observations[going]
                if isinstance(members, Population) and members.apart:
                    members = members.select(going)
        return Episodes(returns, steps)

    @functools.cached_property
    def _reader(self) -> Reader:
        return Reader(spaces_of(self.task)[1], self.task.control.environment.id)

    def _check(self, observations: NDArray[Any], earned: float, time: int, seed: int) -> None:
        """See :func:`rlidim.environments.gate.check_episodes`."""
        check_episodes(self.task.control.environment.id, observations, earned, time, seed)

    def _one_each(self, rewards: NDArray[Any]) -> NDArray[Any]:
        """Return rewards (N,), whether they came so or as (N, 1)."""
        if rewards.size != self.width:
            raise RlidimError(
                f"environment '{self.task.control.environment.id}' returned rewards of shape "
                f"{rewards.shape}: one number for each of {self.width} is expected"
            )
        return rewards.reshape(self.width)


def evaluate(task: Task, actor: Actor, episodes: int, seed: int) -> Episodes:
    """Play fresh episodes of one policy.

    Args:
        task: a control task.
        actor: one policy, deterministic.
        episodes: how many, all at once.
        seed: see :meth:`Arena.play`.
    """
    arena = Arena(task, episodes)
    try:
        return arena.play(actor, seed)
    finally:
        arena.close()
