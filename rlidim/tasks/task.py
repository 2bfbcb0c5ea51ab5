"""Tasks: frozen dataclasses and the strict loader of the YAML files in ``envs/``."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rlidim.errors import RlidimError, nearest
from rlidim.tasks.parsing import parse
from rlidim.tasks.settings import SETTINGS

TIERS = ("smoke", "quick", "full")
# The sections that a kind of task needs; the others of these it cannot have.
KINDS = {
    "control": ("environment", "network"),
    "analytic": (),
    "supervised": ("data", "classifier"),
}
ACTIVATIONS = ("relu", "tanh")
INITIALISATIONS = ("he_normal", "orthogonal")
# By name: training images, and numbers an image.
DATA_SETS = {"mnist": (60_000, 784), "fashion-mnist": (60_000, 784), "cifar10": (50_000, 3_072)}
CLASSES = 10  # of each of them
PIXEL_ARCHITECTURES = ("paper", "nature")
ARCHITECTURES = ("fc", "lenet", "untied-lenet", "fc-lenet", "fctied-lenet")
SCALINGS = ("unit", "standard")
SHUFFLED = ("pixels", "labels")
MEASURED_ON = ("test", "training")
ANY_GAME = "atari"  # the task whose variants are Atari games
# Parameters of a network: 8 GiB in float32, and training holds them several times over.
LARGEST_D = 2**31
DEEPEST = 1_000  # hidden layers
PAPER = "paper"  # the protocol whose settings are those of Li et al. 2018


@dataclass(frozen=True)
class Environment:
    """A Gymnasium environment.

    ``id`` is Gymnasium's, a module before a colon included (``my_package.my_module:MyEnv-v0``);
    ``extra`` the pip extra of rlidim that brings its package.
    """

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    extra: str | None = None


@dataclass(frozen=True)
class Atari:
    """An Atari 2600 game, by ale-py's vector environment.

    84 x 84 grey frames, the last four of them, each the maximum of two emulator frames (Mnih et al.
    2015; Machado et al. 2018 on sticky actions). Scores are of whole games and unclipped rewards;
    what ends a life and clips rewards does so in training alone.

    ``game`` is the ROM's name (``space_invaders``), None in a file for any game; ``frame_skip``
    emulator frames make an agent's step; ``repeat_action_probability`` is that of a sticky action;
    up to ``noop_max`` idle frames begin a game; ``max_frames`` end one.
    """

    extra: ClassVar[str] = "atari"

    game: str | None
    frame_skip: int = 4
    repeat_action_probability: float = 0.0
    noop_max: int = 30
    fire_reset: bool = True  # where the game has to be started by the fire button
    max_frames: int = 108_000
    terminal_on_life_loss: bool = True  # in training
    clip_reward: bool = True  # to its sign, in training

    @property
    def id(self) -> str:
        """The game's name in messages: ``ALE/space_invaders``."""
        return f"ALE/{self.game or 'any game'}"

    @property
    def kwargs(self) -> dict[str, Any]:
        """What differs from the defaults, for a task's page."""
        return {
            field.name: value
            for field in dataclasses.fields(self)
            if field.name != "game" and (value := getattr(self, field.name)) != field.default
        }


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron: hidden widths, activation, initialisation of theta_0.

    ``he_normal`` is the paper's (truncated normal, standard deviation sqrt(2 / fan_in), zero
    biases); ``orthogonal`` is Stable-Baselines3's (gain sqrt(2); ``output_gain`` on the last).
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    initialisation: str = "he_normal"
    output_gain: float = 1.0


@dataclass(frozen=True)
class PixelNetwork:
    """A convolutional network on stacked frames: see :mod:`rlidim.networks.atari`.

    ``architecture`` is ``paper`` (Li et al. 2018 on Pong, after Salimans et al. 2017) or ``nature``
    (Mnih et al. 2015); ``batch_norm`` says whether each hidden layer is normalised by the
    statistics of a reference batch, and scaled and shifted (virtual batch normalisation).
    """

    architecture: str
    batch_norm: bool = False
    initialisation: str = "orthogonal"
    output_gain: float = 0.01


@dataclass(frozen=True)
class Data:
    """Labelled images, and what is done to them.

    ``scaling`` is ``unit`` (pixels in 0 .. 1) or ``standard`` (mean 0, deviation 1 in every channel
    of the training images); ``shuffled`` names what one fixed permutation, the same in all runs,
    puts out of order: ``pixels`` (of every image alike) or ``labels`` (of the training images);
    ``share`` is the part of the training images that is used, the first ones; ``measured_on`` says
    whose accuracy is the score: ``test`` or ``training``.
    """

    name: str
    scaling: str = "unit"
    shuffled: str | None = None
    share: float = 1.0
    measured_on: str = "test"


@dataclass(frozen=True)
class Classifier:
    """A network that classifies images: see :mod:`rlidim.networks.classifiers`.

    ``hidden`` are the widths of an ``fc`` network, none of them a linear softmax model;
    ``linear_convolutions`` leaves out the activation after each convolution, as the paper's
    released code does.
    """

    architecture: str = "fc"
    hidden: tuple[int, ...] = ()
    linear_convolutions: bool = False


@dataclass(frozen=True)
class Evaluation:
    """How a policy is scored: episodes, and when training may stop early.

    ``solved`` is the mean return at which a run stops, once fresh episodes confirm it;
    ``minimum`` the lowest possible return, which the paper's rule shifts to zero.
    """

    episodes: int = 100
    checkpoint_episodes: int = 20
    solved: float | None = None
    minimum: float = 0.0


@dataclass(frozen=True)
class Search:
    """Where the search over d begins, how far it may go, and how narrow an interval is enough.

    ``precision`` is the ratio high / low at which the search is content.
    """

    hint: int = 8
    largest: int | None = None  # None: D
    seeds: int = 4  # a rung, before replication; even: rounds fill two workers
    most_seeds: int = 10  # a rung, after replication
    baseline_seeds: int = 5
    runs: int = 120  # the most in subspaces, but for what the seeds around the crossing need
    precision: float = 1.5


@dataclass(frozen=True)
class Published:
    """A number from the literature, with the rule and the baseline it was read by.

    ``fraction`` is the share of the baseline at which it was read, where that is not the paper's
    0.9; ``variant`` the one of the task that it is about: ``400x3``.
    """

    d_int: int
    D: int
    trainer: str
    rule: str
    baseline: str
    source: str
    network: str = ""
    note: str = ""
    variant: str = ""
    fraction: float | None = None


@dataclass(frozen=True)
class Task:
    """One task: what ``envs/<name>.yml`` says.

    ``known`` is the intrinsic dimension where construction fixes it (calibration tasks); ``bench``
    maps a trainer to the tiers of ``rlidim bench`` that measure it. A supervised task has ``data``
    and a ``classifier``; ``paper`` holds the paper's settings where they are not the defaults.
    """

    name: str
    title: str
    kind: str
    file: Path
    network: Network | PixelNetwork | None
    environment: Environment | Atari | None
    trainers: Mapping[str, Any]
    data: Data | None = None
    classifier: Classifier | None = None
    paper: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation = Evaluation()
    search: Search = Search()
    searches: Mapping[str, Search] = field(default_factory=dict)
    scores: str = "mean return"
    known: int | None = None
    published: tuple[Published, ...] = ()
    published_of_variants: tuple[Published, ...] = ()
    bench: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: str = ""

    @property
    def steps(self) -> str:
        """What a trainer counts."""
        if isinstance(self.environment, Atari):
            return f"environment steps of {self.environment.frame_skip} frames"
        return "environment steps" if self.kind == "control" else "gradient steps"

    def settings(self, trainer: str) -> Any:
        """Return the trainer's settings dataclass.

        Raises:
            RlidimError: unknown trainer, or none of this task's.
        """
        if trainer not in SETTINGS:
            raise RlidimError(f"unknown trainer '{trainer}'{nearest(trainer, SETTINGS)}")
        if trainer not in self.trainers:
            raise RlidimError(
                f"task '{self.name}' has no settings for trainer '{trainer}': "
                f"add them under trainers: in {self.file} (it has: {', '.join(self.trainers)})"
            )
        return self.trainers[trainer]

    def search_for(self, trainer: str) -> Search:
        """Return the search settings, the trainer's own where the file has some."""
        return self.searches.get(trainer, self.search)

    def replace_settings(self, trainer: str, overrides: Mapping[str, Any]) -> Task:
        """Return a copy with some of a trainer's settings changed.

        Raises:
            RlidimError: an unknown key or a value of the wrong type.
        """
        current = dataclasses.asdict(self.settings(trainer))
        changed: Any = parse(SETTINGS[trainer], {**current, **overrides}, f"{trainer} settings")
        return dataclasses.replace(self, trainers={**self.trainers, trainer: changed})

    def variant(
        self,
        width: int | None = None,
        depth: int | None = None,
        protocol: str | None = None,
        game: str | None = None,
    ) -> Task:
        """Return the task with another fully connected network, the paper's settings, or a game.

        It has a name of its own, ``mnist-fc-400x3-paper`` or ``atari-seaquest``, and so records of
        its own.

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
            if not isinstance(self.environment, Atari) or self.environment.game is not None:
                raise RlidimError(
                    f"task '{self.name}' has no choice of games: '{ANY_GAME}' has one"
                )
            task = dataclasses.replace(
                task,
                title=f"{self.title}: {game}",
                environment=dataclasses.replace(self.environment, game=game),
            )
        if width is not None or depth is not None:
            hidden = self._hidden(width, depth)
            assert self.classifier is not None
            if hidden != self.classifier.hidden:
                sizes = f"{hidden[0]}x{len(hidden)}"
                task = dataclasses.replace(
                    task, classifier=dataclasses.replace(self.classifier, hidden=hidden)
                )
        if protocol not in (None, PAPER):
            raise RlidimError(f"unknown protocol '{protocol}'; there is {PAPER}")
        if protocol == PAPER:
            if self.kind != "supervised":
                raise RlidimError(
                    f"task '{self.name}' has one protocol: only supervised tasks have the paper's"
                )
            # The trainer that the paper used comes first: it is the one that runs if none is named.
            names = sorted(self.trainers, key=lambda name: name not in self.paper)
            task = dataclasses.replace(
                task, trainers={name: self.paper.get(name, SETTINGS[name]()) for name in names}
            )
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

    def _hidden(self, width: int | None, depth: int | None) -> tuple[int, ...]:
        """Return the hidden widths of a variant; what is None stays as it is."""
        if self.classifier is None or self.classifier.architecture != "fc":
            raise RlidimError(
                f"task '{self.name}' has no width and depth: tasks whose classifier has the "
                "architecture fc do"
            )
        old = self.classifier.hidden
        if not old:
            raise RlidimError(
                f"task '{self.name}' has no width and depth: its classifier has no hidden layers"
            )
        width = old[0] if width is None else width
        depth = len(old) if depth is None else depth
        if width < 1 or depth < 1:
            raise RlidimError(f"width and depth must be at least 1, got {width} and {depth}")
        where = f"task '{self.name}', width {width} and depth {depth}"
        # Before there is a tuple as long as the network is deep.
        if depth > DEEPEST:
            raise RlidimError(f"{where}: more than {DEEPEST:,} hidden layers")
        hidden = (width,) * depth
        _check_size(self, hidden, where)
        return hidden


def _check_size(task: Task, hidden: tuple[int, ...], where: str) -> None:
    """Refuse a fully connected network that no memory holds.

    Of a task with an environment, whose spaces are not known here, the fewest parameters count.
    """
    inputs, outputs = (1, 1) if task.data is None else (DATA_SETS[task.data.name][1], CLASSES)
    if len(hidden) > DEEPEST:
        raise RlidimError(f"{where}: more than {DEEPEST:,} hidden layers")
    layers = itertools.pairwise((inputs, *hidden, outputs))
    D = sum((before + 1) * after for before, after in layers)
    if D > LARGEST_D:
        raise RlidimError(f"{where}: the network would have D = {D:,}, at most {LARGEST_D:,} fit")
