"""What is asked of a solution, checked before torch is loaded for it."""

from __future__ import annotations

from pathlib import Path

from rlidim.errors import RlidimError
from rlidim.records.configuration import configuration, differences
from rlidim.records.folder import read_record
from rlidim.records.record import RunRecord
from rlidim.tasks.problems import Atari
from rlidim.tasks.task import Task

VIDEO_KINDS = (".gif", ".mp4")
MODEL_KIND = ".zip"
MOST_SEED = 2**31 - 1  # of an Atari game


def record_of(task: Task, path: Path) -> RunRecord:
    """Read the record of a run that acted in a task's environment.

    Raises:
        RlidimError: the task has no environment; no such record, or another task's.
    """
    _ = task.control  # raises before the record is read
    record = read_record(path)
    if record.cell.task != task.name:
        raise RlidimError(f"{path}: a record of task '{record.cell.task}', not of '{task.name}'")
    now = configuration(task, record.cell)
    for name, before, after in differences(
        record.settings["environment"], now["environment"], "environment"
    ):
        raise RlidimError(
            f"{path}: made with {name} = {before!r}, the task file now has {after!r}: it would be "
            "another task"
        )
    return record


def check_playing(task: Task, video: Path | None, episodes: int, seed: int) -> None:
    """Check what is asked of a playback.

    Args:
        task: whose environment is played.
        video: the file to write, if any.
        episodes: how many.
        seed: of the first; the others count upwards.

    Raises:
        RlidimError: the task has no environment; a video of another kind, no episode, a negative
            seed, or one larger than the environment takes.
    """
    of_a_game = isinstance(task.control.environment, Atari)
    if video is not None and video.suffix not in VIDEO_KINDS:
        raise RlidimError(
            f"--video {video}: expected a name that ends in {' or '.join(VIDEO_KINDS)}"
        )
    if episodes < 1:
        raise RlidimError(f"--episodes must be at least 1, got {episodes}")
    if seed < 0:
        raise RlidimError(f"--seed must be at least 0, got {seed}")
    if of_a_game and seed + episodes - 1 > MOST_SEED:
        raise RlidimError(
            f"--seed must be at most {MOST_SEED - episodes + 1} for {episodes} episodes of a game, "
            f"got {seed}"
        )


def check_model(out: Path) -> None:
    """Check the name of a model.

    Raises:
        RlidimError: it has another ending.
    """
    if out.suffix != MODEL_KIND:
        raise RlidimError(f"--sb3 {out}: expected a name that ends in {MODEL_KIND}")
