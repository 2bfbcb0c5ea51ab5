"""Playback and export of recorded solutions, rebuilt from their seeds and d numbers."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments import atari, making
from rlidim.environments.gate import one_action, one_number
from rlidim.environments.masks import Masked
from rlidim.errors import RlidimError
from rlidim.networks import acting
from rlidim.networks.acting import AnyArchitecture, AnyPolicy
from rlidim.networks.perceptron import Policy
from rlidim.records.checking import check_acting
from rlidim.records.files import try_writing, writing
from rlidim.records.record import RunRecord
from rlidim.solutions import file
from rlidim.solutions.asked import check_model, check_playing, record_of
from rlidim.solutions.screen import has_display, without_window
from rlidim.solutions.video import Keep, check_writer, dropped, filming
from rlidim.tasks.problems import Atari
from rlidim.tasks.task import Task


def parameters_of(
    record: RunRecord, path: Path, log_dir: Path
) -> tuple[AnyArchitecture, NDArray[np.float32]]:
    """Rebuild a record's network: theta_0 from its seed, P from its specification.

    Args:
        record: a finished run.
        path: where it was read, for messages.
        log_dir: the folder of logs, where native runs keep their parameters.

    Returns:
        The architecture, and its parameters, float32 (D,).

    Raises:
        RlidimError: the record holds no solution, a native run's file is gone, or the solution
            does not fit its network.
    """
    solution = file.of_record(record, path, log_dir)
    architecture = _architecture(solution.network, path)
    if architecture.D != record.D:  # before there are numbers for it
        raise RlidimError(
            f"{path}: its network has D = {architecture.D:,}, the record says {record.D:,}"
        )
    theta_0 = None
    if solution.theta_0_seed is not None:
        theta_0 = architecture.initial_parameters(solution.theta_0_seed)
    try:
        return architecture, solution.parameters(theta_0)
    except RlidimError as error:
        raise RlidimError(f"{path}: {error}") from error


def _architecture(network: dict[str, Any], path: Path) -> AnyArchitecture:
    """Return a solution's network, its parameters counted already.

    Raises:
        RlidimError: it is no network (names the record).
    """
    try:
        check_acting(network)
        architecture = acting.architecture_of(network)
        _ = architecture.D
    except (RlidimError, TypeError, ValueError, LookupError, RuntimeError) as error:
        raise RlidimError(f"{path}: not the description of a network ({error})") from error
    return architecture


def policy_of(record: RunRecord, path: Path, log_dir: Path) -> AnyPolicy:
    """Rebuild a record's policy: see :func:`parameters_of`."""
    architecture, theta = parameters_of(record, path, log_dir)
    return architecture.policy(theta)


def export(task: Task, path: Path, *, out: Path, log_dir: Path) -> list[Path]:
    """Write a recorded solution as a model of stock Stable-Baselines3.

    Args:
        task: the record's task.
        path: the record.
        out: a name that ends in ``.zip``.
        log_dir: the folder of logs, where native runs keep their parameters.

    Returns:
        The files: the model, and the normalisation of observations where there is one.

    Raises:
        RlidimError: another ending, no such record, another task's, or no solution in it.
    """
    check_model(out)
    from rlidim.trainers.sb3 import export as sb3_export

    record = record_of(task, path)
    architecture, theta = parameters_of(record, path, log_dir)
    return sb3_export.export(task, record.cell.trainer, architecture, theta, out)


def play(
    task: Task, path: Path, *, video: Path | None, episodes: int, seed: int, log_dir: Path
) -> list[float]:
    """Play episodes of a recorded solution, in a window if there is a display, or into a video.

    Args:
        task: the record's task.
        path: the record.
        video: a ``.gif`` or ``.mp4`` to write; None: see :func:`has_window`.
        episodes: how many.
        seed: of the first episode; the others count upwards.
        log_dir: the folder of logs, where native runs keep their parameters.

    Returns:
        The episodes' undiscounted returns.

    Raises:
        RlidimError: no such record, another task's, or no solution in it.
    """
    environment = task.control.environment
    check_playing(task, video, episodes, seed)
    if video is not None:  # before the episodes are drawn for it
        check_writer(video)
        with writing(video, "--video"):
            try_writing(video.parent)
            if video.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    record = record_of(task, path)
    policy = policy_of(record, path, log_dir)
    if isinstance(environment, Atari):
        return _play_game(environment, policy, episodes, seed, video)
    return _play(task, policy, episodes, seed, video)


def has_window(task: Task) -> bool:
    """Say whether playing a task's environment opens a window: it draws one, on a display."""
    if isinstance(task.control.environment, Atari):
        return False
    return has_display() and "human" in _modes(task)


def _modes(task: Task) -> list[str]:
    environment = making.make(task)
    modes = list(environment.metadata.get("render_modes", []))
    environment.close()
    return modes


def _play(
    task: Task, policy: AnyPolicy, episodes: int, seed: int, video: Path | None
) -> list[float]:
    """Play in one of Gymnasium's environments and return the returns."""
    with contextlib.ExitStack() as open_ones:
        if video is None:
            environment = lone(task, "human" if has_window(task) else None)
            open_ones.enter_context(contextlib.closing(environment))
            look = lambda: None  # noqa: E731  (a window shows itself)
        else:
            check_draws(task)
            environment = lone(task, "rgb_array")
            open_ones.enter_context(contextlib.closing(environment))
            open_ones.enter_context(without_window())
            rate = int(environment.metadata.get("render_fps", 30))
            keep = open_ones.enter_context(filming(video, rate))
            look = lambda: keep(picture_of(environment))  # noqa: E731
        return [
            episode(task, environment, act_of(environment, policy), seed + i, look)
            for i in range(episodes)
        ]


def picture_of(environment: Any) -> NDArray[np.uint8]:
    """Return what an environment draws now, uint8 (height, width, 3).

    Raises:
        RlidimError: it draws no such picture here.
    """
    try:
        picture = np.asarray(environment.render())
    except Exception as error:  # whatever a graphics library raises where it has no screen
        why = str(error).splitlines()[:1] or [type(error).__name__]
        raise RlidimError(f"it cannot be drawn here: {why[0]}") from error
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise RlidimError(
            f"it cannot be drawn: its picture has the shape {picture.shape}, not (height, width, 3)"
        )
    return picture.astype(np.uint8)


def draws(task: Task) -> bool:
    """Say whether a task has a lone environment that draws pictures.

    Raises:
        RlidimError: it cannot be made, as for want of its package.
    """
    return making.has_lone_form(task) and "rgb_array" in _modes(task)


def check_draws(task: Task) -> None:
    """Make sure that a video can be made of a task.

    Raises:
        RlidimError: its environment draws nothing.
    """
    if not isinstance(task.control.environment, Atari) and not draws(task):
        raise RlidimError(f"task '{task.name}' cannot be shown: its environment draws nothing")


def lone(task: Task, render_mode: str | None) -> Masked:
    """Make an environment for :func:`act_of` and :func:`episode`."""
    # An environment that knows no render_mode is not told of one.
    options = {} if render_mode is None else {"render_mode": render_mode}
    return Masked(making.make(task, **options))


def act_of(environment: Masked, policy: AnyPolicy) -> Callable[[Any], Any]:
    """Return a policy's action for an observation of a lone environment, in one episode."""
    fit, own = one_action(environment.action_space), policy.begun(1)

    def act(observation: Any) -> Any:
        seen = np.asarray(observation, dtype=np.float32)[None]
        if isinstance(own, Policy) and own.masked:
            return fit(own.act_among(seen, environment.action_masks()[None])[0])
        return fit(own.act(seen)[0])

    return act


def episode(
    task: Task,
    environment: Any,
    act: Callable[[Any], Any],
    seed: int,
    look: Callable[[], object],
) -> float:
    """Play an episode and return its undiscounted return.

    Args:
        task: the environment's.
        environment: a lone one.
        act: returns the action for an observation.
        seed: of the episode.
        look: is called before each step.
    """
    observation, _ = environment.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        look()
        observation, reward, terminated, truncated, _ = environment.step(act(observation))
        total += one_number(reward, task.control.environment.id)
        over = terminated or truncated
    return total


def _play_game(
    game: Atari, policy: AnyPolicy, episodes: int, seed: int, video: Path | None
) -> list[float]:
    """Play an Atari game; the video is of a second console that gets the same actions."""
    returns = []
    with contextlib.ExitStack() as consoles:
        seen = consoles.enter_context(contextlib.closing(atari.make(game, 1)))
        shown = None
        keep: Keep = dropped
        if video is not None:
            rate = atari.FRAMES_PER_SECOND // game.frame_skip
            keep = consoles.enter_context(filming(video, rate))
            shown = consoles.enter_context(contextlib.closing(atari.make(game, 1, picture=True)))
        for episode in range(episodes):
            observation, _ = seen.reset(seed=seed + episode)
            picture = None if shown is None else shown.reset(seed=seed + episode)[0]
            total, over = 0.0, False
            while not over:
                if picture is not None:
                    keep(picture[0, -1].copy())
                action = policy.act(observation)
                observation, reward, terminated, truncated, _ = seen.step(action)
                if shown is not None:
                    picture = shown.step(action)[0]
                total += float(reward[0])
                over = bool(terminated[0] or truncated[0])
            returns.append(total)
    return returns
