"""Environments whose state is tensors, thousands of rows at once on any device.

They need no Gymnasium, so that a bare GPU machine has them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class TensorsStepped(NamedTuple):
    """What a step led to, for n rows.

    Attributes:
        observations: float32 (n, size), of an episode that is over the next one's first.
        rewards: float32 (n,).
        terminated: bool (n,), whether the task itself ended the episode.
        truncated: bool (n,), whether a limit did.
        final: float32 (n, size), what the step led to before another episode began.
    """

    observations: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    final: Tensor


class CartPoleTensors:
    """Gymnasium's CartPole-v1 (Barto, Sutton and Anderson 1983): its constants, its arithmetic.

    Every row begins anew in the step that ends an episode. What begins is drawn from the
    generator: the rows' episodes are none that Gymnasium's seeds give.

    Attributes:
        generator: on the device where the rows are.
        limit: steps after which an episode is cut off.
        state: float64 (4, n): place, its speed, angle, its speed.
        times: (n,), steps of each episode so far.
    """

    GRAVITY, MASS, POLE_MASS, HALF_LENGTH = 9.8, 1.1, 0.1, 0.5  # m/s^2; kg, of both; kg; m
    FORCE, SECONDS = 10.0, 0.02  # N; of a step
    FARTHEST, STEEPEST = 2.4, math.radians(12)

    def __init__(self, generator: torch.Generator, limit: int = 500) -> None:
        """Begin without a row."""
        self.generator, self.limit = generator, limit
        self.state: Tensor = torch.empty(4, 0)
        self.times: Tensor = torch.empty(0)

    def begin(self, rows: int) -> Tensor:
        """Begin an episode in each of so many rows; return the observations, float32 (n, 4)."""
        self.state = self._drawn(rows)
        self.times = torch.zeros(rows, dtype=torch.int64, device=self.generator.device)
        return self._observed()

    def step(self, actions: Tensor) -> TensorsStepped:
        """Push the carts to the left (0) or to the right (1); actions (n,)."""
        x_dot, theta, theta_dot = self.state[1:]
        force = self.FORCE * (2.0 * actions - 1.0)
        cosine, sine = theta.cos(), theta.sin()
        moment = self.POLE_MASS * self.HALF_LENGTH
        pushed = (force + moment * theta_dot.square() * sine) / self.MASS
        turning = (self.GRAVITY * sine - cosine * pushed) / (
            self.HALF_LENGTH * (4.0 / 3.0 - self.POLE_MASS * cosine.square() / self.MASS)
        )
        moving = pushed - moment * turning * cosine / self.MASS
        change = torch.stack((x_dot, moving, theta_dot, turning))
        self.state = self.state + self.SECONDS * change
        self.times = self.times + 1
        final = self._observed()
        terminated = self.state[0].abs() > self.FARTHEST
        terminated |= self.state[2].abs() > self.STEEPEST
        truncated = self.times >= self.limit
        over = terminated | truncated
        self.state = torch.where(over, self._drawn(len(over)), self.state)
        self.times = torch.where(over, 0, self.times)
        rewards = torch.ones_like(final[:, 0])
        return TensorsStepped(self._observed(), rewards, terminated, truncated, final)

    def _drawn(self, rows: int) -> Tensor:
        device = self.generator.device
        drawn = torch.rand((4, rows), generator=self.generator, device=device, dtype=torch.float64)
        return 0.1 * drawn - 0.05

    def _observed(self) -> Tensor:
        return self.state.T.to(torch.float32)
