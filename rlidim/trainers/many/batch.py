"""Runs of PPO or A2C side by side: rollouts in step with each other, each learning from its own.

Schulman et al. 2017, Mnih et al. 2016; step by step Stable-Baselines3's algorithms, on random
streams of our own: what is drawn in a rollout is a function of the run's seed and the rollout's
number.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.environments.fleets import Fleet, Stepped
from rlidim.environments.making import make_fleet, spaces_of
from rlidim.networks.perceptron import Architecture
from rlidim.records.actions import Actions
from rlidim.records.checkpoints import ACTIONS, Checkpoints, Spent
from rlidim.tasks.task import Task
from rlidim.trainers.early_stopping import Best
from rlidim.trainers.many import kernels
from rlidim.trainers.many.evaluation import Stage, Trial
from rlidim.trainers.many.learner import Learner, Numbers, Settings
from rlidim.trainers.many.normalisation import NormalisedFleet
from rlidim.trainers.many.rollout import Rollout
from rlidim.trainers.run import Run

ROLLOUT = 3  # a run's random streams of what its rollouts draw
GOING, SOLVED, BUDGET, DIVERGED, FAILED = "going", "solved", "budget", "diverged", "failed"


@dataclass(frozen=True)
class Snapshot:
    """An actor's parameters at one moment, and theta_d where there is one."""

    theta: Numbers
    theta_d: Numbers | None


@dataclass
class Member:
    """A run on its way.

    Attributes:
        run: what is to be made.
        learner: its networks.
        best: the best policy so far.
        next: steps at which it is evaluated again.
        observations: (N, size), those that it acts on next.
        steps: of its environments so far.
        rollouts: made so far.
        curve: (steps, score) pairs so far.
        actions: on record, where its environments are brought back by them; None elsewhere.
        stopped: ``going``, or why it is over.
        error: the traceback of an environment that failed.
        spent: on it so far, its share of what the batch took.
    """

    run: Run
    learner: Learner
    best: Best[Snapshot]
    next: int
    observations: Numbers
    actions: Actions | None = None
    steps: int = 0
    rollouts: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    stopped: str = GOING
    error: str | None = None
    spent: Spent = field(default_factory=Spent)

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, but for the environments."""
        solution = self.best.solution
        return {
            "learner": self.learner.state(),
            "best": self.best.state(),
            "theta": solution.theta,
            "theta_d": solution.theta_d,
            "next": self.next,
            "observations": self.observations,
            "steps": self.steps,
            "rollouts": self.rollouts,
            "curve": self.curve,
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same run stood."""
        self.learner.take_up(state["learner"])
        solution = Snapshot(state["theta"], state["theta_d"])
        self.best.take_up(state["best"], solution.theta, solution)
        self.next, self.steps = int(state["next"]), int(state["steps"])
        self.observations = state["observations"]
        self.rollouts = int(state["rollouts"])
        self.curve = [(int(steps), float(score)) for steps, score in state["curve"]]


class Batch:
    """Runs of one task and trainer that are trained together.

    Attributes:
        members: the runs, in the order in which they entered.
    """

    def __init__(self, task: Task, settings: Settings, architecture: Architecture) -> None:
        """Begin without a run.

        Raises:
            RlidimError: as :func:`make_fleet`.
        """
        self.members: list[Member] = []
        self._architecture, self._settings = architecture, settings
        self._action_space: Any = spaces_of(task)[1]
        self._parts = 1 if architecture.action == "argmax" else architecture.output_size
        fleet: Fleet = make_fleet(task, settings.n_envs)
        self._statistics = None
        if settings.normalize:
            fleet = normalised = NormalisedFleet(
                fleet, architecture.observation_size, settings.gamma
            )
            self._statistics = normalised.observed
        self._fleet = fleet
        self._stage = Stage(task)

    def enter(self, run: Run) -> Member:
        """Let a run take part from the next rollout on: at its checkpoint, or at its beginning.

        Raises:
            RlidimError: see :class:`Learner`, or an environment is at fault.
        """
        member = self._begun(run)
        checkpoints = run.checkpoints
        saved = None if checkpoints is None else checkpoints.load()
        if checkpoints is not None and saved is not None:
            with checkpoints.cautiously():
                member.take_up(saved["member"])
                taken = self._taken(member, checkpoints, saved["actions"])
                self._fleet.take_up(saved["environments"], taken)
                checkpoints.take_up(member.steps)
            if checkpoints.resumed is None:
                self._fleet.keep(np.arange(len(self.members)))
                member = self._begun(run)
        if checkpoints is not None and checkpoints.resumed is None and member.actions is not None:
            member.actions.to(checkpoints.folder / ACTIONS)
        self.members.append(member)
        return member

    def _taken(
        self, member: Member, checkpoints: Checkpoints, count: int
    ) -> Iterable[NDArray[Any]]:
        """Return the actions that a run took before its checkpoint, where they are on record.

        Raises:
            ValueError: fewer are.
        """
        if member.actions is None:
            return ()
        zeros = np.zeros((1, self._fleet.width, self._parts), dtype=np.float32)
        like = self._in_their_space(zeros)[0]
        taken = member.actions.again(checkpoints.folder / ACTIONS, count, like)
        if taken is None:
            raise ValueError(f"{ACTIONS} holds fewer steps than the checkpoint beside it")
        return taken

    def _begun(self, run: Run) -> Member:
        return Member(
            run,
            Learner(self._architecture, self._settings, run.cell, run.seeds),
            Best(run.task, run.seeds),
            self._settings.eval_freq,
            self._fleet.enter(run.seeds.training),
            Actions() if self._fleet.replays and run.checkpoints is not None else None,
        )

    def advance(self) -> list[Member]:
        """Make a rollout of every run, and let each learn from its own.

        Returns:
            the runs that are over, which leave.

        Raises:
            RlidimError: an environment is at fault, or a checkpoint cannot be written.
        """
        began = time.perf_counter(), time.process_time()
        self._evaluate([member for member in self.members if not member.curve])
        self._save()
        draws = [np.random.default_rng(self._seed_of(member)) for member in self.members]
        rollout = self._rollout(draws)
        for place, member in enumerate(self.members):
            if member.stopped == GOING:
                self._learn(member, place, rollout, draws[place])
        self._evaluate([m for m in self.members if m.stopped == BUDGET])
        share = len(self.members)
        took = Spent(
            (time.perf_counter() - began[0]) / share, (time.process_time() - began[1]) / share
        )
        for member in self.members:
            member.spent += took
        return self._release()

    def _seed_of(self, member: Member) -> list[int]:
        return [member.run.seeds.training, ROLLOUT, member.rollouts]

    def _save(self) -> None:
        for place, member in enumerate(self.members):
            checkpoints = member.run.checkpoints
            if checkpoints is not None and checkpoints.due():
                if member.actions is not None:
                    member.actions.flush()
                state = {
                    "member": member.state(),
                    "environments": self._fleet.state(place),
                    "actions": 0 if member.actions is None else member.actions.count,
                }
                checkpoints.save(state, member.spent)

    def _rollout(self, draws: Sequence[np.random.Generator]) -> Rollout:
        """Step every run's environments ``n_steps`` times; evaluate the runs that are due."""
        settings, width = self._settings, self._fleet.width
        learners = [member.learner.kernel for member in self.members]
        runs, steps = len(learners), settings.n_steps
        noise = np.stack([self._noise(draw, steps * width) for draw in draws], axis=0)
        noise = noise.reshape(runs, steps, width, -1)
        shape, size = noise.shape[:3], self._architecture.observation_size
        rollout = Rollout.empty(shape, size, noise.shape[-1])
        observations = np.stack([member.observations for member in self.members])
        actions = np.empty((runs, width, noise.shape[-1]), dtype=np.float32)
        for at in range(steps):
            kernels.act(learners, observations, np.ascontiguousarray(noise[:, at]), actions)
            taken = self._in_their_space(actions)
            for member, own in zip(self.members, taken, strict=True):
                if member.actions is not None:
                    member.actions.add(own)
            stepped = self._fleet.step(taken)
            rollout.add(at, observations, actions, stepped)
            observations = stepped.observations
            if stepped.final is not None and stepped.truncated.any():
                self._bootstrap(rollout.rewards[:, at], stepped)
            self._count(width)
        for place, member in enumerate(self.members):
            member.observations = observations[place]
            member.rollouts += 1
        return rollout

    def _noise(self, draw: np.random.Generator, count: int) -> Numbers:
        """Return what decides on so many actions."""
        if self._architecture.action == "argmax":
            return draw.random((count, self._parts), dtype=np.float32)
        return draw.standard_normal((count, self._parts), dtype=np.float32)

    def _in_their_space(self, actions: Numbers) -> NDArray[Any]:
        """Return actions (R, N, parts) as the environments take them."""
        if self._architecture.action == "argmax":
            return actions[..., 0].astype(np.int64)
        low, high = (
            np.array(bound, dtype=np.float32)
            for bound in (self._architecture.low, self._architecture.high)
        )
        clipped: Numbers = np.clip(actions, low, high)
        return clipped.reshape(*actions.shape[:2], *self._action_space.shape)

    def _bootstrap(self, rewards: Numbers, stepped: Stepped) -> None:
        """Add to the rewards what an episode that was cut off could have earned still."""
        assert stepped.final is not None
        cut = stepped.truncated & ~stepped.terminated
        for place in np.flatnonzero(cut.any(axis=1)):
            rows = np.flatnonzero(cut[place])
            values = self.members[place].learner.values(stepped.final[place, rows])
            rewards[place, rows] += np.float32(self._settings.gamma) * values

    def _count(self, steps: int) -> None:
        """Count steps of all runs that go on; evaluate those that are due."""
        due = []
        for place, member in enumerate(self.members):
            if member.stopped != GOING:
                continue
            if place in self._fleet.failed:
                member.stopped, member.error = FAILED, self._fleet.failed[place]
                continue
            member.steps += steps
            if member.steps >= member.next:
                member.next += self._settings.eval_freq
                due.append(member)
        if due:
            self._evaluate(due)

    def _evaluate(self, members: Sequence[Member]) -> None:
        """Put the policies of some runs to the test."""
        trials = []
        for member in members:
            architecture = self._architecture
            if self._statistics is not None:
                place = self.members.index(member)
                statistics = self._statistics.state(place)
                architecture = dataclasses.replace(
                    architecture,
                    observation_mean=tuple(map(float, statistics["mean"])),
                    observation_variance=tuple(map(float, statistics["variance"])),
                )
            theta, theta_d = member.learner.theta.copy(), member.learner.theta_d
            snapshot = Snapshot(theta, None if theta_d is None else theta_d.copy())
            policy = architecture.policy(theta)
            trials.append(Trial(policy, member.learner, member.best.trial(policy, snapshot)))
        self._stage.decide(trials)
        for member in members:
            member.curve.append((member.steps, member.best.score))
            member.run.report(member.steps, member.best.score)
            if member.best.solved:
                member.stopped = SOLVED

    def _learn(
        self, member: Member, place: int, rollout: Rollout, draw: np.random.Generator
    ) -> None:
        """Let a run learn from its rollout."""
        settings = self._settings
        learner = member.learner
        experience = rollout.experience(place, learner, member.observations, settings)
        count = len(experience.returns)
        shape = learner.updates.epochs, count
        steps = np.broadcast_to(np.arange(count, dtype=np.int32), shape)
        order = draw.permuted(steps, axis=1)
        learner.learn(experience, order, 1.0 - member.steps / settings.n_timesteps)
        if not learner.is_finite:
            member.stopped = DIVERGED
        elif member.steps >= settings.n_timesteps:
            member.stopped = BUDGET

    def _release(self) -> list[Member]:
        """Let the runs go that are over, and return them."""
        over = [member for member in self.members if member.stopped != GOING]
        if over:
            kept = [place for place, m in enumerate(self.members) if m.stopped == GOING]
            self._fleet.keep(np.array(kept, dtype=np.intp))
            self.members = [self.members[place] for place in kept]
        return over

    def close(self) -> None:
        """Close the environments."""
        self._fleet.close()
        self._stage.close()
