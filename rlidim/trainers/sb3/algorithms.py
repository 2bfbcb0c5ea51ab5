"""The algorithms of Stable-Baselines3 and of sb3-contrib behind the trainers, by name."""

from __future__ import annotations

import importlib
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from rlidim.errors import RlidimError

CONTRIB = "sb3_contrib"
RECURRENT = "recurrent_ppo"  # the one whose network has a memory
MASKABLE = "maskable_ppo"  # the one that is told which actions are valid
HOMES = {
    "ppo": ("stable_baselines3", "PPO"),
    "a2c": ("stable_baselines3", "A2C"),
    "dqn": ("stable_baselines3", "DQN"),
    "sac": ("stable_baselines3", "SAC"),
    "td3": ("stable_baselines3", "TD3"),
    "ddpg": ("stable_baselines3", "DDPG"),
    "qrdqn": (CONTRIB, "QRDQN"),
    "tqc": (CONTRIB, "TQC"),
    "crossq": (CONTRIB, "CrossQ"),
    "trpo": (CONTRIB, "TRPO"),
    "recurrent_ppo": (CONTRIB, "RecurrentPPO"),
    "maskable_ppo": (CONTRIB, "MaskablePPO"),
}


def policy_of(trainer: str) -> Any:
    """Return the policy class of a trainer on perceptrons, or its name in the algorithm."""
    if trainer == RECURRENT:
        return "MlpLstmPolicy"
    if trainer != "crossq":
        return "MlpPolicy"
    from rlidim.trainers.sb3.crossq import PlainActorPolicy

    return PlainActorPolicy


def algorithm_of(trainer: str) -> type[BaseAlgorithm]:
    """Return a trainer's algorithm.

    Raises:
        RlidimError: it is sb3-contrib's, which is not installed.
    """
    module, name = HOMES[trainer]
    try:
        found: type[BaseAlgorithm] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise RlidimError(
            f"{trainer} is sb3-contrib's, which is missing: pip install 'rlidim[contrib]'"
        ) from error
    return found
