"""The task: a problem, its trainers, search settings and published numbers, from ``envs/``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from rlidim.errors import RlidimError, nearest
from rlidim.tasks.fields import Count, Positive, Range
from rlidim.tasks.parsing import parse
from rlidim.tasks.problems import DEEPEST, Classifier, Control, Problem, Supervised, check_size
from rlidim.tasks.settings import TRAINERS, known_trainers

REPLICATED = "replications"  # the tier whose searches `rlidim calibrate` repeats
TIERS = ("smoke", "quick", "full", "atlas", REPLICATED)
ANY_GAME = "atari"  # the task whose variants are Atari games
FRACTION = 0.9  # of the way from random actions to 1 that a run must reach: d_int90
TARGET, LOCAL = "target", "local"  # what counts as 1: what a task declares, or native training
PAPER = "paper"  # the protocol whose settings are those of Li et al. 2018


@dataclass(frozen=True)
class Search:
    """The settings of the search over d: its start, its budget, the interval to reach.

    ``precision`` is the ratio high / low of an interval at which the search ends; ``budget`` the
    core seconds that its runs may take, native ones too, which a task's file gives as ``20m``.
    """

    hint: Count = 8
    largest: Count | None = None  # None: D
    seeds: Count = 4  # a rung, at first; even: rounds fill two workers
    baseline_seeds: Count = 5  # at first
    budget: Positive = 1200.0
    precision: Annotated[float, Range(at_least=1)] = 2.0


@dataclass(frozen=True)
class Target:
    """The score that counts as solved, the same for every trainer, and where it is from."""

    score: float
    source: str


@dataclass(frozen=True)
class Baseline:
    """The baseline that a published number was read against.

    ``kind`` is ``global``, a score that is the same for all networks, or ``local``, that of the
    paper's own direct run; ``score`` is None where the paper prints none.
    """

    kind: str
    score: float | None = None

    def __str__(self) -> str:
        """Return the baseline in words: ``0.5 (global)``."""
        return "its own direct run" if self.score is None else f"{self.score} ({self.kind})"


@dataclass(frozen=True)
class Published:
    """A number from the literature, with the rule and the baseline it was read by.

    ``fraction`` is the share of the baseline at which it was read, where that is not the paper's
    0.9; ``variant`` names the task's variant that was measured: ``400x3``.
    """

    d_int: Count
    D: Count
    trainer: str
    rule: str
    baseline: Baseline
    source: str
    network: str = ""
    note: str = ""
    variant: str = ""
    fraction: Annotated[float, Range(above=0, below=1)] | None = None


@dataclass(frozen=True)
class Task:
    """A task, as ``envs/<name>.yml`` describes it.

    ``known`` is the intrinsic dimension where construction fixes it (calibration tasks); ``bench``
    maps a trainer to the tiers of ``rlidim bench`` that measure it. A task without a ``target`` is
    read against the median of native training.
    """

    name: str
    title: str
    file: Path
    problem: Problem
    trainers: Mapping[str, Any]
    search: Search = Search()
    searches: Mapping[str, Search] = field(default_factory=dict)
    scores: str = "mean return"
    target: Target | None = None
    known: int | None = None
    published: tuple[Published, ...] = ()
    published_of_variants: tuple[Published, ...] = ()
    bench: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: str = ""

    @property
    def kind(self) -> str:
        """The kind of problem: ``control``, ``supervised`` or ``analytic``."""
        return self.problem.kind

    @property
    def family(self) -> str:
        """The group that a list shows it in: ``mujoco``, ``minigrid``, ``calibration``."""
        return self.problem.family if self.known is None else "calibration"

    @property
    def steps(self) -> str:
        """The unit of a training budget: ``gradient steps``."""
        return self.problem.steps

    @property
    def control(self) -> Control:
        """The problem of a task whose policy acts in an environment.

        Raises:
            RlidimError: the task is of another kind.
        """
        if not isinstance(self.problem, Control):
            raise RlidimError(f"task '{self.name}' has no environment: it is {self.kind}")
        return self.problem

    @property
    def supervised(self) -> Supervised:
        """The problem of a task whose network classifies images.

        Raises:
            RlidimError: the task is of another kind.
        """
        if not isinstance(self.problem, Supervised):
            raise RlidimError(f"task '{self.name}' has no images to classify: it is {self.kind}")
        return self.problem

    def asked(self, trainer: str | None) -> str:
        """Return the trainer that was asked for, the file's first where none was."""
        return next(iter(self.trainers)) if trainer is None else trainer

    def settings(self, trainer: str) -> Any:
        """Return the trainer's settings dataclass.

        Raises:
            RlidimError: unknown trainer, or none of this task's.
        """
        if trainer in self.trainers:
            return self.trainers[trainer]
        known = known_trainers()
        if trainer not in known:
            raise RlidimError(
                f"unknown trainer '{trainer}'{nearest(trainer, {**known, **self.trainers})}"
            )
        raise RlidimError(
            f"task '{self.name}' has no settings for trainer '{trainer}' (it has: "
            f"{', '.join(self.trainers)}): '{trainer}: {{n_timesteps: ...}}' under trainers: gives "
            f"it some, in {self.file} or in a copy in a folder that --envs names"
        )

    def search_for(self, trainer: str) -> Search:
        """Return the search settings, the trainer's own where the file has some."""
        return self.searches.get(trainer, self.search)

    def replace_settings(self, trainer: str, overrides: Mapping[str, Any]) -> Task:
        """Return a copy with some of a trainer's settings changed.

        Raises:
            RlidimError: an unknown key, a value of the wrong type, or one that is not for this
                task's problem.
        """
        current = self.settings(trainer)
        values = {**dataclasses.asdict(current), **overrides}
        changed = parse(type(current), values, f"{trainer} settings")
        return self._replace(trainers={**self.trainers, trainer: changed})

    def replace_problem(self, **changes: Any) -> Task:
        """Return a copy with some of the problem's sections changed: ``evaluation=...``.

        Raises:
            RlidimError: a trainer's settings are not for the changed problem.
        """
        return self._replace(problem=dataclasses.replace(self.problem, **changes))

    def _replace(self, **changes: Any) -> Task:
        """Return a copy with some fields changed, which are checked as a file's are."""
        task = dataclasses.replace(self, **changes)
        check_trainers(task, f"task '{self.name}'")
        return task

    def variant(
        self,
        width: int | None = None,
        depth: int | None = None,
        protocol: str | None = None,
        game: str | None = None,
    ) -> Task:
        """Return the task with another fully connected network, the paper's settings, or a game.

        The variant has its own name, ``mnist-fc-400x3-paper`` or ``atari-seaquest``, and so its own
        records.

        Args:
            width: of every hidden layer.
            depth: the number of hidden layers.
            protocol: ``paper``.
            game: of a task that is for any Atari game.

        Raises:
            RlidimError: the task has no such network or protocol, or is not for any game.
        """
        task, sizes = self, None
        if game is not None:
            task = self._with_game(game)
        if width is not None or depth is not None:
            classifier = self._classifier()
            hidden = self._hidden(classifier.hidden, width, depth)
            if hidden != classifier.hidden:
                sizes = f"{hidden[0]}x{len(hidden)}"
                task = task.replace_problem(
                    classifier=dataclasses.replace(classifier, hidden=hidden)
                )
        if protocol not in (None, PAPER):
            raise RlidimError(f"unknown protocol '{protocol}'; there is {PAPER}")
        if protocol == PAPER:
            task = task._by_the_paper()
        return dataclasses.replace(
            task,
            name="-".join([self.name, *filter(None, (game, sizes, protocol))]),
            published=tuple(
                entry
                for entry in (*self.published, *self.published_of_variants)
                if entry.variant == (sizes or "")
            ),
            bench=self.bench if task is self else {},
        )

    def _with_game(self, game: str) -> Task:
        if not isinstance(self.problem, Control) or not self.problem.environment.any_game:
            raise RlidimError(f"task '{self.name}' has no choice of games: '{ANY_GAME}' has one")
        environment: Any = self.problem.environment
        named = self.replace_problem(environment=dataclasses.replace(environment, game=game))
        return dataclasses.replace(named, title=f"{self.title}: {game}")

    def _by_the_paper(self) -> Task:
        """Return the task with the paper's settings of each trainer; a user's own keeps its."""
        if not isinstance(self.problem, Supervised):
            raise RlidimError(
                f"task '{self.name}' has one protocol: only supervised tasks have the paper's"
            )
        paper = self.problem.paper
        # The trainer that the paper used comes first: it is the one that runs if none is named.
        names = sorted(self.trainers, key=lambda name: name not in paper)
        trainers = {}
        for name in names:
            settings = self.trainers[name]
            if type(settings) in TRAINERS.values():  # whose defaults are the paper's
                settings = type(settings)()
            trainers[name] = paper.get(name, settings)
        return dataclasses.replace(self, trainers=trainers)

    def _classifier(self) -> Classifier:
        """Return the fully connected classifier whose sizes a variant may change."""
        problem = self.problem
        if not isinstance(problem, Supervised) or problem.classifier.architecture != "fc":
            raise RlidimError(
                f"task '{self.name}' has no width and depth: tasks whose classifier has the "
                "architecture fc do"
            )
        if not problem.classifier.hidden:
            raise RlidimError(
                f"task '{self.name}' has no width and depth: its classifier has no hidden layers"
            )
        return problem.classifier

    def _hidden(
        self, old: tuple[int, ...], width: int | None, depth: int | None
    ) -> tuple[int, ...]:
        """Return the hidden widths of a variant; None keeps the task's own width or depth."""
        width = old[0] if width is None else width
        depth = len(old) if depth is None else depth
        if width < 1 or depth < 1:
            raise RlidimError(f"width and depth must be at least 1, got {width} and {depth}")
        where = f"task '{self.name}', width {width} and depth {depth}"
        # Checked before a tuple of that length is made.
        if depth > DEEPEST:
            raise RlidimError(f"{where}: more than {DEEPEST:,} hidden layers")
        hidden = (width,) * depth
        check_size(hidden, where, self.supervised.data)
        return hidden


def check_trainers(task: Task, where: str) -> None:
    """Check that the trainers are this kind of task's, and that every section knows them.

    Args:
        task: from a file, or changed since.
        where: the file or the task, for the message.

    Raises:
        RlidimError: see above.
    """
    for name, settings in task.trainers.items():
        if settings.trains != task.kind:
            known = known_trainers()
            fitting = [other for other in known if known[other].trains == task.kind]
            raise RlidimError(
                f"{where}: trainers: {name}: is not for a task of kind {task.kind}; "
                f"it may have {', '.join(fitting)}"
            )
        if task.problem.on_device and getattr(settings, "normalize", False):
            raise RlidimError(
                f"{where}: trainers: {name}: normalize: a game's frames are as they are"
            )
    paper = task.problem.paper if isinstance(task.problem, Supervised) else {}
    for key, sections in (("paper", paper), ("search", task.searches)):
        for name in sections:
            if name not in task.trainers:
                raise RlidimError(
                    f"{where}: {key}: {name}: has no settings under trainers: "
                    f"(which has: {', '.join(task.trainers)})"
                )
