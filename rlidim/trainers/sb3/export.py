"""A recorded solution as a model of stock Stable-Baselines3, which loads without rlidim."""

from __future__ import annotations

import dataclasses
import io
import math
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import Tensor, nn

from rlidim.environments import making
from rlidim.errors import RlidimError
from rlidim.networks.acting import AnyArchitecture
from rlidim.networks.atari import Network, Normalisation, PixelArchitecture
from rlidim.networks.perceptron import Architecture
from rlidim.records.files import replace_file
from rlidim.tasks.problems import MinAtar
from rlidim.tasks.task import Task
from rlidim.trainers.sb3.algorithms import MASKABLE, RECURRENT, algorithm_of
from rlidim.trainers.sb3.confine import acting_parameters
from rlidim.trainers.sb3.stock_spaces import StockSpaces, stock_spaces
from rlidim.trainers.sb3.train import ACTIVATIONS, net_arch

# The algorithm of stock Stable-Baselines3 whose policy acts like the trainer's; of a network with a
# memory, and of one that is told which actions are valid, it is sb3-contrib's: :func:`model_of`.
MODELS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO,
    "ppo-many": PPO,
    "a2c": A2C,
    "a2c-many": A2C,
    "es": PPO,
    "cmaes": PPO,
    "sepcmaes": PPO,
    "ars": PPO,
    "dqn": DQN,
    "dqn-many": DQN,
    "qrdqn": DQN,
    "sac": SAC,
    "td3": TD3,
    "ddpg": DDPG,
    "tqc": SAC,
    "crossq": SAC,
    "trpo": PPO,
}
# Smallest buffers: the model is there to act.
SMALL: dict[type[BaseAlgorithm], dict[str, Any]] = {
    PPO: {"n_steps": 2, "batch_size": 2},
    A2C: {"n_steps": 2},
    DQN: {"buffer_size": 2},
    SAC: {"buffer_size": 2},
    TD3: {"buffer_size": 2},
    DDPG: {"buffer_size": 2},
}
NORMALISATION = "-vecnormalize.pkl"


def model_of(trainer: str, architecture: AnyArchitecture) -> type[BaseAlgorithm]:
    """Return the algorithm whose model acts like a trainer's network.

    Raises:
        RlidimError: there is none, or sb3-contrib, whose it is, is not installed.
    """
    if isinstance(architecture, Architecture) and architecture.memory:
        return algorithm_of(RECURRENT)
    if isinstance(architecture, Architecture) and architecture.masked:
        return algorithm_of(MASKABLE)
    if trainer not in MODELS:
        raise RlidimError(f"{trainer} ends with no model of Stable-Baselines3")
    return MODELS[trainer]


def export(
    task: Task,
    trainer: str,
    architecture: AnyArchitecture,
    theta: NDArray[np.float32],
    out: Path,
) -> list[Path]:
    """Write ``out``, a model whose ``predict(..., deterministic=True)`` is the policy.

    A network with a memory is a model of sb3-contrib's RecurrentPPO, whatever trained it; one that
    is told which actions are valid, of MaskablePPO, whose ``predict`` takes ``action_masks`` too.
    The critic, which no record holds, is a fresh one. A normalisation of observations goes into a
    file beside it, for ``VecNormalize.load``; a network of frames has its own folded in.

    Args:
        task: the record's.
        trainer: likewise.
        architecture: of its acting network.
        theta: the network's parameters, float32 (D,).
        out: a name that ends in ``.zip``.

    Returns:
        The files.

    Raises:
        RlidimError: spaces that stock Stable-Baselines3 does not serve, or a file
            that cannot be written.
    """
    own = making.own_spaces_of(task)
    if isinstance(architecture, PixelArchitecture):
        channels_last = isinstance(task.control.environment, MinAtar)  # in its own observations
        stock = StockSpaces(*own, "CnnPolicy", _of_frames(architecture, channels_last))
        values = _multiplied_out(architecture.module(theta))
    else:
        actions = task.settings(trainer).actions
        stock = _of_perceptron(architecture, actions, own, f"--sb3 {out}")
        parts = architecture.unflatten(theta)
        if stock.inputs is not None:
            parts[0] = parts[0][:, stock.inputs]
        if architecture.action == "argmax_mean":  # the value is the mean of its quantiles
            (choices,) = architecture.choices or ()
            parts[-2:] = [
                part.reshape(-1, choices, *part.shape[1:]).mean(axis=0) for part in parts[-2:]
            ]
        values = [torch.tensor(part) for part in parts]
    model = _empty(model_of(trainer, architecture), stock)
    with torch.no_grad():
        for parameter, value in zip(acting_parameters(model), values, strict=True):
            parameter.copy_(value)
    files = [out]
    try:
        content = io.BytesIO()
        model.save(content)
        if isinstance(architecture, Architecture) and architecture.observation_mean is not None:
            statistics = out.with_name(out.stem + NORMALISATION)
            numbers = pickle.dumps(_normalisation(stock, architecture))
            out.unlink(missing_ok=True)  # no model lies beside statistics that are not its own
            replace_file(statistics, numbers)
            files.append(statistics)
        replace_file(out, content.getvalue())
    except OSError as error:
        raise RlidimError(f"--sb3 {out}: cannot be written ({error.strerror})") from error
    return files


def _empty(algorithm: type[BaseAlgorithm], stock: StockSpaces) -> BaseAlgorithm:
    """Return a fresh model for the spaces, without an environment."""
    build: Any = algorithm
    further = dict(SMALL.get(algorithm, SMALL[PPO]))
    if algorithm is SAC:  # which asks its environment otherwise
        further["target_entropy"] = -float(math.prod(stock.actions.shape or ()))
        further["use_sde"] = "clip_mean" in (stock.policy_kwargs or {})
    model: BaseAlgorithm = build(
        stock.policy,
        None,
        policy_kwargs=stock.policy_kwargs,
        device="cpu",
        _init_setup_model=False,
        **further,
    )
    model.observation_space, model.action_space, model.n_envs = stock.observations, stock.actions, 1
    model._setup_model()
    return model


def _of_perceptron(
    architecture: Architecture, actions: str, own: making.Spaces, where: str
) -> StockSpaces:
    """Return what the model acts with: the environment's own spaces, where it serves them.

    Raises:
        RlidimError: it does not.
    """
    try:
        stock = stock_spaces(*own)
    except RlidimError as error:
        raise RlidimError(f"{where}: {error}") from error
    box = isinstance(stock.observations, spaces.Box) and not is_image_space(stock.observations)
    if architecture.observation_mean is not None and not box:
        raise RlidimError(
            f"{where}: stock Stable-Baselines3 normalises a Box of numbers alone, this policy's "
            f"normalised observations are of {own[0]}; rlidim plays this solution"
        )
    arguments = {
        "net_arch": net_arch(actions, list(architecture.hidden)),
        "activation_fn": ACTIVATIONS[architecture.activation],
        # A perceptron sees pictures as they are, or as its own statistics make them.
        "normalize_images": False,
    }
    if architecture.output_bound is not None:
        arguments |= {"use_sde": True, "clip_mean": architecture.output_bound}
    if architecture.memory:
        arguments["lstm_hidden_size"] = architecture.memory
        stock = dataclasses.replace(stock, policy=stock.policy.replace("Policy", "LstmPolicy"))
    return dataclasses.replace(stock, policy_kwargs={**(stock.policy_kwargs or {}), **arguments})


def _of_frames(architecture: PixelArchitecture, channels_last: bool) -> dict[str, Any]:
    import cloudpickle

    from rlidim.trainers.sb3 import exported_features

    cloudpickle.register_pickle_by_value(exported_features)
    layers = architecture.layers
    return {
        "net_arch": [],
        "features_extractor_class": exported_features.PlainFeatures,
        "features_extractor_kwargs": {
            "convolutions": [
                [layer.channels, layer.kernel, layer.stride, list(layer.padding)]
                for layer in layers.convolutions
            ],
            "units": layers.units,
            "channels_last": channels_last,
        },
    }


def _multiplied_out(network: Network) -> list[Tensor]:
    """Return each layer's weight and bias, with its normalisation folded in."""
    parameters: list[Tensor] = []
    for module in [*network.features, network.outputs]:
        if isinstance(module, nn.Conv2d | nn.Linear):
            layer = module
            parameters += [parameter.detach().clone() for parameter in module.parameters()]
        elif isinstance(module, Normalisation):
            parameters[-2:] = [tensor.detach() for tensor in module.folded(layer)]
    return parameters


class _Spaces(gymnasium.Env[Any, Any]):
    """An environment of which the spaces alone are asked."""

    def __init__(self, stock: StockSpaces) -> None:
        self.observation_space, self.action_space = stock.observations, stock.actions


def _normalisation(stock: StockSpaces, architecture: Architecture) -> VecNormalize:
    """Return Stable-Baselines3's normalisation with the architecture's statistics, frozen."""
    env = VecNormalize(
        DummyVecEnv([lambda: _Spaces(stock)]),
        training=False,
        norm_reward=False,
        clip_obs=architecture.clip_observation,
    )
    statistics: Any = env.obs_rms
    shape = statistics.mean.shape
    statistics.mean = np.array(architecture.observation_mean).reshape(shape)
    statistics.var = np.array(architecture.observation_variance).reshape(shape)
    return env
