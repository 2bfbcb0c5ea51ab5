"""A short moving picture of a recorded solution, and one of random actions in the same episode."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.records.record import RunRecord
from rlidim.solutions.playback import act_of, episode, lone, picture_of, policy_of
from rlidim.solutions.screen import GL, has_display, without_window
from rlidim.tasks.task import Task

SECONDS = 8.0  # of an episode that are shown
PAUSE = 1.5  # seconds that both stand still before they begin anew, together
RATE = 25  # pictures a second at most
WIDTH = 300  # pixels
LARGEST = 150_000  # bytes of one
QUALITIES = (75, 50, 25)  # of WebP; the first that is small enough


@dataclass(frozen=True)
class Film:
    """One episode, moving.

    Attributes:
        content: an animated WebP.
        size: width and height in pixels.
        score: the whole episode's return.
        steps: of the whole episode.
        whole: whether all of it is shown.
    """

    content: bytes
    size: tuple[int, int]
    score: float
    steps: int
    whole: bool


def films(task: Task, record: RunRecord, path: Path, log_dir: Path) -> tuple[Film, Film]:
    """Film a solution and random actions, in an episode at the seed of those that scored the run.

    It is the first of them, unless they were of a vector with one random stream, as CartPole's.
    Both go on for the same time and begin anew together.

    Args:
        task: the record's, one that draws.
        record: a run with a solution.
        path: where it was read, for messages.
        log_dir: the folder of logs, where long solutions are.

    Raises:
        RlidimError: the solution cannot be rebuilt, the environment draws nothing here, or its
            pictures are too many bytes.
    """
    policy = policy_of(record, path, log_dir)
    if task.control.environment.extra == "mujoco" and not has_display() and GL not in os.environ:
        raise RlidimError(f"MuJoCo draws on a display, or with {GL}=egl or osmesa without one")
    environment = lone(task, "rgb_array")
    try:
        seed = record.seeds.evaluation
        environment.action_space.seed(seed)
        random = environment.action_space.sample
        rate = float(environment.metadata.get("render_fps", RATE))
        with without_window():
            taken = [
                _take(task, environment, act, seed, rate)
                for act in (act_of(environment, policy), lambda observation: random())
            ]
    finally:
        environment.close()
    longest = max(len(take.pictures) for take in taken)
    found, by_chance = (take.developed(longest) for take in taken)
    return found, by_chance


@dataclass(frozen=True)
class _Take:
    """What was seen of an episode: pictures of uint8 (height, width, 3), milliseconds apart."""

    pictures: list[NDArray[np.uint8]]
    apart: float
    score: float
    steps: int
    whole: bool

    def developed(self, longest: int) -> Film:
        """Return it as a film that stands still at its end as long as one of ``longest`` goes on.

        Raises:
            RlidimError: it has too many bytes.
        """
        from PIL import Image

        images = []
        for picture in self.pictures:
            image = Image.fromarray(picture)
            size = (WIDTH, max(1, round(WIDTH * image.height / image.width)))
            images.append(image.resize(size, Image.Resampling.LANCZOS))
        apart = [round(self.apart)] * (len(images) - 1)
        apart.append(round(1000 * PAUSE + self.apart * longest) - sum(apart))
        for quality in QUALITIES:
            content = _encoded(images, apart, quality)
            if len(content) <= LARGEST:
                return Film(content, images[0].size, self.score, self.steps, self.whole)
        raise RlidimError(f"its pictures take more than {LARGEST:,} bytes")


def _encoded(images: Sequence[Any], apart: Sequence[int], quality: int) -> bytes:
    out = io.BytesIO()
    images[0].save(
        out,
        "WEBP",
        save_all=True,
        append_images=images[1:],
        duration=list(apart),
        loop=0,
        quality=quality,
        method=4,
    )
    return out.getvalue()


def _take(task: Task, environment: Any, act: Any, seed: int, rate: float) -> _Take:
    """Play an episode to its end, and draw its beginning."""
    every = math.ceil(rate / RATE)
    most = round(SECONDS * rate / every)
    pictures: list[NDArray[np.uint8]] = []
    steps = 0

    def look() -> None:
        nonlocal steps
        if steps % every == 0 and len(pictures) < most:
            pictures.append(picture_of(environment))
        steps += 1

    score = episode(task, environment, act, seed, look)
    return _Take(pictures, 1000 * every / rate, score, steps, steps <= most * every)
