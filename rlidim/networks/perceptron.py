"""Multilayer perceptrons that act: sizes, theta_0 from a seed, fast evaluation of many at once.

Li et al. 2018 use 4-20-20-2 on CartPole (D = 562). theta_0 is an ordinary initialisation of the
whole network; a parameter vector holds each layer's weight (out, in), then its bias (out,). Before
the layers may be a memory: :mod:`rlidim.networks.memory`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.networks import memory
from rlidim.networks.initialisation import (
    HIDDEN_GAIN,
    fitting,
    initial_weight,
    moved,
    with_tuples,
)
from rlidim.tasks.fields import recorded
from rlidim.tasks.problems import Network, Start

if TYPE_CHECKING:
    from gymnasium import spaces
    from torch import nn

    from rlidim.networks.rectified import RectifiedNetworks


@dataclass(frozen=True)
class Architecture:
    """A multilayer perceptron that acts, its sizes fixed by an environment's spaces.

    Attributes:
        observation_size: inputs.
        output_size: outputs: the number of discrete actions, of all choices of a MultiDiscrete one
            together, or the action's size; of values in quantiles, those of each action.
        hidden: widths of the hidden layers.
        activation: ``relu`` or ``tanh``.
        initialisation: ``he_normal`` or ``orthogonal``, see :class:`rlidim.tasks.problems.Network`.
        output_gain: of the last layer, under ``orthogonal``.
        action: ``argmax`` (discrete), ``argmax_mean`` (of each action's mean over quantiles),
            ``argmax_each`` (of each part's choices), ``positive`` (which of the outputs are),
            ``clip`` (to the bounds) or ``tanh`` (squashed to them).
        low: the action's lower bounds, None for discrete actions.
        high: the upper bounds.
        observation_mean: of a frozen normalisation, None for none.
        observation_variance: likewise.
        clip_observation: the bound of a normalised observation.
        choices: of each part of a MultiDiscrete action, or of the one whose values are in
            quantiles, None for any other.
        scale: of all weights of theta_0.
        memory: units of the LSTM before the layers, 0 for none.
        start: solutions, of one of which theta_0 is, none for theta_0 drawn at random.
        masked: whether it chooses among the actions that are valid, which it is told of.
        output_bound: the outputs' largest size before they are squashed, None for any.
    """

    observation_size: int
    output_size: int
    hidden: tuple[int, ...]
    activation: str
    initialisation: str
    output_gain: float
    action: str
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    observation_mean: tuple[float, ...] | None = None
    observation_variance: tuple[float, ...] | None = None
    clip_observation: float = 10.0
    choices: tuple[int, ...] | None = None
    scale: float = 1.0
    memory: int = 0
    start: tuple[Start, ...] = ()
    masked: bool = False
    output_bound: float | None = None

    def __post_init__(self) -> None:
        """Refuse to start at another network's solution."""
        for start in self.start:
            if start.D != self.D:
                raise RlidimError(
                    f"network: start: a solution of D = {start.D:,}, this network has {self.D:,}"
                )

    @classmethod
    def of(
        cls,
        network: Network,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        squash: bool = False,
        quantiles: int | None = None,
        masked: bool = False,
        output_bound: float | None = None,
    ) -> Architecture:
        """Fix a network's sizes.

        Args:
            network: what the task file says.
            observation_space: plain, a Box of any shape.
            action_space: plain: Discrete, MultiDiscrete, MultiBinary, or a Box of any shape.
            squash: squash continuous actions (SAC, TD3) instead of clipping them.
            quantiles: in which each discrete action's value is given (QR-DQN); None: one number.
            masked: choose among valid actions (MaskablePPO).
            output_bound: of outputs that are squashed (SAC with state-dependent noise).

        Raises:
            RlidimError: a space that a multilayer perceptron cannot serve.
        """
        from gymnasium import spaces

        if not isinstance(observation_space, spaces.Box):
            raise RlidimError(
                f"observations must be a Box, this environment's are {observation_space}"
            )
        common: dict[str, Any] = {
            "observation_size": math.prod(observation_space.shape),
            "hidden": network.hidden,
            "activation": network.activation,
            "initialisation": network.initialisation,
            "output_gain": network.output_gain,
            "scale": network.scale,
            "memory": network.memory,
            "start": network.start,
            "masked": masked,
        }
        if isinstance(action_space, spaces.Discrete) and quantiles is not None:
            actions = int(action_space.n)
            return cls(
                output_size=quantiles * actions, action="argmax_mean", choices=(actions,), **common
            )
        if isinstance(action_space, spaces.Discrete):
            return cls(output_size=int(action_space.n), action="argmax", **common)
        if isinstance(action_space, spaces.MultiDiscrete):
            choices = tuple(int(n) for n in action_space.nvec)
            return cls(output_size=sum(choices), action="argmax_each", choices=choices, **common)
        if isinstance(action_space, spaces.MultiBinary):
            return cls(output_size=math.prod(action_space.shape), action="positive", **common)
        if not isinstance(action_space, spaces.Box):
            raise RlidimError(
                "actions must be Discrete, MultiDiscrete, MultiBinary or a Box, this environment's "
                f"are {action_space}"
            )
        # A Box of whole numbers without a bound has the largest one as its bound.
        low = np.where(action_space.bounded_below, action_space.low, -np.inf)
        high = np.where(action_space.bounded_above, action_space.high, np.inf)
        return cls(
            output_size=math.prod(action_space.shape),
            action="tanh" if squash else "clip",
            output_bound=output_bound if squash else None,
            low=tuple(float(value) for value in low.ravel()),
            high=tuple(float(value) for value in high.ravel()),
            **common,
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of every layer, outputs included, and inputs, be they a memory's or observed."""
        return (self.memory or self.observation_size, *self.hidden, self.output_size)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parameters in order: weight (out, in), bias (out,), layer by layer."""
        shapes = memory.shapes(self.observation_size, self.memory) if self.memory else []
        for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False):
            shapes += [(outputs, inputs), (outputs,)]
        return shapes

    @property
    def D(self) -> int:
        """The number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes)

    def initial_parameters(self, seed: int) -> NDArray[np.float32]:
        """Return theta_0, float32 (D,): a pure function of the architecture and the seed."""
        if self.start:
            start = self.start[seed % len(self.start)]
            drawn = dataclasses.replace(self, start=())
            return moved(drawn.initial_parameters(start.theta_0_seed), start)
        generator = np.random.default_rng(seed)
        last = len(self.shapes) - 2  # the outputs' weight
        parts: list[NDArray[Any]] = []
        for index, shape in enumerate(self.shapes):
            if len(shape) == 1:
                parts.append(np.zeros(shape))
                continue
            gain = self.output_gain if index == last else HIDDEN_GAIN
            weight = initial_weight(generator, self.initialisation, (shape[0], shape[1]), gain)
            parts.append(weight.ravel() * self.scale)
        return np.concatenate(parts).astype(np.float32)

    def unflatten(self, theta: NDArray[Any]) -> list[NDArray[Any]]:
        """Cut parameters (..., D) into views of the shapes (..., *shape)."""
        parts, start = [], 0
        for shape in self.shapes:
            size = math.prod(shape)
            parts.append(theta[..., start : start + size].reshape(*theta.shape[:-1], *shape))
            start += size
        return parts

    def module(self, theta: NDArray[Any] | None = None) -> nn.Sequential:
        """Return the network as a torch module, its parameters theta (D,) in order.

        It takes the environment's observations, normalised if the architecture says so, and gives
        the outputs before they are made into actions.

        Raises:
            RlidimError: the network has a memory.
        """
        if self.memory:
            raise RlidimError("a network with a memory is no sequence of layers")
        import torch
        from torch import nn

        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            if index:
                layers.append(nn.ReLU() if self.activation == "relu" else nn.Tanh())
            layers.append(nn.Linear(inputs, outputs))
        network = nn.Sequential(*layers)
        if theta is not None:
            vector = torch.as_tensor(np.asarray(theta, dtype=np.float32))
            nn.utils.vector_to_parameters(vector, network.parameters())
        return network

    def policy(self, theta: NDArray[Any]) -> Policy:
        """Return the policy of parameters (D,), or a population's, (N, D)."""
        return Policy(self, theta)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; a bound that is infinite is null.

        Left out, as from older records, are ``choices``, a ``memory`` and a ``start`` where there
        are none, a ``scale`` of 1, an ``output_bound`` of None, and ``masked`` where it is not.
        """
        content = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        for name in ("choices", "output_bound"):
            if content[name] is None:
                del content[name]
        for name in ("memory", "start", "masked"):
            if not content[name]:
                del content[name]
        if self.start:
            starts = [recorded(start) for start in self.start]
            content["start"] = [{**start, "theta_d": list(start["theta_d"])} for start in starts]
        if self.scale == 1.0:
            del content["scale"]
        for name in ("low", "high"):
            if content[name] is not None:
                content[name] = [bound if math.isfinite(bound) else None for bound in content[name]]
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Architecture:
        """Undo :meth:`to_json`.

        Raises:
            RlidimError: the content describes no network.
        """
        try:
            content = with_tuples(content)
            for name, end in (("low", -math.inf), ("high", math.inf)):
                if content.get(name) is not None:
                    content[name] = tuple(end if at is None else at for at in content[name])
            content["start"] = tuple(
                Start(**with_tuples(start)) for start in content.get("start", ())
            )
            network = cls(**content)
            choices = network.choices or ()
            fits = {
                "argmax_each": sum(choices) == network.output_size,
                "argmax_mean": len(choices) == 1 and network.output_size % choices[0] == 0,
            }
            if not fits.get(network.action, True):
                raise TypeError(f"{network.output_size} outputs for the choices {network.choices}")
        except TypeError as error:
            raise RlidimError(f"not the description of a network ({error})") from error
        return network


def _rectified(theta: NDArray[np.float32], sizes: tuple[int, ...]) -> RectifiedNetworks | None:
    """Return a population's networks by the C++ kernels; None where those were not built."""
    from rlidim.projections import cpp_kernels

    if cpp_kernels.reason():
        return None
    from rlidim.networks.rectified import RectifiedNetworks

    return RectifiedNetworks(theta, sizes)


class Policy:
    """A deterministic policy in numpy, or a population of them, one observation each.

    A population's networks with rectified units are the C++ kernels', where those were built.

    Attributes:
        population: whether each row of observations has parameters of its own.
        apart: whether each row has something of its own, parameters or a memory.
        masked: whether it has to be told which actions are valid, by :meth:`act_among`.

    Args:
        architecture: of the network.
        theta: float32 (D,) for one policy, (N, D) for a population.

    Raises:
        RlidimError: theta does not fit the architecture.
    """

    _rectified: RectifiedNetworks | None = None
    _memory: memory.Memory | None = None

    def __init__(self, architecture: Architecture, theta: NDArray[Any]) -> None:
        """Cut theta into layers."""
        theta = fitting(theta, architecture.D)
        self.architecture = architecture
        self.population = theta.ndim == 2
        self.apart = self.population or architecture.memory > 0
        self.masked = architecture.masked
        if self.population and architecture.activation == "relu" and not architecture.memory:
            self._rectified = _rectified(theta, architecture.sizes)
        parts = [] if self._rectified else architecture.unflatten(theta)
        if architecture.memory:
            self._memory = memory.Memory(parts[: memory.PARTS])
            parts = parts[memory.PARTS :]
        # Transposed once: the products below read (inputs, outputs).
        self._weights = [
            np.ascontiguousarray(np.swapaxes(weight, -1, -2)) for weight in parts[0::2]
        ]
        self._biases = parts[1::2]
        if architecture.low is not None:
            self._low = np.array(architecture.low, dtype=np.float32)
            self._high = np.array(architecture.high, dtype=np.float32)
        self._normalise = architecture.observation_mean is not None
        if self._normalise:
            self._mean = np.array(architecture.observation_mean, dtype=np.float32)
            variance = np.array(architecture.observation_variance, dtype=np.float64)
            self._scale = (1.0 / np.sqrt(variance + 1e-8)).astype(np.float32)

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return an action for each observation.

        Args:
            observations: (N, observation_size); for a population, row i is member i's.

        Returns:
            int64 (N,) for discrete actions, int64 (N, parts) for MultiDiscrete ones, int8 (N,
            output_size) for MultiBinary ones, float32 (N, output_size) for continuous ones.

        Raises:
            RlidimError: the policy has to be told which actions are valid.
        """
        if self.masked:
            raise RlidimError("this policy chooses among valid actions: it needs their masks")
        return self.to_actions(self._outputs(observations))

    def act_among(self, observations: NDArray[Any], masks: NDArray[np.bool_]) -> NDArray[Any]:
        """Return the best valid action for each observation, of a choice among several.

        Args:
            observations: as in :meth:`act`.
            masks: of the outputs, (N, output_size), some of each choice valid.
        """
        return self.to_actions(np.where(masks, self._outputs(observations), -np.inf))

    def outputs(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return the network's outputs, float32 (N, output_size)."""
        return self._outputs(observations).copy()

    def inputs(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the network is given for observations, float32 (N, observation_size)."""
        x = np.asarray(observations, dtype=np.float32)
        x = x.reshape(len(x), -1)
        if self._normalise:
            limit = self.architecture.clip_observation
            x = np.clip((x - self._mean) * self._scale, -limit, limit)
        return x

    def _outputs(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return the outputs, which the next call may overwrite."""
        x = self.inputs(observations)
        if self._memory is not None:
            x = self._memory(x)
        if self._rectified is not None:
            return self._rectified(x)
        last = len(self._weights) - 1
        for index, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            x = np.matmul(x[:, None, :], weight)[:, 0, :] if self.population else x @ weight
            x += bias
            if index < last:
                if self.architecture.activation == "relu":
                    np.maximum(x, 0.0, out=x)
                else:
                    np.tanh(x, out=x)
        return x

    def to_actions(self, outputs: NDArray[np.float32]) -> NDArray[Any]:
        """Make outputs (N, output_size) into actions."""
        if self.architecture.action == "argmax":
            return np.asarray(outputs.argmax(axis=1))
        if self.architecture.action == "argmax_mean":
            (actions,) = self.architecture.choices or ()
            quantiles = outputs.reshape(len(outputs), -1, actions)
            return np.asarray(quantiles.mean(axis=1).argmax(axis=1))
        if self.architecture.action == "argmax_each":
            ends = np.cumsum(self.architecture.choices or ())
            parts = np.split(outputs, ends[:-1], axis=1)
            return np.stack([part.argmax(axis=1) for part in parts], axis=1)
        if self.architecture.action == "positive":
            return (outputs > 0.0).astype(np.int8)
        if self.architecture.action == "clip":
            return np.clip(outputs, self._low, self._high)
        if (bound := self.architecture.output_bound) is not None:
            outputs = np.clip(outputs, -bound, bound)
        share = (np.tanh(outputs) + 1.0) * 0.5
        return np.asarray(self._low + share * (self._high - self._low))

    def begun(self, rows: int) -> Policy:
        """Return the policy at the beginning of so many episodes: with an empty memory for each."""
        if self._memory is None:
            return self
        chosen = copy.copy(self)
        chosen._memory = self._memory.begun(rows)
        return chosen

    def select(self, members: NDArray[np.intp]) -> Policy:
        """Return the given members of a population alone, or the given rows of a memory."""
        chosen = copy.copy(self)
        if self._memory is not None:
            chosen._memory = self._memory.select(members)
        if not self.population:
            return chosen
        if self._rectified is not None:
            chosen._rectified = self._rectified.select(members)
        chosen._weights = [weight[members] for weight in self._weights]
        chosen._biases = [bias[members] for bias in self._biases]
        return chosen
