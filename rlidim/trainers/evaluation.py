"""Episodes: one policy or a whole population played at once, finished episodes counted once."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import gymnasium
import numpy as np
from gymnasium import error as gymnasium_errors
from numpy.typing import NDArray

from rlidim import atari
from rlidim.errors import RlidimError
from rlidim.networks import Architecture, Policy
from rlidim.pixels import KIND, PixelArchitecture, PixelPolicy
from rlidim.records.cell import Seeds
from rlidim.tasks.task import Atari, Environment, PixelNetwork, Task
from rlidim.trainers.mujoco import quiet_mujoco
from rlidim.trainers.normalisation import Moments
from rlidim.trainers.simulations import Separate, Simulations, side_by_side

SEED_STRIDE = 1_000  # between the first seeds of two evaluations: more than any evaluation's width
SEED_SPAN = 2**20  # how far a run counts its seeds upwards, see records.Seeds
REFERENCE = (8, 16, 20)  # games, observations of each, and random steps before each of them
AnyArchitecture = Architecture | PixelArchitecture
AnyPolicy = Policy | PixelPolicy
Solution = TypeVar("Solution")


class Actor(Protocol):
    """Whatever turns observations (N, ...) into actions (N, ...)."""

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return an action for each row."""
        ...


@dataclass(frozen=True)
class Episodes:
    """Finished episodes: undiscounted returns, float64 (N,), and environment steps in all."""

    returns: NDArray[np.float64]
    steps: int

    @property
    def mean(self) -> float:
        """The mean return."""
        return float(self.returns.mean())


def make(task: Task, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make the task's environment.

    Args:
        task: a control task.
        options: Gymnasium's own, such as ``render_mode``.

    Raises:
        RlidimError: there is no such environment, or its package is missing (says the pip extra).
    """
    environment: gymnasium.Env[Any, Any] = _made(task, gymnasium.make, **options)
    return environment


def make_vector(task: Task, width: int) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Make the own vectorised form of the task's environment, where there is one.

    Raises:
        RlidimError: as :func:`make`.
    """
    if isinstance(task.environment, Atari):
        return atari.make(task.environment, width)
    environments: gymnasium.vector.VectorEnv[Any, Any, Any] = _made(
        task, gymnasium.make_vec, num_envs=width, vectorization_mode="vector_entry_point"
    )
    return environments


def _made(task: Task, maker: Any, **options: Any) -> Any:
    assert isinstance(task.environment, Environment)
    identity = task.environment.id
    try:
        with warnings.catch_warnings(), quiet_mujoco(identity):
            # The paper's versions of the environments are old on purpose.
            warnings.filterwarnings("ignore", message=".*is out of date.*")
            return maker(identity, **task.environment.kwargs, **options)
    except (gymnasium_errors.DependencyNotInstalled, ImportError) as error:
        extra = task.environment.extra
        remedy = f"pip install 'rlidim[{extra}]'" if extra else "install it"
        reason = " ".join(str(error).split())
        raise RlidimError(
            f"environment '{identity}' needs a package that is missing: {remedy} ({reason})"
        ) from error
    except (gymnasium_errors.Error, TypeError) as error:
        reason = " ".join(str(error).split())
        raise RlidimError(f"{task.file}: environment '{identity}': {reason}") from error


def has_vector_form(task: Task) -> bool:
    """Say whether the environment comes with a vectorised form of its own."""
    if isinstance(task.environment, Atari):
        return True
    assert task.environment is not None
    module, _, identity = task.environment.id.rpartition(":")
    if module:
        return bool(getattr(make(task).spec, "vector_entry_point", None))
    specification = gymnasium.registry.get(identity)
    return specification is not None and specification.vector_entry_point is not None


def has_one_stream(task: Task) -> bool:
    """Say whether the vectorised form draws all its episodes from one random stream.

    Gymnasium's do; a game of Atari has a seed of its own.
    """
    return has_vector_form(task) and not isinstance(task.environment, Atari)


def spaces_of(task: Task) -> tuple[gymnasium.spaces.Space[Any], gymnasium.spaces.Space[Any]]:
    """Return the spaces of observations and actions.

    Raises:
        RlidimError: as :func:`make`.
    """
    if isinstance(task.environment, Atari):
        return atari.spaces_of(task.environment)
    environment = make(task)
    found = environment.observation_space, environment.action_space
    environment.close()
    return found


def architecture(task: Task, *, squash: bool = False, seed: int | None = None) -> AnyArchitecture:
    """Return the acting network's architecture in the task's environment.

    Args:
        task: a control task.
        squash: see :meth:`Architecture.of`.
        seed: of the episodes that a normalising network's reference batch is taken from; None for
            no batch, where only sizes are asked for.

    Raises:
        RlidimError: as :func:`make`, or spaces that the network does not serve.
    """
    observations, actions = spaces_of(task)
    if not isinstance(task.network, PixelNetwork):
        assert task.network is not None
        return Architecture.of(task.network, observations, actions, squash=squash)
    assert observations.shape is not None
    assert isinstance(actions, gymnasium.spaces.Discrete)
    found = PixelArchitecture.of(task.network, observations.shape, int(actions.n))
    if not found.batch_norm or seed is None:
        return found
    return dataclasses.replace(found, reference=reference_batch(task, seed))


def architecture_of(content: dict[str, Any]) -> AnyArchitecture:
    """Return the acting network that a solution's JSON describes.

    Raises:
        RlidimError: it describes none.
    """
    if content.get("kind") == KIND:
        return PixelArchitecture.from_json(content)
    return Architecture.from_json(content)


def reference_batch(task: Task, seed: int) -> NDArray[Any]:
    """Return observations (N, ...) met by random actions (Salimans et al. 2017, section 2.2)."""
    games, each, apart = REFERENCE
    vector = make_vector(task, games)
    discrete: Any = vector.single_action_space
    choices = int(discrete.n)
    generator = np.random.default_rng(seed)
    observations, _ = vector.reset(seed=seed)
    batch = []
    for _ in range(each):
        for _ in range(apart):
            actions = generator.integers(choices, size=games)
            observations, *_ = vector.step(actions)
        batch.append(observations.copy())
    vector.close()
    return np.concatenate(batch)


def trust_actions(vector: Any) -> None:
    """Let a vector of environments skip its check of the actions: a policy's are in their space.

    On CartPole that is a fifth of a step.
    """
    space = copy.copy(vector.action_space)
    space.contains = lambda actions: True
    vector.action_space = space


class Arena:
    """``width`` environments of a task, each playing one episode at a time.

    The environment's own vectorised form where there is one (CartPole: ten times faster),
    otherwise simulations or separate environments side by side, of which only those with an
    unfinished episode are stepped.
    """

    def __init__(self, task: Task, width: int) -> None:
        """Make the environments."""
        self.task = task
        self.width = width
        self._vector = make_vector(task, width) if has_vector_form(task) else None
        if self._vector is not None and not isinstance(task.environment, Atari):
            trust_actions(self._vector.unwrapped)
        # Gymnasium's checker of a first step looks at the first environment alone.
        self._environments = (
            []
            if self._vector
            else [make(task, disable_env_checker=index > 0 or None) for index in range(width)]
        )
        self._rows = side_by_side(self._environments) if self._environments else None

    def play(
        self,
        actor: Actor,
        seed: int,
        *,
        members: NDArray[np.intp] | None = None,
        moments: Moments | None = None,
    ) -> Episodes:
        """Play one episode in each environment.

        Args:
            actor: acts for all of them; a population's member i plays in environment i.
            seed: of the first environment; the others count upwards (Gymnasium's vectorised forms
                have one random stream for all, seeded once).
            members: which of a larger population these are, (width,): member i's seed is
                ``seed + i``. None: 0 .. width - 1, all that such a vectorised form can play.
            moments: takes in every observation that was acted on.

        Raises:
            RlidimError: the environment returned NaN or infinity.
        """
        if members is None:
            members = np.arange(self.width)
        if self._vector is None:
            assert self._rows is not None
            seeds = [seed + int(member) for member in members]
            return self._play_rows(self._rows, actor, seeds, moments)
        if isinstance(self.task.environment, Atari):
            return self._play_vector(self._vector, actor, seed + members, moments)
        assert np.array_equal(members, np.arange(self.width))
        return self._play_vector(self._vector, actor, seed, moments)

    def close(self) -> None:
        """Close the environments."""
        for environment in self._environments:
            environment.close()
        if self._vector is not None:
            self._vector.close()

    def _play_vector(
        self, vector: Any, actor: Actor, seed: int | NDArray[np.intp], moments: Moments | None
    ) -> Episodes:
        observations, _ = vector.reset(seed=seed)
        first = int(np.min(seed))
        returns = np.zeros(self.width)
        active, over = np.ones(self.width, dtype=bool), np.empty(self.width, dtype=bool)
        unfinished, steps, time = self.width, 0, 0
        # Beside a small network and a fast environment each call of numpy is felt here.
        while unfinished:
            steps += unfinished
            time += 1
            if moments is not None:
                rows = np.flatnonzero(active)
                moments.add(rows, observations[rows].reshape(len(rows), -1))
            observations, rewards, terminated, truncated, _ = vector.step(actor.act(observations))
            np.add(returns, rewards, out=returns, where=active)
            observed = 0.0 if observations.dtype == np.uint8 else np.add.reduce(observations, None)
            self._check(observed, np.add.reduce(returns), time, first)
            # A finished environment resets itself and plays on; what it earns then is not counted.
            np.logical_or(terminated, truncated, out=over)
            np.greater(active, over, out=active)
            unfinished = int(np.count_nonzero(active))
        return Episodes(returns, steps)

    def _play_rows(
        self,
        rows: Simulations | Separate,
        actor: Actor,
        seeds: list[int],
        moments: Moments | None,
    ) -> Episodes:
        observations = rows.reset(seeds)
        returns = np.zeros(self.width)
        active = np.arange(self.width)
        members = actor
        steps, time = 0, 0
        while len(active):
            time += 1
            steps += len(active)
            if moments is not None:
                moments.add(active, observations)
            observations, rewards, over = rows.step(active, members.act(observations))
            returns[active] += rewards
            self._check(float(observations.sum()), float(returns.sum()), time, seeds[0])
            if over.any():
                going = np.flatnonzero(~over)
                active, observations = active[going], observations[going]
                if isinstance(members, AnyPolicy) and members.population:
                    members = members.select(going)
        return Episodes(returns, steps)

    def _check(self, observed: float, rewarded: float, time: int, seed: int) -> None:
        if math.isfinite(observed) and math.isfinite(rewarded):
            return
        assert self.task.environment is not None
        what = "observation" if not math.isfinite(observed) else "reward"
        raise RlidimError(
            f"environment '{self.task.environment.id}' returned a {what} that is NaN or infinite "
            f"at step {time} of the episodes from seed {seed}: mend the environment"
        )


def evaluate(task: Task, actor: Actor, episodes: int, seed: int) -> Episodes:
    """Play fresh episodes of one policy.

    Args:
        task: a control task.
        actor: one policy, deterministic.
        episodes: how many, all at once.
        seed: see :meth:`Arena.play`.
    """
    arena = Arena(task, episodes)
    try:
        return arena.play(actor, seed)
    finally:
        arena.close()


class Champion(Generic[Solution]):
    """The best policy of a run so far, by its score on checkpoint episodes.

    Attributes:
        policy: the best one.
        solution: what it was made from.
        score: its mean return.
        solved: whether fresh episodes have confirmed a score that solves the task.
    """

    policy: AnyPolicy
    solution: Solution

    def __init__(self, task: Task, seeds: Seeds) -> None:
        """Make the environments; there is no champion before the first challenge."""
        self.score = -math.inf
        self.solved = False
        self._threshold = task.evaluation.solved
        self._first_seed = seeds.checkpoint
        self._evaluations = 0
        self._arena = Arena(task, task.evaluation.checkpoint_episodes)

    def challenge(self, policy: AnyPolicy, solution: Solution) -> None:
        """Score a policy and keep it if it is better; the same episodes never score two."""
        score = self._score(policy)
        if self._threshold is not None and score >= self._threshold:
            # A high score may be luck: only fresh episodes end a run.
            confirmed = self._score(policy)
            self.solved = confirmed >= self._threshold
            score = (score + confirmed) / 2
        if score > self.score or self.solved:
            self.policy, self.solution, self.score = policy, solution, score

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from."""
        kept = ("policy", "solution", "score", "solved", "_evaluations")
        return {name: getattr(self, name) for name in kept}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another stood."""
        for name, value in state.items():
            setattr(self, name, value)

    def close(self) -> None:
        """Close the environments."""
        self._arena.close()

    def _score(self, policy: AnyPolicy) -> float:
        seed = self._first_seed + (self._evaluations * SEED_STRIDE) % SEED_SPAN
        self._evaluations += 1
        return self._arena.play(policy, seed).mean


class FiniteGuard(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Stops a run whose environment returns NaN or infinity: no trainer can mend that."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step and look at the result.

        Raises:
            RlidimError: the observation or the reward is not finite.
        """
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not math.isfinite(float(reward)) or not math.isfinite(float(np.sum(observation))):
            what = "reward" if not math.isfinite(float(reward)) else "observation"
            identity = self.env.spec.id if self.env.spec else type(self.env.unwrapped).__name__
            raise RlidimError(
                f"environment '{identity}' returned a {what} that is NaN or infinite for the "
                f"action {action}: mend the environment"
            )
        return observation, reward, terminated, truncated, info
