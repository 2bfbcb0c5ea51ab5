"""The problems that tasks pose: control, classification, or a known loss; and their sections."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from rlidim.errors import RlidimError
from rlidim.tasks.fields import (
    Count,
    Decay,
    Members,
    Positive,
    Range,
    Seed,
    SomeShare,
    added_later,
)

ACTIVATIONS = ("relu", "tanh")
INITIALISATIONS = ("he_normal", "orthogonal")
MINATAR_GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
# By name: training images, and the shape (C, H, W) of one.
DATA_SETS = {
    "mnist": (60_000, (1, 28, 28)),
    "fashion-mnist": (60_000, (1, 28, 28)),
    "cifar10": (50_000, (3, 32, 32)),
}
CLASSES = 10  # of each of them
ARCHITECTURES = ("fc", "lenet", "untied-lenet", "fc-lenet", "fctied-lenet")
SCALINGS = ("unit", "standard")
SHUFFLED = ("pixels", "labels")
MEASURED_ON = ("test", "training")
# Parameters of a network: 8 GiB in float32, and training holds them several times over.
LARGEST_D = 2**31
DEEPEST = 1_000  # hidden layers
MOST_AT_A_CHECKPOINT = 1_000  # episodes: the next checkpoint's have the seeds from there on
WIDEST = 16_384  # units of a memory
OURS = "rlidim.environments:"  # before the colon of an environment of the suite's own
# The suites of EnvPool's whose names of environments do not begin with the suite's.
SUITES = {
    "dm_control": re.compile(
        "(Acrobot|BallInCup|Cartpole|Cheetah|Dog|Finger|Fish|Hopper|Humanoid|Lqr|Manipulator|"
        "Pendulum|PointMass|Quadruped|Reacher|Stacker|Swimmer|Walker)[A-Z]\\w*-v1"
    ),
    "highway": re.compile("(exit|intersection|merge|parking|racetrack|roundabout)(-\\w+)*-v\\d"),
}


@dataclass(frozen=True)
class Environment:
    """A Gymnasium environment.

    ``id`` is Gymnasium's, a module before a colon included (``my_package.my_module:MyEnv-v0``);
    ``extra`` the pip extra of rlidim that brings its package.
    """

    frames: ClassVar[bool] = False  # whether a policy sees frames of a screen
    architectures: ClassVar[tuple[str, ...]] = ()  # of networks that see these
    any_game: ClassVar[bool] = False  # whether a game is still to be named
    steps: ClassVar[str] = "environment steps"

    id: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    extra: str | None = None

    @property
    def own(self) -> bool:
        """Whether a module of the user's makes it: one before the colon, not of rlidim's own."""
        return ":" in self.id and not self.id.startswith("rlidim.")

    @property
    def family(self) -> str:
        """The group that a list shows it in: its extra, Gymnasium's own, or the user's."""
        ours = self.id.startswith(OURS)  # Gymnasium's with another constant
        return self.extra or ("own" if ":" in self.id and not ours else "gymnasium")


@dataclass(frozen=True)
class Pool:
    """One of EnvPool's environments (Weng et al. 2022): see :mod:`rlidim.environments.pools`.

    ``envpool`` is EnvPool's name of it (``MiniGrid-DoorKey-5x5-v0``); ``kwargs`` are those of
    ``envpool.make``.
    """

    frames: ClassVar[bool] = False
    architectures: ClassVar[tuple[str, ...]] = ()
    any_game: ClassVar[bool] = False
    own: ClassVar[bool] = False
    steps: ClassVar[str] = "environment steps"
    extra: ClassVar[str] = "envpool"

    envpool: str
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name in messages."""
        return self.envpool

    @property
    def family(self) -> str:
        """The group that a list shows it in: ``minigrid``, ``dm_control``."""
        for suite, names in SUITES.items():
            if names.fullmatch(self.envpool):
                return suite
        return self.envpool.partition("-")[0].lower()


@dataclass(frozen=True)
class Atari:
    """An Atari 2600 game, by ale-py's vector environment.

    84 x 84 grey frames, the last four of them, each the maximum of two emulator frames (Mnih et al.
    2015; Machado et al. 2018 on sticky actions). Scores are of whole games and unclipped rewards;
    ``terminal_on_life_loss`` and ``clip_reward`` act in training alone.

    ``game`` is the ROM's name (``space_invaders``), None in a file for any game; ``frame_skip``
    emulator frames make an agent's step; ``repeat_action_probability`` is that of a sticky action;
    up to ``noop_max`` idle frames begin a game; ``max_frames`` end one.
    """

    frames: ClassVar[bool] = True
    architectures: ClassVar[tuple[str, ...]] = ("paper", "nature")
    own: ClassVar[bool] = False
    extra: ClassVar[str] = "atari"
    family: ClassVar[str] = "atari"

    game: str | None
    frame_skip: Count = 4
    repeat_action_probability: Decay = 0.0
    noop_max: Annotated[int, Range(at_least=0)] = 30
    fire_reset: bool = True  # where the game has to be started by the fire button
    max_frames: Count = 108_000
    terminal_on_life_loss: bool = True  # in training
    clip_reward: bool = True  # to its sign, in training

    @property
    def id(self) -> str:
        """The game's name in messages: ``ALE/space_invaders``."""
        return f"ALE/{self.game or 'any game'}"

    @property
    def any_game(self) -> bool:
        """Whether a game is still to be named."""
        return self.game is None

    @property
    def steps(self) -> str:
        """The unit of a training budget."""
        return f"environment steps of {self.frame_skip} frames"

    @property
    def kwargs(self) -> dict[str, Any]:
        """The settings that differ from the defaults, for a task's page."""
        return _changed(self, "game")


@dataclass(frozen=True)
class MinAtar:
    """A game of MinAtar (Young and Tian 2019), with the actions that do something in it.

    ``minatar`` is the game's name (``breakout``); an action is with ``sticky_action_prob`` the last
    one again; ``difficulty_ramping`` makes a game that goes on harder; ``max_episode_steps`` end
    one, since a good player's may have no end by itself: Freeway's own limit is for all of them.
    """

    frames: ClassVar[bool] = True
    architectures: ClassVar[tuple[str, ...]] = ("minatar",)
    any_game: ClassVar[bool] = False
    own: ClassVar[bool] = False
    extra: ClassVar[str] = "minatar"
    family: ClassVar[str] = "minatar"
    steps: ClassVar[str] = "environment steps"

    minatar: str
    sticky_action_prob: Decay = 0.1
    difficulty_ramping: bool = True
    max_episode_steps: Count = 2_500

    @property
    def id(self) -> str:
        """The name in messages: ``MinAtar/space_invaders``."""
        return f"MinAtar/{self.minatar}"

    @property
    def kwargs(self) -> dict[str, Any]:
        """The settings that differ from the defaults, for a task's page."""
        return _changed(self, "minatar")


def _changed(section: Any, name: str) -> dict[str, Any]:
    """Return a section's settings that differ from the defaults, but for the one of that name."""
    return {
        field.name: value
        for field in dataclasses.fields(section)
        if field.name != name and (value := getattr(section, field.name)) != field.default
    }


@dataclass(frozen=True)
class Start:
    """A solution to start at: that of ``theta_0_seed``, moved by P theta_d.

    ``family``, ``D``, ``seed`` and ``layout_version`` name P. All of it stands in a record, under
    ``solution``.
    """

    theta_0_seed: Seed
    family: str
    D: Count
    seed: Seed
    theta_d: tuple[float, ...]
    layout_version: Count = added_later(1)


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron: hidden widths, activation, initialisation of theta_0.

    ``he_normal`` is the paper's (truncated normal, standard deviation sqrt(2 / fan_in), zero
    biases); ``orthogonal`` is Stable-Baselines3's (gain sqrt(2); ``output_gain`` on the last).
    ``scale`` multiplies all weights of theta_0. ``memory`` are the units of an LSTM before the
    layers, 0 for none: ``recurrent_ppo``, ``es`` and its like have one. ``start`` are solutions of
    the same network in another task: theta_0 is that of one of them, which the seed picks.
    """

    frames: ClassVar[bool] = False  # whether it is for frames

    hidden: tuple[Count, ...]
    activation: str = "relu"
    initialisation: str = "he_normal"
    output_gain: Positive = 1.0
    scale: Positive = added_later(1.0)
    memory: Annotated[int, Range(at_least=0, at_most=WIDEST)] = added_later(0)
    start: tuple[Start, ...] = added_later(())

    def __str__(self) -> str:
        """Return ``20-20 relu``, ``lstm 16, 20-20 relu``, or ``linear``."""
        hidden = "-".join(str(width) for width in self.hidden)
        layers = f"{hidden} {self.activation}" if hidden else "linear"
        return f"lstm {self.memory}, {layers}" if self.memory else layers


@dataclass(frozen=True)
class PixelNetwork:
    """A convolutional network on frames: see :mod:`rlidim.networks.atari`.

    ``architecture`` is ``paper`` (Li et al. 2018 on Pong, after Salimans et al. 2017), ``nature``
    (Mnih et al. 2015) or ``minatar`` (Young and Tian 2019); ``batch_norm`` says whether each hidden
    layer is normalised by the statistics of a reference batch, and scaled and shifted (virtual
    batch normalisation).
    """

    frames: ClassVar[bool] = True

    architecture: str
    batch_norm: bool = False
    initialisation: str = "orthogonal"
    output_gain: Positive = 0.01

    def __str__(self) -> str:
        """Return ``paper batch normalised``."""
        return " ".join([self.architecture, *(["batch normalised"] if self.batch_norm else [])])


@dataclass(frozen=True)
class Data:
    """Labelled images, and their preparation.

    ``scaling`` is ``unit`` (pixels in 0 .. 1) or ``standard`` (mean 0, deviation 1 in every channel
    of the training images); ``shuffled`` is ``pixels`` (of every image alike) or ``labels`` (of the
    training images), by one fixed permutation, the same in all runs;
    ``share`` is the part of the training images that is used, the first ones; ``measured_on`` says
    whose accuracy is the score: ``test`` or ``training``.
    """

    name: str
    scaling: str = "unit"
    shuffled: str | None = None
    share: SomeShare = 1.0
    measured_on: str = "test"


@dataclass(frozen=True)
class Classifier:
    """A network that classifies images: see :mod:`rlidim.networks.classifiers`.

    ``hidden`` are the widths of an ``fc`` network, none of them a linear softmax model;
    ``linear_convolutions`` leaves out the activation after each convolution, as the paper's
    released code does.
    """

    architecture: str = "fc"
    hidden: tuple[Count, ...] = ()
    linear_convolutions: bool = False

    def __str__(self) -> str:
        """Return ``fc 200-200``."""
        widths = "-".join(map(str, self.hidden))
        linear = "linear" if self.linear_convolutions else ""
        return " ".join(filter(None, (self.architecture, widths, linear)))


@dataclass(frozen=True)
class Evaluation:
    """The scoring of a policy: episodes, and when training may stop early.

    ``solved`` is the mean return at which a run stops, once fresh episodes confirm it;
    ``minimum`` the lowest possible return, which the paper's rule shifts to zero.
    """

    episodes: Members = 100
    checkpoint_episodes: Annotated[int, Range(at_least=1, at_most=MOST_AT_A_CHECKPOINT)] = 20
    solved: float | None = None
    minimum: float = 0.0


@dataclass(frozen=True)
class Control:
    """A policy acts in an environment; the score is a mean return."""

    kind: ClassVar[str] = "control"
    needs: ClassVar[tuple[str, ...]] = ("environment", "network")  # of a task's file
    may_have: ClassVar[tuple[str, ...]] = ("evaluation",)

    environment: Environment | Pool | Atari | MinAtar
    network: Network | PixelNetwork
    evaluation: Evaluation = Evaluation()

    @property
    def family(self) -> str:
        """The group that a list shows it in: its environment's."""
        return self.environment.family

    @property
    def steps(self) -> str:
        """The unit of a training budget."""
        return self.environment.steps

    @property
    def on_device(self) -> bool:
        """Whether its network trains on a GPU where there is one."""
        return self.network.frames


@dataclass(frozen=True)
class Supervised:
    """A network classifies images; the score is an accuracy.

    ``paper`` holds each trainer's settings in the paper's protocol, where they are not the
    trainer's defaults.
    """

    kind: ClassVar[str] = "supervised"
    family: ClassVar[str] = "images"
    needs: ClassVar[tuple[str, ...]] = ("data", "classifier")
    may_have: ClassVar[tuple[str, ...]] = ("paper",)
    steps: ClassVar[str] = "gradient steps"
    on_device: ClassVar[bool] = True
    evaluation: ClassVar[Evaluation] = Evaluation()

    data: Data
    classifier: Classifier
    paper: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Analytic:
    """The paper's toy problem: a known loss (Li et al. 2018, section 2); the score is exp(-loss).

    D parameters in ``GROUPS`` groups; group i must sum to i, so that d_int is ``GROUPS``.
    """

    kind: ClassVar[str] = "analytic"
    family: ClassVar[str] = "calibration"
    needs: ClassVar[tuple[str, ...]] = ()
    may_have: ClassVar[tuple[str, ...]] = ()
    steps: ClassVar[str] = "gradient steps"
    on_device: ClassVar[bool] = False
    evaluation: ClassVar[Evaluation] = Evaluation()

    GROUPS: ClassVar[int] = 10
    GROUP_SIZE: ClassVar[int] = 100
    D: ClassVar[int] = GROUPS * GROUP_SIZE


Problem = Control | Supervised | Analytic
PROBLEMS = {problem.kind: problem for problem in (Control, Supervised, Analytic)}


def check_size(hidden: tuple[int, ...], where: str, data: Data | None = None) -> None:
    """Refuse a fully connected network that is too large for any memory.

    Args:
        hidden: the widths of its layers.
        where: for the message.
        data: of a classifier; None for a policy, whose spaces are not known yet: one input and one
            output are then assumed.

    Raises:
        RlidimError: more layers or parameters than fit.
    """
    inputs, outputs = (1, 1) if data is None else (math.prod(DATA_SETS[data.name][1]), CLASSES)
    if len(hidden) > DEEPEST:
        raise RlidimError(f"{where}: more than {DEEPEST:,} hidden layers")
    layers = itertools.pairwise((inputs, *hidden, outputs))
    D = sum((fan_in + 1) * fan_out for fan_in, fan_out in layers)
    if D > LARGEST_D:
        raise RlidimError(f"{where}: the network would have D = {D:,}, at most {LARGEST_D:,} fit")
