"""The gate: what goes to an environment and what comes from it, made regular or refused.

One place for the lone environment and the vectorised form, under every trainer: actions of the
space's own kind, rewards that are one number, flags that are true or false, observations and
rewards that are finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rlidim.errors import RlidimError


def is_finite(numbers: Any) -> bool:
    """Say whether no number is NaN or infinite.

    The sum tells at once where there is none; only a sum that is not finite makes it look at each
    number. It is taken in float64, which the sum of large float32 numbers does not overflow.
    """
    array = numbers if isinstance(numbers, np.ndarray) else np.asarray(numbers)
    if array.dtype.kind != "f":
        return True
    total = np.add.reduce(array, None, dtype=np.float64)
    return math.isfinite(total) or bool(np.isfinite(array).all())


def one_number(reward: Any, identity: str) -> float:
    """Return a reward as a number, whether it came as one or as an array of one.

    Raises:
        RlidimError: it is neither.
    """
    if isinstance(reward, float):
        return reward
    array = np.asarray(reward)
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise RlidimError(
            f"environment '{identity}' returned the reward {reward!r}: one number is expected"
        )
    return float(array.reshape(())) if array.ndim == 0 else float(array.ravel()[0])


def regular_actions(space: spaces.Space[Any]) -> Callable[[Any], Any] | None:
    """Return what makes actions of a space's kind; None where they are as they should be.

    A policy's continuous actions are float32: those of a Box of whole numbers, or of truth values,
    are rounded, and kept within its bounds.
    """
    if not isinstance(space, spaces.Box) or space.dtype is None or space.dtype.kind not in "iub":
        return None
    dtype = space.dtype
    most = 1 if dtype.kind == "b" else np.iinfo(dtype).max
    # The largest whole number of 64 bits is none of float64's, which rounds it up.
    largest = float(most) if float(most) <= most else np.nextafter(float(most), 0.0)
    low = space.low.astype(np.float64)
    high = np.minimum(space.high.astype(np.float64), largest)

    def regular(actions: Any) -> NDArray[Any]:
        rounded: NDArray[Any] = np.clip(np.rint(actions), low, high).astype(dtype)
        return rounded

    return regular


def one_action(space: spaces.Space[Any]) -> Callable[[Any], Any]:
    """Return what makes one of a policy's actions an action of a plain space."""
    shape, regular = space.shape or (), regular_actions(space)

    def fit(action: Any) -> Any:
        if np.shape(action) != shape:
            action = np.reshape(action, shape)
        return action if regular is None else regular(action)

    return fit


def not_finite(identity: str, observed: bool, moment: str) -> RlidimError:
    """Return the error of an observation, or else a reward, that is NaN or infinite.

    Args:
        identity: the environment's.
        observed: whether it was an observation.
        moment: when: ``at step 4 of the episodes from seed 0``.
    """
    quantity = "observation" if observed else "reward"
    return RlidimError(
        f"environment '{identity}' returned a {quantity} that is NaN or infinite {moment}: mend "
        "the environment"
    )


def check_episodes(
    identity: str, observations: NDArray[Any], earned: float, time: int, seed: int
) -> None:
    """Refuse NaN and infinity in episodes that are played to score a policy.

    Args:
        identity: the environment's.
        observations: of the last step, or of the reset.
        earned: all rewards until then, summed up.
        time: how many steps were made; 0: none.
        seed: of the first episode.

    Raises:
        RlidimError: see :func:`not_finite`.
    """
    if math.isfinite(earned) and is_finite(observations):
        return
    moment = f"at step {time} of the episodes" if time else "at the reset of the episodes"
    raise not_finite(identity, math.isfinite(earned), f"{moment} from seed {seed}")


def as_floats(space: spaces.Box) -> spaces.Box:
    """Return the space of observations as a perceptron reads them: floats as they are.

    Whole numbers, those of an image too, become flat float32: a training library would scale an
    image, turn its axes, and keep normalised observations as whole numbers.
    """
    if space.dtype is None or space.dtype.kind == "f":
        return space
    low, high = (bounds.astype(np.float32).ravel() for bounds in (space.low, space.high))
    return spaces.Box(low, high, dtype=np.float32)


def bounded(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return the space of actions as a policy gradient gives them: a Box of floats with bounds.

    A training library refuses infinite bounds; the largest number is as good. Other spaces, and
    such a Box, are as they are.
    """
    if not isinstance(space, spaces.Box) or space.dtype is None:
        return space
    if space.dtype.kind == "f" and space.is_bounded():
        return space
    dtype = space.dtype if space.dtype.kind == "f" else np.dtype(np.float32)
    largest = np.finfo(dtype).max
    low = np.where(space.bounded_below, space.low, -largest).astype(dtype)
    high = np.where(space.bounded_above, space.high, largest).astype(dtype)
    return spaces.Box(low, high, dtype=dtype.type)


class Gate(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The gate of a lone environment that a training library steps."""

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        """Take hold of the environment.

        Args:
            environment: with plain spaces.
        """
        super().__init__(environment)
        observed: Any = environment.observation_space
        self.observation_space = as_floats(observed)
        self.action_space = bounded(environment.action_space)
        self._converts = self.observation_space is not observed
        specification = environment.spec
        bare = type(environment.unwrapped).__name__
        self._identity = specification.id if specification else bare
        self._regular = regular_actions(environment.action_space)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset and look at the observation.

        Raises:
            RlidimError: it is not finite.
        """
        observation, info = self.env.reset(seed=seed, options=options)
        if self._converts:
            observation = np.asarray(observation, dtype=np.float32).ravel()
        if not is_finite(observation):
            raise not_finite(self._identity, True, "at its reset")
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step and look at the result.

        Raises:
            RlidimError: the observation or the reward is not finite, or the reward no number.
        """
        if self._regular is not None:
            action = self._regular(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._converts:
            observation = np.asarray(observation, dtype=np.float32).ravel()
        earned = one_number(reward, self._identity)
        if not math.isfinite(earned) or not is_finite(observation):
            raise not_finite(self._identity, math.isfinite(earned), f"for the action {action}")
        return observation, earned, bool(terminated), bool(truncated), info
