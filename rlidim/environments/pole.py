"""CartPole made harder by one number: a shorter pole falls faster, a push may go the other way."""

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


class SlippingCartPole(CartPoleEnv):
    """Gymnasium's CartPole of which so many pushes go the other way, by chance."""

    def __init__(self, slip: float = 0.1, **options: Any) -> None:
        """Take the share of such pushes.

        Raises:
            RlidimError: it is not from 0 to below one half, where no push says anything.
        """
        if not 0 <= slip < 0.5:
            raise RlidimError(f"CartPole: slip is a share from 0 to below 0.5, got {slip}")
        super().__init__(**options)
        self.slip = slip

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Push the cart, or the other way; a number is drawn at each step."""
        slips = self.np_random.random() < self.slip
        stepped: tuple[Any, float, bool, bool, dict[str, Any]]
        stepped = super().step(1 - action if slips else action)  # type: ignore[no-untyped-call]
        return stepped


gymnasium.register(
    id="SlippingCartPole-v0",
    entry_point="rlidim.environments.pole:SlippingCartPole",
    max_episode_steps=500,
    reward_threshold=475.0,
)
gymnasium.register(
    id="CartPoleOfLength-v0",
    entry_point="rlidim.environments.pole:cart_pole",
    max_episode_steps=500,
    reward_threshold=475.0,
)
