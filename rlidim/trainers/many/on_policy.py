"""Runs of PPO or A2C side by side: rollouts in step with each other, each learning from its own.

Schulman et al. 2017, Mnih et al. 2016; step by step Stable-Baselines3's algorithms, on random
streams of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from rlidim.environments.fleets import Stepped
from rlidim.trainers.many import kernels
from rlidim.trainers.many.batch import Batch
from rlidim.trainers.many.learner import Numbers
from rlidim.trainers.many.member import GOING, Member
from rlidim.trainers.many.policy_gradient import PolicyLearner
from rlidim.trainers.many.rollout import Rollout
from rlidim.trainers.run import Run


class OnPolicyBatch(Batch):
    """Runs that learn from one rollout after another."""

    @property
    def steps(self) -> int:
        """Steps of a run's rollout."""
        return int(self._settings.n_steps) * self._fleet.width

    def _learner(self, run: Run) -> PolicyLearner:
        return PolicyLearner(self._architecture, self._settings, run.cell, run.seeds)

    def _train(self, draws: Sequence[np.random.Generator]) -> None:
        rollout = self._rollout(draws)
        for place, member in enumerate(self.members):
            if member.stopped == GOING:
                self._learn(member, place, rollout, draws[place])

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
            stepped = self._step(actions)
            rollout.add(at, observations, actions, stepped)
            observations = stepped.observations
            if stepped.final is not None and stepped.truncated.any():
                self._bootstrap(rollout.rewards[:, at], stepped)
            self._count(width)
        for place, member in enumerate(self.members):
            member.observations = observations[place]
        return rollout

    def _noise(self, draw: np.random.Generator, count: int) -> Numbers:
        """Return what decides on so many actions."""
        if self._architecture.action == "argmax":
            return draw.random((count, self._parts), dtype=np.float32)
        return draw.standard_normal((count, self._parts), dtype=np.float32)

    def _bootstrap(self, rewards: Numbers, stepped: Stepped) -> None:
        """Add to the rewards what an episode that was cut off could have earned still."""
        assert stepped.final is not None
        cut = stepped.truncated & ~stepped.terminated
        for place in np.flatnonzero(cut.any(axis=1)):
            rows = np.flatnonzero(cut[place])
            learner = cast(PolicyLearner, self.members[place].learner)
            values = learner.values(stepped.final[place, rows])
            rewards[place, rows] += np.float32(self._settings.gamma) * values

    def _learn(
        self, member: Member, place: int, rollout: Rollout, draw: np.random.Generator
    ) -> None:
        """Let a run learn from its rollout."""
        settings = self._settings
        learner = cast(PolicyLearner, member.learner)
        experience = rollout.experience(place, learner, member.observations, settings)
        count = len(experience.returns)
        shape = learner.updates.epochs, count
        steps = np.broadcast_to(np.arange(count, dtype=np.int32), shape)
        order = draw.permuted(steps, axis=1)
        learner.learn(experience, order, 1.0 - member.steps / settings.n_timesteps)
