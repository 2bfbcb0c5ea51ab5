"""Gymnasium's classic control, many environments at a time, with each environment's own seed.

Around some thirty floating-point operations of a step Gymnasium's Python takes a hundred times as
long as they do. Here they are done for all environments at once, by Gymnasium's formulas and in
their order, under the constants of an environment that Gymnasium made: observations and rewards
have the same bits. What numpy computes in another way for arrays than for the lone numbers that
Gymnasium steps with (squares, by ``pow``; numbers of single precision) is computed as for those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from rlidim.environments.bare import bare_of
from rlidim.environments.moving import Motion, Numbers, Stepped

MODULES = "gymnasium.envs.classic_control."


def _square(numbers: Numbers) -> Numbers:
    """Return squares by ``pow``, as numpy squares a lone number: an array's are products."""
    return np.asarray(np.float_power(numbers, 2.0))


def _keep_within(numbers: Numbers, low: Any, high: Any) -> None:
    """Clip numbers in place; ``numpy.clip`` asks more questions first than this takes."""
    np.maximum(numbers, low, out=numbers)
    np.minimum(numbers, high, out=numbers)


class CartPole:
    """A pole balanced on a cart (Barto, Sutton and Anderson 1983)."""

    def __init__(self, environment: Any) -> None:
        """Read the environment's constants."""
        self.of = environment

    @classmethod
    def serves(cls, environment: Any) -> bool:
        """Say whether an environment integrates and rewards as it does by default."""
        euler = environment.kinematics_integrator == "euler"
        return euler and not environment._sutton_barto_reward

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """Near the middle, near rest."""
        state = np.array([each.uniform(low=-0.05, high=0.05, size=(4,)) for each in generators]).T
        return state, self.observe(state)

    def observe(self, state: Numbers) -> Numbers:
        """The state itself."""
        return state.T.astype(np.float32)

    def step(self, state: Numbers, actions: NDArray[Any], generators: object = ()) -> Stepped:
        """Push the cart to the left or to the right."""
        of = self.of
        x, x_dot, theta, theta_dot = state
        force = np.where(actions == 1, of.force_mag, -of.force_mag)
        costheta, sintheta = np.cos(theta), np.sin(theta)
        temp = (force + of.polemass_length * np.square(theta_dot) * sintheta) / of.total_mass
        thetaacc = (of.gravity * sintheta - costheta * temp) / (
            of.length * (4.0 / 3.0 - of.masspole * np.square(costheta) / of.total_mass)
        )
        xacc = temp - of.polemass_length * thetaacc * costheta / of.total_mass
        # Euler's method: from the velocities before the step.
        following = np.empty_like(state)
        np.add(x, of.tau * x_dot, out=following[0])
        np.add(x_dot, of.tau * xacc, out=following[1])
        np.add(theta, of.tau * theta_dot, out=following[2])
        np.add(theta_dot, of.tau * thetaacc, out=following[3])
        over = np.abs(following[0]) > of.x_threshold
        over |= np.abs(following[2]) > of.theta_threshold_radians
        return following, np.ones(len(over)), over


class SlippingCartPole(CartPole):
    """A cart of which so many pushes go the other way."""

    def step(self, state: Numbers, actions: NDArray[Any], generators: object = ()) -> Stepped:
        """Push the cart, or the other way, by a number from each stream."""
        assert isinstance(generators, Sequence)
        slips = np.array([each.random() for each in generators]) < self.of.slip
        return super().step(state, np.where(slips, 1 - actions, actions))


class Acrobot:
    """Two links, the joint between them driven, to be swung up (Sutton 1996).

    Links of length and mass 1 and moment of inertia 1, whose centres of mass are in their middle:
    products with 1 are left out of Gymnasium's formulas.
    """

    GRAVITY = 9.8
    UNITS = ("LINK_LENGTH_1", "LINK_LENGTH_2", "LINK_MASS_1", "LINK_MASS_2", "LINK_MOI")

    def __init__(self, environment: Any) -> None:
        """Read the environment's constants."""
        self.of = environment
        self._torques = np.array(environment.AVAIL_TORQUE)
        self._fastest = np.array([[environment.MAX_VEL_1], [environment.MAX_VEL_2]])
        self._lower, self._both = 0.5 * self.GRAVITY, (0.5 + 1.0) * self.GRAVITY

    @classmethod
    def serves(cls, environment: Any) -> bool:
        """Say whether an environment is the one that Gymnasium makes."""
        middle = environment.LINK_COM_POS_1 == environment.LINK_COM_POS_2 == 0.5
        units = all(getattr(environment, name) == 1.0 for name in cls.UNITS)
        quiet = environment.torque_noise_max == 0.0
        return middle and units and quiet and environment.book_or_nips == "book"

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """Hanging, near rest; drawn in single precision."""
        drawn = [each.uniform(low=-0.1, high=0.1, size=(4,)) for each in generators]
        state = np.array(drawn).astype(np.float32).T
        return state.astype(np.float64), self.observe(state)

    def observe(self, state: Numbers) -> Numbers:
        """The angles' cosines and sines, and their velocities."""
        observations = np.empty((state.shape[1], 6), dtype=np.float32)
        observations[:, 0:4:2] = np.cos(state[:2]).T
        observations[:, 1:4:2] = np.sin(state[:2]).T
        observations[:, 4:] = state[2:].T
        return observations

    def step(self, state: Numbers, actions: NDArray[Any], generators: object = ()) -> Stepped:
        """Apply a torque for a step of Runge and Kutta's method."""
        torque, dt = self._torques[actions], self.of.dt
        half = dt / 2.0
        k1 = self._change(state, torque)
        k2 = self._change(state + half * k1, torque)
        k3 = self._change(state + half * k2, torque)
        k4 = self._change(state + dt * k3, torque)
        following: Numbers = state + dt / 6.0 * (k1 + 2 * k2 + 2 * k3 + k4)
        angles, speeds = following[:2], following[2:]
        _wrap(angles)
        _keep_within(speeds, -self._fastest, self._fastest)
        over = -np.cos(angles[0]) - np.cos(angles[1] + angles[0]) > 1.0
        return following, np.where(over, 0.0, -1.0), over

    def _change(self, state: Numbers, torque: Numbers) -> Numbers:
        """Return the state's derivative (4, n), by the equations of Sutton and Barto's book."""
        theta1, theta2, dtheta1, dtheta2 = state
        angles = np.empty((3, len(theta1)))
        angles[0] = theta2
        np.subtract(theta1, np.pi / 2, out=angles[1])
        np.add(theta1, theta2, out=angles[2])
        angles[2] -= np.pi / 2
        cosine, upright, sum_upright = np.cos(angles)
        sine = np.sin(theta2)
        square1, square2 = _square(state[2:])
        d1 = 0.25 + (1.25 + cosine) + 1.0 + 1.0
        d2 = 0.25 + 0.5 * cosine + 1.0
        phi2 = self._lower * sum_upright
        phi1 = -0.5 * square2 * sine - dtheta2 * dtheta1 * sine + self._both * upright + phi2
        change = np.empty_like(state)
        change[:2] = state[2:]
        ddtheta2 = np.divide(
            torque + d2 / d1 * phi1 - 0.5 * square1 * sine - phi2,
            1.25 - _square(d2) / d1,
            out=change[3],
        )
        np.divide(-(d2 * ddtheta2 + phi1), d1, out=change[2])
        return change


def _wrap(angles: Numbers) -> None:
    """Bring angles into -pi .. pi, in place, turn by turn."""
    while (above := angles > np.pi).any():
        angles[above] -= 2 * np.pi
    while (below := angles < -np.pi).any():
        angles[below] += 2 * np.pi


class MountainCar:
    """A car too weak for its hill, with three actions (Moore 1990)."""

    def __init__(self, environment: Any) -> None:
        """Read the environment's constants."""
        self.of = environment

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """In the valley, at rest."""
        state = np.zeros((2, len(generators)))
        state[0] = [each.uniform(low=-0.6, high=-0.4) for each in generators]
        return state, self.observe(state)

    def observe(self, state: Numbers) -> Numbers:
        """The state itself."""
        return state.T.astype(np.float32)

    def step(self, state: Numbers, actions: NDArray[Any], generators: object = ()) -> Stepped:
        """Push to the left, not at all, or to the right."""
        of = self.of
        position, velocity = state
        following = np.empty_like(state)
        push = (actions - 1) * of.force + np.cos(3 * position) * (-of.gravity)
        np.add(velocity, push, out=following[1])
        _keep_within(following[1], -of.max_speed, of.max_speed)
        np.add(position, following[1], out=following[0])
        _keep_within(following[0], of.min_position, of.max_position)
        following[1][(following[0] == of.min_position) & (following[1] < 0)] = 0
        over = (following[0] >= of.goal_position) & (following[1] >= of.goal_velocity)
        return following, np.full(len(over), -1.0), over


class ContinuousMountainCar:
    """The same car, pushed at any strength, which costs.

    Gymnasium keeps its state in single precision, but for the first, drawn one, of whose steps the
    third row of a state here tells.
    """

    def __init__(self, environment: Any) -> None:
        """Read the environment's constants."""
        self.of = environment

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """In the valley, at rest."""
        state = np.zeros((3, len(generators)))
        state[0] = [each.uniform(low=-0.6, high=-0.4) for each in generators]
        state[2] = 1.0
        return state, self.observe(state)

    def observe(self, state: Numbers) -> Numbers:
        """The state itself."""
        return state[:2].T.astype(np.float32)

    def step(self, state: Numbers, actions: NDArray[Any], generators: object = ()) -> Stepped:
        """Push the car; an action is a row (1,) of float32."""
        action = np.asarray(actions, dtype=np.float32).reshape(-1)
        moved = self._move(state[:2].astype(np.float32), action)
        over = self._at_goal(moved)
        following = np.zeros_like(state)
        following[:2] = moved
        if state[2].any():
            first = np.flatnonzero(state[2])
            moved = self._move(state[:2, first], action[first])
            over[first] = self._at_goal(moved)
            following[:2, first] = moved.astype(np.float32)
        rewards = np.where(over, 100.0, 0.0) - np.square(action.astype(np.float64)) * 0.1
        return following, rewards, over

    def _at_goal(self, state: Numbers) -> NDArray[np.bool_]:
        position, velocity = state
        reached = (position >= self.of.goal_position) & (velocity >= self.of.goal_velocity)
        return np.asarray(reached)

    def _move(self, state: Numbers, action: NDArray[np.float32]) -> Numbers:
        """Return position and velocity after a step, computed in the state's own precision."""
        of, own = self.of, state.dtype
        position, velocity = state
        slope = 0.0025 * np.cos((3 * position).astype(np.float64))
        push = (action * np.float32(of.power) - slope.astype(np.float32)).astype(own)
        outside = np.abs(action) > of.max_action
        if outside.any():
            # There the force is Python's, of double precision, and so is the sum.
            bound = np.copysign(of.max_action, action[outside].astype(np.float64))
            push[outside] = bound * of.power - slope[outside]
        following = np.empty_like(state)
        np.add(velocity, push, out=following[1])
        _keep_within(following[1], own.type(-of.max_speed), own.type(of.max_speed))
        np.add(position, following[1], out=following[0])
        low, high = own.type(of.min_position), own.type(of.max_position)
        _keep_within(following[0], low, high)
        following[1][(following[0] == low) & (following[1] < 0)] = 0
        return following


class Pendulum:
    """A pendulum to be swung up and held."""

    def __init__(self, environment: Any) -> None:
        """Read the environment's constants."""
        self.of = environment
        self._high = np.array([np.pi, 1.0])

    def begin(self, generators: Sequence[np.random.Generator]) -> tuple[Numbers, Numbers]:
        """At any angle, slow."""
        drawn = [each.uniform(low=-self._high, high=self._high) for each in generators]
        state = np.array(drawn).T
        return state, self.observe(state)

    def observe(self, state: Numbers) -> Numbers:
        """The angle's cosine and sine, and its velocity."""
        observations = np.empty((state.shape[1], 3), dtype=np.float32)
        observations[:, 0] = np.cos(state[0])
        observations[:, 1] = np.sin(state[0])
        observations[:, 2] = state[1]
        return observations

    def step(self, state: Numbers, actions: NDArray[Any], generators: object = ()) -> Stepped:
        """Apply a torque, a row (1,) of float32; no episode ends by itself."""
        of = self.of
        theta, speed = state
        torque = np.array(actions, dtype=np.float32).reshape(-1)
        _keep_within(torque, -of.max_torque, of.max_torque)
        angle = ((theta + np.pi) % (2 * np.pi)) - np.pi
        effort = np.array([each**2 for each in torque], dtype=np.float32)  # by pow, see _square
        costs = _square(angle) + 0.1 * _square(speed) + np.float32(0.001) * effort
        following = np.empty_like(state)
        gain = np.float32(3.0 / (of.m * of.l**2))
        change = (3 * of.g / (2 * of.l) * np.sin(theta) + gain * torque) * of.dt
        np.add(speed, change, out=following[1])
        _keep_within(following[1], -of.max_speed, of.max_speed)
        np.add(theta, following[1] * of.dt, out=following[0])
        return following, -costs, np.zeros(len(costs), dtype=bool)


def control_of(environment: gymnasium.Env[Any, Any]) -> Motion | None:
    """Return what an environment does, or None where only Gymnasium knows it."""
    bare = bare_of(environment)
    if bare is None:
        return None
    kind = type(bare)
    match f"{kind.__module__.removeprefix(MODULES)}.{kind.__name__}":
        case "cartpole.CartPoleEnv":
            return CartPole(bare) if CartPole.serves(bare) else None
        case "rlidim.environments.pole.SlippingCartPole":
            return SlippingCartPole(bare) if CartPole.serves(bare) else None
        case "acrobot.AcrobotEnv":
            return Acrobot(bare) if Acrobot.serves(bare) else None
        case "mountain_car.MountainCarEnv":
            return MountainCar(bare)
        case "continuous_mountain_car.Continuous_MountainCarEnv":
            return ContinuousMountainCar(bare)
        case "pendulum.PendulumEnv":
            return Pendulum(bare)
    return None
