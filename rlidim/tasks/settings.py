"""The hyper-parameters of every trainer: one frozen dataclass each, with rl_zoo3's key names.

A YAML file's ``trainers:`` section is parsed into these, so an unknown key is found before
anything runs.
Nothing here imports a training library.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from rlidim.errors import RlidimError

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
    observations by those seen in training: see :mod:`rlidim.trainers.evolution.normalisation`.
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
