"""The features of an exported model, which stores this file's code by value.

The file therefore imports torch and Stable-Baselines3 alone.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn


class PlainFeatures(BaseFeaturesExtractor):
    """Convolutions, each with zeros around its input, and a fully connected layer, with ReLU."""

    def __init__(
        self,
        observation_space: Any,
        convolutions: list[list[Any]],
        units: int,
        channels_last: bool = False,
    ) -> None:
        """Build the layers.

        Args:
            observation_space: of frames.
            convolutions: channels out, kernel, stride, and zeros (before, after) of each.
            units: of the last layer.
            channels_last: whether an observation is (height, width, channels), else its channels
                come first.
        """
        super().__init__(observation_space, units)
        self.channels_last = channels_last
        frame = self._channels_first(torch.zeros(1, *observation_space.shape))
        channels = frame.shape[1]
        layers: list[nn.Module] = []
        for outputs, kernel, stride, (before, after) in convolutions:
            layers.append(nn.ZeroPad2d((before, after, before, after)))
            layers += [nn.Conv2d(channels, outputs, kernel, stride), nn.ReLU()]
            channels = outputs
        layers.append(nn.Flatten())
        with torch.no_grad():
            size = nn.Sequential(*layers)(frame).shape[1]
        self.layers = nn.Sequential(*layers, nn.Linear(size, units), nn.ReLU())

    def forward(self, observations: Tensor) -> Tensor:
        """Return the features, (N, units), of frames in 0 .. 1."""
        features: Tensor = self.layers(self._channels_first(observations))
        return features

    def _channels_first(self, observations: Tensor) -> Tensor:
        return observations.movedim(-1, 1) if self.channels_last else observations
