"""Tasks: frozen dataclasses and the strict loader of the YAML files in ``envs/``."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from rlidim.errors import RlidimError, nearest
from rlidim.settings import SETTINGS, parse

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
VARIANT = re.compile(r"(?=.)(?:(\d+)x(\d+))?(?:(?:^|-)(paper))?")
ANY_GAME = "atari"  # the task whose variants are Atari games
GAME = re.compile(r"[a-z0-9_]+")
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
    """A convolutional network on stacked frames: see :mod:`rlidim.pixels`.

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
    """A network that classifies images: see :mod:`rlidim.classifiers`.

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


_KEYS = (
    "title",
    "kind",
    "environment",
    "network",
    "data",
    "classifier",
    "evaluation",
    "search",
    "trainers",
    "paper",
    "scores",
    "known",
    "published",
    "bench",
    "sources",
)


def load(path: Path) -> Task:
    """Read one YAML file.

    Raises:
        RlidimError: not readable, not YAML, or a key or value that does not belong (named with the
            file and the nearest key).
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RlidimError(f"{path}: not a YAML file ({reason})") from error
    if not isinstance(content, dict):
        raise RlidimError(f"{path}: expected a mapping with the keys {', '.join(_KEYS)}")
    for key in content:
        if key not in _KEYS:
            raise RlidimError(f"{path}: unknown key '{key}'{nearest(str(key), _KEYS)}")
    for key in ("title", "trainers"):
        if key not in content:
            raise RlidimError(f"{path}: key '{key}' is missing")
    kind = content.get("kind", "control")
    if kind not in KINDS:
        raise RlidimError(f"{path}: unknown kind '{kind}'{nearest(str(kind), KINDS)}")

    def section(name: str, type_: type, default: Any) -> Any:
        if name not in content:
            return default
        return parse(type_, content[name], f"{path}: {name}")

    search, searches = _searches(content.get("search", {}), path)
    entries = content.get("published", [])
    if not isinstance(entries, list):
        raise RlidimError(f"{path}: published: expected a list of mappings, found {entries!r}")
    published = [parse(Published, entry, f"{path}: published") for entry in entries]
    task = Task(
        name=path.stem,
        title=str(content["title"]),
        kind=kind,
        file=path,
        network=section("network", _kind_of_network(content), None),
        environment=section("environment", _kind_of_environment(content), None),
        data=section("data", Data, None),
        classifier=section("classifier", Classifier, None),
        trainers=_trainers(content["trainers"], path, "trainers"),
        paper=_trainers(content["paper"], path, "paper") if "paper" in content else {},
        evaluation=section("evaluation", Evaluation, Evaluation()),
        search=search,
        searches=searches,
        scores=str(content.get("scores", "mean return")),
        known=content.get("known"),
        published=tuple(entry for entry in published if not entry.variant),
        published_of_variants=tuple(entry for entry in published if entry.variant),
        bench=_bench(content.get("bench", {}), content["trainers"], path),
        sources=str(content.get("sources", "")),
    )
    _check(task)
    return task


def _kind_of_network(content: Mapping[str, Any]) -> type[Network] | type[PixelNetwork]:
    section = content.get("network")
    return PixelNetwork if isinstance(section, dict) and "architecture" in section else Network


def _kind_of_environment(content: Mapping[str, Any]) -> type[Environment] | type[Atari]:
    section = content.get("environment")
    return Atari if isinstance(section, dict) and "game" in section else Environment


def _trainers(content: object, path: Path, key: str) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        raise RlidimError(f"{path}: {key}: expected a mapping of trainers to their settings")
    parsed: dict[str, Any] = {}
    for name, values in content.items():
        if name not in SETTINGS:
            raise RlidimError(
                f"{path}: {key}: unknown trainer '{name}'{nearest(str(name), SETTINGS)}"
            )
        parsed[name] = parse(SETTINGS[name], values, f"{path}: {key}: {name}")
    return parsed


def _searches(content: object, path: Path) -> tuple[Search, dict[str, Search]]:
    """Split the general search settings from the trainers' own, which inherit from them."""
    if not isinstance(content, dict):
        raise RlidimError(f"{path}: search: expected a mapping")
    own = {name: values for name, values in content.items() if name in SETTINGS}
    general = {name: value for name, value in content.items() if name not in SETTINGS}
    search = parse(Search, general, f"{path}: search")
    searches = {}
    for name, values in own.items():
        where = f"{path}: search: {name}"
        if not isinstance(values, dict):
            raise RlidimError(f"{where}: expected a mapping")
        searches[name] = parse(Search, {**general, **values}, where)
    return search, searches


def _bench(content: object, trainers: Any, path: Path) -> dict[str, tuple[str, ...]]:
    if not isinstance(content, dict):
        raise RlidimError(f"{path}: bench: expected a mapping of trainers to tiers")
    parsed = {}
    for name, tiers in content.items():
        if name not in trainers:
            raise RlidimError(f"{path}: bench: '{name}' has no settings{nearest(name, trainers)}")
        if not isinstance(tiers, list):
            raise RlidimError(f"{path}: bench: {name}: expected a list of tiers, found {tiers!r}")
        for tier in tiers:
            if tier not in TIERS:
                raise RlidimError(
                    f"{path}: bench: {name}: unknown tier '{tier}'{nearest(str(tier), TIERS)}"
                )
        parsed[name] = tuple(tiers)
    return parsed


def _check(task: Task) -> None:
    """Check what no section can tell by itself.

    Raises:
        RlidimError: sections, names or numbers that do not belong together.
    """
    _check_sections(task)
    _check_trainers(task)
    if task.network is not None:
        _check_network(task, task.network)
    if task.data is not None:
        _check_data(task, task.data)
    if task.classifier is not None:
        _check_classifier(task, task.classifier)
    known = task.known
    if known is not None and (not isinstance(known, int) or isinstance(known, bool) or known < 1):
        raise RlidimError(f"{task.file}: known: expected a whole number >= 1, found {known!r}")


def _check_sections(task: Task) -> None:
    needed = KINDS[task.kind]
    if any(getattr(task, name) is None for name in needed):
        article = "an" if task.kind[0] in "aeiou" else "a"
        raise RlidimError(
            f"{task.file}: {article} {task.kind} task needs the keys {' and '.join(needed)}"
        )
    for kind, names in KINDS.items():
        for name in names:
            if kind != task.kind and getattr(task, name) is not None:
                raise RlidimError(
                    f"{task.file}: {name}: belongs to a task of kind {kind}, this one's is "
                    f"{task.kind}"
                )


def _check_trainers(task: Task) -> None:
    fitting = [name for name, settings in SETTINGS.items() if settings.trains == task.kind]
    for name in task.trainers:
        if name not in fitting:
            raise RlidimError(
                f"{task.file}: trainers: {name}: is not for a task of kind {task.kind}; "
                f"it may have {', '.join(fitting)}"
            )
        if isinstance(task.environment, Atari) and getattr(task.trainers[name], "normalize", False):
            raise RlidimError(
                f"{task.file}: trainers: {name}: normalize: an Atari game's frames are as they are"
            )
    if task.paper and task.kind != "supervised":
        raise RlidimError(f"{task.file}: paper: belongs to a task of kind supervised")
    for key, sections in (("paper", task.paper), ("search", task.searches)):
        for name in sections:
            if name not in task.trainers:
                raise RlidimError(
                    f"{task.file}: {key}: {name}: has no settings under trainers: "
                    f"(which has: {', '.join(task.trainers)})"
                )


def _check_network(task: Task, network: Network | PixelNetwork) -> None:
    if isinstance(task.environment, Atari) != isinstance(network, PixelNetwork):
        raise RlidimError(
            f"{task.file}: network: an Atari game has an architecture "
            f"({', '.join(PIXEL_ARCHITECTURES)}), any other environment hidden: [width, ...]"
        )
    _one_of(task, "network: unknown initialisation", network.initialisation, INITIALISATIONS)
    if isinstance(network, Network):
        _one_of(task, "network: unknown activation", network.activation, ACTIVATIONS)
        _check_size(task, network.hidden, f"{task.file}: network: hidden")
        return
    _one_of(task, "network: unknown architecture", network.architecture, PIXEL_ARCHITECTURES)


def _check_data(task: Task, data: Data) -> None:
    _one_of(task, "data: unknown name", data.name, DATA_SETS)
    _one_of(task, "data: unknown scaling", data.scaling, SCALINGS)
    _one_of(task, "data: shuffled: unknown", data.shuffled or "pixels", SHUFFLED)
    _one_of(task, "data: measured_on: unknown", data.measured_on, MEASURED_ON)
    images, _ = DATA_SETS[data.name]
    if round(data.share * images) < 1:
        raise RlidimError(
            f"{task.file}: data: share {data.share:g} of the {images:,} training images is none of "
            f"them; a share of {1 / images:.2g} is one"
        )


def _check_classifier(task: Task, classifier: Classifier) -> None:
    architecture = classifier.architecture
    _one_of(task, "classifier: unknown architecture", architecture, ARCHITECTURES)
    if architecture == "fc":
        if classifier.linear_convolutions:
            raise RlidimError(
                f"{task.file}: classifier: linear_convolutions: the architecture fc has none; "
                f"{', '.join(ARCHITECTURES[1:])} do"
            )
        _check_size(task, classifier.hidden, f"{task.file}: classifier: hidden")
    elif classifier.hidden:
        raise RlidimError(
            f"{task.file}: classifier: hidden: belongs to the architecture fc, "
            f"{architecture} has layers of its own"
        )


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


def _one_of(task: Task, what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise RlidimError(f"{task.file}: {what} '{value}'{nearest(value, known)}")


def folders(extra: Path | None = None) -> list[Path]:
    """Return the folders that tasks are read from: the user's own first, then the suite's.

    The suite's are beside the package in a checkout and inside it in an installed wheel.

    Args:
        extra: the user's folder; without one, the variable RLIDIM_ENVS is asked.

    Raises:
        RlidimError: the user's folder does not exist.
    """
    package = Path(__file__).resolve().parent
    inside, beside = package / "envs", package.parent / "envs"
    own = [inside if inside.is_dir() else beside]
    if extra is None and os.environ.get("RLIDIM_ENVS"):
        extra = Path(os.environ["RLIDIM_ENVS"])
    if extra is None:
        return own
    if not extra.is_dir():
        raise RlidimError(f"--envs {extra}: no such folder")
    return [extra, *own]


def files(extra: Path | None = None) -> dict[str, Path]:
    """Return every task's file by name, without opening any; the user's come before the suite's."""
    found: dict[str, Path] = {}
    for folder in folders(extra):
        for path in sorted(folder.glob("*.yml")):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find(name: str, extra: Path | None = None) -> Task:
    """Load a task by name, or a variant of one: ``mnist-fc-400x3``, ``mnist-fc-paper``.

    Raises:
        RlidimError: there is none of that name (with the nearest).
    """
    known = files(extra)
    found = split(name, known)
    if found is None:
        raise RlidimError(f"unknown task '{name}'{nearest(name, known)}")
    task = load(known[found.base])
    return task if found.base == name else task.variant(**found.choices)


class Variant(NamedTuple):
    """What a name says: a task's own, and what a variant's adds to it."""

    base: str
    width: int | None = None
    depth: int | None = None
    protocol: str | None = None
    game: str | None = None

    @property
    def choices(self) -> dict[str, Any]:
        """What :meth:`Task.variant` takes."""
        return {name: value for name, value in self._asdict().items() if name != "base"}


def split(name: str, known: Collection[str]) -> Variant | None:
    """Take a name apart, without opening a file.

    ``mnist-fc`` for ``mnist-fc`` and ``mnist-fc-400x3-paper``; ``mnist-fc-lenet`` for itself;
    ``atari`` for ``atari-seaquest``. None if the name is neither a task's nor a variant's.
    """
    if name in known:
        return Variant(name)
    for base in sorted(known, key=len, reverse=True):
        if not name.startswith(f"{base}-"):
            continue
        rest = name.removeprefix(f"{base}-")
        if base == ANY_GAME and GAME.fullmatch(rest):
            return Variant(base, game=rest)
        parts = VARIANT.fullmatch(rest)
        if parts is not None:
            width, depth, protocol = parts.groups()
            return Variant(
                base, int(width) if width else None, int(depth) if depth else None, protocol
            )
    return None


def find_all(names: Iterable[str], extra: Path | None = None) -> dict[str, Task]:
    """Load every task of the folders, and what variants of them are among the names."""
    found = {name: load(path) for name, path in files(extra).items()}
    for name in names:
        if name not in found:
            with contextlib.suppress(RlidimError):  # records of tasks that are unknown here
                found[name] = find(name, extra)
    return found
