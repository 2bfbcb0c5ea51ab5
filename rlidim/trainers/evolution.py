"""Evolution strategies on theta_d: OpenAI-ES and CMA-ES, whole populations evaluated at once.

Salimans et al. 2017 (the paper's choice for its MuJoCo and Atari tasks); Hansen 2016. Both search
the d numbers themselves; the native baseline searches all D.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rlidim.projections import projection
from rlidim.records import Cell, Outcome, Seeds
from rlidim.settings import CmaEvolutionStrategySettings, EvolutionStrategySettings
from rlidim.task import Task
from rlidim.trainers import Report, evaluation
from rlidim.trainers.evaluation import SEED_SPAN, AnyArchitecture, Arena, Champion

Vector = NDArray[np.float64]
ADAM_DECAYS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


class Search(Protocol):
    """One generation after another."""

    def ask(self) -> Vector:
        """Return candidates, (population, n)."""
        ...

    def tell(self, returns: Vector) -> None:
        """Take the candidates' returns, (population,)."""
        ...

    @property
    def mean(self) -> Vector:
        """The search distribution's mean, (n,)."""
        ...


class OpenAIEvolutionStrategy:
    """Antithetic perturbations, centred ranks, Adam (Salimans et al. 2017, algorithm 1)."""

    def __init__(
        self, n: int, scale: float, settings: EvolutionStrategySettings, seed: int
    ) -> None:
        """Start at zero.

        Args:
            n: dimensions searched.
            scale: the length, in the searched space, that ``sigma`` and ``learning_rate`` count in.
            settings: see there.
            seed: of the perturbations.
        """
        self.settings = settings
        self.sigma = settings.sigma * scale / math.sqrt(n)
        self.rate = settings.learning_rate * scale / math.sqrt(n)
        self._generator = np.random.default_rng(seed)
        self._mean = np.zeros(n)
        self._moments = np.zeros((2, n))
        self._step = 0
        self._noise = np.zeros((0, n))

    @property
    def mean(self) -> Vector:
        """The centre of the perturbations, (n,)."""
        return self._mean

    def ask(self) -> Vector:
        """Return pairs mean + sigma e and mean - sigma e, (population, n)."""
        half = self._generator.standard_normal((self.settings.population // 2, len(self._mean)))
        self._noise = half
        return np.concatenate((self._mean + self.sigma * half, self._mean - self.sigma * half))

    def tell(self, returns: Vector) -> None:
        """Follow the ranks."""
        ranks = centred_ranks(returns)
        half = len(self._noise)
        ascent = (ranks[:half] - ranks[half:]) @ self._noise / len(returns)
        ascent -= self.settings.weight_decay * self._mean
        self._step += 1
        first, second = ADAM_DECAYS
        self._moments[0] += (1 - first) * (ascent - self._moments[0])
        self._moments[1] += (1 - second) * (ascent**2 - self._moments[1])
        mean = self._moments[0] / (1 - first**self._step)
        spread = np.sqrt(self._moments[1] / (1 - second**self._step))
        self._mean = self._mean + self.rate * mean / (spread + ADAM_EPSILON)


def centred_ranks(returns: Vector) -> Vector:
    """Map returns to ranks between -1/2 and 1/2; equal returns share their mean rank."""
    order = np.argsort(returns, kind="stable")
    ranks = np.empty(len(returns))
    ranks[order] = np.arange(len(returns))
    _, inverse, counts = np.unique(returns, return_inverse=True, return_counts=True)
    shared = np.bincount(inverse, weights=ranks) / counts
    return np.asarray(shared[inverse] / (len(returns) - 1) - 0.5)


class CovarianceAdaptation:
    """CMA-ES by the ``cma`` package, restarted at theta_0 whenever it has converged."""

    def __init__(
        self, n: int, scale: float, settings: CmaEvolutionStrategySettings, seed: int
    ) -> None:
        """Start at zero; see :class:`OpenAIEvolutionStrategy` for the arguments."""
        self.n = n
        # The package needs two dimensions: a second, without effect, stands beside a single one.
        self._searched = max(n, 2)
        self._sigma = settings.sigma0 * scale / math.sqrt(n)
        self._generator = np.random.default_rng(seed)
        self._options = {
            "popsize": settings.population,
            "verbose": -9,
            "seed": math.nan,  # no global seeding: all randomness comes from our generator
            "randn": lambda *shape: self._generator.standard_normal(shape),
            "CMA_diagonal": n > settings.diagonal_above,
            "maxiter": math.inf,
        }
        self._candidates: list[Any] = []
        self._start()

    def _start(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # matplotlib's absence, and the like
            import cma
        self._inner = cma.CMAEvolutionStrategy(np.zeros(self._searched), self._sigma, self._options)

    @property
    def mean(self) -> Vector:
        """The distribution's mean, (n,)."""
        return np.asarray(self._inner.mean[: self.n], dtype=np.float64)

    def ask(self) -> Vector:
        """Return candidates, (population, n)."""
        if self._inner.stop():
            self._start()
        self._candidates = self._inner.ask()
        return np.asarray(self._candidates)[:, : self.n]

    def tell(self, returns: Vector) -> None:
        """Adapt; the package minimises."""
        self._inner.tell(self._candidates, (-returns).tolist())


def begin(task: Task, trainer: str, n: int, scale: float, seed: int) -> Search:
    """Return the trainer's search over n dimensions."""
    settings = task.settings(trainer)
    if isinstance(settings, EvolutionStrategySettings):
        return OpenAIEvolutionStrategy(n, scale, settings, seed)
    assert isinstance(settings, CmaEvolutionStrategySettings)
    return CovarianceAdaptation(n, scale, settings, seed)


class Space:
    """The searched space: theta_d in a subspace, or all of theta_D."""

    def __init__(self, architecture: AnyArchitecture, cell: Cell, seeds: Seeds) -> None:
        """Draw theta_0 and P.

        Raises:
            RlidimError: an unknown projection, or d not in 1 .. D.
        """
        self.theta_0 = architecture.initial_parameters(seeds.theta_0)
        self.P = (
            None
            if cell.d is None
            else projection(cell.projection, architecture.D, cell.d, seeds.projection)
        )
        self.n = architecture.D if cell.d is None else cell.d
        self.scale = float(np.linalg.norm(self.theta_0))

    def parameters(self, points: Vector) -> NDArray[np.float32]:
        """Map points (n,) or (N, n) to parameters float32 (D,) or (N, D)."""
        single = np.asarray(points, dtype=np.float32)
        if self.P is None:
            return np.asarray(self.theta_0 + single)
        base = torch.from_numpy(self.theta_0)
        moved = self.P.forward(torch.from_numpy(np.ascontiguousarray(single.T)), base=base)
        return np.asarray(moved.numpy().T)


def train(
    task: Task, cell: Cell, seeds: Seeds, report: Report, run_directory: Path | None
) -> Outcome:
    """Search theta_d (or, natively, theta_D) and score the best point on fresh episodes.

    Every ``eval_freq`` generations the mean of the search and its generation's best member are
    scored on checkpoint episodes, and the best so far is kept.

    Raises:
        RlidimError: an unknown projection, d not in 1 .. D, or an environment at fault.
    """
    settings = task.settings(cell.trainer)
    architecture = evaluation.architecture(task, seed=seeds.training)
    space = Space(architecture, cell, seeds)
    search = begin(task, cell.trainer, space.n, space.scale, seeds.training)
    episodes = np.random.default_rng([seeds.training, 1])
    arena = Arena(task, settings.population)
    champion: Champion[Vector] = Champion(task, seeds)

    def challenge(point: Vector) -> None:
        champion.challenge(architecture.policy(space.parameters(point)), point.copy())

    challenge(search.mean)
    curve: list[tuple[int, float]] = []
    steps, generation = 0, 0
    while steps < settings.n_timesteps and not champion.solved:
        points = search.ask()
        # Fresh episodes each generation, from the training range of seeds.
        seed = seeds.training + int(episodes.integers(SEED_SPAN - settings.population))
        played = arena.play(architecture.policy(space.parameters(points)), seed)
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
    arena.close()
    champion.close()
    diverged = not np.isfinite(search.mean).all()
    point = champion.solution
    final = evaluation.evaluate(task, champion.policy, task.evaluation.episodes, seeds.evaluation)
    return Outcome(
        status="diverged" if diverged else "ok",
        returns=() if diverged else tuple(float(value) for value in final.returns),
        D=architecture.D,
        environment_steps=steps,
        curve=tuple(curve),
        stopped="solved" if champion.solved else "budget",
        theta_d=None if space.P is None else point.astype(np.float32),
        theta=space.parameters(point) if space.P is None else None,
        spec=None if space.P is None else space.P.spec.to_json(),
        network=champion.policy.architecture.to_json(),
        details={"generations": generation},
    )


def throughput(
    task: Task, trainer: str, *, projection: str, d: int, seconds: float = 3.0
) -> dict[str, Any]:
    """Time whole generations against the bare vector environment, in one process, interleaved.

    A generation asks, projects, acts, steps and tells. Only steps of unfinished episodes count;
    the population starts from a solved policy where one is found within its budget, so that
    episodes are as long as they are through most of a run's steps.

    Returns:
        environment steps per second end to end, those of the environment with random actions
        at the same width, and their ratio; medians of the paired repeats.
    """
    cell = Cell(task.name, trainer, projection, d, 0)
    seeds = Seeds.of(cell)
    settings = task.settings(trainer)
    architecture = evaluation.architecture(task)
    solved = train(task, cell, seeds, lambda steps, score: None, None)
    space = Space(architecture, cell, seeds)
    assert solved.theta_d is not None
    centre = solved.theta_d.astype(np.float64)
    search = begin(task, trainer, space.n, 1e-3 * space.scale, seeds.training)
    arena = Arena(task, settings.population)
    pairs: list[tuple[float, float]] = []
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        steps = 0

        def generation() -> None:
            nonlocal steps
            points = search.ask() + centre
            policy = architecture.policy(space.parameters(points))
            played = arena.play(policy, seeds.training + len(pairs))
            search.tell(played.returns)
            steps = played.steps

        ours = _seconds(generation)
        raw_steps, raw = raw_rate(task, settings.population)
        pairs.append((steps / ours, raw_steps / raw))
    ours_rate, raw_rate_ = (float(np.median(column)) for column in zip(*pairs, strict=True))
    return {
        "task": task.name,
        "trainer": trainer,
        "projection": projection,
        "D": architecture.D,
        "d": d,
        "population": settings.population,
        "repeats": len(pairs),
        "steps_per_second": ours_rate,
        "raw_environment_steps_per_second": raw_rate_,
        "fraction_of_raw": ours_rate / raw_rate_,
    }


def raw_rate(task: Task, width: int, steps: int = 500) -> tuple[int, float]:
    """Step the environments with fixed random actions; return (steps, seconds)."""
    vector: Any
    if evaluation.has_vector_form(task):
        vector = evaluation.make_vector(task, width)
        vector.reset(seed=0)
        vector.action_space.seed(0)
        actions = [vector.action_space.sample() for _ in range(16)]

        def play() -> None:
            for index in range(steps):
                vector.step(actions[index % len(actions)])

        return steps * width, _seconds(play)
    environment = evaluation.make(task)
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
