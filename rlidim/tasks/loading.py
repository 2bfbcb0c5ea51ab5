"""The strict loader of the YAML files in ``envs/``."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError, nearest
from rlidim.tasks import families, zoo
from rlidim.tasks.fields import seconds_of
from rlidim.tasks.parsing import parse
from rlidim.tasks.problems import (
    ACTIVATIONS,
    ARCHITECTURES,
    DATA_SETS,
    INITIALISATIONS,
    MEASURED_ON,
    MINATAR_GAMES,
    PROBLEMS,
    SCALINGS,
    SHUFFLED,
    Analytic,
    Atari,
    Classifier,
    Control,
    Data,
    Environment,
    Evaluation,
    MinAtar,
    Network,
    PixelNetwork,
    Pool,
    Problem,
    Start,
    Supervised,
    check_size,
)
from rlidim.tasks.reading import LARGEST_YAML, check_name, parse_yaml, read_file
from rlidim.tasks.settings import TrainerSettings, checked_trainer, known_trainers
from rlidim.tasks.starting import with_solutions
from rlidim.tasks.task import (
    TIERS,
    Baseline,
    Published,
    Search,
    Target,
    Task,
    check_trainers,
)

KEYS = (
    "title",
    "kind",
    "environment",
    "network",
    "data",
    "classifier",
    "evaluation",
    "target",
    "search",
    "trainers",
    "paper",
    "scores",
    "known",
    "published",
    "bench",
    "sources",
)
ENVIRONMENT = re.compile(r"([\w.]+:)?([\w-]+/)?[\w.-]+")  # module, namespace, name
LARGEST_FLOAT = 3e38  # of float32
MODULE = "module"  # of a trainer's settings: the user's own code
# Words that stand where a task's name does on the command line; a test holds them to it.
COMMANDS = (
    "bench",
    "calibrate",
    "check",
    "doctor",
    "gpu",
    "kernels",
    "list",
    "projections",
    "site",
    "speed",
    "tables",
)


def load_task(path: Path) -> Task:
    """Read one YAML file.

    A ``module`` that a trainer's settings name is imported.

    Raises:
        RlidimError: the file cannot be read or is no YAML, its name is a command's, or a key or
            value is wrong (with the nearest key).
    """
    try:
        check_name(path.stem)
    except RlidimError as error:
        raise RlidimError(f"{path}: {error}") from error
    if path.stem in COMMANDS:
        raise RlidimError(f"{path}: '{path.stem}' is a command: give the task's file another name")
    content = _content(path)
    trainers = _trainers(content["trainers"], path, "trainers", {})
    target = (
        None if "target" not in content else parse(Target, content["target"], f"{path}: target")
    )
    problem = _problem(content, trainers, path)
    if target is not None and isinstance(problem, Control) and problem.evaluation.solved is None:
        # A run that has reached what counts as solved need not go on.
        evaluation = dataclasses.replace(problem.evaluation, solved=target.score)
        problem = dataclasses.replace(problem, evaluation=evaluation)
    search, searches = _searches(content.get("search", {}), trainers, path)
    published = _published(content.get("published", []), path)
    task = Task(
        name=path.stem,
        title=str(content["title"]),
        file=path,
        problem=problem,
        trainers=trainers,
        search=search,
        searches=searches,
        scores=str(content.get("scores", "mean return")),
        target=target,
        known=_known(content.get("known"), path),
        published=tuple(entry for entry in published if not entry.variant),
        published_of_variants=tuple(entry for entry in published if entry.variant),
        bench=_bench(content.get("bench", {}), trainers, path),
        sources=str(content.get("sources", "")),
    )
    check_trainers(task, str(path))
    return task


def _content(path: Path) -> dict[str, Any]:
    """Return the file's mapping, all of its keys known and no required one missing."""
    try:
        content = parse_yaml(read_file(path, LARGEST_YAML).decode("utf-8"))
    except ValueError as error:
        said = str(error).replace(' in "<unicode string>",', " in")
        raise RlidimError(f"{path}: not a YAML file ({said})") from error
    if not isinstance(content, dict):
        raise RlidimError(f"{path}: expected a mapping with the keys {', '.join(KEYS)}")
    for key in content:
        if key not in KEYS:
            raise RlidimError(f"{path}: unknown key '{key}'{nearest(str(key), KEYS)}")
    for key in ("title", "trainers"):
        if key not in content:
            raise RlidimError(f"{path}: key '{key}' is missing")
    return content


def _problem(content: Mapping[str, Any], trainers: Mapping[str, Any], path: Path) -> Problem:
    """Return the problem of the file's kind and sections."""
    kind = content.get("kind", Control.kind)
    if not isinstance(kind, str) or kind not in PROBLEMS:
        raise RlidimError(f"{path}: unknown kind '{kind}'{nearest(str(kind), PROBLEMS)}")
    problem = PROBLEMS[kind]
    if any(name not in content for name in problem.needs):
        article = "an" if kind[0] in "aeiou" else "a"
        raise RlidimError(
            f"{path}: {article} {kind} task needs the keys {' and '.join(problem.needs)}"
        )
    for other in PROBLEMS.values():
        for name in (*other.needs, *other.may_have):
            if name in content and name not in (*problem.needs, *problem.may_have):
                raise RlidimError(
                    f"{path}: {name}: belongs to a task of kind {other.kind}, this one's is {kind}"
                )
    if problem is Control:
        return _control(content, path)
    if problem is Supervised:
        return _supervised(content, trainers, path)
    return Analytic()


def _control(content: Mapping[str, Any], path: Path) -> Control:
    section = content["environment"]
    where = f"{path}: environment"
    environment: Environment | Pool | Atari | MinAtar
    if isinstance(section, dict) and "game" in section:
        environment = parse(Atari, section, where)
    elif isinstance(section, dict) and "envpool" in section:
        environment = parse(Pool, section, where)
    elif isinstance(section, dict) and "minatar" in section:
        environment = parse(MinAtar, section, where)
        _one_of(f"{where}: minatar: unknown game", environment.minatar, MINATAR_GAMES)
    else:
        environment = parse(Environment, section, where)
    if isinstance(environment, Environment) and not ENVIRONMENT.fullmatch(environment.id):
        raise RlidimError(
            f"{where}: id: expected a name such as CartPole-v1, or module:name, "
            f"found {environment.id!r:.60}"
        )
    section = with_solutions(content["network"], path)
    convolutional = isinstance(section, dict) and "architecture" in section
    where = f"{path}: network"
    network = (
        parse(PixelNetwork, section, where) if convolutional else parse(Network, section, where)
    )
    if environment.frames != network.frames:
        raise RlidimError(
            f"{path}: network: an Atari game has an architecture "
            f"({', '.join(Atari.architectures)}), one of MinAtar "
            f"{', '.join(MinAtar.architectures)}, any other environment hidden: [width, ...]"
        )
    _one_of(f"{where}: unknown initialisation", network.initialisation, INITIALISATIONS)
    if isinstance(network, Network):
        _one_of(f"{where}: unknown activation", network.activation, ACTIVATIONS)
        check_size(network.hidden, f"{where}: hidden")
        _check_start(network.start, f"{where}: start")
    else:
        _one_of(f"{where}: unknown architecture", network.architecture, environment.architectures)
    evaluation = parse(Evaluation, content.get("evaluation", {}), f"{path}: evaluation")
    return Control(environment, network, evaluation)


def _check_start(starts: tuple[Start, ...], where: str) -> None:
    for start in starts:
        try:
            families.check(start.family)
        except RlidimError as error:
            raise RlidimError(f"{where}: {error}") from error
        if any(abs(number) > LARGEST_FLOAT for number in start.theta_d):
            raise RlidimError(f"{where}: theta_d: a number beyond {LARGEST_FLOAT:g}")
        if not 1 <= len(start.theta_d) <= start.D:
            raise RlidimError(f"{where}: theta_d: {len(start.theta_d)} numbers, D = {start.D:,}")


def _supervised(content: Mapping[str, Any], trainers: Mapping[str, Any], path: Path) -> Supervised:
    data = parse(Data, content["data"], f"{path}: data")
    classifier = parse(Classifier, content["classifier"], f"{path}: classifier")
    paper: dict[str, Any] = {}
    if "paper" in content:
        paper = _trainers(content["paper"], path, "paper", trainers)
    _check_data(data, path)
    _check_classifier(classifier, data, path)
    return Supervised(data, classifier, paper)


def _trainers(content: object, path: Path, key: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the settings of each trainer.

    Args:
        content: the section.
        path: the file.
        key: of the section.
        own: the user's own trainers: their settings by name.
    """
    if not isinstance(content, dict) or not content:
        raise RlidimError(f"{path}: {key}: expected a mapping of trainers to their settings")
    known = {**known_trainers(), **{name: type(settings) for name, settings in own.items()}}
    parsed: dict[str, Any] = {}
    for name, values in content.items():
        where = f"{path}: {key}: {name}"
        if not isinstance(name, str):
            raise RlidimError(f"{where}: expected a trainer's name, a text: '{name}' in quotes is")
        if isinstance(values, dict) and MODULE in values:
            settings = _own_trainer(name, values[MODULE], path, where, known)
            values = {field: value for field, value in values.items() if field != MODULE}
        elif name in known:
            settings = known[name]
        else:
            raise RlidimError(f"{path}: {key}: unknown trainer '{name}'{nearest(name, known)}")
        if isinstance(values, dict):
            names = [field.name for field in dataclasses.fields(settings)]
            values = zoo.translated(values, names, where)
        parsed[name] = parse(settings, values, where)
    return parsed


def _own_trainer(
    name: str, module: object, path: Path, where: str, known: Mapping[str, type[TrainerSettings]]
) -> type[TrainerSettings]:
    """Import a user's own trainer and return its ``Settings``.

    Args:
        name: of the trainer.
        module: a file beside the task's (``reinforce.py``), or a module that can be imported.
        path: the task's file.
        where: file, section and trainer, for messages.
        known: the other trainers' settings classes by name.
    """
    if not isinstance(module, str) or not module:
        raise RlidimError(f"{where}: module: expected a file or a module's name, found {module!r}")
    dotted = module
    if module.endswith(".py"):
        file = (path.parent / module).resolve()
        if not file.is_file():
            raise RlidimError(f"{where}: module: no such file: {file}")
        # Worker processes inherit the search path, and so find the module too.
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))
        dotted = file.stem
    try:
        imported = importlib.import_module(dotted)
    except KeyboardInterrupt:  # the user's
        raise
    except BaseException as error:  # whatever the user's module raises, sys.exit() too
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise RlidimError(f"{where}: module '{module}' cannot be imported ({reason})") from error
    if module.endswith(".py") and Path(imported.__file__ or "").resolve() != file:
        raise RlidimError(
            f"{where}: module '{module}': another module '{dotted}' is found first "
            f"({imported.__file__}): give the file another name"
        )
    for required in ("Settings", "train"):
        if not hasattr(imported, required):
            raise RlidimError(f"{where}: module '{module}' has no {required}")
    own = imported.Settings
    others = {other: settings for other, settings in known.items() if settings is not own}
    return checked_trainer(own, name, where, others)


def _searches(
    content: object, trainers: Mapping[str, Any], path: Path
) -> tuple[Search, dict[str, Search]]:
    """Split the general search settings from the trainers' own, which inherit from them."""
    if not isinstance(content, dict):
        raise RlidimError(f"{path}: search: expected a mapping")
    names = {**known_trainers(), **trainers}
    own = {name: values for name, values in content.items() if name in names}
    general = {name: value for name, value in content.items() if name not in names}
    search = _search(general, f"{path}: search")
    searches = {}
    for name, values in own.items():
        where = f"{path}: search: {name}"
        if not isinstance(values, dict):
            raise RlidimError(f"{where}: expected a mapping")
        searches[name] = _search({**general, **values}, where)
    return search, searches


def _search(values: Mapping[str, Any], where: str) -> Search:
    """Return search settings, whose budget is a length of time."""
    budget = values.get("budget")
    if isinstance(budget, str):
        try:
            values = {**values, "budget": seconds_of(budget)}
        except ValueError as error:
            raise RlidimError(f"{where}: budget: {error}") from error
    return parse(Search, values, where)


def _published(content: object, path: Path) -> list[Published]:
    if not isinstance(content, list):
        raise RlidimError(f"{path}: published: expected a list of mappings, found {content!r}")
    where = f"{path}: published"
    entries = []
    for entry in content:
        if isinstance(entry, dict) and "baseline" in entry:
            baseline = parse(Baseline, entry["baseline"], f"{where}: baseline")
            _one_of(f"{where}: baseline: unknown kind", baseline.kind, ("global", "local"))
            entry = {**entry, "baseline": baseline}
        entries.append(parse(Published, entry, where))
    return entries


def _known(value: object, path: Path) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise RlidimError(f"{path}: known: expected a whole number >= 1, found {value!r}")


def _bench(content: object, trainers: Mapping[str, Any], path: Path) -> dict[str, tuple[str, ...]]:
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


def _check_data(data: Data, path: Path) -> None:
    _one_of(f"{path}: data: unknown name", data.name, DATA_SETS)
    _one_of(f"{path}: data: unknown scaling", data.scaling, SCALINGS)
    _one_of(f"{path}: data: shuffled: unknown", data.shuffled or "pixels", SHUFFLED)
    _one_of(f"{path}: data: measured_on: unknown", data.measured_on, MEASURED_ON)
    images, _ = DATA_SETS[data.name]
    if round(data.share * images) < 1:
        raise RlidimError(
            f"{path}: data: share {data.share:g} of the {images:,} training images is none of "
            f"them; a share of {1 / images:.2g} is one"
        )


def _check_classifier(classifier: Classifier, data: Data, path: Path) -> None:
    architecture = classifier.architecture
    _one_of(f"{path}: classifier: unknown architecture", architecture, ARCHITECTURES)
    if architecture == "fc":
        if classifier.linear_convolutions:
            raise RlidimError(
                f"{path}: classifier: linear_convolutions: the architecture fc has none; "
                f"{', '.join(ARCHITECTURES[1:])} do"
            )
        check_size(classifier.hidden, f"{path}: classifier: hidden", data)
    elif classifier.hidden:
        raise RlidimError(
            f"{path}: classifier: hidden: belongs to the architecture fc, "
            f"{architecture} has layers of its own"
        )


def _one_of(complaint: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise RlidimError(f"{complaint} '{value}'{nearest(value, known)}")
