"""The strict loader of the YAML files in ``envs/``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError, nearest
from rlidim.tasks.parsing import parse
from rlidim.tasks.settings import SETTINGS
from rlidim.tasks.task import (
    ACTIVATIONS,
    ARCHITECTURES,
    DATA_SETS,
    INITIALISATIONS,
    KINDS,
    MEASURED_ON,
    PIXEL_ARCHITECTURES,
    SCALINGS,
    SHUFFLED,
    TIERS,
    Atari,
    Classifier,
    Data,
    Environment,
    Evaluation,
    Network,
    PixelNetwork,
    Published,
    Search,
    Task,
    _check_size,
)

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


def load_task(path: Path) -> Task:
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


def _one_of(task: Task, what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise RlidimError(f"{task.file}: {what} '{value}'{nearest(value, known)}")
