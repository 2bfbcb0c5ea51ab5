"""The hyper-parameters of every trainer: one frozen dataclass each, with rl_zoo3's key names.

A YAML file's ``trainers:`` section is parsed into these, so an unknown key is found before
anything runs.
Nothing here imports a training library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from rlidim.errors import RlidimError, nearest

Settings = TypeVar("Settings")
# Metadata of a field that came when records had been made without it: see recorded().
ADDED_LATER = {"added_later": True}


@dataclass(frozen=True)
class TrainerSettings:
    """What every trainer's settings have: ``trains``, the kind of task that they are for."""

    trains: ClassVar[str]


@dataclass(frozen=True)
class EvolutionStrategySettings(TrainerSettings):
    """OpenAI-ES on theta_d (Salimans et al. 2017; the paper's choice for Pong and MuJoCo).

    ``sigma`` is the expected length of a perturbation of theta_D, and ``learning_rate`` the length
    of an Adam step, both in units of |theta_0|. Since P has unit columns they mean the same at
    every d: a coordinate moves by sigma |theta_0| / sqrt(d). ``normalize`` standardises
    observations by those seen in training: see :mod:`rlidim.trainers.normalisation`.
    """

    trains = "control"

    n_timesteps: int
    population: int = 64
    sigma: float = 0.5
    learning_rate: float = 0.2
    weight_decay: float = 0.0  # of theta_d, that is towards theta_0
    eval_freq: int = 5  # generations between checkpoint evaluations
    normalize: bool = dataclasses.field(default=False, metadata=ADDED_LATER)


@dataclass(frozen=True)
class CmaEvolutionStrategySettings(TrainerSettings):
    """CMA-ES on theta_d (Hansen 2016), by the ``cma`` package.

    ``sigma0`` is the expected length of the first perturbations, in units of |theta_0|. A search
    that converges without solving the task starts again from theta_0 while the budget lasts.
    ``normalize`` is as in OpenAI-ES.
    """

    trains = "control"

    n_timesteps: int
    population: int = 32
    sigma0: float = 1.0
    diagonal_above: int = 200  # search dimensions above which the covariance is diagonal
    eval_freq: int = 5  # generations between checkpoint evaluations
    normalize: bool = dataclasses.field(default=False, metadata=ADDED_LATER)


@dataclass(frozen=True)
class SupervisedSettings(TrainerSettings):
    """Full-batch Adam on a known loss, the rate falling linearly to zero."""

    trains = "analytic"

    n_iterations: int
    learning_rate: float


@dataclass(frozen=True)
class _MinibatchSettings(TrainerSettings):
    """Minibatch training; the defaults are the paper's (Li et al. 2018, released scripts).

    ``l2`` times the sum of the squares of the kernels of theta_D is added to the loss. The learning
    rate is one of theta_D, transferred to theta_d by the length of a step, unless
    ``transfer_learning_rate`` is false: then theta_d itself is trained at it, as in the paper.
    """

    trains = "supervised"

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
class _StableBaselinesSettings(TrainerSettings):
    """What every Stable-Baselines3 trainer takes."""

    trains = "control"

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

    def __post_init__(self) -> None:
        """Refuse a rollout of one step where its advantages are to be normalised.

        Raises:
            RlidimError: they have no deviation.
        """
        if self.normalize_advantage and self.n_steps * self.n_envs < 2:
            raise RlidimError("normalize_advantage needs n_steps times n_envs of at least 2, got 1")


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

    def __post_init__(self) -> None:
        """Refuse a minibatch of one step too.

        Raises:
            RlidimError: see the class above.
        """
        super().__post_init__()
        if self.normalize_advantage and self.batch_size < 2:
            raise RlidimError("normalize_advantage needs a batch_size of at least 2, got 1")


@dataclass(frozen=True)
class _OffPolicySettings(_StableBaselinesSettings):
    buffer_size: int = 1_000_000
    learning_starts: int = 100
    batch_size: int = 256
    tau: float = 0.005
    train_freq: int = 1
    gradient_steps: int = 1  # -1: as many as there were environment steps
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


SETTINGS: dict[str, type[TrainerSettings]] = {
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


@dataclass(frozen=True)
class Range:
    """The finite numbers that a setting may be."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    also: float | None = None  # a number outside that means something else

    def __contains__(self, value: float) -> bool:
        """Say whether a number is one of them."""
        return value == self.also or (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Return it in words: ``above 0 and at most 1``."""
        ends = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        words = " and ".join(f"{name} {end:g}" for name, end in ends.items() if end is not None)
        return words if self.also is None else f"{words}, or {self.also:g}"


COUNT = Range(at_least=1)
POSITIVE = Range(above=0)
NOT_NEGATIVE = Range(at_least=0)
SHARE = Range(at_least=0, at_most=1)
SOME_SHARE = Range(above=0, at_most=1)
DECAY = Range(at_least=0, below=1)  # of a running mean

# Of any section that a YAML file has: every number that has a range, and of a list each number.
RANGES = {
    # evolution strategies
    "population": COUNT,
    "sigma": POSITIVE,
    "sigma0": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "diagonal_above": NOT_NEGATIVE,
    # descent
    "n_iterations": COUNT,
    "n_epochs": COUNT,
    "batch_size": COUNT,
    "learning_rate": POSITIVE,
    "l2": NOT_NEGATIVE,
    "beta2": DECAY,
    "momentum": DECAY,
    # reinforcement learning
    "n_timesteps": COUNT,
    "n_envs": COUNT,
    "n_steps": COUNT,
    "eval_freq": COUNT,
    "gamma": SHARE,
    "max_grad_norm": POSITIVE,
    "gae_lambda": SHARE,
    "ent_coef": NOT_NEGATIVE,
    "vf_coef": NOT_NEGATIVE,
    "clip_range": POSITIVE,
    "buffer_size": COUNT,
    "learning_starts": NOT_NEGATIVE,
    "tau": SOME_SHARE,
    "train_freq": COUNT,
    "gradient_steps": Range(at_least=1, also=-1),
    "target_update_interval": COUNT,
    "exploration_fraction": SOME_SHARE,
    "exploration_initial_eps": SHARE,
    "exploration_final_eps": SHARE,
    "policy_delay": COUNT,
    "noise_std": NOT_NEGATIVE,
    # the other sections
    "frame_skip": COUNT,
    "repeat_action_probability": DECAY,
    "noop_max": NOT_NEGATIVE,
    "max_frames": COUNT,
    "hidden": COUNT,
    "output_gain": POSITIVE,
    "share": SOME_SHARE,
    "episodes": COUNT,
    "checkpoint_episodes": COUNT,
    "hint": COUNT,
    "largest": COUNT,
    "seeds": COUNT,
    "most_seeds": COUNT,
    "baseline_seeds": COUNT,
    "runs": COUNT,
    "precision": Range(at_least=1),
    "d_int": COUNT,
    "D": COUNT,
    "fraction": Range(above=0, below=1),
}

# Text in place of a number: what stands before the number, and what stands for it alone.
PREFIXES = {"learning_rate": "lin_", "clip_range": "lin_", "ent_coef": "auto_"}
WORDS = {"ent_coef": "auto"}


def recorded(section: Any) -> dict[str, Any]:
    """Return a section of a task file as a run's record keeps it.

    This is the one place where a record's settings and a dataclass's fields part: a field marked
    ``ADDED_LATER`` is left out while it has its default. What was measured before the field came
    was measured with that default, so those records' settings still are today's.

    Args:
        section: a dataclass: a trainer's settings, an environment, a network ...
    """
    content = dataclasses.asdict(section)
    for field in dataclasses.fields(section):
        if field.metadata.get("added_later") and content[field.name] == field.default:
            del content[field.name]
    return content


def parse(kind: type[Settings], values: object, where: str) -> Settings:
    """Build a settings dataclass from a mapping, strictly.

    Args:
        kind: the dataclass.
        values: what the YAML file says.
        where: file and section, for the message.

    Raises:
        RlidimError: an unknown key (with the nearest), a missing one, or a value of the wrong type
            or out of its range.
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
        if name in RANGES:
            _check_range(name, value, where)
    if checked.get("population", 2) % 2:
        raise RlidimError(f"{where}: population must be even, got {checked['population']}")
    try:
        return kind(**checked)
    except RlidimError as error:
        raise RlidimError(f"{where}: {error}") from error


def _check_range(name: str, value: Any, where: str) -> None:
    """Refuse a number, or a text or a list with one, that is out of the setting's range."""
    if isinstance(value, tuple):
        for item in value:
            if item not in RANGES[name]:
                raise RlidimError(f"{where}: {name}: each must be {RANGES[name]}, got {item}")
        return
    if value is None or value == WORDS.get(name):
        return
    number = value
    if isinstance(value, str):
        prefix = PREFIXES[name]
        try:
            number = float(value.removeprefix(prefix)) if value.startswith(prefix) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            forms = " or ".join(filter(None, ("a number", WORDS.get(name), f"{prefix}<number>")))
            raise RlidimError(f"{where}: {name} must be {forms}, got '{value}'")
    if number not in RANGES[name]:
        shown = f"{value:g}" if isinstance(value, float) else value
        raise RlidimError(f"{where}: {name} must be {RANGES[name]}, got {shown}")


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
                value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):
                if math.isfinite(value):
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
