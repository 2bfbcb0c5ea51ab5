"""A task's environment made: a lone one, or the vectorised form it comes with."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import gymnasium
import numpy as np
from gymnasium import error as gymnasium_errors

from rlidim.environments import atari
from rlidim.environments.quiet_mujoco import quiet_mujoco
from rlidim.errors import RlidimError
from rlidim.tasks.task import Atari, Environment, Task


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


def trust_actions(vector: Any) -> None:
    """Let a vector of environments skip its check of the actions: a policy's are in their space.

    On CartPole that is a fifth of a step.
    """
    space = copy.copy(vector.action_space)
    space.contains = lambda actions: True
    vector.action_space = space


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
