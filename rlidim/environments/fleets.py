"""The training environments of many runs side by side: runs enter and leave, each with its seeds.

What a run's environments do depends neither on the runs beside it nor on when it entered.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

from rlidim.environments.gate import is_finite, not_finite, regular_actions
from rlidim.environments.moving import Endless, Motion, streams
from rlidim.errors import RlidimError


@dataclass(frozen=True)
class Stepped:
    """What a step led to, for R runs of N environments each.

    Attributes:
        observations: float32 (R, N, size), of an episode that is over the next one's first.
        rewards: (R, N).
        terminated: (R, N), whether the task itself ended the episode.
        truncated: (R, N), whether a limit did.
        final: float32 (R, N, size), what an episode that is over led to; None where none is.
    """

    observations: NDArray[np.float32]
    rewards: NDArray[np.floating[Any]]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final: NDArray[np.float32] | None


class Fleet(Protocol):
    """Environments of runs, ``width`` of each, that begin anew in the step that ends an episode.

    Attributes:
        width: environments of a run.
        replays: whether a run's environments are brought to where they stood by its actions.
        failed: the traceback of a run whose environments raised, by the run's place.
    """

    width: int
    replays: bool
    failed: dict[int, str]

    def enter(self, seed: int) -> NDArray[np.float32]:
        """Add a run, in the last place, its environments seeded upwards from ``seed``.

        Returns:
            its first observations, (N, size).

        Raises:
            RlidimError: an observation is not finite.
        """
        ...

    def keep(self, runs: NDArray[np.intp]) -> None:
        """Let all runs go but those in some places, which move up."""
        ...

    def step(self, actions: NDArray[Any]) -> Stepped:
        """Step all of them; actions (R, N, ...) are in the environment's space.

        Raises:
            RlidimError: an observation or a reward is not finite.
        """
        ...

    def state(self, run: int) -> Any:
        """Return what :meth:`take_up` needs of a run, of plain values and arrays."""
        ...

    def take_up(self, state: Any, actions: Iterable[NDArray[Any]]) -> None:
        """Bring the run in the last place, just entered, to where another stood.

        Args:
            state: of the other.
            actions: all that it took, (N, ...) each, where the fleet replays.

        Raises:
            ValueError: the actions lead elsewhere.
        """
        ...

    def close(self) -> None:
        """Close the environments."""
        ...


class MovingFleet:
    """Environments whose arithmetic is known: those of all runs are stepped at once."""

    replays = False

    def __init__(self, motion: Motion, limit: int | None, width: int) -> None:
        """Begin without a run.

        Args:
            motion: what the environments do.
            limit: steps after which an episode is cut off; None: it never is.
            width: environments of a run.
        """
        self.width = width
        self.failed: dict[int, str] = {}
        self._motion, self._limit = motion, limit
        self._all = Endless(motion, limit)

    def enter(self, seed: int) -> NDArray[np.float32]:
        """Add a run; see :class:`Fleet`."""
        added = Endless(self._motion, self._limit)
        added.streams = streams(range(seed, seed + self.width))
        observations: NDArray[np.float32] = added.begin()
        together = self._all
        if together.streams:
            added.streams = together.streams + added.streams
            added.state = np.concatenate((together.state, added.state), axis=1)
            added.times = np.concatenate((together.times, added.times))
        self._all = added
        return observations

    def keep(self, runs: NDArray[np.intp]) -> None:
        """Let the others go."""
        rows = (runs[:, None] * self.width + np.arange(self.width)).ravel()
        together = self._all
        together.streams = [together.streams[row] for row in rows]
        together.state, together.times = together.state[:, rows], together.times[rows]

    def step(self, actions: NDArray[Any]) -> Stepped:
        """Step all of them; see :class:`Fleet`."""
        runs, width = actions.shape[:2]
        observations, rewards, terminated, truncated, final = self._all.step(
            actions.reshape(runs * width, *actions.shape[2:])
        )
        return Stepped(
            observations.reshape(runs, width, -1),
            rewards.reshape(runs, width),
            terminated.reshape(runs, width),
            truncated.reshape(runs, width),
            None if final is None else final.reshape(runs, width, -1),
        )

    def state(self, run: int) -> Any:
        """Return where a run's environments stand, and their random streams."""
        rows = slice(run * self.width, (run + 1) * self.width)
        return {
            "state": self._all.state[:, rows],
            "times": self._all.times[rows],
            "streams": [stream.bit_generator.state for stream in self._all.streams[rows]],
        }

    def take_up(self, state: Any, actions: Iterable[NDArray[Any]]) -> None:
        """Bring the run in the last place to where another stood."""
        rows = slice(len(self._all.streams) - self.width, None)
        self._all.state[:, rows], self._all.times[rows] = state["state"], state["times"]
        for stream, saved in zip(self._all.streams[rows], state["streams"], strict=True):
            stream.bit_generator.state = saved

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class SeparateFleet:
    """A vector of environments for each run, stepped one run after another.

    A run whose environments raise is marked as failed, and the others go on.
    """

    replays = True

    def __init__(
        self, make: Callable[[], VectorEnv[Any, Any, Any]], identity: str, width: int
    ) -> None:
        """Begin without a run.

        Args:
            make: makes a run's environments, each begun anew in the step that ends an episode.
            identity: the environment's, for messages.
            width: environments of a run.
        """
        self.width = width
        self.failed: dict[int, str] = {}
        self._make, self._identity = make, identity
        self._vectors: list[VectorEnv[Any, Any, Any]] = []
        self._seen: list[NDArray[np.float32]] = []

    def enter(self, seed: int) -> NDArray[np.float32]:
        """Add a run; see :class:`Fleet`."""
        vector = self._make()
        self._vectors.append(vector)
        self._seen.append(self._flat(vector.reset(seed=seed)[0], "at its reset"))
        return self._seen[-1]

    def keep(self, runs: NDArray[np.intp]) -> None:
        """Let the others go."""
        kept = set(runs.tolist())
        for place, vector in enumerate(self._vectors):
            if place not in kept:
                vector.close()
        self.failed = {
            new: self.failed[old] for new, old in enumerate(runs.tolist()) if old in self.failed
        }
        self._vectors = [self._vectors[place] for place in runs]
        self._seen = [self._seen[place] for place in runs]

    def step(self, actions: NDArray[Any]) -> Stepped:
        """Step all of them that have not failed; see :class:`Fleet`."""
        each = [self._step_one(place, own) for place, own in enumerate(actions)]
        self._seen = [one[0] for one in each]
        size = max(one[0].shape[-1] for one in each)
        nothing = np.zeros((self.width, size), dtype=np.float32)
        finals = [nothing if one[4] is None else one[4] for one in each]
        observations, rewards, terminated, truncated = (
            np.stack([one[part] for one in each]) for part in range(4)
        )
        final = np.stack(finals) if any(one[4] is not None for one in each) else None
        return Stepped(observations, rewards, terminated, truncated, final)

    def _step_one(self, place: int, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, Any]:
        vector = self._vectors[place]
        if place not in self.failed:
            regular = regular_actions(vector.single_action_space)
            try:
                observations, rewards, terminated, truncated, info = vector.step(
                    actions if regular is None else regular(actions)
                )
            except RlidimError:  # the user's to mend, in every run
                raise
            except (Exception, SystemExit):  # whatever an environment raises ends its run alone
                self.failed[place] = traceback.format_exc()
            else:
                return self._checked(observations, rewards, terminated, truncated, info)
        size = int(np.prod(vector.single_observation_space.shape or ()))
        never = np.zeros(self.width, dtype=bool)
        return np.zeros((self.width, size), np.float32), np.zeros(self.width), never, never, None

    def _checked(
        self, observations: Any, rewards: Any, terminated: Any, truncated: Any, info: dict[str, Any]
    ) -> tuple[Any, Any, Any, Any, Any]:
        if not is_finite(rewards):
            raise not_finite(self._identity, False, "in training")
        observations = self._flat(observations, "in training")
        over = np.flatnonzero(terminated | truncated)
        final = None
        if len(over):
            final = np.zeros_like(observations)
            final[over] = self._flat(np.stack(list(info["final_obs"][over])), "in training")
        return observations, np.asarray(rewards, np.float64), terminated, truncated, final

    def _flat(self, observations: Any, moment: str) -> NDArray[np.float32]:
        flat: NDArray[np.float32] = np.asarray(observations).reshape(len(observations), -1)
        if not is_finite(flat):
            raise not_finite(self._identity, True, moment)
        return flat.astype(np.float32)

    def state(self, run: int) -> Any:
        """Return what a run's environments were seen to be last."""
        return self._seen[run]

    def take_up(self, state: Any, actions: Iterable[NDArray[Any]]) -> None:
        """Bring the run in the last place to where another stood; see :class:`Fleet`."""
        last = len(self._vectors) - 1
        for taken in actions:
            self._seen[last] = self._step_one(last, taken)[0]
        if last in self.failed or not np.array_equal(self._seen[last], state):
            raise ValueError("played again, the actions lead elsewhere")

    def close(self) -> None:
        """Close the environments."""
        for vector in self._vectors:
            vector.close()
