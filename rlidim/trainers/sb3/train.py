"""Stable-Baselines3's and sb3-contrib's trainers in a subspace, otherwise unchanged.

The acting network's theta_0 comes from its seed alone, and its optimizer becomes a
SubspaceOptimizer; the critic trains natively unless the scope is ``all``.
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import KVWriter, Logger, make_output_format
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from torch import nn

from rlidim.devices import device
from rlidim.environments import arena, making
from rlidim.environments.gate import Gate
from rlidim.environments.masks import Masked
from rlidim.errors import RlidimError
from rlidim.networks import acting as acting_networks
from rlidim.networks.acting import AnyArchitecture
from rlidim.networks.atari import PixelArchitecture
from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.records.checkpoints import ACTIONS, Checkpoints, writing
from rlidim.records.record import Outcome
from rlidim.subspace import SubspaceOptimizer
from rlidim.tasks.problems import Atari, Network
from rlidim.tasks.task import Task
from rlidim.trainers import logs
from rlidim.trainers.early_stopping import Champion
from rlidim.trainers.logs import Log
from rlidim.trainers.run import Report, Run
from rlidim.trainers.sb3 import resume
from rlidim.trainers.sb3.algorithms import RECURRENT, algorithm_of, policy_of
from rlidim.trainers.sb3.atari import AtariVecEnv, PixelFeatures, keep_freed_memory
from rlidim.trainers.sb3.confine import (
    NO_CLIPPING,
    acting_parameters,
    actor_optimizer,
    confine,
)
from rlidim.trainers.sb3.resume import Recorded
from rlidim.trainers.sb3.vector import VectorEnvironments
from rlidim.trainers.schedules import schedule

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
# The networks' actions that a trainer gives, by its settings, and what they are called.
GIVEN = {
    "choices": (("argmax", "argmax_mean"), "discrete actions, one choice of several"),
    "masked": (("argmax", "argmax_each"), "discrete actions, each a choice of several"),
    "bounded": (("tanh",), "continuous actions"),
}
# Settings that this file reads; all others go to the algorithm under their own names.
OURS = (
    "n_timesteps",
    "n_envs",
    "normalize",
    "eval_freq",
    "noise_std",
    "max_grad_norm",
    "n_quantiles",
)
FEWEST = 4  # environments of which a vector is faster than lone ones, one after another
SCHEDULES = ("learning_rate", "clip_range")
# Stable-Baselines3's default of clip_mean: under use_sde the actor's last layer ends there.
CLIP_MEAN = 2.0
TENSORBOARD = "tensorboard"  # as Stable-Baselines3 and rlidim call it


def check(task: Task, trainer: str) -> None:
    """Make sure that an algorithm serves a task's network and actions.

    Raises:
        RlidimError: it does not, or the environment does not say which actions are valid where it
            has to.
    """
    _architecture(task, trainer, None)


def build(task: Task, trainer: str, seeds: Seeds) -> tuple[BaseAlgorithm, AnyArchitecture]:
    """Build a model whose acting network starts at the seed's theta_0.

    Raises:
        RlidimError: a space that the algorithm does not serve, an environment that does not say
            which actions are valid where it has to, or a missing one.
    """
    settings = task.settings(trainer)
    algorithm: Any = algorithm_of(trainer)
    architecture = _architecture(task, trainer, seeds.training)
    theta_0 = architecture.initial_parameters(seeds.theta_0)
    if isinstance(architecture, PixelArchitecture):
        # Gradients pass through fixed statistics: theta_0's own.
        architecture = architecture.gathered(architecture.module(theta_0))
    env = environments(task, settings, seeds.training)
    arguments = {
        name: value for name, value in dataclasses.asdict(settings).items() if name not in OURS
    }
    for name in SCHEDULES:
        if name in arguments:
            arguments[name] = schedule(arguments[name])
    if "noise_std" in dataclasses.asdict(settings):
        shape: Any = env.action_space.shape
        arguments["action_noise"] = NormalActionNoise(
            np.zeros(shape), settings.noise_std * np.ones(shape)
        )
    # Natively as in a subspace: no clipping unless it is asked for.
    if "max_grad_norm" in inspect.signature(algorithm).parameters:
        clip = settings.max_grad_norm
        arguments["max_grad_norm"] = NO_CLIPPING if clip is None else clip
    policy, policy_kwargs = _policy(task, trainer, architecture)
    model = algorithm(
        policy,
        env,
        policy_kwargs=policy_kwargs,
        seed=seeds.training,
        # A perceptron of a few thousand parameters is faster where the environments are.
        device=device() if isinstance(architecture, PixelArchitecture) else "cpu",
        **arguments,
    )
    _set_theta_0(model, architecture, theta_0)
    return model, architecture


def _architecture(task: Task, trainer: str, seed: int | None) -> AnyArchitecture:
    """Return the acting network that an algorithm trains; ``seed`` is of its reference batch."""
    settings = task.settings(trainer)
    architecture = acting_networks.architecture(
        task,
        squash=settings.actions == "bounded",
        quantiles=getattr(settings, "n_quantiles", None),
        masked=settings.actions == "masked",
        output_bound=CLIP_MEAN if getattr(settings, "use_sde", False) else None,
        seed=seed,
    )
    if isinstance(architecture, Architecture):
        _check_actions(task, trainer, architecture)
        _check_memory(task, trainer, architecture)
    elif settings.actions == "bounded" or trainer == RECURRENT:
        raise RlidimError(
            f"{trainer} trains no network on frames, which task '{task.name}' has: ppo, a2c, trpo, "
            "dqn and es do"
        )
    if settings.actions == "masked":
        making.check_masks(task)
    return architecture


def _check_actions(task: Task, trainer: str, architecture: Architecture) -> None:
    """Refuse actions that an algorithm does not give."""
    actions = task.settings(trainer).actions
    others = "ppo, a2c, es and cmaes take them"
    if actions == "any":
        return
    served, kind = GIVEN[actions]
    if architecture.action not in served:
        raise RlidimError(f"{trainer} needs {kind}, task '{task.name}' has others: {others}")
    if not np.isfinite((*(architecture.low or ()), *(architecture.high or ()))).all():
        raise RlidimError(
            f"{trainer} needs actions with finite bounds, task '{task.name}' has some without: "
            f"{others}"
        )


def _check_memory(task: Task, trainer: str, architecture: Architecture) -> None:
    """Refuse a memory that an algorithm has no use for, and none where it needs one."""
    if (trainer == RECURRENT) != (architecture.memory > 0):
        has = f"an LSTM of {architecture.memory}" if architecture.memory else "none"
        raise RlidimError(
            f"network: memory: task '{task.name}' has {has}: {RECURRENT} trains one, and no other "
            "gradient trainer does; es, ars, cmaes and sepcmaes search with and without"
        )


def begin(task: Task, cell: Cell, seeds: Seeds) -> tuple[BaseAlgorithm, AnyArchitecture]:
    """Build a cell's model: natively, or confined to its subspace.

    Raises:
        RlidimError: what :func:`build` and :func:`confine` raise.
    """
    model, architecture = build(task, cell.trainer, seeds)
    if cell.d is not None:
        confine(
            model,
            d=cell.d,
            projection=cell.projection,
            seed=seeds.projection,
            scope=cell.scope,
            max_grad_norm=task.settings(cell.trainer).max_grad_norm,
        )
    return model, architecture


def environments(task: Task, settings: Any, seed: int) -> VecEnv:
    """Return the environments that a trainer's settings ask for.

    Raises:
        RlidimError: a missing environment.
    """
    environment = task.control.environment
    if isinstance(environment, Atari):
        keep_freed_memory()
        games = AtariVecEnv(environment, settings.n_envs)
        games.seed(seed)
        return Recorded(games)
    env = Recorded(side_by_side(task, settings.n_envs, seed, masked=settings.actions == "masked"))
    return VecNormalize(env, gamma=settings.gamma) if settings.normalize else env


def side_by_side(task: Task, count: int, seed: int, *, masked: bool = False) -> VecEnv:
    """Return environments of a task: a vector of them where that is faster, else lone ones.

    They are the same, seeds included: a run's record does not tell which they were.

    Args:
        task: a control task, no Atari game.
        count: how many.
        seed: of the first; the others count upwards.
        masked: whether they have to say which actions are valid.

    Raises:
        RlidimError: a missing environment.
    """
    by_vector = count >= FEWEST or not making.has_lone_form(task)
    vector = making.make_seeded_vector(task, count) if by_vector else None
    if vector is None:

        def lone() -> Gate:
            environment = making.make(task)
            return Gate(Masked(environment) if masked else environment)

        return make_vec_env(lone, n_envs=count, seed=seed)
    environments = VectorEnvironments(vector)
    environments.action_space.seed(seed)
    environments.seed(seed)
    return environments


def _policy(task: Task, trainer: str, architecture: AnyArchitecture) -> tuple[Any, dict[str, Any]]:
    """Return SB3's policy class, or its name, and its arguments."""
    if isinstance(architecture, PixelArchitecture):
        return "CnnPolicy", {
            "net_arch": [],
            "features_extractor_class": PixelFeatures,
            "features_extractor_kwargs": {"architecture": architecture},
        }
    network = task.control.network
    assert isinstance(network, Network)
    settings = task.settings(trainer)
    quantiles = getattr(settings, "n_quantiles", None)
    return policy_of(trainer), {
        "net_arch": net_arch(settings.actions, list(network.hidden)),
        "activation_fn": ACTIVATIONS[network.activation],
        **({} if quantiles is None else {"n_quantiles": quantiles}),
        **({"lstm_hidden_size": network.memory} if network.memory else {}),
    }


def net_arch(actions: str, hidden: list[int]) -> Any:
    """Return what SB3's policies call so: the critic's layers are the actor's.

    Args:
        actions: that the trainer gives, see its settings.
        hidden: the widths.
    """
    if actions == "choices":
        return hidden
    return {"pi": hidden, ("qf" if actions == "bounded" else "vf"): hidden}


def _set_theta_0(model: BaseAlgorithm, architecture: AnyArchitecture, theta_0: np.ndarray) -> None:
    """Start the acting network at theta_0, float32 (D,), its target network too."""
    acting = acting_parameters(model)
    shapes = [tuple(parameter.shape) for parameter in acting]
    assert shapes == architecture.shapes, f"{shapes} are not {architecture.shapes}"
    nn.utils.vector_to_parameters(torch.from_numpy(theta_0).to(model.device), acting)
    policy: Any = model.policy
    for network in ("q_net", "quantile_net", "actor"):
        if hasattr(policy, f"{network}_target"):
            target = getattr(policy, f"{network}_target")
            target.load_state_dict(getattr(policy, network).state_dict())


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A policy's parameters at one moment: all of them, and theta_d where there is one."""

    architecture: AnyArchitecture
    theta: np.ndarray
    theta_d: np.ndarray | None


class Evaluations(BaseCallback):
    """Scores the acting network every ``eval_freq`` environment steps and ends a solved run."""

    def __init__(
        self,
        task: Task,
        architecture: AnyArchitecture,
        seeds: Seeds,
        frequency: int,
        report: Report,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Prepare the evaluation environments."""
        super().__init__()
        self.architecture = architecture
        self.frequency = frequency
        self.report = report
        self.champion: Champion[Snapshot] = Champion(task, seeds)
        self.curve: list[tuple[int, float]] = []
        self.diverged = False
        self.begun = False  # whether the environments were reset and training has started
        self._next = frequency
        self._checkpoints = checkpoints
        self._random: dict[str, Any] | None = None  # of the rollout that a checkpoint was at

    def snapshot(self) -> Snapshot:
        """Copy the acting network as it is, with the observation's statistics so far."""
        with torch.no_grad():
            theta = _copied(nn.utils.parameters_to_vector(acting_parameters(self.model)))
        architecture = self.architecture
        env = self.model.get_vec_normalize_env()
        if env is not None and isinstance(architecture, Architecture):
            statistics: Any = env.obs_rms
            architecture = dataclasses.replace(
                architecture,
                observation_mean=tuple(float(x) for x in statistics.mean.ravel()),
                observation_variance=tuple(float(x) for x in statistics.var.ravel()),
            )
        optimizer = actor_optimizer(self.model)
        theta_d = None
        if isinstance(optimizer, SubspaceOptimizer):
            theta_d = _copied(optimizer.theta_d)
        return Snapshot(architecture, theta, theta_d)

    def evaluate(self) -> bool:
        """Score the network as it is; return whether to go on."""
        now = self.snapshot()
        if not np.isfinite(now.theta).all():
            self.diverged = True
            return False
        self.champion.challenge(now.architecture.policy(now.theta), now)
        self.curve.append((self.num_timesteps, self.champion.score))
        self.report(self.num_timesteps, self.champion.score)
        self.logger.record("eval/best_mean_reward", self.champion.score)
        record_subspace(self.model, self.logger)
        return not self.champion.solved

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, of plain values and arrays."""
        best = self.champion.solution
        return {
            "champion": self.champion.state(),
            "theta": best.theta,
            "theta_d": best.theta_d,
            "curve": self.curve,
            "next": self._next,
        }

    def take_up(self, state: dict[str, Any], random: dict[str, Any]) -> None:
        """Go on from what a checkpoint kept; the random states come back with the first rollout."""
        architecture = acting_networks.architecture_of(state["champion"]["network"])
        best = Snapshot(architecture, state["theta"], state["theta_d"])
        self.champion.take_up(state["champion"], best.theta, best)
        self.curve = [(int(steps), float(score)) for steps, score in state["curve"]]
        self._next = int(state["next"])
        self._random = random

    def _on_training_start(self) -> None:
        self.begun = True
        if self._checkpoints is None or self._checkpoints.resumed is None:
            self.evaluate()

    def _on_rollout_start(self) -> None:
        if self._random is not None:
            resume.set_random(self.model, self._random)  # noise was drawn just now, as it was then
            self._random = None
        if self._checkpoints is not None and self._checkpoints.due():
            resume.save(self._checkpoints, self.model, self.state())

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next += self.frequency
        return self.evaluate()


def _copied(vector: torch.Tensor) -> np.ndarray:
    """Return a vector's numbers, on their own."""
    return vector.detach().cpu().numpy().copy()


def record_subspace(model: BaseAlgorithm, logger: Logger) -> None:
    """Log how far theta_d has come and how much of the gradient lies in the subspace."""
    optimizer = actor_optimizer(model)
    if not isinstance(optimizer, SubspaceOptimizer):
        return
    logger.record("subspace/d", optimizer.theta_d.numel())
    theta_d = optimizer.theta_d.detach()
    logger.record("subspace/theta_d_norm", float(torch.linalg.vector_norm(theta_d)))
    share = optimizer.gradient_share
    if share is not None:
        logger.record("subspace/gradient_share", share)


def _stand(run: Run) -> tuple[BaseAlgorithm, Evaluations]:
    """Return the model and its evaluations where a run stands: at its checkpoint, or at none."""
    checkpoints = run.checkpoints
    model, evaluations = _start(run)
    if checkpoints is None:
        return model, evaluations
    saved = checkpoints.load()
    if saved is not None:
        with checkpoints.cautiously():
            if resume.restore(checkpoints, model, saved):
                evaluations.take_up(saved["more"], saved["random"])
        if checkpoints.resumed is None:
            evaluations.champion.close()
            model.get_env().close()  # type: ignore[union-attr]
            model, evaluations = _start(run)
    if checkpoints.resumed is None:
        resume.recorded_of(model).actions.to(checkpoints.folder / ACTIONS)
    return model, evaluations


def _start(run: Run) -> tuple[BaseAlgorithm, Evaluations]:
    model, architecture = begin(run.task, run.cell, run.seeds)
    evaluations = Evaluations(
        run.task,
        architecture,
        run.seeds,
        run.settings.eval_freq,
        run.report,
        checkpoints=run.checkpoints,
    )
    return model, evaluations


def train(run: Run) -> Outcome:
    """Train with Stable-Baselines3 and score the best checkpoint on fresh episodes.

    Raises:
        RlidimError: an unknown projection, d not in 1 .. D, an environment at fault.
    """
    task, seeds, settings = run.task, run.seeds, run.settings
    model, evaluations = _stand(run)
    architecture = evaluations.architecture
    resumed = run.checkpoints is not None and run.checkpoints.resumed is not None
    model.set_logger(logger_of(run.folder, model.num_timesteps, run.log))
    try:
        model.learn(
            settings.n_timesteps - model.num_timesteps,
            callback=evaluations,
            reset_num_timesteps=not resumed,
        )
        if not evaluations.champion.solved and not evaluations.diverged:
            evaluations.evaluate()
    except (ValueError, RuntimeError, RlidimError) as error:
        # Distributions, samplers and environments raise these on NaN. With finite parameters it is
        # a defect, or the environment's fault, unless the network's own sums overflowed.
        if not evaluations.begun or (
            np.isfinite(evaluations.snapshot().theta).all() and not _of_a_distribution(error)
        ):
            raise
        evaluations.diverged = True
    finally:
        evaluations.champion.close()
        model.get_env().close()  # type: ignore[union-attr]
        model.logger.close()
    best = evaluations.champion.solution
    returns: tuple[float, ...] = ()
    if not evaluations.diverged:
        played = arena.evaluate(
            task, evaluations.champion.policy, task.control.evaluation.episodes, seeds.evaluation
        )
        returns = tuple(float(value) for value in played.returns)
    optimizer = actor_optimizer(model)
    confined = isinstance(optimizer, SubspaceOptimizer)
    spec = optimizer.subspace.projection.spec if isinstance(optimizer, SubspaceOptimizer) else None
    return Outcome(
        status="diverged" if evaluations.diverged else "ok",
        returns=returns,
        D=architecture.D if spec is None else spec.D,
        environment_steps=int(model.num_timesteps),
        curve=tuple(evaluations.curve),
        stopped="solved" if evaluations.champion.solved else "budget",
        theta_d=best.theta_d,
        theta=None if confined else best.theta,
        spec=None if spec is None else spec.to_json(),
        network=best.architecture.to_json(),
        details={"device": str(model.device)}
        if isinstance(architecture, PixelArchitecture)
        else {},
    )


def _of_a_distribution(error: BaseException) -> bool:
    """Say whether torch refused a distribution's parameters: the network put out NaN.

    Observations are finite: what watches the environments sees to that.
    """
    end = error.__traceback__
    while end is not None and end.tb_next is not None:
        end = end.tb_next
    module = "" if end is None else str(end.tb_frame.f_globals.get("__name__"))
    return isinstance(error, ValueError) and module.startswith("torch.distributions")


class Shown(KVWriter):
    """What Stable-Baselines3 logs, handed on to a run's log."""

    def __init__(self, log: Log) -> None:
        """Name the log."""
        self._log = log

    def write(
        self,
        key_values: dict[str, Any],
        key_excluded: dict[str, tuple[str, ...]],
        step: int = 0,
    ) -> None:
        """Hand on the numbers, but for those that are no curves."""
        numbers = {
            name: float(value)
            for name, value in key_values.items()
            if isinstance(value, int | float | np.number)
            and TENSORBOARD not in (key_excluded.get(name) or ())
        }
        self._log.write(step, numbers)

    def close(self) -> None:
        """Leave the log open: the run's end is not written yet."""


def logger_of(folder: Path | None, begun: int = 0, log: Log | None = None) -> Logger:
    """Return a logger for CSV, and TensorBoard where it is installed; silent without a folder.

    A run that was taken up after ``begun`` steps writes files of its own, ``progress-4096.csv``.
    What it logs goes to the run's ``log``, too, where there is one.

    Raises:
        RlidimError: the folder cannot be written.
    """
    if folder is None:
        return Logger(folder=None, output_formats=[])
    names = ["csv"]
    if logs.present(TENSORBOARD) and (log is None or TENSORBOARD not in log.names):
        names.append(TENSORBOARD)
    suffix = f"-{begun}" if begun else ""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        formats = [make_output_format(name, str(folder), suffix) for name in names]
    return Logger(
        folder=str(folder), output_formats=formats if log is None else [*formats, Shown(log)]
    )
