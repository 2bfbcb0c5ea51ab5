"""MinAtar's games (Young and Tian 2019): five of Atari's in small, on 10 x 10 fields.

What is on a field is seen in layers, one for each kind of thing, without frames to be stacked. An
episode is its seed's alone: MinAtar's own would begin with the last action of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from rlidim.environments.fleets import Fleet
from rlidim.environments.moving import seeds_of
from rlidim.environments.plain_spaces import Space
from rlidim.errors import RlidimError
from rlidim.tasks.problems import MinAtar

SEEDS = 2**32  # of a game
FIELD = 16  # pixels of a field's side in a picture
FRAMES_PER_SECOND = 15


class Board(gymnasium.Env[NDArray[np.float32], Any]):
    """A game: observations float32 (layers, 10, 10), actions those that do something in it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": FRAMES_PER_SECOND}  # noqa: RUF012

    def __init__(self, environment: MinAtar, render_mode: str | None = None) -> None:
        """Set up the game.

        Raises:
            RlidimError: the package is missing.
        """
        self.render_mode = render_mode
        self._game = _package().Environment(
            environment.minatar,
            sticky_action_prob=environment.sticky_action_prob,
            difficulty_ramping=environment.difficulty_ramping,
        )
        self._choices = self._game.minimal_action_set()
        self._limit, self._elapsed = environment.max_episode_steps, 0
        height, across, layers = self._game.state_shape()
        self.observation_space = spaces.Box(0.0, 1.0, (layers, height, across), np.float32)
        self.action_space = spaces.Discrete(len(self._choices))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode, at a seed if one is given."""
        if seed is not None:
            self._game.seed(int(seed) % SEEDS)
        self._game.reset()
        self._game.last_action = self._elapsed = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take a step."""
        reward, over = self._game.act(self._choices[action])
        self._elapsed += 1
        cut = not over and self._elapsed >= self._limit
        return self._seen(), float(reward), bool(over), cut, {}

    def render(self) -> NDArray[np.uint8]:
        """Return a picture, uint8 (160, 160, 3): a field has the colour of its last layer."""
        layers = self._seen().astype(bool)
        # Evenly around the circle of colours, as three waves that are a third of it apart.
        turns = np.arange(len(layers))[:, None] / len(layers) + np.arange(3) / 3
        colours = (np.cos(2 * np.pi * turns) * 95 + 160).astype(np.uint8)
        picture = np.zeros((*layers.shape[1:], 3), dtype=np.uint8)
        for layer, colour in zip(layers, colours, strict=True):
            picture[layer] = colour
        return picture.repeat(FIELD, axis=0).repeat(FIELD, axis=1)

    def _seen(self) -> NDArray[np.float32]:
        fields: NDArray[np.bool_] = self._game.state()
        return np.moveaxis(fields, -1, 0).astype(np.float32)


class Boards:
    """The makers of one game."""

    one_stream = False
    lone = True

    def __init__(self, environment: MinAtar, file: Path) -> None:
        """Remember what the task's file says."""
        self.environment = environment

    def check(self) -> None:
        """Make sure that the package is there.

        Raises:
            RlidimError: it is missing.
        """
        _package()

    def make(self, **options: Any) -> Board:
        """Make a game, with ``render_mode`` if it is to be shown."""
        return Board(self.environment, **options)

    def make_vector(self, width: int) -> VectorEnv[Any, Any, Any]:
        """Make games side by side, each begun anew in the step after its end."""
        return SyncVectorEnv([self.make] * width)

    def make_seeded_vector(self, width: int) -> BoardVector:
        """Make games side by side, a seed each."""
        return BoardVector([self.make() for _ in range(width)])

    def fleet(self, width: int) -> Fleet:
        """Refuse: what trains many runs at once has no convolutions."""
        raise RlidimError(
            f"environment '{self.environment.id}': networks on frames are trained one by one"
        )

    def rows(self, width: int) -> BoardRows:
        """Return episodes side by side."""
        return BoardRows([self.make() for _ in range(width)])

    def has_vector_form(self) -> bool:
        """Say no: the arena plays a game's episodes by :class:`BoardRows`."""
        return False

    def spaces(self) -> tuple[Space, Space]:
        """Return the spaces of observations and actions."""
        board = self.make()
        return board.observation_space, board.action_space

    def own_spaces(self) -> tuple[Space, Space]:
        """Return those of MinAtar's environment for Gymnasium, ``MinAtar/Breakout-v1``."""
        observed, actions = self.spaces()
        layers, height, across = observed.shape or ()
        return spaces.Box(0.0, 1.0, (height, across, layers), bool), actions


class BoardRows:
    """Episodes of games side by side, of which those that are not over are stepped."""

    whole = False

    def __init__(self, boards: Sequence[Board]) -> None:
        """Take hold of the games."""
        self._boards = boards

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin an episode in each, at a seed each; return the observations, (N, size)."""
        pairs = zip(self._boards, seeds, strict=True)
        return np.stack([board.reset(seed=seed)[0].ravel() for board, seed in pairs])

    def step(
        self, active: NDArray[np.intp], actions: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[Any], NDArray[np.bool_]]:
        """Step some of them; see :class:`rlidim.environments.side_by_side.Rows`."""
        pairs = zip(active.tolist(), actions.tolist(), strict=True)
        observations, rewards, over, cut, _ = zip(
            *(self._boards[place].step(action) for place, action in pairs), strict=True
        )
        flat = np.stack(observations).reshape(len(active), -1)
        return flat, np.array(rewards), np.array(over) | np.array(cut)

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class BoardVector(VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Games as a vector environment that begins anew in the step that ends an episode."""

    def __init__(self, boards: Sequence[Board]) -> None:
        """Take hold of the games."""
        self._boards = boards
        self.num_envs = len(boards)
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = boards[0].observation_space
        self.single_action_space = boards[0].action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode in each, at a seed each, or counted upwards from one."""
        pairs = zip(self._boards, seeds_of(seed, self.num_envs), strict=True)
        return np.stack([board.reset(seed=each)[0] for board, each in pairs]), {}

    def step(self, actions: NDArray[Any]) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all of them; ``info`` has ``final_obs`` where an episode is over."""
        pairs = zip(self._boards, actions.tolist(), strict=True)
        each = zip(*(board.step(action) for board, action in pairs), strict=True)
        observations, rewards, ended, cut, _ = (np.array(part) for part in each)
        over = ended | cut
        if not over.any():
            return observations, rewards, ended, cut, {}
        final = observations.copy()
        for row in np.flatnonzero(over).tolist():
            observations[row] = self._boards[row].reset()[0]
        return observations, rewards, ended, cut, {"final_obs": final, "_final_obs": over}


def _package() -> Any:
    try:
        import minatar
    except ImportError as error:
        raise RlidimError(
            f"a game of MinAtar needs a package that is missing: pip install "
            f"'rlidim[{MinAtar.extra}]' ({error})"
        ) from error
    return minatar
