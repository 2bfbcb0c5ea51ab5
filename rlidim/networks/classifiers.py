"""Networks that classify images: the paper's supervised ones, with its D exactly.

Li et al. 2018, section 3.1 and its controls of LeNet's two priors, local receptive fields and
shared weights: untied (local, not shared), fc (neither) and fctied (shared, not local).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlidim.networks.initialisation import truncated_normal
from rlidim.tasks.problems import CLASSES, DATA_SETS, Classifier
from rlidim.tasks.task import Task

KERNEL, POOL = 5, 2
CHANNELS = (6, 16)  # of LeNet's two convolutions
UNITS = (120, 84)  # of its two hidden layers

Stage = Callable[[int, int, int], list[nn.Module]]
"""Makes one convolution, or what stands in its place, from channels in, channels out and pixels."""


class LocallyConnected(nn.Module):
    """A convolution whose every output pixel has a kernel and a bias of its own.

    Args:
        inputs: channels in.
        outputs: channels out.
        pixels: height and width of the square input.

    Input (N, inputs, pixels, pixels), output (N, outputs, p, p) with p = pixels - 4.
    """

    def __init__(self, inputs: int, outputs: int, pixels: int) -> None:
        """Make the parameters; their values are set by :func:`initial_parameters`."""
        super().__init__()
        self.width = pixels - KERNEL + 1
        places, fan_in = self.width**2, inputs * KERNEL**2
        self.weight = nn.Parameter(torch.zeros(places, outputs, fan_in))
        self.bias = nn.Parameter(torch.zeros(places, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Apply each pixel's kernel."""
        # Views and one copy: nn.functional.unfold launches a kernel for each image on a GPU.
        windows = x.unfold(2, KERNEL, 1).unfold(3, KERNEL, 1)  # (N, inputs, p, p, 5, 5)
        patches = windows.permute(2, 3, 0, 1, 4, 5).reshape(self.width**2, len(x), -1)
        outputs = torch.baddbmm(self.bias[:, None, :], patches, self.weight.transpose(1, 2))
        return outputs.permute(1, 2, 0).reshape(len(x), -1, self.width, self.width)


class WholeConvolution(nn.Conv2d):
    """A convolution so wide that every output pixel sees the whole image.

    For a square input of p pixels, padded by p - 1, and a kernel of 2 p - 1. Every window of p
    pixels of the kernel is what one output pixel multiplies the image by: one matrix product, where
    a general convolution takes several times as long.
    """

    def __init__(self, inputs: int, outputs: int, pixels: int) -> None:
        """Make the parameters, a convolution's; see :class:`LocallyConnected`."""
        super().__init__(inputs, outputs, 2 * pixels - 1, padding=pixels - 1)
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        """Multiply the image by every window; the last window is the first output pixel's."""
        p = self.pixels
        windows = self.weight.unfold(2, p, 1).unfold(3, p, 1)  # (outputs, inputs, p, p, p, p)
        matrix = windows.permute(1, 4, 5, 0, 2, 3).reshape(-1, self.out_channels * p * p)
        outputs = (x.flatten(1) @ matrix).view(len(x), self.out_channels, p, p)
        assert self.bias is not None
        return outputs.flip((2, 3)) + self.bias[:, None, None]


def build(classifier: Classifier, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Build a network; it takes images (N, *shape) and gives logits (N, classes).

    Its values are whatever torch draws: set them by :func:`initial_parameters`.
    """
    channels, pixels, _ = shape
    if classifier.architecture == "fc":
        return nn.Sequential(
            nn.Flatten(), *fully_connected((math.prod(shape), *classifier.hidden, classes))
        )
    stage = STAGES[classifier.architecture]
    layers: list[nn.Module] = []
    for outputs in CHANNELS:
        layers += stage(channels, outputs, pixels)
        if not classifier.linear_convolutions:
            layers.append(nn.ReLU())
        layers.append(nn.MaxPool2d(POOL))
        width = pixels if classifier.architecture == "fctied-lenet" else pixels - KERNEL + 1
        channels, pixels = outputs, width // POOL
    return nn.Sequential(
        *layers, nn.Flatten(), *fully_connected((channels * pixels**2, *UNITS, classes))
    )


def fully_connected(sizes: tuple[int, ...]) -> list[nn.Module]:
    """Return linear layers with ReLUs between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return layers[:-1]


def _convolution(inputs: int, outputs: int, pixels: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, KERNEL)]


def _untied(inputs: int, outputs: int, pixels: int) -> list[nn.Module]:
    return [LocallyConnected(inputs, outputs, pixels)]


def _dense(inputs: int, outputs: int, pixels: int) -> list[nn.Module]:
    width = pixels - KERNEL + 1
    shape = (outputs, width, width)
    return [
        nn.Flatten(),
        nn.Linear(inputs * pixels**2, math.prod(shape)),
        nn.Unflatten(1, shape),
    ]


def _tied(inputs: int, outputs: int, pixels: int) -> list[nn.Module]:
    """Return a convolution that sees the whole image, with the D that others report."""
    return [WholeConvolution(inputs, outputs, pixels)]


STAGES: dict[str, Stage] = {
    "lenet": _convolution,
    "untied-lenet": _untied,
    "fc-lenet": _dense,
    "fctied-lenet": _tied,
}


def count(network: nn.Module) -> int:
    """Return D, the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def kernels(network: nn.Module) -> list[nn.Parameter]:
    """Return the weights, without the biases."""
    return [value for name, value in network.named_parameters() if name.endswith("weight")]


def initial_parameters(network: nn.Module, seed: int) -> NDArray[np.float32]:
    """Return theta_0, float32 (D,): Keras's he_normal kernels, zero biases; the paper's.

    Truncated normal numbers of deviation sqrt(2 / fan_in). A pure function of the network's shapes
    and the seed.
    """
    generator = np.random.default_rng(seed)
    parts: list[NDArray[np.float64]] = []
    for name, parameter in network.named_parameters():
        shape = tuple(parameter.shape)
        if not name.endswith("weight"):
            parts.append(np.zeros(parameter.numel()))
            continue
        # (out, in) of a linear layer, (out, in, k, k) of a convolution, (places, out, in) untied.
        fan_in = shape[-1] if len(shape) == 3 else math.prod(shape[1:])
        parts.append(truncated_normal(generator, shape).ravel() * math.sqrt(2.0 / fan_in))
    return np.concatenate(parts).astype(np.float32)


def network_of(task: Task) -> nn.Sequential:
    """Build a task's network, its parameters yet to be set.

    Raises:
        RlidimError: it is no supervised task.
    """
    problem = task.supervised
    _, shape = DATA_SETS[problem.data.name]
    return build(problem.classifier, shape, CLASSES)


def native_dimension(task: Task) -> int:
    """Return D of a supervised task's network."""
    with torch.device("meta"):
        return count(network_of(task))


def theta_0(task: Task, seed: int) -> NDArray[np.float32]:
    """Return the parameters (D,) that training starts from."""
    return initial_parameters(network_of(task), seed)
