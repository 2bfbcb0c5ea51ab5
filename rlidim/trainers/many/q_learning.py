"""Runs of DQN side by side, in step with each other, each learning from its own memory.

Mnih et al. 2015; step by step Stable-Baselines3's algorithm, on random streams of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from rlidim.networks.perceptron import Architecture
from rlidim.records.cell import Cell, Seeds
from rlidim.tasks.settings import DQNSettings
from rlidim.trainers.many import kernels
from rlidim.trainers.many.batch import Batch
from rlidim.trainers.many.learner import Learner, Numbers
from rlidim.trainers.many.member import GOING, Member
from rlidim.trainers.many.replay import Drawn, Memory
from rlidim.trainers.run import Run
from rlidim.trainers.schedules import schedule

EPSILON = 1e-8  # of Adam


class ValueLearner(Learner):
    """A network of actions' values, and the one that its targets come from.

    Attributes:
        target: that one's parameters, (D,).
        memory: the run's transitions.
        calls: steps of the environments so far, all of them at once.
    """

    def __init__(
        self, architecture: Architecture, settings: DQNSettings, cell: Cell, seeds: Seeds
    ) -> None:
        """Start at the seeds' theta_0.

        Raises:
            RlidimError: as :class:`Learner`.
        """
        super().__init__(architecture, np.zeros(0, dtype=np.float32), cell, seeds)
        self._settings = settings
        self._rate = schedule(settings.learning_rate)
        self.target = self.theta.copy()
        self.calls = 0
        width = settings.n_envs
        steps = -(-settings.n_timesteps // width) + settings.train_freq  # that there can be
        self.memory = Memory(
            min(max(settings.buffer_size // width, 1), steps),
            width,
            architecture.observation_size,
            settings.n_steps,
            settings.gamma,
        )
        self.kernel = kernels.Learner(
            **self._common,
            critic=False,
            entropy=0.0,
            value=0.0,
            longest=settings.max_grad_norm,
            normalised=False,
            root_mean_square=False,
            epsilon=EPSILON,
        )

    def exploration(self, remaining: float) -> float:
        """Return the share of steps with random actions, by the share of training that remains."""
        settings = self._settings
        if self.calls == 0:
            return 0.0  # as Stable-Baselines3 has it
        done, until = 1.0 - remaining, settings.exploration_fraction
        if done > until:
            return settings.exploration_final_eps
        change = settings.exploration_final_eps - settings.exploration_initial_eps
        return settings.exploration_initial_eps + done * change / until

    def follow(self) -> None:
        """Count a step of the environments; move the target after the network when it is time."""
        settings = self._settings
        self.calls += 1
        if self.calls % max(settings.target_update_interval // settings.n_envs, 1) == 0:
            self.target *= np.float32(1.0 - settings.tau)
            self.target += np.float32(settings.tau) * self.theta

    def learn(self, of: Drawn, remaining: float) -> None:
        """Make steps on minibatches of transitions, one after another."""
        greatest = np.empty(len(of.rewards), dtype=np.float32)
        self.kernel.greatest(self.target, of.following, greatest)
        self.steps += self.kernel.regress(
            observations=of.observations,
            actions=of.actions,
            targets=of.rewards + of.discounts * greatest,
            batch=self._settings.batch_size,
            rate=self._rate(remaining) if callable(self._rate) else self._rate,
            factor=self._factor,
            steps=self.steps,
            **self._products,
        )

    def state(self) -> dict[str, Any]:
        """Return what :meth:`take_up` goes on from, the memory included."""
        own = {"target": self.target, "calls": self.calls, "memory": self.memory.state()}
        return {**super().state(), **own}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where another of the same run stood.

        Raises:
            ValueError: the state is of another size.
        """
        super().take_up(state)
        self.target[:] = state["target"]
        self.calls = int(state["calls"])
        self.memory.take_up(state["memory"])


class ValueBatch(Batch):
    """Runs that learn from a memory of transitions, some steps after every few of their own."""

    @property
    def steps(self) -> int:
        """Steps of a run before it learns again."""
        return int(self._settings.train_freq) * self._fleet.width

    def _learner(self, run: Run) -> ValueLearner:
        return ValueLearner(self._architecture, self._settings, run.cell, run.seeds)

    def _train(self, draws: Sequence[np.random.Generator]) -> None:
        settings, width = self._settings, self._fleet.width
        learners = [cast(ValueLearner, member.learner) for member in self.members]
        observations = np.stack([member.observations for member in self.members])
        for _ in range(settings.train_freq):
            actions = self._actions(learners, observations, draws)
            stepped = self._step(actions)
            self._count(width)
            for place, learner in enumerate(learners):
                learner.memory.add(observations[place], actions[place], stepped, place)
                learner.follow()
            observations = stepped.observations
        for place, (member, learner) in enumerate(zip(self.members, learners, strict=True)):
            member.observations = observations[place]
            if member.stopped == GOING and member.steps > settings.learning_starts:
                steps = settings.gradient_steps
                count = (settings.train_freq * width if steps < 0 else steps) * settings.batch_size
                drawn = learner.memory.draw(count, draws[place])
                learner.learn(drawn, self._remaining(member))

    def _remaining(self, member: Member) -> float:
        return 1.0 - member.steps / int(self._settings.n_timesteps)

    def _actions(
        self,
        learners: Sequence[ValueLearner],
        observations: Numbers,
        draws: Sequence[np.random.Generator],
    ) -> Numbers:
        """Return an action for each environment, (R, N, 1): the best, or now and then any."""
        runs, width, size = observations.shape
        choices = self._architecture.output_size
        values = np.empty((runs * width, choices), dtype=np.float32)
        kernels_of = [learner.kernel for learner in learners]
        kernels.outputs(kernels_of, [width] * runs, observations.reshape(-1, size), values)
        best = values.argmax(axis=1).reshape(runs, width, 1)
        actions: Numbers = best.astype(np.float32)
        for place, (member, draw) in enumerate(zip(self.members, draws, strict=True)):
            explores = draw.random() < learners[place].exploration(self._remaining(member))
            if member.steps < self._settings.learning_starts or explores:
                actions[place, :, 0] = draw.integers(choices, size=width)
        return actions
