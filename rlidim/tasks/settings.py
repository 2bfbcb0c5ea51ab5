"""The hyper-parameters of every trainer, one frozen dataclass each, and the registry of trainers.

The keys are rl_zoo3's. A YAML file's ``trainers:`` section is parsed into these, so that an unknown
key is found before anything runs. This module imports no training library: a trainer's code is
imported when a run asks for it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Annotated, Any, ClassVar

from rlidim.errors import RlidimError
from rlidim.tasks.fields import (
    Count,
    Decay,
    Members,
    NotNegative,
    Positive,
    Range,
    Rate,
    Share,
    SomeShare,
    added_later,
)
from rlidim.tasks.reading import LONGEST_PART, check_name

ENTRY_POINTS = "rlidim.trainers"  # the group in which a package of the user's names its trainers


@dataclass(frozen=True)
class TrainerSettings:
    """The base of every trainer's settings, with facts about the trainer itself.

    Attributes:
        trains: the kind of task that it is for: ``control``, ``supervised`` or ``analytic``.
        module: the module whose ``train(run)`` makes a run (:mod:`rlidim.trainers.run`); empty:
            the one that defines the settings.
        resumable: whether an interrupted run goes on from a checkpoint as if it had not been.
        splits: whether a run can be split over processes, with the same outcome.
        has_critic: whether the trainer has a critic, which ``--scope all`` confines too.
        actions: that its policies give: ``any``, ``choices`` (one of several), ``masked`` (choices
            of those that the environment says are valid) or ``bounded``.
        together: runs of one task that a process trains side by side at most, each with the record
            that it would have alone; its module then has ``train_together(runs)`` too.
        alone: the trainer that makes the same runs one by one, empty for none.
    """

    trains: ClassVar[str]
    module: ClassVar[str] = ""
    resumable: ClassVar[bool] = False
    splits: ClassVar[bool] = False
    has_critic: ClassVar[bool] = False
    actions: ClassVar[str] = "any"
    together: ClassVar[int] = 1
    alone: ClassVar[str] = ""

    @classmethod
    def home(cls) -> str:
        """Return the dotted name of the module whose ``train`` makes the runs."""
        return cls.module or cls.__module__

    def check_confined(self) -> None:
        """Refuse what a run in a subspace cannot have: by default there is nothing.

        Raises:
            RlidimError: a setting is for native training alone.
        """


@dataclass(frozen=True)
class _PopulationSettings(TrainerSettings):
    """Settings of every evolution strategy."""

    trains = "control"
    module = "rlidim.trainers.evolution.train"
    resumable = True

    n_timesteps: Count
    population: Members = 64

    def __post_init__(self) -> None:
        """Refuse a population of odd size: perturbations come in pairs.

        Raises:
            RlidimError: the size is odd.
        """
        if self.population % 2:
            raise RlidimError(f"population must be even, got {self.population}")


@dataclass(frozen=True)
class EvolutionStrategySettings(_PopulationSettings):
    """OpenAI-ES on theta_d (Salimans et al. 2017; the paper's choice for Pong and MuJoCo).

    ``sigma`` is the expected length of a perturbation of theta_D, and ``learning_rate`` the length
    of an Adam step, both in units of |theta_0|. Since P has unit columns they mean the same at
    every d: a coordinate moves by sigma |theta_0| / sqrt(d). ``normalize`` standardises
    observations by those seen in training: see :mod:`rlidim.trainers.evolution.normalisation`.
    ``rank`` makes the perturbations of each weight matrix ones of that rank, as in EGGROLL (Sarkar
    et al. 2025): natively alone, for theta_d has no matrices.
    """

    splits = True

    sigma: Positive = 0.5
    learning_rate: Positive = 0.2
    weight_decay: NotNegative = 0.0  # of theta_d, that is towards theta_0
    eval_freq: Count = 5  # generations between checkpoint evaluations
    normalize: bool = added_later(False)
    # None: every parameter's perturbation is its own.
    rank: Count | None = added_later(None)

    def check_confined(self) -> None:
        """Refuse perturbations of low rank.

        Raises:
            RlidimError: they are asked for.
        """
        if self.rank is not None:
            raise RlidimError(
                f"rank {self.rank}: perturbations of low rank are of matrices, which theta_d has "
                "none of: train natively, or leave rank out"
            )


@dataclass(frozen=True)
class _CovarianceSettings(_PopulationSettings):
    """Settings of every CMA-ES, by the ``cma`` package.

    ``sigma0`` is the expected length of the first perturbations, in units of |theta_0|. A search
    that converges without solving the task starts again from theta_0 while the budget lasts.
    ``normalize`` is as in OpenAI-ES.
    """

    population: Members = 32
    sigma0: Positive = 1.0
    eval_freq: Count = 5  # generations between checkpoint evaluations
    normalize: bool = added_later(False)


@dataclass(frozen=True)
class CmaEvolutionStrategySettings(_CovarianceSettings):
    """CMA-ES on theta_d (Hansen 2016)."""

    # Search dimensions above which the covariance is diagonal.
    diagonal_above: Annotated[int, Range(at_least=0)] = 200


@dataclass(frozen=True)
class SeparableCmaEvolutionStrategySettings(_CovarianceSettings):
    """Separable CMA-ES (Ros and Hansen 2008): CMA-ES whose covariance is always diagonal.

    A member costs O(d) in place of O(d^2).
    """

    diagonal_above: ClassVar[int] = 0


@dataclass(frozen=True)
class RandomSearchSettings(_PopulationSettings):
    """ARS on theta_d (Mania et al. 2018): the best directions, steps by the returns' deviation.

    ``sigma`` and ``learning_rate`` count in units of |theta_0| as in OpenAI-ES. ``n_top`` is how
    many directions, of half the population, a step follows; None: all. With ``normalize`` it is
    the paper's V2, which standardises observations, else V1.
    """

    splits = True

    sigma: Positive = 0.5
    learning_rate: Positive = 0.2
    n_top: Count | None = None
    eval_freq: Count = 5  # generations between checkpoint evaluations
    normalize: bool = False

    def __post_init__(self) -> None:
        """Refuse more directions than there are.

        Raises:
            RlidimError: see above.
        """
        super().__post_init__()
        if self.n_top is not None and self.n_top > self.population // 2:
            raise RlidimError(
                f"n_top must be at most half the population, {self.population // 2}, got "
                f"{self.n_top}"
            )


@dataclass(frozen=True)
class ToySettings(TrainerSettings):
    """Full-batch Adam on a known loss; the learning rate falls linearly to zero."""

    trains = "analytic"
    module = "rlidim.trainers.toy"

    n_iterations: Count
    learning_rate: Positive


@dataclass(frozen=True)
class _MinibatchSettings(TrainerSettings):
    """Minibatch training; the defaults are the paper's (Li et al. 2018, released scripts).

    ``l2`` times the sum of the squares of the kernels of theta_D is added to the loss. The learning
    rate is one of theta_D, transferred to theta_d by the length of a step, unless
    ``transfer_learning_rate`` is false: then theta_d itself is trained at it, as in the paper.
    """

    trains = "supervised"
    module = "rlidim.trainers.classification"

    n_epochs: Count = 100
    batch_size: Count = 128
    learning_rate: Rate = 1e-3
    l2: NotNegative = 1e-4
    transfer_learning_rate: bool = False


@dataclass(frozen=True)
class AdamSettings(_MinibatchSettings):
    """Adam (Kingma and Ba 2015)."""

    beta2: Decay = 0.99


@dataclass(frozen=True)
class SGDSettings(_MinibatchSettings):
    """Stochastic gradient descent."""

    learning_rate: Rate = 0.1
    momentum: Decay = 0.9


@dataclass(frozen=True)
class _StableBaselinesSettings(TrainerSettings):
    """Settings of every Stable-Baselines3 trainer."""

    trains = "control"
    module = "rlidim.trainers.sb3.train"
    resumable = True
    n_timesteps: Count
    learning_rate: Rate = 3e-4
    n_envs: Members = 1
    gamma: Share = 0.99
    normalize: bool = False  # VecNormalize on observations and rewards
    eval_freq: Count = 5_000  # environment steps between checkpoint evaluations
    # Of theta_d's gradient, natively of theta_D's; None does not clip.
    max_grad_norm: Positive | None = None


def _check_rollout(settings: Any) -> None:
    """See :class:`_OnPolicySettings`."""
    steps = settings.n_steps * settings.n_envs
    if settings.normalize_advantage and steps < 2:
        raise RlidimError("normalize_advantage needs n_steps times n_envs of at least 2, got 1")
    falling = [name for name in ("learning_rate", "clip_range") if _falls(settings, name)]
    if falling and steps > settings.n_timesteps:
        raise RlidimError(
            f"{falling[0]} falls to zero at n_timesteps = {settings.n_timesteps:,}, before the "
            f"first rollout of n_steps times n_envs = {steps:,} ends: give it more, or a constant"
        )


def _refuse_clipping(settings: Any) -> None:
    if settings.max_grad_norm is not None:
        raise RlidimError(
            "max_grad_norm is for ppo, a2c, dqn and their kin: natively this algorithm clips none"
        )


def _falls(settings: Any, name: str) -> bool:
    return str(getattr(settings, name, "")).startswith("lin_")


@dataclass(frozen=True)
class _OnPolicySettings(_StableBaselinesSettings):
    has_critic = True

    n_steps: Count = 5
    gae_lambda: Share = 1.0
    ent_coef: NotNegative = 0.0
    vf_coef: NotNegative = 0.5
    normalize_advantage: bool = False

    def __post_init__(self) -> None:
        """Refuse rollouts of which no training can be made.

        Raises:
            RlidimError: a single step, whose advantage has no deviation to be normalised by; or
                more steps than the whole budget's, after which a falling rate is below zero.
        """
        _check_rollout(self)


@dataclass(frozen=True)
class A2CSettings(_OnPolicySettings):
    """A2C (Mnih et al. 2016), Stable-Baselines3's defaults."""

    learning_rate: Rate = 7e-4
    use_rms_prop: bool = True


@dataclass(frozen=True)
class A2CManySettings(A2CSettings):
    """A2C of many runs side by side, perceptrons alone: :mod:`rlidim.trainers.many`."""

    module = "rlidim.trainers.many.train"
    together = 64
    alone = "a2c"


@dataclass(frozen=True)
class PPOSettings(_OnPolicySettings):
    """PPO (Schulman et al. 2017), Stable-Baselines3's defaults."""

    n_steps: Count = 2048
    gae_lambda: Share = 0.95
    normalize_advantage: bool = True
    batch_size: Count = 64
    n_epochs: Count = 10
    clip_range: Rate = 0.2

    def __post_init__(self) -> None:
        """Refuse a minibatch of one step too.

        Raises:
            RlidimError: as for a rollout of one step.
        """
        super().__post_init__()
        if self.normalize_advantage and self.batch_size < 2:
            raise RlidimError("normalize_advantage needs a batch_size of at least 2, got 1")


@dataclass(frozen=True)
class PPOManySettings(PPOSettings):
    """PPO of many runs side by side, perceptrons alone: :mod:`rlidim.trainers.many`.

    Stable-Baselines3's algorithm and settings, on random streams of its own.
    """

    module = "rlidim.trainers.many.train"
    together = 64
    alone = "ppo"


@dataclass(frozen=True)
class _ContribPPOSettings(PPOSettings):
    """Settings of sb3-contrib's forms of PPO."""

    def __post_init__(self) -> None:
        """Refuse a last minibatch of one step too, which Stable-Baselines3's own PPO passes by.

        Raises:
            RlidimError: its advantage has no deviation to be normalised by.
        """
        super().__post_init__()
        steps = self.n_steps * self.n_envs
        if self.normalize_advantage and steps % self.batch_size == 1:
            raise RlidimError(
                f"normalize_advantage needs minibatches of at least 2: of n_steps times n_envs = "
                f"{steps:,} in minibatches of batch_size = {self.batch_size:,} the last has 1"
            )


@dataclass(frozen=True)
class RecurrentPPOSettings(_ContribPPOSettings):
    """PPO of a network with a memory (Hochreiter and Schmidhuber 1997), sb3-contrib's defaults.

    The critic has a memory of the same size, which trains natively with it.
    """

    n_steps: Count = 128
    batch_size: Count = 128


@dataclass(frozen=True)
class MaskablePPOSettings(_ContribPPOSettings):
    """PPO that takes valid actions alone (Huang and Ontañón 2022), sb3-contrib's defaults.

    The environment says which they are: :mod:`rlidim.environments.masks`.
    """

    actions = "masked"


@dataclass(frozen=True)
class _OffPolicySettings(_StableBaselinesSettings):
    buffer_size: Count = 1_000_000
    learning_starts: Annotated[int, Range(at_least=0)] = 100
    batch_size: Count = 256
    tau: SomeShare = 0.005
    train_freq: Count = 1
    # -1: as many as there were environment steps.
    gradient_steps: Annotated[int, Range(at_least=1, also=-1)] = 1
    n_steps: Count = 1  # of the bootstrapped return


@dataclass(frozen=True)
class DQNSettings(_OffPolicySettings):
    """DQN (Mnih et al. 2015), Stable-Baselines3's defaults."""

    actions = "choices"

    learning_rate: Rate = 1e-4
    batch_size: Count = 32
    tau: SomeShare = 1.0
    train_freq: Count = 4
    target_update_interval: Count = 10_000
    exploration_fraction: SomeShare = 0.1
    exploration_initial_eps: Share = 1.0
    exploration_final_eps: Share = 0.05


@dataclass(frozen=True)
class DQNManySettings(DQNSettings):
    """DQN of many runs side by side, perceptrons alone: :mod:`rlidim.trainers.many`."""

    module = "rlidim.trainers.many.train"
    together = 64
    alone = "dqn"

    def __post_init__(self) -> None:
        """Refuse normalisation: a memory would have to be normalised anew at every draw.

        Raises:
            RlidimError: it is asked for.
        """
        if self.normalize:
            raise RlidimError("normalize is not for dqn-many: dqn does it")


@dataclass(frozen=True)
class QRDQNSettings(DQNSettings):
    """QR-DQN (Dabney et al. 2018), sb3-contrib's defaults: an action's value in quantiles."""

    learning_rate: Rate = 5e-5
    exploration_fraction: SomeShare = 0.005
    exploration_final_eps: Share = 0.01
    n_quantiles: Members = 200


@dataclass(frozen=True)
class _ActorCriticSettings(_OffPolicySettings):
    has_critic = True
    actions = "bounded"

    def __post_init__(self) -> None:
        """Refuse to clip gradients, which natively these algorithms do not.

        Raises:
            RlidimError: it is asked for.
        """
        _refuse_clipping(self)


@dataclass(frozen=True)
class SACSettings(_ActorCriticSettings):
    """SAC (Haarnoja et al. 2018), Stable-Baselines3's defaults."""

    ent_coef: Annotated[float | str, Range(at_least=0, prefix="auto_", word="auto")] = "auto"
    use_sde: bool = False

    def __post_init__(self) -> None:
        """Refuse to learn an entropy coefficient from 0, whose logarithm is moved, too.

        Raises:
            RlidimError: it is asked for.
        """
        super().__post_init__()
        prefix, _, begin = str(self.ent_coef).partition("auto_")
        if not prefix and begin and float(begin) == 0.0:
            raise RlidimError(
                f"ent_coef = {self.ent_coef}: one that is learned begins above 0; 0 stays 0"
            )


@dataclass(frozen=True)
class TQCSettings(SACSettings):
    """TQC (Kuznetsov et al. 2020), sb3-contrib's defaults."""

    # Of the 25 that a critic has: one at least is a target.
    top_quantiles_to_drop_per_net: Annotated[int, Range(at_least=0, at_most=24)] = 2


@dataclass(frozen=True)
class CrossQSettings(SACSettings):
    """CrossQ (Bhatt et al. 2024), sb3-contrib's defaults: no target networks, normalised batches.

    The critic's layers are normalised, the actor's are not, so that its network is every trainer's:
    see :mod:`rlidim.trainers.sb3.crossq`.
    """

    learning_rate: Rate = 1e-3
    tau: ClassVar[float] = 1.0  # type: ignore[misc]  # of targets that there are none of
    policy_delay: Count = 3


@dataclass(frozen=True)
class DDPGSettings(_ActorCriticSettings):
    """DDPG (Lillicrap et al. 2016), Stable-Baselines3's defaults; Gaussian action noise."""

    learning_rate: Rate = 1e-3
    noise_std: NotNegative = 0.1


@dataclass(frozen=True)
class TD3Settings(DDPGSettings):
    """TD3 (Fujimoto et al. 2018), Stable-Baselines3's defaults; Gaussian action noise."""

    policy_delay: Count = 2


@dataclass(frozen=True)
class TRPOSettings(_StableBaselinesSettings):
    """TRPO (Schulman et al. 2015), sb3-contrib's defaults; ``learning_rate`` is the critic's.

    The natural gradient and its line search move theta_d: see :mod:`rlidim.trainers.sb3.trpo`. Its
    critic trains natively alone, lest it move the policy out of its trust region.
    """

    learning_rate: Rate = 1e-3
    n_steps: Count = 2048
    batch_size: Count = 128
    gae_lambda: Share = 0.95
    normalize_advantage: bool = True
    target_kl: Positive = 0.01
    cg_max_steps: Count = 15
    cg_damping: NotNegative = 0.1
    line_search_shrinking_factor: Decay = 0.8
    line_search_max_iter: Count = 10
    n_critic_updates: Count = 10

    def __post_init__(self) -> None:
        """Refuse the rollouts that PPO's settings refuse, and to clip gradients.

        Raises:
            RlidimError: likewise.
        """
        _check_rollout(self)
        _refuse_clipping(self)


# The suite's own. `supervised` is the toy's: the name is part of its runs' seeds.
TRAINERS: dict[str, type[TrainerSettings]] = {
    "es": EvolutionStrategySettings,
    "cmaes": CmaEvolutionStrategySettings,
    "sepcmaes": SeparableCmaEvolutionStrategySettings,
    "ars": RandomSearchSettings,
    "supervised": ToySettings,
    "adam": AdamSettings,
    "sgd": SGDSettings,
    "ppo": PPOSettings,
    "ppo-many": PPOManySettings,
    "a2c": A2CSettings,
    "a2c-many": A2CManySettings,
    "dqn": DQNSettings,
    "dqn-many": DQNManySettings,
    "sac": SACSettings,
    "td3": TD3Settings,
    "ddpg": DDPGSettings,
    "qrdqn": QRDQNSettings,
    "tqc": TQCSettings,
    "crossq": CrossQSettings,
    "trpo": TRPOSettings,
    "recurrent_ppo": RecurrentPPOSettings,
    "maskable_ppo": MaskablePPOSettings,
}


def evolves(trainer: str) -> bool:
    """Say whether a trainer is an evolution strategy, which needs no gradient."""
    settings = known_trainers().get(trainer)
    return settings is not None and issubclass(settings, _PopulationSettings)


def known_trainers() -> Mapping[str, type[TrainerSettings]]:
    """Return every trainer by name: the suite's own, and those that installed packages name.

    Raises:
        RlidimError: see :func:`installed_trainers`.
    """
    return {**TRAINERS, **installed_trainers()}


@functools.cache
def installed_trainers() -> Mapping[str, type[TrainerSettings]]:
    """Return the trainers that installed packages name: subclasses of :class:`TrainerSettings`.

    Raises:
        RlidimError: an entry point cannot be imported, is no such class, or takes a name that is
            in use.
    """
    installed: dict[str, type[TrainerSettings]] = {}
    for point in metadata.entry_points(group=ENTRY_POINTS):
        where = f"entry point '{point.name}' of {ENTRY_POINTS} ({point.value})"
        try:
            settings = point.load()
        except Exception as error:  # whatever a foreign module raises
            raise RlidimError(f"{where} cannot be imported: {error}") from error
        known = {**TRAINERS, **installed}
        installed[point.name] = checked_trainer(settings, point.name, where, known)
    return installed


def checked_trainer(
    settings: Any, name: str, where: str, known: Mapping[str, type[TrainerSettings]]
) -> type[TrainerSettings]:
    """Return the settings class of a trainer from outside the suite, checked.

    Raises:
        RlidimError: not a subclass of :class:`TrainerSettings`, without ``trains``, or the name is
            in use, or is none for files to have.
    """
    if not (isinstance(settings, type) and issubclass(settings, TrainerSettings)):
        raise RlidimError(f"{where}: expected a subclass of TrainerSettings, found {settings!r}")
    if not hasattr(settings, "trains"):
        raise RlidimError(f"{where}: it does not say what it trains: trains = 'control'")
    try:
        check_name(name, LONGEST_PART)
    except RlidimError as error:
        raise RlidimError(f"{where}: {error}") from error
    if name in known:
        raise RlidimError(f"{where}: there is a trainer '{name}' already; choose another name")
    return settings
