"""Acting networks on frames: the paper's on Pong, the DQN's (NatureCNN), and MinAtar's.

``paper`` is Salimans et al. 2017's Atari network, whose D = 1,005,974 is the one that Li et al.
2018 report for Pong: two convolutions with TensorFlow's SAME padding and a layer of 256 units, each
normalised by the statistics of a reference batch, then scaled and shifted (virtual batch
normalisation, Salimans et al. 2016). ``nature`` is Mnih et al. 2015's; ``minatar``, for frames of
10 x 10 fields, Young and Tian 2019's.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlidim.devices import device
from rlidim.errors import RlidimError
from rlidim.networks.initialisation import HIDDEN_GAIN, fitting, initial_weight, with_tuples
from rlidim.tasks.problems import PixelNetwork

KIND = "pixels"  # marks such a network's JSON
CHUNK = 8  # observations that go through the network together, always: see PixelPolicy
EPSILON = 1e-5  # added to a variance
BRIGHTEST = 255.0
FEW = 16  # pixels of a side that are fields of a board rather than a screen's


@dataclass(frozen=True)
class Convolution:
    """One layer: channels out, square kernel, stride, and zeros added (before, after) each axis."""

    channels: int
    kernel: int
    stride: int
    padding: tuple[int, int] = (0, 0)

    def size(self, pixels: int) -> int:
        """Return the output's height for an input's."""
        return (pixels + sum(self.padding) - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class Layers:
    """Convolutions and the units of the fully connected layer behind them."""

    convolutions: tuple[Convolution, ...]
    units: int


LAYERS = {
    "paper": Layers((Convolution(16, 8, 4, (2, 2)), Convolution(32, 4, 2, (1, 2))), 256),
    "nature": Layers((Convolution(32, 8, 4), Convolution(64, 4, 2), Convolution(64, 3, 1)), 512),
    "minatar": Layers((Convolution(16, 3, 1),), 128),
}


class Normalisation(nn.Module):
    """Fixed mean and variance, trained scale and shift, channel by channel."""

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(self, channels: int) -> None:
        """Begin as the identity."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("factor", torch.ones(channels))

    def fix(self, mean: Tensor, variance: Tensor) -> None:
        """Set the statistics, (channels,) each."""
        self.mean.copy_(mean)
        self.variance.copy_(variance)
        self.factor.copy_(torch.rsqrt(variance + EPSILON))

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return the factor and the shift, (channels,) each, that normalising amounts to."""
        factor = self.factor * self.scale
        return factor, self.shift - self.mean * factor

    def folded(self, layer: nn.Conv2d | nn.Linear) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the layer before, with this normalisation folded in."""
        assert layer.bias is not None
        factor, shift = self.affine()
        shape = (-1,) + (1,) * (layer.weight.dim() - 1)
        return layer.weight * factor.view(shape), layer.bias * factor + shift

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (N, channels) or (N, channels, height, width)."""
        factor, shift = self.affine()
        shape = (1, -1) + (1,) * (x.dim() - 2)
        return torch.addcmul(shift.view(shape), x, factor.view(shape))


class Features(nn.Sequential):
    """Everything before the outputs: frames uint8 or float in 0 .. 1 to ``units`` numbers.

    Attributes:
        channels_last: whether frames are brought to the layout on which a CPU's convolutions of
            a screen take half the time; those of a few fields take a third more.
    """

    def __init__(self, layers: Layers, shape: tuple[int, ...], *, batch_norm: bool) -> None:
        """Build the layers for observations of a shape (channels, height, width)."""
        channels, height, across = shape
        modules: list[nn.Module] = []
        for layer in layers.convolutions:
            before, after = layer.padding
            if before != after:
                modules.append(nn.ZeroPad2d(layer.padding * 2))
            around = before if before == after else 0
            modules.append(
                nn.Conv2d(channels, layer.channels, layer.kernel, layer.stride, padding=around)
            )
            modules += [Normalisation(layer.channels)] if batch_norm else []
            modules.append(nn.ReLU())
            channels, height, across = layer.channels, layer.size(height), layer.size(across)
        modules += [nn.Flatten(), nn.Linear(channels * height * across, layers.units)]
        modules += [Normalisation(layers.units)] if batch_norm else []
        super().__init__(*modules, nn.ReLU())
        self.channels_last = min(shape[1:]) > FEW

    def forward(self, observations: Tensor) -> Tensor:
        """Return the features, (N, units)."""
        x = self._prepared(observations)
        modules = list(self)
        for module, following in zip(modules, [*modules[1:], None], strict=True):
            if isinstance(following, Normalisation):
                # Fixed statistics are a multiplication of the weights, which are few.
                assert isinstance(module, nn.Conv2d | nn.Linear)
                x = _apply(module, *following.folded(module), x)
            elif not isinstance(module, Normalisation):
                x = module(x)
        return x

    def normalisations(self) -> list[Normalisation]:
        """Return the normalising layers in order."""
        return [module for module in self if isinstance(module, Normalisation)]

    @torch.no_grad()
    def gather(self, reference: Tensor) -> None:
        """Fix every layer's statistics from a batch, (N, *shape), one layer after another."""
        x = self._prepared(reference)
        for module in self:
            if isinstance(module, Normalisation):
                axes = [0, *range(2, x.dim())]
                variance, mean = torch.var_mean(x, dim=axes, correction=0)
                module.fix(mean, variance)
            x = module(x)

    def _prepared(self, observations: Tensor) -> Tensor:
        """Return frames in 0 .. 1."""
        x = observations / BRIGHTEST if observations.dtype == torch.uint8 else observations
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x


def _apply(layer: nn.Conv2d | nn.Linear, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """Apply a layer with another weight and bias than its own."""
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(x, weight, bias)
    return nn.functional.conv2d(x, weight, bias, layer.stride, layer.padding)


class Network(nn.Module):
    """Features and a linear layer of outputs."""

    def __init__(self, architecture: PixelArchitecture) -> None:
        """Build the layers; the parameters are torch's own initialisation until they are set."""
        super().__init__()
        self.features = architecture.features()
        self.outputs = nn.Linear(architecture.layers.units, architecture.output_size)

    def forward(self, observations: Tensor) -> Tensor:
        """Return the outputs, (N, output_size)."""
        outputs: Tensor = self.outputs(self.features(observations))
        return outputs


@dataclass(frozen=True)
class PixelArchitecture:
    """A convolutional network that acts, its sizes fixed by an environment's spaces.

    Attributes:
        observation_shape: (channels, height, width) of the observations, uint8 or in 0 .. 1.
        output_size: the number of discrete actions.
        architecture: a key of ``LAYERS``.
        batch_norm: whether hidden layers are normalised, scaled and shifted.
        initialisation: ``he_normal`` or ``orthogonal``.
        output_gain: of the last layer, under ``orthogonal``.
        means: the statistics, all normalising layers' behind one another; None while they are to be
            gathered from ``reference``.
        variances: likewise.
        reference: observations (N, *observation_shape) that a policy without statistics gathers its
            own from; never stored.
    """

    observation_shape: tuple[int, ...]
    output_size: int
    architecture: str
    batch_norm: bool
    initialisation: str
    output_gain: float
    means: tuple[float, ...] | None = None
    variances: tuple[float, ...] | None = None
    reference: NDArray[np.uint8] | None = dataclasses.field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, network: PixelNetwork, observation_shape: tuple[int, ...], actions: int
    ) -> PixelArchitecture:
        """Fix a network's sizes for observations (channels, height, width) and so many actions."""
        return cls(
            observation_shape=observation_shape,
            output_size=actions,
            architecture=network.architecture,
            batch_norm=network.batch_norm,
            initialisation=network.initialisation,
            output_gain=network.output_gain,
        )

    @property
    def observation_size(self) -> int:
        """Numbers of an observation."""
        return math.prod(self.observation_shape)

    def module(self, theta: NDArray[Any] | None = None) -> Network:
        """Return the network as a torch module, its parameters theta (D,) in order.

        Under theta, statistics that the architecture lacks are gathered from ``reference``.

        Raises:
            RlidimError: there is no reference batch.
        """
        with torch.random.fork_rng(devices=[]):  # torch draws an initialisation, for nothing
            network = Network(self)
        if theta is None:
            return network
        vector = torch.as_tensor(np.array(theta, dtype=np.float32))
        parameters = list(network.parameters())
        parts = torch.split(vector, [parameter.numel() for parameter in parameters])
        with torch.no_grad():
            # Copied: a parameter that is part of the vector would be pickled with all of it.
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))
        if self.batch_norm and self.means is None:
            if self.reference is None:
                raise RlidimError(
                    "the network's normalisation has neither statistics nor a reference"
                )
            network.features.gather(torch.from_numpy(self.reference))
        return network

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parameters in order: weight, bias, scale, shift, layer by layer."""
        with torch.device("meta"):
            bare = dataclasses.replace(self, means=None, variances=None)
            return [tuple(parameter.shape) for parameter in Network(bare).parameters()]

    @property
    def D(self) -> int:
        """The number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes)

    def initial_parameters(self, seed: int) -> NDArray[np.float32]:
        """Return theta_0, float32 (D,): a pure function of the architecture and the seed.

        Biases and shifts are 0, scales 1.
        """
        generator = np.random.default_rng(seed)
        parts: list[NDArray[Any]] = []
        for name, parameter in self.module().named_parameters():
            shape = tuple(parameter.shape)
            if len(shape) == 1:
                parts.append(np.full(shape, float(name.endswith("scale"))))
                continue
            gain = self.output_gain if name.startswith("outputs") else HIDDEN_GAIN
            matrix = shape[0], math.prod(shape[1:])
            parts.append(initial_weight(generator, self.initialisation, matrix, gain).ravel())
        return np.concatenate(parts).astype(np.float32)

    def gathered(self, network: Network) -> PixelArchitecture:
        """Return the architecture with a network's statistics."""
        layers = network.features.normalisations()
        if not layers:
            return self
        return dataclasses.replace(
            self,
            means=tuple(torch.cat([layer.mean for layer in layers]).tolist()),
            variances=tuple(torch.cat([layer.variance for layer in layers]).tolist()),
        )

    @property
    def layers(self) -> Layers:
        """The layers before the outputs."""
        return LAYERS[self.architecture]

    def features(self) -> Features:
        """Return the network's features, with the statistics where the architecture has some.

        Raises:
            RlidimError: they are of another network.
        """
        features = Features(self.layers, self.observation_shape, batch_norm=self.batch_norm)
        if self.means is None or self.variances is None:
            return features
        normalisations = features.normalisations()
        sizes = [layer.scale.numel() for layer in normalisations]
        if not sum(sizes) == len(self.means) == len(self.variances):
            raise RlidimError(
                f"the network normalises {sum(sizes)} channels, its statistics are of "
                f"{len(self.means)}"
            )
        means, variances = torch.tensor(self.means), torch.tensor(self.variances)
        for layer, mean, variance in zip(
            normalisations,
            torch.split(means, sizes),
            torch.split(variances, sizes),
            strict=True,
        ):
            layer.fix(mean, variance)
        return features

    def policy(self, theta: NDArray[Any]) -> PixelPolicy:
        """Return the policy of parameters (D,), or a population's, (N, D)."""
        return PixelPolicy(self, theta)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "reference"
        }
        lists = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
        return {"kind": KIND, **lists}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PixelArchitecture:
        """Undo :meth:`to_json`.

        Raises:
            RlidimError: the content describes no such network.
        """
        values = {name: value for name, value in content.items() if name != "kind"}
        try:
            architecture = cls(**with_tuples(values))
            LAYERS[architecture.architecture]
        except (TypeError, KeyError) as error:
            raise RlidimError(f"not the description of a network ({error})") from error
        return architecture


class StackedNetworks:
    """Networks of one architecture, each with other parameters and statistics, in one call.

    On a GPU that is one convolution in groups a layer; a CPU is as fast with one after another.
    """

    def __init__(self, networks: Sequence[Network], place: torch.device) -> None:
        """Copy the networks' numbers to a device, (N, ...) each."""
        parameters, buffers = torch.func.stack_module_state(list(networks))
        self._numbers = {
            name: value.detach().to(place) for name, value in {**parameters, **buffers}.items()
        }
        self._place = place
        self._bare = copy.deepcopy(networks[0]).to("meta")
        self._bare.features.channels_last = False

    def __call__(self, frames: Tensor) -> Tensor:
        """Return the outputs (N, output_size) on the CPU, of one observation each (N, ...)."""

        def evaluate(numbers: dict[str, Tensor], frame: Tensor) -> Tensor:
            outputs: Tensor = torch.func.functional_call(self._bare, numbers, (frame[None],))
            return outputs[0]

        # The same sums every time: cuDNN would choose among algorithms, and round to 10 bits.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            outputs: Tensor = torch.func.vmap(evaluate)(self._numbers, frames.to(self._place))
        return outputs.cpu()

    def select(self, members: NDArray[np.intp]) -> StackedNetworks:
        """Return the networks of some members."""
        chosen = copy.copy(self)
        rows = torch.from_numpy(members).to(self._place)
        chosen._numbers = {name: value[rows] for name, value in self._numbers.items()}
        return chosen


class PixelPolicy:
    """A deterministic policy on frames, or a population of them, one observation each.

    One policy's observations go through the network in chunks of one size, the last one filled up:
    its outputs for an observation then do not depend on the others beside it. A population is on
    the GPU, if there is one.

    Args:
        architecture: of the network; without statistics each policy gathers its own.
        theta: float32 (D,) for one policy, (N, D) for a population.

    Raises:
        RlidimError: theta does not fit the architecture.
    """

    def __init__(self, architecture: PixelArchitecture, theta: NDArray[Any]) -> None:
        """Build the networks."""
        theta = fitting(theta, architecture.D)
        self.population = self.apart = theta.ndim == 2
        rows = theta if self.population else theta[None]
        self._networks = [architecture.module(row).requires_grad_(False).eval() for row in rows]
        self.architecture = architecture
        self._stacked: StackedNetworks | None = None
        if not self.population:
            self.architecture = architecture.gathered(self.network)
        elif device().type != "cpu":
            self._stacked = StackedNetworks(self._networks, device())

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Return the action with the largest output for each observation, int64 (N,).

        Args:
            observations: (N, *observation_shape); for a population, row i is member i's.
        """
        return np.asarray(self.outputs(observations).argmax(axis=1))

    @property
    def network(self) -> Network:
        """The module of a single policy."""
        (network,) = self._networks
        return network

    def outputs(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Return the network's outputs, float32 (N, output_size)."""
        shape = (-1, *self.architecture.observation_shape)
        frames = torch.from_numpy(np.ascontiguousarray(observations)).reshape(shape)
        with torch.inference_mode():
            if self._stacked is not None:
                outputs = self._stacked(frames)
            elif self.population:
                pairs = zip(self._networks, torch.split(frames, 1), strict=True)
                outputs = torch.cat([network(frame) for network, frame in pairs])
            else:
                outputs = torch.cat([self._chunk(chunk) for chunk in torch.split(frames, CHUNK)])
        return np.asarray(outputs.numpy())

    def _chunk(self, frames: Tensor) -> Tensor:
        filled = torch.cat([frames, frames.new_zeros(CHUNK - len(frames), *frames.shape[1:])])
        outputs: Tensor = self.network(filled)[: len(frames)]
        return outputs

    def begun(self, rows: int) -> PixelPolicy:
        """Return itself: there is no memory."""
        return self

    def select(self, members: NDArray[np.intp]) -> PixelPolicy:
        """Return the population of the given members alone."""
        chosen = copy.copy(self)
        chosen._networks = [self._networks[index] for index in members]
        if self._stacked is not None:
            chosen._stacked = self._stacked.select(members)
        return chosen
