"""Steps per second of games: our vector environment, the emulator, SB3's own environments.

The emulator is timed twice: without its screen, and by its Gymnasium environment, which reads the
screen of each frame.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from rlidim.environments import atari
from rlidim.speed.paired import Comparison, rounds, seconds_of
from rlidim.tasks.problems import Atari
from rlidim.trainers.sb3.atari import AtariVecEnv

REPEATS = 5
STEPS = 2_000  # of an agent, in a timing
WARM_UP = 50  # steps of each game before


def rates(game: Atari, width: int, *, steps: int = STEPS, repeats: int = REPEATS) -> dict[str, Any]:
    """Step games with random actions, one way after another, in this process.

    Args:
        game: what the task file says.
        width: games side by side.
        steps: of an agent, in each timing.
        repeats: of all of them.

    Returns:
        Agent steps per second of ours, the median; of ours over each of the others, the median of
        the paired ratios, with its quartiles; and the others' steps per second, which these give.
        Stable-Baselines3's environments are timed where it has the game and OpenCV is here.

    Raises:
        RlidimError: see :func:`rlidim.environments.atari.check`.
    """
    steps = max(steps // width, 1) * width  # a vector's steps are whole
    ways: dict[str, Callable[[], None]] = {
        "ours": _vector(AtariVecEnv(game, width), steps // width),
        "emulator": _emulator(game, steps),
        "gymnasium": _gymnasium(game, steps),
    }
    stock = _stock_name(game)
    if stock is not None:
        ways["stable_baselines3"] = _vector(_stock(stock, game, width), steps // width)
    timed = rounds([partial(seconds_of, way) for way in ways.values()], fewest=repeats, seconds=0.0)
    seconds = dict(zip(ways, timed, strict=True))
    ours = steps / float(np.median(seconds["ours"]))
    figures: dict[str, Any] = {
        "environments": width,
        "environment_repeats": repeats,
        "ours_agent_steps_per_second": ours,
    }
    for name in list(ways)[1:]:
        # Our rate over theirs: their seconds over ours.
        comparison = Comparison.of(seconds[name], seconds["ours"])
        figures[f"{name}_agent_steps_per_second"] = ours / comparison.ratio
        figures |= comparison.figures(f"ours_over_{name}")
    return figures


def _vector(environments: Any, count: int) -> Callable[[], None]:
    """Return a function that makes so many steps of every game."""
    generator = np.random.default_rng(0)
    actions = generator.integers(environments.action_space.n, size=(16, environments.num_envs))
    environments.seed(0)
    environments.reset()

    def play(count: int = count) -> None:
        for index in range(count):
            environments.step(actions[index % len(actions)])

    play(WARM_UP)
    return play


def _emulator(game: Atari, steps: int) -> Callable[[], None]:
    """Return a function that makes an agent's steps in one console, its screen not read."""
    rom = atari.check(game)
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    console: Any = ale_py.ALEInterface()
    console.setInt("random_seed", 0)
    console.setFloat("repeat_action_probability", game.repeat_action_probability)
    console.loadROM(roms.get_rom_path(rom))
    legal = console.getMinimalActionSet()
    choices = np.random.default_rng(0).integers(len(legal), size=256)

    def play() -> None:
        for index in range(steps):
            action = legal[choices[index % len(choices)]]
            for _ in range(game.frame_skip):
                console.act(action)
            if console.game_over():
                console.reset_game()

    return play


def _gymnasium(game: Atari, steps: int) -> Callable[[], None]:
    """Return a function that makes an agent's steps, each frame's colour screen read."""
    environment = gymnasium.make(
        f"ALE/{atari.registered_name(game)}-v5",
        frameskip=1,
        repeat_action_probability=game.repeat_action_probability,
        max_num_frames_per_episode=game.max_frames,
    )
    choices = np.random.default_rng(0).integers(environment.action_space.n, size=256)  # type: ignore[attr-defined]
    environment.reset(seed=0)

    def play() -> None:
        for index in range(steps):
            for _ in range(game.frame_skip):
                _, _, terminated, truncated, _ = environment.step(choices[index % len(choices)])
                if terminated or truncated:
                    environment.reset()

    return play


def _stock_name(game: Atari) -> str | None:
    """Return the environment that Stable-Baselines3 wraps, None where it cannot.

    It needs OpenCV, and a game of the arcade learning environment's first sixty.
    """
    name = f"{atari.registered_name(game)}NoFrameskip-v4"
    return name if find_spec("cv2") is not None and name in gymnasium.registry else None


def _stock(name: str, game: Atari, width: int) -> Any:
    """Return Stable-Baselines3's own environments of a game, four frames stacked."""
    stock = make_atari_env(
        name,
        n_envs=width,
        wrapper_kwargs={"frame_skip": game.frame_skip, "noop_max": game.noop_max},
    )
    return VecFrameStack(stock, atari.STACKED)
