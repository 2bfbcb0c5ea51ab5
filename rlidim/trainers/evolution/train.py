"""Evolution strategies on theta_d, whole populations evaluated at once.

OpenAI-ES (Salimans et al. 2017, the paper's choice for its MuJoCo and Atari tasks), CMA-ES (Hansen
2016), also with a diagonal, and ARS (Mania et al. 2018). All search the d numbers themselves; the
native baseline searches all D.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
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
from rlidim.trainers.evolution.searches import Vector
from rlidim.trainers.evolution.workers import ProcessWorker
from rlidim.trainers.run import Run


@dataclass
class State:
    """Where a search stands between two generations: what a checkpoint holds.

    Attributes:
        player: draws its points; its search has a distribution and perturbations.
        episodes: draws each generation's first seed.
        statistics: of the observations, None where they are not normalised.
        champion: the best point so far.
        curve: (environment steps, checkpoint score) pairs so far.
        steps: made in training.
        generation: how many have been played.
    """

    player: Player
    episodes: np.random.Generator
    statistics: RunningStatistics | None
    champion: Champion[Vector]
    curve: list[tuple[int, float]] = field(default_factory=list)
    steps: int = 0
    generation: int = 0

    @classmethod
    def of(cls, run: Run) -> State:
        """Return a run's beginning.

        Raises:
            RlidimError: see :class:`Player`.
        """
        player = Player(run.task, run.cell, run.seeds)
        statistics = None
        if run.settings.normalize:
            assert isinstance(player.architecture, Architecture)  # no task of frames may ask for it
            statistics = RunningStatistics(player.architecture)
        episodes = np.random.default_rng([run.seeds.training, 1])
        return cls(player, episodes, statistics, Champion(run.task, run.seeds))

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, of plain values and arrays."""
        return {
            "search": self.player.search.state(),
            "episodes": self.episodes.bit_generator.state,
            "statistics": None if self.statistics is None else self.statistics.state(),
            "champion": self.champion.state(),
            "point": self.champion.solution,
            "curve": self.curve,
            "steps": self.steps,
            "generation": self.generation,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same run stood."""
        self.player.search.take_up(state["search"])
        self.episodes.bit_generator.state = state["episodes"]
        if self.statistics is not None:
            self.statistics.take_up(state["statistics"])
        point = state["point"]
        self.champion.take_up(state["champion"], self.player.space.parameters(point), point)
        self.curve = [(int(steps), float(score)) for steps, score in state["curve"]]
        self.steps, self.generation = int(state["steps"]), int(state["generation"])

    def close(self) -> None:
        """Close the environments."""
        self.champion.close()
        self.player.close()


def _begin(run: Run) -> State:
    """Return where a run stands: at its checkpoint, or at its beginning."""
    at = State.of(run)
    checkpoints = run.checkpoints
    saved = None if checkpoints is None else checkpoints.load()
    if checkpoints is None or saved is None:
        return at
    with checkpoints.cautiously():
        at.take_up(saved)
        checkpoints.take_up(at.steps)
    if checkpoints.resumed is None:
        at.close()
        return State.of(run)
    return at


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
    at = _begin(run)
    player, champion, statistics = at.player, at.champion, at.statistics
    space, search = player.space, player.search
    normalised = None if statistics is None else statistics.freeze()

    def challenge(point: Vector) -> None:
        acting = normalised or player.architecture
        champion.challenge(acting.policy(space.parameters(point)), point.copy())

    overflown = False
    begun = partial(workers.start, task, cell, seeds, run.processes - 1)
    with (
        closing(at),
        Population(player, settings.population, begun(run.worker or ProcessWorker)) as population,
    ):
        if at.generation == 0:
            challenge(search.mean)
        while at.steps < settings.n_timesteps and not champion.solved:
            # Fresh episodes each generation, from the training range of seeds.
            seed = seeds.training + int(at.episodes.integers(SEED_SPAN - settings.population))
            points = search.ask()
            with np.errstate(over="ignore"):
                overflown = not np.isfinite(points.astype(np.float32)).all()
            if overflown:  # as parameters: what they would play says nothing
                break
            played = population.play(Generation(at.generation, seed, normalised), points)
            search.tell(played.returns)
            at.steps += played.steps
            at.generation += 1
            if not np.isfinite(search.mean).all():
                break
            if at.generation % settings.eval_freq == 0 or at.steps >= settings.n_timesteps:
                challenge(points[int(np.argmax(played.returns))])
                if not champion.solved:
                    challenge(search.mean)
                at.curve.append((at.steps, champion.score))
                run.report(at.steps, champion.score)
            if statistics is not None and played.moments is not None:
                statistics.add(played.moments)
                normalised = statistics.freeze()
            if checkpoints is not None and checkpoints.due():
                checkpoints.save(at.state())
    diverged = overflown or not np.isfinite(search.mean).all()
    point = champion.solution
    final = arena.evaluate(
        task, champion.policy, task.control.evaluation.episodes, seeds.evaluation
    )
    return Outcome(
        status="diverged" if diverged else "ok",
        returns=() if diverged else tuple(float(value) for value in final.returns),
        D=player.architecture.D,
        environment_steps=at.steps,
        curve=tuple(at.curve),
        stopped="solved" if champion.solved else "budget",
        theta_d=None if space.P is None else point.astype(np.float32),
        theta=space.parameters(point) if space.P is None else None,
        spec=None if space.P is None else space.P.spec.to_json(),
        network=champion.policy.architecture.to_json(),
        details={"generations": at.generation}
        | ({"device": str(device())} if task.problem.on_device else {}),
    )
