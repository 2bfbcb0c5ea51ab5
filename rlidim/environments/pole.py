"""CartPole with a pole of another length: a task whose difficulty one number turns.

The shorter the pole, the faster it falls.
"""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rlidim.errors import RlidimError


def cart_pole(pole: float = 1.0, **options: Any) -> CartPoleEnv:
    """Return Gymnasium's CartPole with a pole of so many metres; CartPole-v1's has 1.

    Raises:
        RlidimError: the length is not above 0.
    """
    if not pole > 0:
        raise RlidimError(f"CartPole: the pole's length must be above 0 m, got {pole}")
    environment = CartPoleEnv(**options)
    environment.length = pole / 2  # Gymnasium counts from the hinge to the centre of mass
    environment.polemass_length = environment.masspole * environment.length
    return environment


gymnasium.register(
    id="CartPoleOfLength-v0",
    entry_point="rlidim.environments.pole:cart_pole",
    max_episode_steps=500,
    reward_threshold=475.0,
)
