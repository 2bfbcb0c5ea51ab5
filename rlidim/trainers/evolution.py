"""Evolution strategies on theta_d: OpenAI-ES and CMA-ES, whole populations evaluated at once.

Salimans et al. 2017 (the paper's choice for its MuJoCo and Atari tasks); Hansen 2016. Both search
the d numbers themselves; the native baseline searches all D.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.devices import device
from rlidim.environments import arena, making
from rlidim.networks import acting as acting_networks
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.checkpoints import Checkpoints
from rlidim.records.record import Outcome
from rlidim.tasks.task import Atari, Task
from rlidim.trainers import Report, unheard, workers
from rlidim.trainers.early_stopping import SEED_SPAN, Champion
from rlidim.trainers.normalisation import RunningStatistics
from rlidim.trainers.population import Generation, Player, Population, Worker, check_split
from rlidim.trainers.searches import Vector, begin
from rlidim.trainers.workers import ProcessWorker

WARM_UP = 500_000  # environment steps at most, before a throughput is timed
REPEATS = 3  # paired timings at least


def train(
    task: Task,
    cell: Cell,
    seeds: Seeds,
    report: Report,
    run_directory: Path | None,
    checkpoints: Checkpoints | None = None,
    *,
    processes: int = 1,
    worker: Callable[[], Worker] = ProcessWorker,
) -> Outcome:
    """Search theta_d (or, natively, theta_D) and score the best point on fresh episodes.

    Every ``eval_freq`` generations the mean of the search and its generation's best member are
    scored on checkpoint episodes, and the best so far is kept, with the observations' statistics
    that its generation acted with.

    Args:
        task: a control task.
        cell: the run.
        seeds: its seeds.
        report: told the progress.
        run_directory: nothing but a checkpoint is written there.
        checkpoints: that the run may go on from; every generation's episodes begin at seeds of
            their own, so that a resumed search goes on exactly.
        processes: that a generation's episodes are split over; the outcome is the same for any.
        worker: what each of them but this one is.

    Raises:
        RlidimError: an unknown projection, d not in 1 .. D, an environment at fault, or a
            population that cannot be split so.
        MachineLostError: a worker elsewhere is gone.
    """
    settings = task.settings(cell.trainer)
    check_split(task, cell.trainer, processes)
    player = Player(task, cell, seeds)
    space = player.space
    episodes = np.random.default_rng([seeds.training, 1])
    statistics = None
    if settings.normalize:
        assert isinstance(player.architecture, Architecture)  # no task of frames may ask for it
        statistics = RunningStatistics(player.architecture)
    champion: Champion[Vector] = Champion(task, seeds)
    curve: list[tuple[int, float]] = []
    steps, generation = 0, 0
    saved = None if checkpoints is None else checkpoints.load()
    if checkpoints is not None and saved is not None:
        player.search, episodes, statistics, curve, steps, generation, best = saved
        champion.take_up(best)
        checkpoints.take_up(steps)
    search = player.search
    normalised = None if statistics is None else statistics.freeze()

    def challenge(point: Vector) -> None:
        acting = normalised or player.architecture
        champion.challenge(acting.policy(space.parameters(point)), point.copy())

    others = workers.start(task, cell, seeds, processes - 1, worker)
    with Population(player, settings.population, others) as population:
        if generation == 0:
            challenge(search.mean)
        while steps < settings.n_timesteps and not champion.solved:
            # Fresh episodes each generation, from the training range of seeds.
            seed = seeds.training + int(episodes.integers(SEED_SPAN - settings.population))
            points = search.ask()
            played = population.play(Generation(generation, seed, normalised), points)
            search.tell(played.returns)
            steps += played.steps
            generation += 1
            if not np.isfinite(search.mean).all():
                break
            if generation % settings.eval_freq == 0 or steps >= settings.n_timesteps:
                challenge(points[int(np.argmax(played.returns))])
                if not champion.solved:
                    challenge(search.mean)
                curve.append((steps, champion.score))
                report(steps, champion.score)
            if statistics is not None and played.moments is not None:
                statistics.add(played.moments)
                normalised = statistics.freeze()
            if checkpoints is not None and checkpoints.due():
                best = champion.state()
                checkpoints.save((search, episodes, statistics, curve, steps, generation, best))
    champion.close()
    diverged = not np.isfinite(search.mean).all()
    point = champion.solution
    final = arena.evaluate(task, champion.policy, task.evaluation.episodes, seeds.evaluation)
    return Outcome(
        status="diverged" if diverged else "ok",
        returns=() if diverged else tuple(float(value) for value in final.returns),
        D=player.architecture.D,
        environment_steps=steps,
        curve=tuple(curve),
        stopped="solved" if champion.solved else "budget",
        theta_d=None if space.P is None else point.astype(np.float32),
        theta=space.parameters(point) if space.P is None else None,
        spec=None if space.P is None else space.P.spec.to_json(),
        network=champion.policy.architecture.to_json(),
        details={"generations": generation}
        | ({"device": str(device())} if isinstance(task.environment, Atari) else {}),
    )


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
    solved = train(task.replace_settings(trainer, budget), cell, seeds, unheard, None)
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

    The population can be split so: see :func:`rlidim.trainers.population.check_split`.

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
