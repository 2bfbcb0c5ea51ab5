"""Data sets of images on a device: bytes, and their scaling to a network's inputs."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rlidim.data import datasets
from rlidim.errors import RlidimError
from rlidim.tasks.problems import Data

SHUFFLE = 0  # seeds the one permutation of pixels or labels


@dataclass(frozen=True)
class Samples:
    """Labelled images on a device: bytes (N, C, H, W) and classes (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return N."""
        return len(self.labels)


@dataclass(frozen=True)
class Sets:
    """A data set's training and test images, and the scaling of their bytes to inputs.

    ``shift`` and ``scale`` are (C, 1, 1): inputs are ``(bytes - shift) * scale``.
    """

    training: Samples
    test: Samples
    shift: Tensor
    scale: Tensor

    def inputs(self, images: Tensor) -> Tensor:
        """Return float32 inputs of the images' shape."""
        return images.float().sub_(self.shift).mul_(self.scale)


def sets(data: Data, place: torch.device) -> Sets:
    """Load a task's data onto a device; a worker process keeps the last.

    Raises:
        RlidimError: the data cannot be had.
    """
    # Which of its images are measured on makes no other data: what is kept serves both.
    return kept(replace(data, measured_on="test"), place)


@functools.lru_cache(maxsize=1)
def kept(data: Data, place: torch.device) -> Sets:
    """Load data, or return what was loaded last; ``sets`` asks for it."""
    source = datasets.load(data.name)
    train_images, train_labels = np.asarray(source.train_images), np.asarray(source.train_labels)
    test_images, test_labels = np.asarray(source.test_images), np.asarray(source.test_labels)
    # Before anything is left out or shuffled: the scaling is the data set's.
    shift, scale = _scaling(train_images, data.scaling)
    count = round(data.share * len(train_labels))
    if count == 0:
        raise RlidimError(f"share = {data.share:g} of {len(train_labels):,} images leaves none")
    train_images, train_labels = train_images[:count], train_labels[:count]
    generator = np.random.default_rng(SHUFFLE)
    if data.shuffled == "pixels":
        order = generator.permutation(math.prod(train_images.shape[1:]))
        train_images, test_images = _reordered(train_images, order), _reordered(test_images, order)
    elif data.shuffled == "labels":
        train_labels = generator.permutation(train_labels)

    def samples(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Samples:
        return Samples(
            torch.tensor(images, device=place), torch.tensor(labels, device=place).long()
        )

    return Sets(
        samples(train_images, train_labels),
        samples(test_images, test_labels),
        torch.tensor(shift, device=place),
        torch.tensor(scale, device=place),
    )


def _scaling(
    images: NDArray[np.uint8], scaling: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    channels = images.shape[1]
    shape = (channels, 1, 1)
    if scaling == "unit":
        return np.zeros(shape, np.float32), np.full(shape, 1 / 255, np.float32)
    # A histogram of bytes has the moments exactly, without a float copy of all images.
    values = np.arange(256)
    shares = [np.bincount(images[:, c].ravel(), minlength=256) for c in range(channels)]
    means = np.array([(count * values).sum() / count.sum() for count in shares])
    variances = np.array([(count * values**2).sum() / count.sum() for count in shares]) - means**2
    return (
        means.reshape(shape).astype(np.float32),
        (1 / np.sqrt(variances)).reshape(shape).astype(np.float32),
    )


def _reordered(images: NDArray[np.uint8], order: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images.reshape(len(images), -1)[:, order]).reshape(images.shape)
