"""What Stable-Baselines3's face costs a vector environment: its steps beside the bare ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rlidim.environments import making
from rlidim.speed.paired import Comparison, rounds, seconds_of
from rlidim.tasks.task import Task
from rlidim.trainers.sb3.train import side_by_side
from rlidim.trainers.sb3.vector import VectorEnvironments

STEPS = 2_000  # of each environment, in a timing
REPEATS = 15  # pairs of timings


def rates(task: Task, width: int) -> dict[str, Any]:
    """Time the same random actions in both, in one process; nothing where there is no vector form.

    Returns:
        Environment steps per second of the adapter, the median; how many times those of the bare
        vector environment that is, the median of the pairs', with its quartiles.
    """
    adapted = side_by_side(task, width, 0)
    vector = making.make_seeded_vector(task, width)
    if vector is None or not isinstance(adapted, VectorEnvironments):
        adapted.close()
        return {}
    actions = [vector.action_space.sample() for _ in range(STEPS)]
    adapted.reset()
    vector.reset(seed=0)

    def seconds(step: Callable[[Any], object]) -> float:
        def play() -> None:
            for action in actions:
                step(action)

        return seconds_of(play)

    timings = [partial(seconds, adapted.step), partial(seconds, vector.step)]
    for timing in timings:
        timing()  # warm
    ours, theirs = rounds(timings, fewest=REPEATS, seconds=0.0)
    adapted.close()
    vector.close()
    share = Comparison.of(theirs, ours)  # of rates: seconds the other way round
    return {
        "environments": width,
        "adapter_steps_per_second": STEPS * width / float(np.median(ours)),
        **share.figures("adapter_fraction_of_bare"),
    }
