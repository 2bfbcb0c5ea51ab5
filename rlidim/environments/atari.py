"""Atari 2600 games by ale-py's own vector environment: frames skipped, greyed and stacked in C++.

The preprocessing is that of Mnih et al. 2015; sticky actions are those of Machado et al. 2018.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from rlidim.errors import RlidimError, nearest
from rlidim.tasks.problems import Atari
from rlidim.tasks.task import ANY_GAME

if TYPE_CHECKING:
    from gymnasium import spaces
    from gymnasium.vector import AutoresetMode, VectorEnv

SIZE = 84  # pixels of a frame's height and width
STACKED = 4  # frames of an observation
SCREEN = (210, 160)  # pixels of the console's picture
FRAMES_PER_SECOND = 60  # of the console


def check(game: Atari) -> str:
    """Return the game's name if there is a game of that name.

    Raises:
        RlidimError: ale-py is missing, no game was named, or there is none of that name for one
            player (with the nearest).
    """
    if game.game is None:
        raise RlidimError(
            f"task '{ANY_GAME}' is for any game: name one, as in rlidim {ANY_GAME} --game seaquest"
        )
    known = names()
    if game.game not in known:
        raise RlidimError(
            f"unknown Atari game for one player: '{game.game}'{nearest(game.game, known)}"
        )
    return game.game


def registered_name(game: Atari) -> str:
    """Return what ale-py's Gymnasium environments call the game: ``SpaceInvaders``.

    Raises:
        RlidimError: see :func:`check`.
    """
    return names()[check(game)]


@functools.cache
def names() -> dict[str, str]:
    """Return the games for one player: what ale-py's Gymnasium environments call them, by ROM.

    Example:
        >>> names()["space_invaders"]
        'SpaceInvaders'

    Raises:
        RlidimError: ale-py is missing.
    """
    try:
        import ale_py
        from ale_py import roms
    except ImportError as error:
        raise RlidimError(
            f"an Atari game needs a package that is missing: pip install 'rlidim[{Atari.extra}]' "
            f"({error})"
        ) from error
    import gymnasium

    gymnasium.register_envs(ale_py)
    matches = (re.fullmatch(r"ALE/(\w+)-v5", each) for each in gymnasium.registry)
    registered = {match[1].lower(): match[1] for match in matches if match is not None}
    by_rom = {rom: registered.get(rom.replace("_", "")) for rom in roms.get_all_rom_ids()}
    return {rom: name for rom, name in by_rom.items() if name is not None}


def make(
    game: Atari,
    width: int,
    *,
    autoreset: AutoresetMode | None = None,
    life_loss: bool = False,
    threads: int = 1,
    picture: bool = False,
) -> VectorEnv[Any, Any, Any]:
    """Make ``width`` games that are played side by side; rewards are the game's own, unclipped.

    Args:
        game: what the task file says.
        width: how many.
        autoreset: when a finished game begins anew: at the next step, Gymnasium's default, or in
            the same one.
        life_loss: report the loss of a life as an episode's end; the game goes on.
        threads: that step them.
        picture: observe the console's picture, uint8 (width, 1, 210, 160, 3), for showing it. With
            the same seeds and actions it is the same game.

    Returns:
        A vector environment with observations uint8 (width, 4, 84, 84).

    Raises:
        RlidimError: see :func:`check`.
    """
    rom = check(game)
    import ale_py
    from ale_py.vector_env import AtariVectorEnv
    from gymnasium.vector import AutoresetMode

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    shape: dict[str, Any] = {"img_height": SIZE, "img_width": SIZE, "stack_num": STACKED}
    if picture:
        height, across = SCREEN
        shape = {"img_height": height, "img_width": across, "stack_num": 1, "grayscale": False}
    environments: VectorEnv[Any, Any, Any] = AtariVectorEnv(
        rom,
        width,
        num_threads=threads,
        autoreset_mode=autoreset or AutoresetMode.NEXT_STEP,
        frameskip=game.frame_skip,
        repeat_action_probability=game.repeat_action_probability,
        noop_max=game.noop_max,
        use_fire_reset=game.fire_reset,
        max_num_frames_per_episode=game.max_frames,
        reward_clipping=False,
        life_loss_info=life_loss,
        **shape,
    )
    return environments


def spaces_of(game: Atari) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """Return the spaces of observations and actions.

    Raises:
        RlidimError: see :func:`check`.
    """
    environments = make(game, 1)
    both = environments.single_observation_space, environments.single_action_space
    environments.close()
    return both
