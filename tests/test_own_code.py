"""What a user adds without a fork: a trainer, a family of projections; docs/own-trainer.md runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import rlidim
from rlidim.errors import RlidimError
from rlidim.projections import backends
from rlidim.projections.backends import FAMILIES
from rlidim.projections.base import Projection, add_base
from rlidim.records.folder import Results
from rlidim.records.record import Outcome
from rlidim.tasks import settings
from rlidim.tasks.loading import load_task
from rlidim.tasks.settings import TRAINERS, TrainerSettings
from rlidim.tasks.writing import yaml_of
from rlidim.trainers.run import Run

PAGE = Path(__file__).parent.parent / "docs" / "own-trainer.md"
TASK = """
title: A hill
environment: {id: CartPole-v1}
network: {hidden: [4]}
trainers:
  climb: {reach: 3}
"""


@dataclass(frozen=True)
class Climb(TrainerSettings):
    """A trainer that a test registers: any d of at least ``reach`` solves its task."""

    trains = "control"

    reach: int = 3


def train(run: Run) -> Outcome:
    solved = run.cell.d is None or run.cell.d >= run.settings.reach
    d = run.cell.d
    theta_d = None if d is None else np.zeros(d, np.float32)
    if d is not None:
        P = rlidim.projection(run.cell.projection, 30, d, run.seeds.projection)
        assert P.family == "coordinates"
    return Outcome(
        status="ok",
        returns=(100.0 if solved else 25.0,),
        D=30,
        environment_steps=1,
        curve=(),
        stopped="budget",
        theta_d=theta_d,
        theta=np.zeros(30, np.float32) if d is None else None,
        spec=None if d is None else P.spec.to_json(),
        network={},
    )


class Coordinates(Projection):
    """A family that a test registers: d of the parameters move, and no others."""

    family = "coordinates"
    tag = 2**31
    exact = True

    def _prepare(self) -> None:
        self.places = torch.arange(self.d) * self.D // self.d

    def _forward(
        self, theta: Tensor, base: Tensor | None, out: Tensor | None, start: int, stop: int
    ) -> Tensor:
        product = torch.zeros(self.D, *theta.shape[1:], dtype=self.dtype)
        product[self.places] = theta
        return add_base(product[start:stop], base, out)

    def _adjoint(self, g: Tensor, start: int, stop: int) -> Tensor:
        whole = torch.zeros(self.D, *g.shape[1:], dtype=self.dtype)
        whole[start:stop] = g
        return whole[self.places]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "hill.yml").write_text(TASK)
    return tmp_path


def test_a_trainer_and_a_family_are_one_line_each(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRAINERS, "climb", Climb)
    monkeypatch.setitem(FAMILIES, "coordinates", Coordinates)
    task = rlidim.load("hill", envs=own)
    found = rlidim.measure(task, "climb", projection="coordinates", results=own / "results")
    assert found.d_int == 3
    record = Results(own / "results").folder / "hill" / "climb-coordinates" / "d3-s0.json"
    assert json.loads(record.read_text())["solution"]["spec"]["family"] == "coordinates"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[metadata.EntryPoint]]:
    """Return a list of what packages would name: fill it before anything asks."""
    points: list[metadata.EntryPoint] = []

    def entry_points(*, group: str) -> list[metadata.EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    caches = (settings.installed_trainers, backends.installed_families)
    for cache in caches:
        cache.cache_clear()
    yield points
    for cache in caches:
        cache.cache_clear()


def point(name: str, value: str, group: str) -> metadata.EntryPoint:
    return metadata.EntryPoint(name, f"{__name__}:{value}", group)


def test_installed_packages_name_trainers_and_families(
    own: Path, installed: list[metadata.EntryPoint]
) -> None:
    installed += [
        point("climb", "Climb", settings.ENTRY_POINTS),
        point("coordinates", "Coordinates", backends.ENTRY_POINTS),
    ]
    task = rlidim.load("hill", envs=own)
    assert task.settings("climb") == Climb(3)
    P = rlidim.projection("coordinates", 30, 3, seed=0)
    assert (P @ torch.ones(3)).nonzero().ravel().tolist() == [0, 10, 20]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("climb", "nothing", "cannot be imported"),
        ("climb", "Coordinates", "expected a subclass of TrainerSettings"),
        ("es", "Climb", "there is a trainer 'es' already"),
    ],
)
def test_a_trainer_that_cannot_be_installed(
    name: str, value: str, said: str, installed: list[metadata.EntryPoint]
) -> None:
    installed.append(point(name, value, settings.ENTRY_POINTS))
    with pytest.raises(RlidimError, match=rf"entry point '{name}' of rlidim\.trainers .*{said}"):
        settings.known_trainers()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("coordinates", "nothing", "cannot be imported"),
        ("coordinates", "Climb", "expected a subclass of Projection"),
        ("other", "Coordinates", "its family must be 'other' too"),
    ],
)
def test_a_family_that_cannot_be_installed(
    name: str, value: str, said: str, installed: list[metadata.EntryPoint]
) -> None:
    installed.append(point(name, value, backends.ENTRY_POINTS))
    with pytest.raises(RlidimError, match=rf"entry point '{name}' of rlidim\.projections.*{said}"):
        backends.families()


@pytest.mark.parametrize(
    ("module", "content", "said"),
    [
        ("absent.py", None, r"module: no such file: .*absent\.py"),
        ("no.such.module", None, "module 'no.such.module' cannot be imported"),
        ("own_a.py", "raise ValueError('a slip')", r"cannot be imported \(ValueError: a slip\)"),
        ("own_b.py", "train = print", r"module 'own_b\.py' has no Settings"),
        ("own_c.py", "train = Settings = print", "expected a subclass of TrainerSettings"),
        ("json.py", "", "another module 'json' is found first"),
        ("3", None, "expected a file or a module's name, found 3"),
    ],
)
def test_a_module_that_is_no_trainer(
    own: Path, module: str, content: str | None, said: str
) -> None:
    if content is not None:
        (own / module).write_text(content)
    path = own / "hill.yml"
    path.write_text(TASK.replace("{reach: 3}", f"{{module: {module}, reach: 3}}"))
    with pytest.raises(RlidimError, match=rf"hill\.yml: trainers: climb: .*{said}"):
        load_task(path)


NOTHING = """
from dataclasses import dataclass
from rlidim.tasks.settings import TrainerSettings

@dataclass(frozen=True)
class Settings(TrainerSettings):
    trains = "control"
    reach: int = 3

def train(run):
    return None
"""


def test_config_is_the_file_again(own: Path) -> None:
    (own / "own_d.py").write_text(NOTHING)
    path = own / "hill.yml"
    path.write_text(TASK.replace("{reach: 3}", "{module: own_d.py, reach: 3}"))
    task = load_task(path)
    again = own / "again.yml"
    again.write_text(yaml_of(task, ["climb"]))
    assert load_task(again).settings("climb") == task.settings("climb")
    assert "module: own_d.py" in again.read_text()


def test_by_the_paper_s_protocol_a_trainer_of_one_s_own_keeps_its_settings(own: Path) -> None:
    (own / "own_f.py").write_text(
        NOTHING.replace('"control"', '"supervised"').replace("reach: int = 3", "reach: int")
    )
    path = own / "mine.yml"
    path.write_text(
        "title: x\nkind: supervised\ndata: {name: mnist}\nclassifier: {hidden: [20]}\n"
        "trainers: {climb: {module: own_f.py, reach: 7}, adam: {n_epochs: 7}}\n"
    )
    task = load_task(path)
    paper = task.variant(protocol="paper")
    assert paper.settings("climb") == task.settings("climb")
    assert paper.settings("adam") == TRAINERS["adam"]()


def test_a_trainer_that_returns_nothing_is_a_failed_run(own: Path, tmp_path: Path) -> None:
    (own / "own_e.py").write_text(NOTHING)
    path = own / "hill.yml"
    path.write_text(TASK.replace("{reach: 3}", "{module: own_e.py, reach: 3}"))
    record = rlidim.train(load_task(path), "climb", d=2, results=tmp_path / "results")
    assert record.status == "failed"
    assert record.error is not None
    assert "the trainer returned None, an Outcome is expected" in record.error


def blocks(language: str) -> dict[str, str]:
    """Return the page's code blocks of a language by the file that their first line names."""
    found = re.findall(rf"```{language}\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return dict(found)


@pytest.mark.slow
def test_the_page_s_trainer_is_measured(tmp_path: Path) -> None:
    """By a user's own command: the file is imported by worker processes too."""
    for name, content in {**blocks("yaml"), **blocks("python")}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    command = [Path(sys.executable).parent / "rlidim", "--envs", "my_tasks", "lander", "measure"]
    options = "--trainer reinforce --dims 2,4 --seeds 1 --workers 2 --json"
    settings = [f"--set {one}" for one in ("n_timesteps=400", "episodes=2", "eval_freq=200")]
    done = subprocess.run(
        [*command, *options.split(), *" ".join(settings).split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 2), done.stderr
    records, problems = Results(tmp_path / "results").scan()
    assert problems == []
    made = {record.cell.d: record for record in records if record.cell.trainer == "reinforce"}
    assert made.keys() == {None, 2, 4}
    for record in made.values():
        assert record.status == "ok", record.error
        assert record.environment_steps >= 400
        assert record.D == 8 * 64 + 64 + 64 * 64 + 64 + 64 * 4 + 4
    assert "theta_d" in (made[4].solution or {})
