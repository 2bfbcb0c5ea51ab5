"""Evolution strategies timed: generations against the bare environment, and over processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rlidim.environments import making
from rlidim.networks import acting as acting_networks
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.task import Task
from rlidim.trainers.evolution import workers
from rlidim.trainers.evolution.population import Generation, Player, Population
from rlidim.trainers.evolution.searches import begin
from rlidim.trainers.evolution.train import train
from rlidim.trainers.run import Run

WARM_UP = 500_000  # environment steps at most, before a throughput is timed


REPEATS = 3  # paired timings at least


def throughput(
    task: Task, trainer: str, *, projection: str, d: int, seconds: float = 3.0
) -> dict[str, Any]:
    """Time whole generations against the bare vector environment, in one process, interleaved.

    A generation asks, projects, acts, steps and tells. Only steps of unfinished episodes count;
    the population starts from the best policy of a short run, a solved one where it can, so that
    episodes are as long as they are through most of a run's steps.

    Returns:
        environment steps per second end to end, those of the environment with random actions
        (its vector form at the same width, or a lone one), and their ratio; the same of a vector
        form that, as in training, does not check the actions; medians of the paired repeats.
    """
    cell = Cell(task.name, trainer, projection, d, 0)
    seeds = Seeds.of(cell)
    settings = task.settings(trainer)
    budget = {"n_timesteps": min(settings.n_timesteps, WARM_UP)}
    solved = train(Run(task.replace_settings(trainer, budget), cell, seeds))
    assert solved.theta_d is not None
    centre = solved.theta_d.astype(np.float64)
    acting = acting_networks.architecture_of(solved.network)
    normalised = acting if settings.normalize and isinstance(acting, Architecture) else None
    player = Player(task, cell, seeds)
    search = begin(task, trainer, player.space.n, 1e-3 * player.space.scale, seeds.training)
    members = np.arange(settings.population)
    trusted = (False, True) if making.has_one_stream(task) else (False,)
    pairs: list[tuple[float, ...]] = []
    began = time.perf_counter()
    while len(pairs) < REPEATS or time.perf_counter() - began < seconds:
        steps = 0

        def generation() -> None:
            nonlocal steps
            index = len(pairs)
            here = Generation(index, seeds.training + index, normalised)
            played = player.play(here, search.ask() + centre, members)
            search.tell(played.returns)
            steps = played.steps

        ours = _seconds(generation)
        raw = [raw_rate(task, settings.population, trusted=how) for how in trusted]
        pairs.append((steps / ours, *(made / taken for made, taken in raw)))
    player.close()
    rates = np.array(pairs)
    ours_rate, *raw_rates = (float(rate) for rate in np.median(rates, axis=0))
    shares = np.median(rates[:, :1] / rates[:, 1:], axis=0)
    figures = {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": acting.D,
        "d": d,
        "population": settings.population,
        "repeats": len(pairs),
        "steps_per_second": ours_rate,
        "raw_environment_steps_per_second": raw_rates[0],
        "fraction_of_raw": float(shares[0]),
    }
    if len(trusted) > 1:
        figures["unchecked_environment_steps_per_second"] = raw_rates[1]
        figures["fraction_of_unchecked"] = float(shares[1])
    return figures


def scaling(
    task: Task, trainer: str, *, projection: str, d: int, processes: int, seconds: float = 3.0
) -> dict[str, Any]:
    """Time generations in one process and, the same ones, over several, interleaved.

    The population can be split so: see :func:`rlidim.trainers.evolution.population.check_split`.

    Returns:
        the processes, environment steps per second over them, and how many times those of one
        process that is; medians of the paired repeats.
    """
    cell = Cell(task.name, trainer, projection, d, 0)
    seeds = Seeds.of(cell)
    settings = task.settings(trainer)
    player = Player(task, cell, seeds)
    alone = Population(player, settings.population, [])
    pairs: list[tuple[float, float]] = []
    with Population(
        player, settings.population, workers.start(task, cell, seeds, processes - 1)
    ) as split:
        began = time.perf_counter()
        while len(pairs) < REPEATS + 1 or time.perf_counter() - began < seconds:
            index = len(pairs)
            # The first generation's members each time: the search is told nothing.
            here = Generation(0, seeds.training + index)
            points = player.search.ask()
            rates, returns = [], []
            for population in (alone, split):
                start = time.perf_counter()
                played = population.play(here, points)
                rates.append(played.steps / (time.perf_counter() - start))
                returns.append(played.returns)
            assert np.array_equal(returns[0], returns[1])
            pairs.append((rates[0], rates[1]))
    timed = np.array(pairs[1:])  # in the first the workers begin
    return {
        "processes": processes,
        "steps_per_second_split": float(np.median(timed[:, 1])),
        "times_one_process": float(np.median(timed[:, 1] / timed[:, 0])),
    }


def raw_rate(task: Task, width: int, *, trusted: bool = False) -> tuple[int, float]:
    """Step the environments with fixed random actions; return (steps, seconds).

    Args:
        task: with these environments.
        width: of the vector form, where there is one.
        trusted: skip that form's check of the actions, as arenas do.
    """
    steps = 500
    vector: Any
    if making.has_vector_form(task):
        vector = making.make_vector(task, width)
        vector.reset(seed=0)
        vector.action_space.seed(0)
        actions = [vector.action_space.sample() for _ in range(16)]
        if trusted:
            making.trust_actions(vector.unwrapped)

        def play() -> None:
            for index in range(steps):
                vector.step(actions[index % len(actions)])

        return steps * width, _seconds(play)
    steps = 5_000
    environment = making.make(task)
    environment.action_space.seed(0)
    single = [environment.action_space.sample() for _ in range(16)]

    def play_one() -> None:
        environment.reset(seed=0)
        for index in range(steps):
            _, _, terminated, truncated, _ = environment.step(single[index % len(single)])
            if terminated or truncated:
                environment.reset()

    return steps, _seconds(play_one)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
