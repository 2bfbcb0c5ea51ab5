"""Which actions are valid: a mask, true or false for each choice, where an environment says so.

By sb3-contrib's convention a lone environment has a method ``action_masks()``; by that of
Gymnasium's Taxi the ``info`` of each reset and step has an ``action_mask``, a vector's a row for
each environment. What masks are good for: Huang and Ontañón 2022, "A Closer Look at Invalid Action
Masking in Policy Gradient Algorithms".
"""

from __future__ import annotations

import functools
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from rlidim.errors import RlidimError

METHOD = "action_masks"
KEY = "action_mask"

Masks = NDArray[np.bool_]


def unmasked(identity: str) -> RlidimError:
    """Return the error of an environment that gives no mask."""
    return RlidimError(
        f"environment '{identity}' does not say which actions are valid: give it a method "
        f"{METHOD}(), or an info['{KEY}'] at each reset and step; ppo trains without"
    )


def given_by(environment: gymnasium.Env[Any, Any], info: dict[str, Any]) -> Any | None:
    """Return the mask that a lone environment gives now, as it gives it; None for none.

    Args:
        environment: in any wrappers.
        info: of its last reset or step.
    """
    if environment.has_wrapper_attr(METHOD):
        given = environment.get_wrapper_attr(METHOD)
        return given() if callable(given) else given
    return info.get(KEY)


def valid(space: spaces.Space[Any], masks: Masks) -> Any:
    """Return a random valid action of a Discrete or MultiDiscrete space, by its own stream."""
    each = masks.astype(np.int8)
    if isinstance(space, spaces.Discrete):
        return space.sample(mask=each)
    assert isinstance(space, spaces.MultiDiscrete)
    return space.sample(mask=tuple(np.split(each, np.cumsum(space.nvec)[:-1])))


class Reader:
    """Masks of an environment's choices, checked."""

    def __init__(self, space: spaces.Space[Any], identity: str) -> None:
        """Count the choices.

        Args:
            space: plain, Discrete or MultiDiscrete.
            identity: the environment's, for messages.

        Raises:
            RlidimError: another space.
        """
        if isinstance(space, spaces.Discrete):
            parts = np.array([space.n])
        elif isinstance(space, spaces.MultiDiscrete):
            parts = space.nvec.ravel()
        else:
            raise RlidimError(
                f"environment '{identity}': masks are for Discrete and MultiDiscrete actions, its "
                f"are {space}"
            )
        self.choices = int(parts.sum())
        self._starts = np.cumsum(parts) - parts
        self._identity = identity

    def __call__(self, given: Any | None, going: NDArray[np.bool_] | None = None) -> Masks:
        """Return masks, (N, choices): of MultiDiscrete actions those of the parts in a row.

        Args:
            given: as environments give them, one after another; None for none.
            going: whose episodes are not over, (N,); None: all.

        Raises:
            RlidimError: there is none, it is not of the choices, or leaves none of those valid to
                an episode that goes on.
        """
        rows = None if given is None else list(given)
        if rows is None or any(row is None for row in rows):
            raise unmasked(self._identity)
        try:
            masks = np.asarray(rows, dtype=bool).reshape(len(rows), self.choices)
        except (TypeError, ValueError) as error:
            raise RlidimError(
                f"environment '{self._identity}' gave the mask {rows[0]!s:.60}: true or false for "
                f"each of {self.choices} choices is expected"
            ) from error
        some = np.asarray(np.logical_or.reduceat(masks, self._starts, axis=1).all(axis=1))
        if not (some if going is None else some[going]).all():
            raise RlidimError(
                f"environment '{self._identity}' gave a mask that leaves no valid action: mend the "
                "environment"
            )
        return masks


class Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A lone environment that has ``action_masks``, by whichever convention it gives its masks."""

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        """Take hold of the environment, in plain spaces."""
        super().__init__(environment)
        self._info: dict[str, Any] = {}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment."""
        observation, self._info = self.env.reset(seed=seed, options=options)
        return observation, self._info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step the environment."""
        observation, reward, terminated, truncated, self._info = self.env.step(action)
        return observation, reward, terminated, truncated, self._info

    def action_masks(self) -> Masks:
        """Return which choices are valid now, (choices,).

        Raises:
            RlidimError: the environment does not say it, or not as it should.
        """
        found: Masks = self._read([given_by(self.env, self._info)])[0]
        return found

    @functools.cached_property
    def _read(self) -> Reader:
        specification = self.env.spec
        bare = type(self.env.unwrapped).__name__
        return Reader(self.env.action_space, specification.id if specification else bare)
