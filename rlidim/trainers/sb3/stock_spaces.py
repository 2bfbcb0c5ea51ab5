"""What stock Stable-Baselines3 makes of an environment's own spaces, for a model that acts there.

It reads choices one-hot and the parts of a Dict one after another, as our networks do; it takes
images channels first. Where it would read or answer something else, there is no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import VecTransposeImage

from rlidim.errors import RlidimError

Space = spaces.Space[Any]


@dataclass(frozen=True)
class StockSpaces:
    """The spaces of a stock model, and its policy.

    Attributes:
        observations: as the model declares them.
        actions: likewise.
        policy: the name of its class.
        policy_kwargs: what it must be told of the observations.
        inputs: which of the environment's flat numbers each input of the network is, (n,); None
            where they are in the same order.
    """

    observations: Space
    actions: Space
    policy: str = "MlpPolicy"
    policy_kwargs: dict[str, Any] | None = None
    inputs: NDArray[np.intp] | None = None


def stock_spaces(observations: Space, actions: Space) -> StockSpaces:
    """Return what a stock model of a perceptron acts with.

    Args:
        observations: the environment's own.
        actions: likewise.

    Raises:
        RlidimError: stock Stable-Baselines3 does not serve one of them.
    """
    _check_actions(actions)
    if isinstance(observations, spaces.Dict):
        for name, part in observations.spaces.items():
            _check_observations(part, f" '{name}'")
            if is_image_space(part):
                raise _refused(
                    f"an image '{name}' among others, which it gives a network of its own"
                )
        return StockSpaces(observations, actions, "MultiInputPolicy")
    _check_observations(observations, "")
    if not is_image_space(observations):
        return StockSpaces(observations, actions)
    # A perceptron was trained on the pixels as they are, and in the environment's order.
    plain = {"normalize_images": False}
    assert isinstance(observations, spaces.Box)
    if is_image_space_channels_first(observations):
        return StockSpaces(observations, actions, policy_kwargs=plain)
    order = np.arange(np.prod(observations.shape)).reshape(observations.shape)
    turned: Any = VecTransposeImage.transpose_space(observations)
    inputs = VecTransposeImage.transpose_image(order).ravel()
    return StockSpaces(turned, actions, policy_kwargs=plain, inputs=inputs)


def _check_observations(space: Space, name: str) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        raise _refused(f"observations{name} of {space}: no Tuple, and no Dict in a Dict")
    if isinstance(space, spaces.Discrete) and space.start != 0:
        raise _refused(f"observations{name} that count from {space.start}")
    if isinstance(space, spaces.MultiDiscrete) and (space.nvec.ndim > 1 or np.any(space.start)):
        raise _refused(f"observations{name} of {space}: one axis, counted from 0")


def _check_actions(space: Space) -> None:
    if isinstance(space, spaces.Discrete) and space.start != 0:
        raise _refused(f"actions that count from {space.start}")
    if isinstance(space, spaces.MultiDiscrete) and (space.nvec.ndim > 1 or np.any(space.start)):
        raise _refused(f"actions of {space}: one axis, counted from 0")
    if isinstance(space, spaces.MultiBinary) and len(space.shape) > 1:
        raise _refused(f"actions of {space}: one axis")
    if isinstance(space, spaces.Box) and space.dtype is not None and space.dtype.kind in "iu":
        raise _refused(f"actions of {space}: it answers whole numbers with fractions")


def _refused(what: str) -> RlidimError:
    return RlidimError(f"stock Stable-Baselines3 does not serve {what}; rlidim plays this solution")
