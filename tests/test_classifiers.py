"""The paper's supervised networks: their sizes, theta_0, and what each of them can see."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from rlidim.networks import classifiers
from rlidim.tasks.problems import Classifier

MNIST, CIFAR = (1, 28, 28), (3, 32, 32)
# Li et al. 2018: the D of its tables and notebooks.
SIZES = [
    (Classifier("fc", (200, 200)), MNIST, 199_210),
    (Classifier("fc", (400,) * 5), MNIST, 959_610),
    (Classifier("fc", (200, 200)), CIFAR, 656_810),
    (Classifier("fc", (400, 400)), CIFAR, 1_393_610),
    (Classifier("lenet"), MNIST, 44_426),
    (Classifier("lenet"), CIFAR, 62_006),
    (Classifier("untied-lenet"), MNIST, 286_334),
    (Classifier("untied-lenet"), CIFAR, 658_238),
    (Classifier("fc-lenet"), MNIST, 3_640_574),
    (Classifier("fc-lenet"), CIFAR, 16_397_726),
    (Classifier("fctied-lenet"), MNIST, 193_370),
    (Classifier("fctied-lenet"), CIFAR, 297_734),
    (Classifier("fc"), MNIST, 7_850),
]


@pytest.mark.parametrize(("classifier", "shape", "D"), SIZES)
def test_sizes_are_the_paper_s(classifier: Classifier, shape: tuple[int, int, int], D: int) -> None:
    with torch.device("meta"):
        network = classifiers.build(classifier, shape, 10)
        assert classifiers.count(network) == D
        assert network(torch.empty(2, *shape)).shape == (2, 10)


def test_every_convolution_has_an_activation_unless_it_is_linear() -> None:
    for architecture in ("lenet", "untied-lenet", "fc-lenet", "fctied-lenet"):
        for linear, activations in ((False, 4), (True, 2)):
            with torch.device("meta"):
                network = classifiers.build(Classifier(architecture, (), linear), MNIST, 10)
            assert sum(isinstance(layer, nn.ReLU) for layer in network) == activations


def test_locally_connected_is_a_convolution_where_its_kernels_are_one() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 4, 5)
    untied = classifiers.LocallyConnected(3, 4, 9)
    with torch.no_grad():
        untied.weight.copy_(convolution.weight.reshape(1, 4, -1).expand(25, -1, -1))
        untied.bias.copy_(convolution.bias.expand(25, -1))
    images = torch.randn(7, 3, 9, 9)
    assert torch.allclose(untied(images), convolution(images), atol=1e-5)


def test_locally_connected_has_a_kernel_for_every_pixel() -> None:
    untied = classifiers.LocallyConnected(1, 1, 6)
    with torch.no_grad():
        untied.weight[3] = 1.0  # the last of the four output pixels
        untied.bias[0] = 2.0
    found = untied(torch.ones(1, 1, 6, 6)).detach()
    assert found.tolist() == [[[[2.0, 0.0], [0.0, 25.0]]]]


@pytest.mark.parametrize(("inputs", "outputs", "pixels"), [(1, 6, 9), (6, 4, 5)])
def test_a_convolution_of_the_whole_image_is_a_convolution(
    inputs: int, outputs: int, pixels: int
) -> None:
    whole = classifiers.WholeConvolution(inputs, outputs, pixels)
    images = torch.randn(3, inputs, pixels, pixels, requires_grad=True)
    right = nn.functional.conv2d(images, whole.weight, whole.bias, padding=pixels - 1)
    found, g = whole(images), torch.randn_like(right)
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4)
    variables = [images, *whole.parameters()]
    gradients, expected = (torch.autograd.grad(y, variables, g) for y in (found, right))
    for mine, theirs in zip(gradients, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_a_tied_stage_sees_the_whole_image() -> None:
    network = classifiers.build(Classifier("fctied-lenet"), MNIST, 10)
    images = torch.zeros(1, *MNIST, requires_grad=True)
    network[0](images)[0, 0, 0, 0].backward()
    assert images.grad is not None
    assert (images.grad != 0).all()


def test_theta_0_is_he_normal_and_a_function_of_its_seed() -> None:
    network = classifiers.build(Classifier("lenet"), MNIST, 10)
    theta = classifiers.initial_parameters(network, 3)
    assert theta.dtype == np.float32
    assert (theta == classifiers.initial_parameters(network, 3)).all()
    assert (theta != classifiers.initial_parameters(network, 4)).any()
    nn.utils.vector_to_parameters(torch.from_numpy(theta), network.parameters())
    for layer, fan_in in ((network[0], 25), (network[3], 150), (network[7], 256)):
        deviation = math.sqrt(2 / fan_in)
        weight = layer.weight.detach()
        # Four standard errors of a sample deviation; the tails are cut at two deviations.
        assert abs(weight.std().item() / deviation - 1) < 4 / math.sqrt(2 * weight.numel())
        assert weight.abs().max().item() <= 2 * deviation / 0.8796 + 1e-6
        assert (layer.bias == 0).all()


def test_untied_kernels_have_their_own_fan_in() -> None:
    network = classifiers.build(Classifier("untied-lenet"), MNIST, 10)
    theta = classifiers.initial_parameters(network, 0)
    nn.utils.vector_to_parameters(torch.from_numpy(theta), network.parameters())
    second = network[3].weight.detach()
    assert abs(second.std().item() / math.sqrt(2 / 150) - 1) < 0.01
