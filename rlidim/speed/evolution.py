"""Timings of evolution strategies: generations against the bare environment, and over processes."""

from __future__ import annotations

import itertools
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from rlidim.environments import making
from rlidim.networks import acting as acting_networks
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.speed.paired import Comparison, rounds, seconds_of
from rlidim.tasks.task import Task
from rlidim.trainers.evolution import workers
from rlidim.trainers.evolution.population import Generation, Player, Population, begin
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
        environment steps per second end to end, the median; its ratio to those of the environment
        with random actions (its vector form at the same width, or a lone one), the median of the
        pairs', with its quartiles; and the environment's steps per second, which the two give. The
        same of a vector form that, as in training, does not check the actions.
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
    count = itertools.count()

    def generation_seconds() -> float:
        index = next(count)
        steps = 0

        def play() -> None:
            nonlocal steps
            generation = Generation(index, seeds.training + index, normalised)
            played = player.play(generation, search.ask() + centre, members)
            search.tell(played.returns)
            steps = played.steps

        return seconds_of(play) / steps

    raw = [partial(raw_seconds, task, settings.population, trusted=how) for how in trusted]
    ours, *bare = rounds([generation_seconds, *raw], fewest=REPEATS, seconds=seconds)
    player.close()
    rate = 1.0 / float(np.median(ours))
    # Our share of the environment's rate: its seconds over ours.
    shares = [Comparison.of(theirs, ours) for theirs in bare]
    figures = {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": acting.D,
        "d": d,
        "population": settings.population,
        "repeats": len(ours),
        "steps_per_second": rate,
        "raw_environment_steps_per_second": rate / shares[0].ratio,
        **shares[0].figures("fraction_of_raw"),
    }
    if len(trusted) > 1:
        figures["unchecked_environment_steps_per_second"] = rate / shares[1].ratio
        figures |= shares[1].figures("fraction_of_unchecked")
    return figures


def scaling(
    task: Task, trainer: str, *, projection: str, d: int, processes: int, seconds: float = 3.0
) -> dict[str, Any]:
    """Time generations in one process and, the same ones, over several, interleaved.

    The population can be split so: see :func:`rlidim.trainers.evolution.population.check_split`.

    Returns:
        the processes, environment steps per second over them, the median; how many times those of
        one process that is, the median of the pairs', with its quartiles; and how many pairs.
    """
    cell = Cell(task.name, trainer, projection, d, 0)
    seeds = Seeds.of(cell)
    settings = task.settings(trainer)
    player = Player(task, cell, seeds)
    alone = Population(player, settings.population, [])
    # The first generation's members each time: the search is told nothing.
    points = player.search.ask()
    returns: dict[Population, list[Any]] = {alone: []}
    with Population(
        player, settings.population, workers.start(task, cell, seeds, processes - 1)
    ) as split:
        returns[split] = []

        def play(population: Population) -> float:
            earlier = returns[population]
            generation = Generation(0, seeds.training + len(earlier))
            start = perf_counter()
            played = population.play(generation, points)
            elapsed = perf_counter() - start
            earlier.append(played.returns)
            return elapsed / played.steps

        for population in (alone, split):  # where the workers begin
            play(population)
        timings = [partial(play, population) for population in (alone, split)]
        seconds_alone, seconds_split = rounds(timings, fewest=REPEATS, seconds=seconds)
    assert np.array_equal(returns[alone], returns[split])
    comparison = Comparison.of(seconds_alone, seconds_split)
    return {
        "processes": processes,
        "split_repeats": comparison.pairs,
        "steps_per_second_split": 1.0 / comparison.other_seconds,
        **comparison.figures("times_one_process"),
    }


def raw_seconds(task: Task, width: int, *, trusted: bool = False) -> float:
    """Step the environments with fixed random actions; return the seconds of a step.

    Args:
        task: with these environments.
        width: of the vector form, where there is one.
        trusted: skip that form's check of the actions, as arenas do.
    """
    steps = 500
    vector: Any
    if making.has_vector_form(task) or not making.has_lone_form(task):
        vector = making.make_vector(task, width)
        vector.reset(seed=0)
        vector.action_space.seed(0)
        actions = [vector.action_space.sample() for _ in range(16)]
        if trusted:
            making.trust_actions(vector.unwrapped)

        def play() -> None:
            for index in range(steps):
                vector.step(actions[index % len(actions)])

        return seconds_of(play) / (steps * width)
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

    return seconds_of(play_one) / steps
