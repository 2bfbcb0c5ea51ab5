"""EnvPool's environments (Weng et al. 2022): many in C++, stepped by one call.

A pool's seeds are those it was made with, so that episodes at other seeds are a new pool. An
episode that is over is begun anew by name: EnvPool's own way takes a step that is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten_space
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlidim.environments.fleets import SeparateFleet
from rlidim.environments.moving import seeds_of
from rlidim.environments.plain_spaces import (
    Space,
    flat_batch,
    own_actions,
    plain_actions,
    plain_observations,
)
from rlidim.environments.unpainted import unpainted
from rlidim.errors import RlidimError, nearest
from rlidim.tasks.problems import Pool

# How many objects, colours and states of a door there are in MiniGrid, for each cell one of each.
CELL = (11, 6, 3)
DIRECTIONS = 4
# Rows that are one-hot: of each cell that there may be, and of each direction.
CELLS = np.concatenate(
    [
        np.eye(kinds, dtype=np.float32)[index.ravel()]
        for kinds, index in zip(CELL, np.indices(CELL), strict=True)
    ],
    axis=1,
)
FACING = np.eye(DIRECTIONS, dtype=np.float32)
SEEDS = 2**31  # of a pool's environment
MINIGRID = {"direction", "image", "mission"}
# The lower bound of DeepMind Control's numbers, which have none: the least of C++ is above zero.
LEAST = np.finfo(np.float64).tiny
DM_CONTROL = "envpool.mujoco.dmc"  # the module of these


def _minigrid(observations: Any, count: int) -> NDArray[np.float32]:
    """Return MiniGrid's view one-hot, and the direction; the mission, a text, is left out."""
    cells = np.ravel_multi_index(tuple(np.moveaxis(observations["image"], -1, 0)), CELL)
    view = CELLS.take(cells, axis=0).reshape(count, -1)
    return np.concatenate((view, FACING.take(observations["direction"], axis=0)), axis=1)


def _observer(space: Space) -> tuple[spaces.Box, Callable[[Any, int], NDArray[Any]]]:
    """Return the plain space of observations, and what makes a pool's observations plain."""
    if isinstance(space, spaces.Dict) and set(space.spaces) == MINIGRID:
        shape: Any = space.spaces["image"].shape
        size = int(np.prod(shape[:-1])) * sum(CELL) + DIRECTIONS
        return spaces.Box(0.0, 1.0, (size,), np.float32), _minigrid
    plain = plain_observations(space)
    if plain is space:
        return plain, lambda observations, count: np.asarray(observations)
    own: Any = flatten_space(space)
    low = np.where(own.low == LEAST, -plain.high, plain.low)
    bounded = spaces.Box(low, plain.high, dtype=np.float32)
    return bounded, lambda observations, count: flat_batch(space, observations, count)


class Pools:
    """The makers of one kind of pool."""

    one_stream = False
    lone = False

    def __init__(self, environment: Pool, file: Path) -> None:
        """Remember what the task's file says."""
        self.environment, self.file = environment, file

    def check(self) -> None:
        """Make sure that there is such an environment.

        Raises:
            RlidimError: EnvPool is missing, or has none of that name (with the nearest).
        """
        known = self._package().list_all_envs()
        if self.environment.envpool not in known:
            raise RlidimError(
                f"{self.file}: environment: envpool: there is no '{self.environment.envpool}'"
                f"{nearest(self.environment.envpool, known)}"
            )

    def make(self, **options: Any) -> Any:
        """Refuse: a lone environment is a pool of one."""
        raise RlidimError(
            f"environment '{self.environment.id}': EnvPool's are made as pools, and draw nothing"
        )

    def make_vector(self, width: int) -> Any:
        """Make environments side by side."""
        return self.make_seeded_vector(width)

    def make_seeded_vector(self, width: int) -> PoolVector:
        """Make a vector whose environments have a seed each."""
        return PoolVector(self, width)

    def fleet(self, width: int) -> SeparateFleet:
        """Return the training environments of runs: a pool for each."""
        return SeparateFleet(lambda: PoolVector(self, width), self.environment.id, width)

    def has_vector_form(self) -> bool:
        """Say no: the arena plays a pool's episodes by :class:`PoolRows`."""
        return False

    def rows(self, width: int) -> PoolRows:
        """Return episodes side by side."""
        return PoolRows(self)

    def spaces(self) -> tuple[Space, Space]:
        """Return the plain spaces of observations and actions."""
        observations, actions = self.own_spaces()
        return _observer(observations)[0], plain_actions(actions)

    def own_spaces(self) -> tuple[Space, Space]:
        """Return the spaces that EnvPool says."""
        pool = self.pool([0])
        both = pool.observation_space, pool.action_space
        pool.close()
        return both

    def pool(self, seeds: Sequence[int]) -> Any:
        """Make a pool of an environment for each seed, in one thread.

        Raises:
            RlidimError: EnvPool is missing, or does not make it.
        """
        self.check()
        try:
            return self._package().make_gymnasium(
                self.environment.envpool,
                num_envs=len(seeds),
                seed=[int(seed) % SEEDS for seed in seeds],
                num_threads=1,
                **self._options(),
            )
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RlidimError(
                f"{self.file}: environment '{self.environment.id}' cannot be made ({reason})"
            ) from error

    def _options(self) -> dict[str, Any]:
        """Return what the task's file says, and where DeepMind Control's models are unpainted."""
        from envpool.registration import registry

        module, _, defaults = registry.specs[self.environment.envpool]
        if module != DM_CONTROL:
            return self.environment.kwargs
        return {"base_path": unpainted(defaults["base_path"]), **self.environment.kwargs}

    def _package(self) -> Any:
        try:
            import envpool
        except ImportError as error:
            raise RlidimError(
                f"environment '{self.environment.id}' needs a package that is missing: pip install "
                f"'rlidim[{Pool.extra}]' ({error})"
            ) from error
        return envpool


class _Playing:
    """A pool with plain observations and actions, of whose environments some are stepped."""

    def __init__(self, pool: Any) -> None:
        """Take hold of the pool."""
        self.pool = pool
        _, self._observe = _observer(pool.observation_space)
        self._actions = pool.action_space
        self._dtype = self._actions.dtype
        # Not all of EnvPool's environments keep the limit that they are told.
        self._limit = pool.spec.config.max_episode_steps

    def reset(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Begin some episodes anew; return their observations, (n, ...)."""
        observations, info = self.pool.reset(rows.astype(np.int32))
        plain: NDArray[Any] = self._sorted(self._observe(observations, len(rows)), info, rows)
        return plain

    def step(self, rows: NDArray[np.intp], actions: NDArray[Any]) -> tuple[Any, ...]:
        """Step some; return observations, rewards, terminated and truncated."""
        taken = own_actions(self._actions, actions).astype(self._dtype)
        taken = taken.reshape(len(rows), *(self._actions.shape or ()))
        observations, rewards, ended, cut, info = self.pool.step(taken, rows.astype(np.int32))
        plain = self._observe(observations, len(rows))
        cut |= ~ended & (info["elapsed_step"] >= self._limit)
        return tuple(
            self._sorted(each, info, rows)
            for each in (plain, rewards.astype(np.float64), ended, cut)
        )

    def _sorted(self, values: Any, info: dict[str, Any], rows: NDArray[np.intp]) -> Any:
        """Bring what came back into the order of the rows."""
        come = info["env_id"]
        if np.array_equal(come, rows):
            return values
        return values[np.argsort(come)]


class PoolRows:
    """Episodes of a pool side by side, of which those that are not over are stepped."""

    whole = True

    def __init__(self, pools: Pools) -> None:
        """Make no pool before there are seeds."""
        self._pools = pools
        self._playing: _Playing | None = None

    def reset(self, seeds: Sequence[int]) -> NDArray[Any]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        self.close()
        self._playing = _Playing(self._pools.pool(seeds))
        return self._flat(self._playing.reset(np.arange(len(seeds))))

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Step some of them; see :class:`rlidim.environments.side_by_side.Rows`."""
        assert self._playing is not None
        observations, rewards, ended, cut = self._playing.step(active, actions)
        return self._flat(observations), rewards, ended | cut

    def close(self) -> None:
        """Close the pool."""
        if self._playing is not None:
            self._playing.pool.close()
            self._playing = None

    def _flat(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        return observations.reshape(len(observations), -1).astype(np.float32)


class PoolVector(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """A pool as a vector environment that begins anew in the step that ends an episode."""

    def __init__(self, pools: Pools, count: int) -> None:
        """Find the spaces; :meth:`reset` makes the pool."""
        self.num_envs = count
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = pools.spaces()
        self.observation_space = batch_space(self.single_observation_space, count)
        self.action_space = batch_space(self.single_action_space, count)
        self._pools = pools
        self._rows = np.arange(count)
        self._playing: _Playing | None = None

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in each, in a new pool where there are seeds."""
        if self._playing is None or seed is not None:
            seeds: Any = seeds_of(0 if seed is None else seed, self.num_envs)
            self.close_extras()  # not close, which a vector does once
            self._playing = _Playing(self._pools.pool(seeds))
        return self._playing.reset(self._rows), {}

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all of them; ``info`` has ``final_obs`` where an episode is over."""
        assert self._playing is not None
        observations, rewards, ended, cut = self._playing.step(self._rows, actions)
        over = ended | cut
        if not over.any():
            return observations, rewards, ended, cut, {}
        rows = np.flatnonzero(over)
        final, observations = observations, observations.copy()
        observations[rows] = self._playing.reset(rows)
        return observations, rewards, ended, cut, {"final_obs": final, "_final_obs": over}

    def close_extras(self, **kwargs: Any) -> None:
        """Close the pool."""
        if self._playing is not None:
            self._playing.pool.close()
            self._playing = None
