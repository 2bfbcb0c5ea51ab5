"""Runs side by side, in step with each other: how they enter, are evaluated, saved, and leave.

What is drawn in a rollout is a function of the run's seed and the rollout's number.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
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
from rlidim.trainers.many.evaluation import Stage, Trial
from rlidim.trainers.many.learner import Learner, Numbers
from rlidim.trainers.many.member import BUDGET, DIVERGED, FAILED, GOING, SOLVED, Member, Snapshot
from rlidim.trainers.many.normalisation import NormalisedFleet
from rlidim.trainers.run import Run

ROLLOUT = 3  # a run's random streams of what its rollouts draw


class Batch(ABC):
    """Runs of one task and trainer that are trained together.

    Attributes:
        members: the runs, in the order in which they entered.
    """

    def __init__(self, task: Task, settings: Any, architecture: Architecture) -> None:
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
            Exception: whatever an environment raises at its first reset; the others go on.
        """
        try:
            return self._entered(run)
        except BaseException:
            self._fleet.keep(np.arange(len(self.members)))
            raise

    def _entered(self, run: Run) -> Member:
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
            self._learner(run),
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
        began = Spent.now()
        self._evaluate([member for member in self.members if not member.curve])
        self._save()
        draws = [np.random.default_rng(self._seed_of(member)) for member in self.members]
        for member in self.members:
            member.rollouts += 1
        self._train(draws)
        for member in self.members:
            if member.stopped == GOING:
                self._look(member)
        self._evaluate([m for m in self.members if m.stopped == BUDGET])
        took = (Spent.now() - began) / len(self.members)
        for member in self.members:
            member.spent += took
        return self._release()

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of a run's environments between two times that it may leave."""

    @abstractmethod
    def _learner(self, run: Run) -> Learner:
        """Return a run's learner as it begins."""

    @abstractmethod
    def _train(self, draws: Sequence[np.random.Generator]) -> None:
        """Make a rollout of every run, and let each that goes on learn from its own.

        Args:
            draws: a random stream for each run.
        """

    def _look(self, member: Member) -> None:
        """See whether a run is over after it has learned."""
        if not member.learner.is_finite:
            member.stopped = DIVERGED
        elif member.steps >= self._settings.n_timesteps:
            member.stopped = BUDGET

    def _seed_of(self, member: Member) -> list[int]:
        return [member.run.seeds.training, ROLLOUT, member.rollouts]

    def _save(self) -> None:
        for place, member in enumerate(self.members):
            checkpoints = member.run.checkpoints
            if member.stopped == GOING and checkpoints is not None and checkpoints.due():
                if member.actions is not None:
                    member.actions.flush()
                state = {
                    "member": member.state(),
                    "environments": self._fleet.state(place),
                    "actions": 0 if member.actions is None else member.actions.count,
                }
                checkpoints.save(state, member.spent)

    def _step(self, actions: Numbers) -> Stepped:
        """Take actions (R, N, parts) in all environments, on record where they must be."""
        taken = self._in_their_space(actions)
        for member, own in zip(self.members, taken, strict=True):
            if member.actions is not None:
                member.actions.add(own)
        return self._fleet.step(taken)

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
        failed = self._stage.decide(trials)
        for place, member in enumerate(members):
            if place in failed:
                member.stopped, member.error = FAILED, failed[place]
                continue
            member.curve.append((member.steps, member.best.score))
            member.run.report(member.steps, member.best.score)
            if member.best.solved:
                member.stopped = SOLVED

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
