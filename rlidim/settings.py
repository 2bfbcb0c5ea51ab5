"""The hyper-parameters of every trainer: one frozen dataclass each, with rl_zoo3's key names.

A YAML file's ``trainers:`` section is parsed into these, so an unknown key is found before
anything runs.
Nothing here imports a training library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rlidim.errors import RlidimError, nearest

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class EvolutionStrategySettings:
    """OpenAI-ES on theta_d (Salimans et al. 2017; the paper's choice for Pong and MuJoCo).

    ``sigma`` is the expected length of a perturbation of theta_D, and ``learning_rate`` the length
    of an Adam step, both in units of |theta_0|. Since P has unit columns they mean the same at
    every d: a coordinate moves by sigma |theta_0| / sqrt(d).
    """

    n_timesteps: int
    population: int = 64
    sigma: float = 0.5
    learning_rate: float = 0.2
    weight_decay: float = 0.0  # of theta_d, that is towards theta_0
    eval_freq: int = 5  # generations between checkpoint evaluations


@dataclass(frozen=True)
class CmaEvolutionStrategySettings:
    """CMA-ES on theta_d (Hansen 2016), by the ``cma`` package.

    ``sigma0`` is the expected length of the first perturbations, in units of |theta_0|. A search
    that converges without solving the task starts again from theta_0 while the budget lasts.
    """

    n_timesteps: int
    population: int = 32
    sigma0: float = 1.0
    diagonal_above: int = 200  # search dimensions above which the covariance is diagonal
    eval_freq: int = 5  # generations between checkpoint evaluations


@dataclass(frozen=True)
class SupervisedSettings:
    """Full-batch Adam on a known loss, the rate falling linearly to zero."""

    n_iterations: int
    learning_rate: float


@dataclass(frozen=True)
class _MinibatchSettings:
    """Minibatch training; the defaults are the paper's (Li et al. 2018, released scripts).

    ``l2`` times the sum of the squares of the kernels of theta_D is added to the loss. The learning
    rate is one of theta_D, transferred to theta_d by the length of a step, unless
    ``transfer_learning_rate`` is false: then theta_d itself is trained at it, as in the paper.
    """

    n_epochs: int = 100
    batch_size: int = 128
    learning_rate: float | str = 1e-3  # a number, or "lin_x": falls linearly to zero
    l2: float = 1e-4
    transfer_learning_rate: bool = False


@dataclass(frozen=True)
class AdamSettings(_MinibatchSettings):
    """Adam (Kingma and Ba 2015)."""

    beta2: float = 0.99


@dataclass(frozen=True)
class SGDSettings(_MinibatchSettings):
    """Stochastic gradient descent."""

    learning_rate: float | str = 0.1
    momentum: float = 0.9


@dataclass(frozen=True)
class _StableBaselinesSettings:
    """What every Stable-Baselines3 trainer takes."""

    n_timesteps: int
    learning_rate: float | str = 3e-4  # a number, or "lin_x": decays linearly to zero
    n_envs: int = 1
    gamma: float = 0.99
    normalize: bool = False  # VecNormalize on observations and rewards
    eval_freq: int = 5_000  # environment steps between checkpoint evaluations
    max_grad_norm: float | None = None  # of theta_d's gradient, natively of theta_D's; None: none


@dataclass(frozen=True)
class _OnPolicySettings(_StableBaselinesSettings):
    n_steps: int = 5
    gae_lambda: float = 1.0
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    normalize_advantage: bool = False


@dataclass(frozen=True)
class A2CSettings(_OnPolicySettings):
    """A2C (Mnih et al. 2016), Stable-Baselines3's defaults."""

    learning_rate: float | str = 7e-4
    use_rms_prop: bool = True


@dataclass(frozen=True)
class PPOSettings(_OnPolicySettings):
    """PPO (Schulman et al. 2017), Stable-Baselines3's defaults."""

    n_steps: int = 2048
    gae_lambda: float = 0.95
    normalize_advantage: bool = True
    batch_size: int = 64
    n_epochs: int = 10
    clip_range: float | str = 0.2


@dataclass(frozen=True)
class _OffPolicySettings(_StableBaselinesSettings):
    buffer_size: int = 1_000_000
    learning_starts: int = 100
    batch_size: int = 256
    tau: float = 0.005
    train_freq: int = 1
    gradient_steps: int = 1
    n_steps: int = 1  # of the bootstrapped return


@dataclass(frozen=True)
class DQNSettings(_OffPolicySettings):
    """DQN (Mnih et al. 2015), Stable-Baselines3's defaults."""

    learning_rate: float | str = 1e-4
    batch_size: int = 32
    tau: float = 1.0
    train_freq: int = 4
    target_update_interval: int = 10_000
    exploration_fraction: float = 0.1
    exploration_initial_eps: float = 1.0
    exploration_final_eps: float = 0.05


@dataclass(frozen=True)
class SACSettings(_OffPolicySettings):
    """SAC (Haarnoja et al. 2018), Stable-Baselines3's defaults."""

    ent_coef: float | str = "auto"
    use_sde: bool = False


@dataclass(frozen=True)
class TD3Settings(_OffPolicySettings):
    """TD3 (Fujimoto et al. 2018), Stable-Baselines3's defaults; Gaussian action noise."""

    learning_rate: float | str = 1e-3
    policy_delay: int = 2
    noise_std: float = 0.1


SETTINGS: dict[str, type] = {
    "es": EvolutionStrategySettings,
    "cmaes": CmaEvolutionStrategySettings,
    "supervised": SupervisedSettings,
    "adam": AdamSettings,
    "sgd": SGDSettings,
    "ppo": PPOSettings,
    "a2c": A2CSettings,
    "dqn": DQNSettings,
    "sac": SACSettings,
    "td3": TD3Settings,
}


# Of any section: numbers that count something, of which there must be one at least.
COUNTS = (
    "n_timesteps",
    "n_iterations",
    "n_envs",
    "n_steps",
    "n_epochs",
    "batch_size",
    "buffer_size",
    "train_freq",
    "target_update_interval",
    "eval_freq",
    "population",
    "episodes",
    "checkpoint_episodes",
    "hint",
    "largest",
    "seeds",
    "most_seeds",
    "baseline_seeds",
    "runs",
)


def parse(kind: type[Settings], values: object, where: str) -> Settings:
    """Build a settings dataclass from a mapping, strictly.

    Args:
        kind: the dataclass.
        values: what the YAML file says.
        where: file and section, for the message.

    Raises:
        RlidimError: an unknown key (with the nearest), a missing one, or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise RlidimError(f"{where}: expected a mapping of settings, found {values!r}")
    assert dataclasses.is_dataclass(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    for key in values:
        if key not in fields:
            raise RlidimError(f"{where}: unknown key '{key}'{nearest(str(key), fields)}")
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise RlidimError(f"{where}: key '{name}' is missing")
    checked = {key: _check(value, hints[key], f"{where}: {key}") for key, value in values.items()}
    for name, value in checked.items():
        if name in COUNTS and value is not None and value < 1:
            raise RlidimError(f"{where}: {name} must be at least 1, got {value}")
    if checked.get("population", 2) % 2:
        raise RlidimError(f"{where}: population must be even, got {checked['population']}")
    return kind(**checked)


def _check(value: Any, hint: Any, where: str) -> Any:
    """Return the value as the hinted type, or say what it should have been."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        for option in typing.get_args(hint):
            try:
                return _check(value, option, where)
            except RlidimError:
                continue
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_check(item, typing.get_args(hint)[0], where) for item in value)
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return dict(value)
    elif hint is type(None):
        if value is None:
            return None
    elif hint is float:
        if isinstance(value, str):  # YAML 1.1 takes 1e-3 for text: it wants 1.0e-3
            with contextlib.suppress(ValueError):
                return float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if isinstance(value, str):  # likewise 1e5
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
    elif isinstance(hint, type) and origin is None and isinstance(value, hint):
        return value
    raise RlidimError(f"{where}: expected {_describe(hint)}, found {value!r}")


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_describe(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list of {_describe(typing.get_args(hint)[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "nothing" if hint is type(None) else "a mapping")
