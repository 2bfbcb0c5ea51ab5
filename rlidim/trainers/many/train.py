"""PPO, A2C and DQN of many runs at once: some train side by side, each as if it were alone."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from typing import cast

from rlidim.environments import arena
from rlidim.errors import RlidimError
from rlidim.networks import acting
from rlidim.networks.perceptron import Architecture
from rlidim.records.checkpoints import Spent
from rlidim.records.record import Outcome
from rlidim.tasks.settings import DQNSettings, TrainerSettings
from rlidim.tasks.task import Task
from rlidim.trainers.many.batch import Batch
from rlidim.trainers.many.learner import check as check_architecture
from rlidim.trainers.many.member import BUDGET, DIVERGED, FAILED, SOLVED, Member
from rlidim.trainers.many.on_policy import OnPolicyBatch
from rlidim.trainers.many.q_learning import ValueBatch
from rlidim.trainers.run import Run, Together


def check(task: Task, trainer: str) -> None:
    """Make sure that a trainer serves a task's network and actions.

    Raises:
        RlidimError: it does not.
    """
    _architecture(task, task.settings(trainer))


def train(run: Run) -> Outcome:
    """Make one run: what it would be among others.

    Raises:
        RlidimError: as :func:`train_together`.
        RuntimeError: an environment raised; the message is its traceback.
    """
    (made,) = train_together([run])
    if made.outcome is None:
        raise RuntimeError(made.error)
    return made.outcome


def train_together(runs: Sequence[Run]) -> Iterator[Together]:
    """Make runs of one task and trainer; yield each as it ends.

    At most ``together`` of the settings train at a time: others enter as these end.

    Raises:
        RlidimError: an unknown projection, d not in 1 .. D, an environment at fault, a network that
            is not trained so; the runs that have not ended are lost but for their checkpoints.
    """
    task, settings = runs[0].task, runs[0].settings
    batch = begun(task, settings)
    places = {id(run): place for place, run in enumerate(runs)}
    waiting = list(reversed(runs))
    try:
        while waiting or batch.members:
            while waiting and len(batch.members) < settings.together:
                run = waiting.pop()
                refused = _refused(batch, run)
                if refused is not None:
                    yield Together(places[id(run)], None, *refused)
            if batch.members:
                for member in batch.advance():
                    yield _ended(places[id(member.run)], member)
    finally:
        batch.close()


def _refused(batch: Batch, run: Run) -> tuple[str, Spent] | None:
    """Let a run enter; return the traceback of one whose environments raise, and what it took."""
    began = Spent.now()
    try:
        batch.enter(run)
    except RlidimError:  # the user's to mend, in every run
        raise
    except (Exception, SystemExit):  # whatever an environment raises ends its run alone
        return traceback.format_exc(), Spent.now() - began
    return None


def begun(task: Task, settings: TrainerSettings) -> Batch:
    """Return a batch without a run.

    Raises:
        RlidimError: the task's network or actions are not served.
    """
    architecture = _architecture(task, settings)
    if isinstance(settings, DQNSettings):
        return ValueBatch(task, settings, architecture)
    return OnPolicyBatch(task, settings, architecture)


def _architecture(task: Task, settings: TrainerSettings) -> Architecture:
    if task.control.environment.frames:
        raise RlidimError(
            f"task '{task.name}': networks on frames are trained one by one: ppo does"
        )
    architecture = cast(Architecture, acting.architecture(task))
    check_architecture(architecture)
    if isinstance(settings, DQNSettings) and architecture.action != "argmax":
        raise RlidimError(
            f"DQN needs discrete actions, one choice of several; task '{task.name}' has others"
        )
    return architecture


def _ended(place: int, member: Member) -> Together:
    """Score a run's best policy on fresh episodes."""
    if member.stopped == FAILED:
        return Together(place, None, member.error, member.spent)
    began = Spent.now()
    outcome, error = None, None
    try:
        outcome = _outcome(member)
    except RlidimError:
        raise
    except (Exception, SystemExit):  # whatever an environment raises ends its run alone
        error = traceback.format_exc()
    return Together(place, outcome, error, member.spent + (Spent.now() - began))


def _outcome(member: Member) -> Outcome:
    run, best, learner = member.run, member.best, member.learner
    diverged = member.stopped == DIVERGED
    returns: tuple[float, ...] = ()
    if not diverged:
        episodes = run.task.control.evaluation.episodes
        played = arena.evaluate(run.task, best.policy, episodes, run.seeds.evaluation)
        returns = tuple(float(value) for value in played.returns)
    spec = None if learner.P is None else learner.P.spec
    return Outcome(
        status=DIVERGED if diverged else "ok",
        returns=returns,
        D=learner.actor_size if spec is None else spec.D,
        environment_steps=member.steps,
        curve=tuple(member.curve),
        stopped=SOLVED if best.solved else BUDGET,
        theta_d=best.solution.theta_d,
        theta=best.solution.theta if spec is None else None,
        spec=None if spec is None else spec.to_json(),
        network=best.policy.architecture.to_json(),
    )
