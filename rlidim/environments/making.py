"""A task's environment made: a lone one, or the vectorised form it comes with."""

from __future__ import annotations

import copy
import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium import error as gymnasium_errors

from rlidim.environments import atari
from rlidim.environments.bare import limit_of
from rlidim.environments.fleets import Fleet, MovingFleet, SeparateFleet
from rlidim.environments.gate import Gate
from rlidim.environments.masks import Masked, unmasked, valid
from rlidim.environments.minatar import Boards
from rlidim.environments.motions import motion_of
from rlidim.environments.moving import MovingVector
from rlidim.environments.plain_spaces import Space, plain, plain_vector
from rlidim.environments.pools import Pools
from rlidim.environments.quiet_mujoco import quiet_mujoco
from rlidim.environments.side_by_side import Rows, side_by_side
from rlidim.errors import RlidimError
from rlidim.tasks.problems import Atari, Control, Environment, MinAtar, Pool
from rlidim.tasks.task import Task

Spaces = tuple[Space, Space]
ENDLESS = -1  # as max_episode_steps, to gymnasium.make
MASKS_ASKED = 100  # steps after which an environment is asked for its valid actions


class Registered:
    """An environment that is registered with Gymnasium."""

    one_stream = True  # its vectorised form draws all episodes from one random stream
    lone = True  # whether one can be made by itself

    def __init__(self, environment: Environment, file: Path) -> None:
        """Remember what the task's file says."""
        self.environment, self.file = environment, file

    def check(self) -> None:
        """Do nothing: making it tells."""

    def make(self, **options: Any) -> Any:
        """Make one, with Gymnasium's own options, in plain spaces."""
        return self._in_plain_spaces(plain, self._made(gymnasium.make, **options))

    def make_vector(self, width: int) -> Any:
        """Make the vectorised form, in plain spaces."""
        made = self._made(
            gymnasium.make_vec, num_envs=width, vectorization_mode="vector_entry_point"
        )
        return self._in_plain_spaces(plain_vector, made)

    def make_seeded_vector(self, width: int) -> Any | None:
        """Make a vector whose environments have a seed each, where there is one."""
        lone = self.make()
        motion = motion_of(lone)
        if motion is None:
            lone.close()
            return None
        return MovingVector(lone, motion, width)

    def fleet(self, width: int) -> Fleet:
        """Return the training environments of runs."""
        lone = self.make()
        motion = motion_of(lone)
        if motion is not None:
            return MovingFleet(motion, limit_of(lone), width)
        lone.close()

        def make() -> Any:
            return gymnasium.vector.SyncVectorEnv(
                [lambda: Gate(self.make())] * width,
                autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
            )

        return SeparateFleet(make, self.environment.id, width)

    def rows(self, width: int) -> Rows:
        """Return episodes side by side."""
        # Gymnasium's checker of a first step looks at the first environment alone.
        return side_by_side(lambda index: self.make(disable_env_checker=index > 0 or None), width)

    def has_vector_form(self) -> bool:
        """Say whether it comes with a vectorised form of its own that takes a policy's actions.

        Those are rows of numbers: an action of more axes is one for lone environments, which are
        given each in its shape.
        """
        return self._names_vector_form() and len(self.spaces()[1].shape or ()) < 2

    def _names_vector_form(self) -> bool:
        if self.environment.kwargs.get("max_episode_steps") == ENDLESS:
            return False  # such a form takes the number as it is
        module, _, identity = self.environment.id.rpartition(":")
        if module:
            lone = self.make()
            lone.close()
            return bool(getattr(lone.spec, "vector_entry_point", None))
        specification = gymnasium.registry.get(identity)
        return specification is not None and specification.vector_entry_point is not None

    def spaces(self) -> Spaces:
        """Return the plain spaces of observations and actions."""
        environment = self.make()
        both = environment.observation_space, environment.action_space
        environment.close()
        return both

    def own_spaces(self) -> Spaces:
        """Return the environment's own spaces."""
        environment = self._made(gymnasium.make)
        both = environment.observation_space, environment.action_space
        environment.close()
        return both

    def _in_plain_spaces(self, wrap: Any, made: Any) -> Any:
        try:
            return wrap(made)
        except RlidimError as error:
            raise RlidimError(
                f"{self.file}: environment '{self.environment.id}': {error}"
            ) from error

    def _made(self, maker: Any, **options: Any) -> Any:
        identity = self.environment.id
        folder = str(self.file.parent.resolve())
        if self.environment.own and folder not in sys.path:
            sys.path.append(folder)  # a module of the user's may lie beside the task's file
        try:
            with warnings.catch_warnings(), quiet_mujoco(identity):
                # The paper's versions of the environments are old on purpose.
                warnings.filterwarnings("ignore", message=".*is out of date.*")
                asked = {name: value for name, value in options.items() if value is not None}
                return maker(identity, **{**self.environment.kwargs, **asked})
        except (gymnasium_errors.DependencyNotInstalled, ImportError) as error:
            extra = self.environment.extra
            remedy = f"pip install 'rlidim[{extra}]'" if extra else "install it"
            if self.environment.own:
                remedy += f", or put its module into {self.file.parent}"
            reason = " ".join(str(error).split())
            raise RlidimError(
                f"environment '{identity}' needs a package that is missing: {remedy} ({reason})"
            ) from error
        except (gymnasium_errors.Error, TypeError) as error:
            reason = " ".join(str(error).split())
            if identity.startswith("ALE/"):
                reason = "an Atari game is 'environment: {atari: pong}' here"
            raise RlidimError(f"{self.file}: environment '{identity}': {reason}") from error
        except KeyboardInterrupt:  # the user's
            raise
        except BaseException as error:  # whatever a user's module raises, sys.exit() too
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise RlidimError(
                f"{self.file}: environment '{identity}' cannot be made ({reason})"
            ) from error


class Games:
    """An Atari game, of which there is only the vectorised form; each has a seed of its own."""

    one_stream = False
    lone = False

    def __init__(self, environment: Atari, file: Path) -> None:
        """Remember what the task's file says."""
        self.environment = environment

    def check(self) -> None:
        """Make sure that there is such a game."""
        atari.check(self.environment)

    def make(self, **options: Any) -> Any:
        """Refuse: a lone game is a vector of one."""
        raise RlidimError(f"environment '{self.environment.id}': games are made as vectors")

    def make_vector(self, width: int) -> Any:
        """Make games side by side."""
        return atari.make(self.environment, width)

    def make_seeded_vector(self, width: int) -> None:
        """Make none: training sees other rewards and ends than a vector's."""

    def fleet(self, width: int) -> Fleet:
        """Refuse: a game's rewards and ends are others in training."""
        raise RlidimError(f"environment '{self.environment.id}': games are trained on one by one")

    def rows(self, width: int) -> Rows:
        """Refuse: games are played as vectors."""
        raise RlidimError(f"environment '{self.environment.id}': games are made as vectors")

    def has_vector_form(self) -> bool:
        """Say yes."""
        return True

    def spaces(self) -> Spaces:
        """Return the spaces of observations and actions."""
        return atari.spaces_of(self.environment)

    def own_spaces(self) -> Spaces:
        """Return the same: they are plain."""
        return self.spaces()


# What makes each kind of environment that a task's file may have.
MAKERS: dict[type, Any] = {
    Environment: Registered,
    Pool: Pools,
    Atari: Games,
    MinAtar: Boards,
}


def _maker(task: Task) -> Any:
    environment = task.control.environment
    return MAKERS[type(environment)](environment, task.file)


def check(task: Task) -> None:
    """Find out what can be known of a task's environment before it is made.

    Raises:
        RlidimError: there is no such game, or its package is missing.
    """
    if isinstance(task.problem, Control):
        _maker(task).check()


def check_masks(task: Task) -> None:
    """Find out whether a control task's environment says which actions are valid.

    Raises:
        RlidimError: it does not, or not as it should, or it cannot be made.
    """
    if not has_lone_form(task):
        raise unmasked(task.control.environment.id)
    with closing(Masked(make(task))) as environment:
        environment.action_space.seed(0)
        environment.reset(seed=0)
        for _ in range(MASKS_ASKED):
            action = valid(environment.action_space, environment.action_masks())
            _, _, terminated, truncated, _ = environment.step(action)
            if terminated or truncated:
                environment.reset()


def make(task: Task, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make the task's environment, in plain spaces.

    Args:
        task: a control task.
        options: Gymnasium's own, such as ``render_mode``.

    Raises:
        RlidimError: there is no such environment, its package is missing (says the pip extra), or
            a network here cannot serve its spaces.
    """
    environment: gymnasium.Env[Any, Any] = _maker(task).make(**options)
    return environment


def make_vector(task: Task, width: int) -> gymnasium.vector.VectorEnv[Any, Any, Any]:
    """Make the own vectorised form of the task's environment, where there is one; plain spaces.

    Raises:
        RlidimError: as :func:`make`.
    """
    environments: gymnasium.vector.VectorEnv[Any, Any, Any] = _maker(task).make_vector(width)
    return environments


def make_seeded_vector(task: Task, width: int) -> gymnasium.vector.VectorEnv[Any, Any, Any] | None:
    """Make environments that begin anew in the step that ends an episode, with a seed each.

    They are, bit for bit, what ``width`` environments of :func:`make` are with the same seeds.

    Returns:
        None where there are none of the kind: make lone ones then.

    Raises:
        RlidimError: as :func:`make`.
    """
    made: gymnasium.vector.VectorEnv[Any, Any, Any] | None = _maker(task).make_seeded_vector(width)
    return made


def make_fleet(task: Task, width: int) -> Fleet:
    """Return the training environments of many runs, ``width`` of each.

    They are, bit for bit, what as many environments of :func:`make` are with the same seeds.

    Raises:
        RlidimError: as :func:`make`, or an Atari game.
    """
    fleet: Fleet = _maker(task).fleet(width)
    return fleet


def make_rows(task: Task, width: int) -> Rows:
    """Return environments of a task that are reset at a seed each, and of which some are stepped.

    Raises:
        RlidimError: as :func:`make`.
    """
    rows: Rows = _maker(task).rows(width)
    return rows


def has_lone_form(task: Task) -> bool:
    """Say whether an environment can be made by itself."""
    return bool(_maker(task).lone)


def has_vector_form(task: Task) -> bool:
    """Say whether the environment comes with a vectorised form of its own."""
    return bool(_maker(task).has_vector_form())


def has_one_stream(task: Task) -> bool:
    """Say whether the vectorised form draws all its episodes from one random stream.

    Gymnasium's do; a game of Atari has a seed of its own.
    """
    maker = _maker(task)
    return bool(maker.one_stream and maker.has_vector_form())


def spaces_of(task: Task) -> Spaces:
    """Return the plain spaces of observations and actions.

    Raises:
        RlidimError: as :func:`make`.
    """
    both: Spaces = _maker(task).spaces()
    return both


def own_spaces_of(task: Task) -> Spaces:
    """Return the spaces that the environment has by itself.

    Raises:
        RlidimError: as :func:`make`.
    """
    both: Spaces = _maker(task).own_spaces()
    return both


def trust_actions(vector: Any) -> None:
    """Let a vector of environments skip its check of the actions: a policy's are in their space.

    On CartPole that is a fifth of a step.
    """
    space = copy.copy(vector.action_space)
    space.contains = lambda actions: True
    vector.action_space = space
