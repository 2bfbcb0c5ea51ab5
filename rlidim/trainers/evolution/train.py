"""Evolution strategies on theta_d: OpenAI-ES and CMA-ES, whole populations evaluated at once.

Salimans et al. 2017 (the paper's choice for its MuJoCo and Atari tasks); Hansen 2016. Both search
the d numbers themselves; the native baseline searches all D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlidim.devices import device
from rlidim.environments import arena
from rlidim.networks.perceptron import Architecture
from rlidim.records.record import Outcome
from rlidim.trainers.early_stopping import SEED_SPAN, Champion
from rlidim.trainers.evolution import workers
from rlidim.trainers.evolution.normalisation import RunningStatistics
from rlidim.trainers.evolution.population import Generation, Player, Population, check_split
from rlidim.trainers.evolution.searches import Search, Vector
from rlidim.trainers.evolution.workers import ProcessWorker
from rlidim.trainers.run import Run


@dataclass(frozen=True)
class State:
    """Where a search stands between two generations: what a checkpoint holds.

    Attributes:
        search: its distribution and perturbations.
        episodes: draws each generation's first seed.
        statistics: of the observations, None where they are not normalised.
        curve: (environment steps, checkpoint score) pairs so far.
        steps: made in training.
        generation: how many have been played.
        champion: of :meth:`Champion.state`.
    """

    search: Search
    episodes: np.random.Generator
    statistics: RunningStatistics | None
    curve: list[tuple[int, float]]
    steps: int
    generation: int
    champion: dict[str, Any]


def train(run: Run) -> Outcome:
    """Search theta_d (or, natively, theta_D) and score the best point on fresh episodes.

    Every ``eval_freq`` generations the mean of the search and its generation's best member are
    scored on checkpoint episodes, and the best so far is kept, with the observations' statistics
    that its generation acted with.

    Every generation's episodes begin at seeds of their own, so that a resumed search goes on
    exactly, and may be split over processes.

    Raises:
        RlidimError: an unknown projection, d not in 1 .. D, an environment at fault, or a
            population that cannot be split so.
        MachineLostError: a worker elsewhere is gone.
    """
    task, cell, seeds, settings = run.task, run.cell, run.seeds, run.settings
    checkpoints = run.checkpoints
    check_split(task, cell.trainer, run.processes)
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
        player.search, episodes, statistics = saved.search, saved.episodes, saved.statistics
        curve, steps, generation = saved.curve, saved.steps, saved.generation
        champion.take_up(saved.champion)
        checkpoints.take_up(steps)
    search = player.search
    normalised = None if statistics is None else statistics.freeze()

    def challenge(point: Vector) -> None:
        acting = normalised or player.architecture
        champion.challenge(acting.policy(space.parameters(point)), point.copy())

    others = workers.start(task, cell, seeds, run.processes - 1, run.worker or ProcessWorker)
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
                run.report(steps, champion.score)
            if statistics is not None and played.moments is not None:
                statistics.add(played.moments)
                normalised = statistics.freeze()
            if checkpoints is not None and checkpoints.due():
                best = champion.state()
                checkpoints.save(
                    State(search, episodes, statistics, curve, steps, generation, best)
                )
    champion.close()
    diverged = not np.isfinite(search.mean).all()
    point = champion.solution
    final = arena.evaluate(
        task, champion.policy, task.control.evaluation.episodes, seeds.evaluation
    )
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
        | ({"device": str(device())} if task.problem.on_device else {}),
    )
