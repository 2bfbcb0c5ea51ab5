"""Tasks: frozen dataclasses and the strict loader of the YAML files in ``envs/``."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError, nearest
from rlidim.settings import SETTINGS, parse

TIERS = ("smoke", "quick", "full")
KINDS = ("control", "analytic")
ACTIVATIONS = ("relu", "tanh")
INITIALISATIONS = ("he_normal", "orthogonal")


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
    """A number from the literature, with the rule and the baseline it was read by."""

    d_int: int
    D: int
    trainer: str
    rule: str
    baseline: str
    source: str
    network: str = ""
    note: str = ""


@dataclass(frozen=True)
class Task:
    """One task: what ``envs/<name>.yml`` says.

    ``known`` is the intrinsic dimension where construction fixes it (calibration tasks); ``bench``
    maps a trainer to the tiers of ``rlidim bench`` that measure it.
    """

    name: str
    title: str
    kind: str
    file: Path
    network: Network | None
    environment: Environment | None
    trainers: Mapping[str, Any]
    evaluation: Evaluation = Evaluation()
    search: Search = Search()
    searches: Mapping[str, Search] = field(default_factory=dict)
    scores: str = "mean return"
    known: int | None = None
    published: tuple[Published, ...] = ()
    bench: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: str = ""

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


_KEYS = (
    "title",
    "kind",
    "environment",
    "network",
    "evaluation",
    "search",
    "trainers",
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
    task = Task(
        name=path.stem,
        title=str(content["title"]),
        kind=kind,
        file=path,
        network=section("network", Network, None),
        environment=section("environment", Environment, None),
        trainers=_trainers(content["trainers"], path),
        evaluation=section("evaluation", Evaluation, Evaluation()),
        search=search,
        searches=searches,
        scores=str(content.get("scores", "mean return")),
        known=content.get("known"),
        published=tuple(
            parse(Published, entry, f"{path}: published")
            for entry in content.get("published") or []
        ),
        bench=_bench(content.get("bench", {}), content["trainers"], path),
        sources=str(content.get("sources", "")),
    )
    _check(task)
    return task


def _trainers(content: object, path: Path) -> dict[str, Any]:
    if not isinstance(content, dict) or not content:
        raise RlidimError(f"{path}: trainers: expected a mapping of trainers to their settings")
    parsed: dict[str, Any] = {}
    for name, values in content.items():
        if name not in SETTINGS:
            raise RlidimError(
                f"{path}: trainers: unknown trainer '{name}'{nearest(str(name), SETTINGS)}"
            )
        parsed[name] = parse(SETTINGS[name], values, f"{path}: trainers: {name}")
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
        for tier in tiers:
            if tier not in TIERS:
                raise RlidimError(
                    f"{path}: bench: {name}: unknown tier '{tier}'{nearest(str(tier), TIERS)}"
                )
        parsed[name] = tuple(tiers)
    return parsed


def _check(task: Task) -> None:
    if task.kind == "control" and (task.environment is None or task.network is None):
        raise RlidimError(f"{task.file}: a control task needs the keys environment and network")
    if task.network is not None:
        for value, known, key in (
            (task.network.activation, ACTIVATIONS, "activation"),
            (task.network.initialisation, INITIALISATIONS, "initialisation"),
        ):
            if value not in known:
                raise RlidimError(
                    f"{task.file}: network: unknown {key} '{value}'{nearest(value, known)}"
                )
    if task.known is not None and (not isinstance(task.known, int) or task.known < 1):
        raise RlidimError(f"{task.file}: known: expected a whole number >= 1, found {task.known!r}")


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
    """Load a task by name.

    Raises:
        RlidimError: there is none of that name (with the nearest).
    """
    known = files(extra)
    if name not in known:
        raise RlidimError(f"unknown task '{name}'{nearest(name, known)}")
    return load(known[name])
