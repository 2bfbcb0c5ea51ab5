"""A task's environment tried: random actions through every form of it that training would use."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.environments import making
from rlidim.environments.gate import is_finite
from rlidim.errors import RlidimError
from rlidim.tasks.task import Task

WIDTH = 4  # environments side by side
STEPS = 2_000  # of each form
LONGEST = 2.0  # seconds of each: a slow environment makes fewer steps
Play = Generator[tuple[int, int], None, None]  # what plays a form: each call's steps and ends


@dataclass(frozen=True)
class Trial:
    """What one form of an environment did under random actions; ``ended`` counts episodes."""

    form: str
    steps: int
    seconds: float
    ended: int

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.steps / self.seconds


def trials(task: Task, seed: int = 0) -> list[Trial]:
    """Play each form of a control task's environment for a while.

    Raises:
        RlidimError: one cannot be made, or returns what no trainer can use (names the form).
    """
    found = []
    for form, play in _forms(task, seed):
        with told(f"{task.file}: {form}"):
            found.append(_timed(form, play))
    return found


@contextmanager
def told(where: str) -> Iterator[None]:
    """Make of whatever a user's environment raises one line, with its file and line.

    Raises:
        RlidimError: something was raised.
    """
    try:
        yield
    except KeyboardInterrupt:  # the user's
        raise
    except RlidimError as error:
        said = str(error).removeprefix(f"{where.partition(': ')[0]}: ")  # the file, once
        raise RlidimError(f"{where}: {said}") from error
    except BaseException as error:  # sys.exit() too
        last = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RlidimError(
            f"{where}: {reason} ({Path(last.filename).name}, line {last.lineno})"
        ) from error


def _forms(task: Task, seed: int) -> Iterator[tuple[str, Play]]:
    """Return each form by name, and what plays it, whose ``close`` closes the environments."""
    if making.has_lone_form(task):
        yield "one environment", _lone(task, seed)
        yield f"{WIDTH} side by side", _rows(task, seed)
    if making.has_vector_form(task):
        yield f"its own vector of {WIDTH}", _vector(making.make_vector(task, WIDTH), seed)
    seeded = making.make_seeded_vector(task, WIDTH)
    if seeded is not None:
        yield f"a vector of {WIDTH}, a seed each", _vector(seeded, seed)
    if any(task.settings(trainer).together > 1 for trainer in task.trainers):
        yield f"{WIDTH} of a run among many", _fleet(task, seed)


def _timed(form: str, play: Play) -> Trial:
    with closing(play):
        next(play)  # made and reset
        steps, ended, begin = 0, 0, time.perf_counter()
        for count, over in play:
            steps, ended = steps + count, ended + over
            if steps >= STEPS or time.perf_counter() - begin > LONGEST:
                break
        return Trial(form, steps, time.perf_counter() - begin, ended)


def _lone(task: Task, seed: int) -> Play:
    with closing(making.make(task)) as environment:
        environment.action_space.seed(seed)
        shape = environment.observation_space.shape
        observation, _ = environment.reset(seed=seed)
        _check(observation, "a first observation", shape)
        yield 0, 0
        while True:
            observation, reward, terminated, truncated, _ = environment.step(
                environment.action_space.sample()
            )
            _check(observation, "an observation", shape)
            _check(reward, "a reward")
            if terminated or truncated:
                environment.reset()
            yield 1, int(terminated or truncated)


def _rows(task: Task, seed: int) -> Play:
    sample = _sampler(task, seed)
    with closing(making.make_rows(task, WIDTH)) as rows:
        _check(rows.reset(range(seed, seed + WIDTH)), "a first observation")
        active = np.arange(WIDTH)
        yield 0, 0
        while True:
            observations, rewards, over = rows.step(active, np.stack([sample() for _ in active]))
            _check(observations, "an observation")
            _check(rewards, "a reward")
            yield len(active), int(np.sum(over))
            active = active[~over]
            if not len(active):
                seed += WIDTH
                rows.reset(range(seed, seed + WIDTH))
                active = np.arange(WIDTH)


def _vector(made: Any, seed: int) -> Play:
    with closing(made) as vector:
        vector.action_space.seed(seed)
        observations, _ = vector.reset(seed=seed)
        _check(observations, "a first observation")
        yield 0, 0
        while True:
            observations, rewards, terminated, truncated, _ = vector.step(
                vector.action_space.sample()
            )
            _check(observations, "an observation")
            _check(rewards, "a reward")
            yield WIDTH, int(np.sum(np.logical_or(terminated, truncated)))


def _fleet(task: Task, seed: int) -> Play:
    sample = _sampler(task, seed)
    with closing(making.make_fleet(task, WIDTH)) as fleet:
        fleet.enter(seed)
        yield 0, 0
        while True:
            stepped = fleet.step(np.stack([sample() for _ in range(WIDTH)])[None])
            if fleet.failed:
                raise RlidimError(fleet.failed[0].strip().splitlines()[-1])
            yield WIDTH, int(np.sum(stepped.terminated | stepped.truncated))


def _sampler(task: Task, seed: int) -> Callable[[], Any]:
    _, space = making.spaces_of(task)
    space.seed(seed)
    return space.sample


def _check(numbers: Any, what: str, shape: tuple[int, ...] | None = None) -> None:
    if shape is not None and np.shape(numbers) != shape:
        raise RlidimError(f"{what} has the shape {np.shape(numbers)}, its space {shape}")
    if not is_finite(numbers):
        raise RlidimError(f"{what} is not finite")
