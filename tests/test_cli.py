"""The command line as a user has it; mistakes are one line and code 2.

Each command is run once through a real process; what else is asked of it runs in this one, without
waiting for torch to be imported again.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from rlidim import cli
from rlidim.cli.machine import speed_command
from rlidim.cli.tasks import train_command
from rlidim.records import remembered
from rlidim.records.configuration import hash_of
from rlidim.records.text import sealed, text_of
from rlidim.solutions.screen import DISPLAYS
from rlidim.tasks.names import find_task
from rlidim.tasks.settings import TRAINERS

TOY_TASK = """
title: My task
environment: {id: "tests.trainers.faulty:NotANumber-v0"}
network: {hidden: [4]}
trainers:
  cmaes: {n_timesteps: 100}
"""
MEASURE = ["codimension-1", "measure", "--trainer", "cmaes", "--dims", "1,2", "--seeds", "2"]


def rlidim(
    *arguments: str | Path, folder: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlidim", *map(str, arguments)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "RLIDIM_RESULTS": str(folder / "results"),
            **(environment or {}),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )


Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Program:
    """Return what runs the command line in this process, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLIDIM_RESULTS", str(tmp_path / "results"))

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        said = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int) or code is None
        return subprocess.CompletedProcess(words, code or 0, said.out, said.err)

    return run


def json_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert isinstance(content, dict)
    return content


def test_help_is_fast_and_names_every_task(tmp_path: Path) -> None:
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = rlidim("--help", folder=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert done.returncode == 0
    for name in ("cartpole", "toy", "measure", "bench", "RLIDIM_ENVS", "RLIDIM_RESULTS"):
        assert name in done.stdout
    # Of a core, since others may be computing: importing torch alone would take longer than this.
    assert min(seconds) < 1.0


@pytest.mark.parametrize("command", [train_command, speed_command])
def test_help_names_every_trainer_whose_runs_are_split(command: click.Command) -> None:
    (option,) = (each for each in command.params if each.name == "processes")
    assert isinstance(option, click.Option)
    able = [name for name, settings in TRAINERS.items() if settings.splits]
    assert f"of {' and '.join(able)} over so many" in str(option.help)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, rlidim.cli\n"
        "try: rlidim.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'gymnasium', 'stable_baselines3', 'scipy', 'matplotlib', 'numpy'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_a_command_it_shows_the_help(tmp_path: Path) -> None:
    done = rlidim(folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")


def test_measure_prints_one_json_object(tmp_path: Path) -> None:
    found = json_of(rlidim(*MEASURE, "--json", folder=tmp_path))
    assert found["task"] == "codimension-1"
    assert found["trainer"] == "cmaes"
    assert found["projection"] == "rademacher"
    assert found["scope"] == "policy"
    assert found["fraction"] == 0.9
    assert found["D"] == 25
    assert found["d_int"] == 1
    assert found["interval"][0] == 1
    assert found["censored"] is None
    assert found["first_passing_d"] == 1
    assert found["baseline"].keys() >= {"mean", "seeds", "scores"}
    assert found["random"].keys() >= {"mean"}
    assert [rung["d"] for rung in found["dims"]] == [1, 2]
    for rung in found["dims"]:
        assert rung.keys() >= {"d", "seeds", "scores", "normalised", "mean", "passes"}
        assert len(rung["scores"]) == rung["seeds"] == 2
    assert found["runs"] == 4
    assert found["environment_steps"] > 0
    assert found["seconds"] > 0
    for path in found["records"]:
        assert (tmp_path / path).is_file()
    assert list((tmp_path / "results" / "figures").glob("*.png"))


def test_train_then_page_list_and_tables(tmp_path: Path, here: Program) -> None:
    train = ["codimension-1", "train", "--dim", "2", "--trainer", "cmaes"]
    train += ["--projection", "hashed", "--seed", "3"]
    record = json_of(rlidim(*train, "--json", folder=tmp_path))
    assert record["status"] == "ok"
    assert record["cell"]["projection"] == "hashed"
    path = tmp_path / "results" / "codimension-1" / "cmaes-hashed" / "d2-s3.json"
    assert Path(record["record"]) == path
    assert "on record" in here(*train).stderr
    json_of(here(*MEASURE, "--workers", "1", "--json"))
    page = rlidim("codimension-1", folder=tmp_path)
    assert page.returncode == 0
    for words in ("codimension-1.yml", "n_timesteps", "d_int90"):
        assert words in page.stdout
    rows = json_of(rlidim("list", "--json", folder=tmp_path))["tasks"]
    assert {"cartpole", "toy", "inverted-pendulum"} <= {row["task"] for row in rows}
    first = rlidim("tables", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    tables = {
        file: file.read_bytes()
        for file in (tmp_path / "results").rglob("*")
        if file.is_file() and remembered.FOLDER not in file.parts
    }
    assert "TABLES.md" in {file.name for file in tables}
    assert here("tables").returncode == 0
    for file, content in tables.items():
        assert file.read_bytes() == content, f"{file} differs the second time"


def test_doctor(tmp_path: Path, here: Program) -> None:
    found = json_of(rlidim("doctor", "--json", folder=tmp_path))
    assert found["versions"]["torch"]
    assert list(tmp_path.iterdir()) == []  # it makes no folder of results
    assert here("doctor").returncode == 0


def test_play_rebuilds_the_recorded_solution(
    tmp_path: Path, here: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A poor policy: its episodes are short, and so is the film.
    few = ["--set", "n_timesteps=1000"]
    json_of(here("cartpole", "train", "--dim", "1", "--trainer", "cmaes", *few, "--json"))
    record = "results/cartpole/cmaes-rademacher/d1-s0.json"
    done = rlidim("cartpole", "play", record, "--video", "out.gif", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "return" in done.stdout
    assert (tmp_path / "out.gif").read_bytes()[:4] == b"GIF8"
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    # Without a video the same episodes, and a line that says what shows them.
    shown = [line for line in done.stdout.splitlines() if line.startswith("episode")]
    unseen = here("cartpole", "play", record)
    assert unseen.returncode == 0
    assert unseen.stdout.splitlines() == shown
    (line,) = unseen.stderr.splitlines()
    assert "--video out.gif" in line


def test_what_draws_nothing_is_played_without_a_video(here: Program) -> None:
    json_of(here("codimension-1", "train", "--dim", "1", "--trainer", "cmaes", "--json"))
    record = "results/codimension-1/cmaes-rademacher/d1-s0.json"
    assert here("codimension-1", "play", record).returncode == 0
    refused = here("codimension-1", "play", record, "--video", "out.gif")
    assert refused.returncode == 2
    assert "draws nothing" in refused.stderr


def test_own_tasks(tmp_path: Path, here: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yml").write_text(
        TOY_TASK.replace("tests.trainers.faulty:NotANumber-v0", "CartPole-v1")
    )
    train = ["own", "train", "--dim", "2"]
    assert rlidim("--envs", "mine", *train, folder=tmp_path).returncode == 0
    monkeypatch.setenv("RLIDIM_ENVS", "mine")
    done = here(*train)
    assert done.returncode == 0
    assert "on record" in done.stderr


def test_a_file_that_hides_a_task_of_the_suite_is_named(tmp_path: Path, here: Program) -> None:
    for name in ("own", "cartpole"):
        (tmp_path / f"{name}.yml").write_text(TOY_TASK)
    says = "cartpole.yml is taken in place of the suite's task of that name"
    assert says in here("--envs", tmp_path, "cartpole").stderr
    assert says in here("--envs", tmp_path, "cartpole", "config").stderr
    assert says not in here("--envs", tmp_path, "own").stderr
    assert says not in here("--envs", tmp_path, "acrobot").stderr
    assert says not in here("cartpole").stderr


def test_a_variant_is_a_command(here: Program) -> None:
    for name in ("mnist-fc-50x1", "mnist-fc-paper", "mnist-fc-400x3-paper"):
        page = here(name)
        assert page.returncode == 0, page.stderr
        assert page.stdout.startswith(f"{name}: ")
        assert here(name, "measure", "--help").returncode == 0


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mnist-fc-50x1", (None, None, None), "mnist-fc-50x1"),
        ("mnist-fc-50x1", (None, 3, None), "mnist-fc-50x3"),
        ("mnist-fc-50x1", (None, None, "paper"), "mnist-fc-50x1-paper"),
        ("mnist-fc-400x3-paper", (50, None, None), "mnist-fc-50x3-paper"),
        ("mnist-fc", (400, 3, "paper"), "mnist-fc-400x3-paper"),
    ],
)
def test_options_change_the_variant_that_is_named(
    name: str, options: tuple[int | None, int | None, str | None], expected: str
) -> None:
    """Records and published numbers are those of the variant that comes out."""
    import click

    from rlidim.cli.options import task_of
    from rlidim.tasks.names import find_task

    context = click.Context(click.Command("rlidim"), obj={"envs": None, "task": name, "game": None})
    assert task_of(context, *options) == find_task(expected)


def test_config_prints_every_setting(here: Program) -> None:
    done = here("cartpole", "config", "--trainer", "ppo", "--set", "n_steps=64")
    assert done.returncode == 0
    settings = yaml.safe_load(done.stdout)
    assert list(settings["trainers"]) == ["ppo"]
    assert settings["trainers"]["ppo"]["n_steps"] == 64
    assert settings["trainers"]["ppo"]["vf_coef"] == 0.5  # a default
    assert settings["search"]["ppo"]["hint"] == 12
    assert settings["search"]["ppo"]["budget"] == "1800s"
    assert here("cartpole", "config", "--trainer", "pppo").returncode == 2


def test_set_replaces_a_setting(here: Program) -> None:
    train = ["cartpole", "train", "--trainer", "es", "--dim", "1", "--json"]
    found = json_of(here(*train, "--set", "n_timesteps=2000", "--set", "population=8"))
    assert found["settings"]["trainer"]["population"] == 8
    assert found["environment_steps"] < 10_000


BUGGY = """
import os
import gymnasium, numpy as np

class Buggy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        return np.ones(1, np.float32), {}

    def step(self, action):
        assert os.path.exists("mended"), "a bug of mine"
        return np.ones(1, np.float32), float(action[0]), True, False, {}

gymnasium.register("Buggy-v0", entry_point=Buggy)
"""
BUGGY_TASK = """
title: Buggy
environment: {id: "buggy:Buggy-v0"}
network: {hidden: [4]}
evaluation: {episodes: 2, checkpoint_episodes: 2}
target: {score: 0.5, source: mine}
trainers: {cmaes: {n_timesteps: 400, population: 4}}
"""


def test_runs_that_failed_are_made_again_once_the_bug_is_mended(tmp_path: Path) -> None:
    (tmp_path / "buggy.py").write_text(BUGGY)
    (tmp_path / "mine.yml").write_text(BUGGY_TASK)
    measure = ["--envs", ".", "mine", "measure", "--dims", "1,2", "--seeds", "2", "--workers", "1"]
    failed = rlidim(*measure, folder=tmp_path)
    assert failed.returncode == 2
    last = failed.stderr.splitlines()[-1]
    assert "AssertionError: a bug of mine (buggy.py, line 13); once that is mended" in last
    assert "rlidim --envs . mine measure --trainer cmaes --retry-failed" in last
    (tmp_path / "mended").write_text("")
    assert rlidim(*measure, folder=tmp_path).returncode == 2  # failures stand until they are asked
    done = rlidim(*measure, "--retry-failed", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "runs that failed are made again" in done.stderr
    assert "mine, cmaes, rademacher: d_int90" in done.stdout


def test_what_is_complete_is_read_where_nothing_can_be_written(
    here: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = ["codimension-1", "measure", "--trainer", "es", "--dims", "1,2", "--seeds", "2"]
    assert here(*measure).returncode == 0
    for place in ("records.folder.try_writing", "report.drawing.replace_file"):
        monkeypatch.setattr(f"rlidim.{place}", unwritable)
    again = here(*measure)
    assert again.returncode == 0, again.stderr
    assert "no figure: --results" in again.stderr
    assert "d_int90 = 1" in again.stdout
    more = here(*measure[:-1], "3")
    assert more.returncode == 2
    assert "cannot be written (Read-only file system)" in more.stderr


def unwritable(*_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


CARTPOLE = find_task("cartpole").file
MISTAKES = [
    (["cartpol", "measure"], "unknown task or command 'cartpol' (did you mean 'cartpole'"),
    (["CartPole-v1"], "unknown task or command 'CartPole-v1' (the environment of task 'cartpole')"),
    (
        ["compare"],
        "unknown task or command 'compare'; see rlidim list, and for tasks of your own --envs",
    ),
    ([str(CARTPOLE), "measure"], f"a task's file: rlidim --envs {CARTPOLE.parent} cartpole"),
    (["cartpole", "train", "--n-timesteps", "500"], "is given by --set n_timesteps=VALUE"),
    (["cartpole", "--trainer", "es", "measure"], "--trainer; it stands behind a command: config"),
    (["--results", __file__, "list"], "test_cli.py: a file, not a folder"),
    (["cartpole", "measure", "--trainer", "pp0"], "did you mean 'ppo'"),
    (["cartpole", "measure", "--trainer", ""], "unknown trainer ''"),
    (
        ["cartpole", "measure", "--trainer", "a2c"],
        "'a2c: {n_timesteps: ...}' under trainers: gives it",
    ),
    (["cartpole", "measure", "--trainer", "sac"], "cartpole"),
    (["cartpole", "measure", "--projection", "rademacer"], "did you mean 'rademacher'"),
    (["cartpole", "train", "--dim", "0"], "between 1 and D = 562, got 0"),
    (["cartpole", "train", "--dim", "563"], "between 1 and D = 562, got 563"),
    (["cartpole", "train", "--dim", "x"], "'x' is not a valid integer"),
    (["cartpole", "train", "--seed", "-1"], "--seed must be from 0 to 10^100, got -1"),
    (["cartpole", "train", "--scope", "critic"], "critic"),
    (["cartpole", "train", "--set", "popsize=3"], "unknown key 'popsize'"),
    (["cartpole", "train", "--set", "population"], "expected key=value"),
    (["cartpole", "train", "--set", "population=many"], "population"),
    (["cartpole", "measure", "--workers", "0"], "--workers must be at least 1, got 0"),
    (["cartpole", "measure", "--seeds", "0"], "--seeds must be at least 1, got 0"),
    (["cartpole", "measure", "--dims", "4,x"], "expected whole numbers"),
    (["cartpole", "measure", "--dims", "4,0"], "between 1 and D = 562, got 0"),
    (["cartpole", "measure", "--dims", "4,600"], "between 1 and D = 562, got 600"),
    (["cartpole", "measure", "--fraction", "1.5"], "--fraction must be between 0 and 1"),
    (["cartpole", "measure", "--precision", "0.5"], "--precision is a ratio of at least 1"),
    (["cartpole", "measure", "--dims", "2,4", "--budget", "1m"], "--budget ends a search"),
    (["cartpole", "train", "--set", "population=33"], "population must be even, got 33"),
    (["cartpole", "train", "--set", "eval_freq=0"], "eval_freq must be at least 1, got 0"),
    (["cartpole", "train", "--set", "learning_rate=["], "whose value is not YAML"),
    (["cartpole", "measure", "--scope", "all"], "es has none: use policy"),
    (["calibrate", "--coverage", "--repetitions", "0"], "--repetitions"),
    (["cartpole", "play", "absent.json"], "absent.json"),
    (["cartpole", "fly"], "fly"),
    (["cartpole-4x2"], "'cartpole' has no width and depth"),
    (["mnist-fc-0x1", "measure"], "width and depth must be at least 1"),
    (["mnist-fc-50x1-slow"], "unknown task or command 'mnist-fc-50x1-slow'"),
    (["mnist-fc-paper", "play", "absent.json"], "'mnist-fc-paper' has no environment"),
    (["toy", "play", "absent.json"], "'toy' has no environment"),
    (["mnist-fc", "compress", "absent.rlz"], "absent.rlz: cannot be read"),
    (["--envs", "nowhere", "list"], "nowhere"),
    (["speed", "toy", "--trainer", "supervised"], "no timing"),
    (["bench", "--tier", "slow"], "slow"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line_and_code_2(
    arguments: list[str], message: str, tmp_path: Path, here: Program
) -> None:
    done = here(*arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("error: ") for line in done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert not list(tmp_path.rglob("d*-s*.json"))


@pytest.mark.parametrize("arguments", [["cartpol", "measure"], ["cartpole", "train", "--dim", "0"]])
def test_a_process_says_a_mistake_as_this_one_does(
    arguments: list[str], tmp_path: Path, here: Program
) -> None:
    process, ours = rlidim(*arguments, folder=tmp_path), here(*arguments)
    assert process.returncode == ours.returncode == 2
    assert (process.stdout, process.stderr) == (ours.stdout, ours.stderr)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("trainers:\n  cmaes: {n_timesteps: 0}", "n_timesteps must be at least 1"),
        ("trainers:\n  cmaes: {n_timestep: 100}", "did you mean 'n_timesteps'"),
        ("trainers:\n  cma: {}", "did you mean 'cmaes'"),
        ("trainer: {}", "did you mean 'trainers'"),
        ("evaluation: {episodes: many}", "episodes"),
        ("network: [", "own.yml"),
    ],
)
def test_mistakes_in_a_task_file_are_named(
    change: str, message: str, tmp_path: Path, here: Program
) -> None:
    (tmp_path / "own.yml").write_text(TOY_TASK + change)
    if change.startswith("trainers"):
        (tmp_path / "own.yml").write_text(TOY_TASK.split("trainers:")[0] + change)
    done = here("--envs", tmp_path, "own", "train")
    assert done.returncode == 2
    assert message in done.stderr
    assert "own.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_environment_that_returns_nan_is_named(tmp_path: Path, here: Program) -> None:
    (tmp_path / "own.yml").write_text(TOY_TASK)
    done = here("--envs", tmp_path, "own", "train", "--dim", "2")
    assert done.returncode == 2
    assert "NotANumber-v0' returned a observation that is NaN" in done.stderr.replace("an o", "a o")


def test_a_results_folder_that_cannot_be_written(tmp_path: Path, here: Program) -> None:
    (tmp_path / "file").write_text("")
    done = here("--results", "file", *MEASURE)
    assert done.returncode == 2
    assert "file" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_records_are_named_and_left_alone(tmp_path: Path, here: Program) -> None:
    json_of(here(*MEASURE, "--workers", "1", "--json"))
    folder = tmp_path / "results" / "codimension-1" / "cmaes-rademacher"
    damage = {
        folder / "d1-s0.json": lambda text: text[:100],
        folder / "d1-s1.json": lambda text: text.replace('"schema": 2', '"schema": 99'),
        folder / "d2-s0.json": lambda text: '{"somebody": "else"}',
    }
    for path, change in damage.items():
        path.write_text(change(path.read_text()))
    before = {path: path.read_bytes() for path in damage}
    done = here("tables")
    assert done.returncode == 0, done.stderr
    for path in damage:
        assert str(path.name) in done.stderr
    again = here(*MEASURE, "--workers", "1")
    assert again.returncode == 2
    assert "d1-s0.json" in again.stderr
    assert {path: path.read_bytes() for path in damage} == before


def test_a_record_of_another_task_cannot_be_played(tmp_path: Path, here: Program) -> None:
    json_of(here("codimension-1", "train", "--dim", "1", "--trainer", "cmaes", "--json"))
    record = "results/codimension-1/cmaes-rademacher/d1-s0.json"
    done = here("cartpole", "play", record)
    assert done.returncode == 2
    assert "codimension-1" in done.stderr


def test_a_record_of_the_task_as_it_was_cannot_be_played(tmp_path: Path, here: Program) -> None:
    json_of(here("cartpole", "train", "--dim", "2", "--trainer", "cmaes", "--json"))
    path = tmp_path / "results" / "cartpole" / "cmaes-rademacher" / "d2-s0.json"
    content = json.loads(path.read_text())
    content["settings"]["environment"]["id"] = "CartPole-v0"
    content["config_hash"] = hash_of(content["settings"])
    path.write_text(text_of(sealed(content)))
    done = here("cartpole", "play", path)
    assert done.returncode == 2
    assert "made with environment.id = 'CartPole-v0'" in done.stderr


def test_a_run_says_how_far_it_has_come_and_what_it_resumes(tmp_path: Path, here: Program) -> None:
    command = ("cartpole", "train", "--dim", "2", "--trainer", "es", "--resume")
    first = here(*command)
    assert re.search(r"d2-s0: [\d,]+ environment steps, score [\d.]+ so far", first.stderr)
    assert "no checkpoint there: the run begins anew" in first.stderr
    again = here(*command)
    assert "on record" in again.stderr
    assert "anew" not in again.stderr


def test_an_unknown_game_has_no_page(here: Program) -> None:
    page = here("atari", "--game", "pongg")
    assert (page.returncode, page.stdout) == (2, "")
    assert "did you mean 'pong'" in page.stderr
    measured = here("atari", "measure")
    assert measured.returncode == 2
    assert measured.stderr.count("\n") == 1  # no progress before the refusal


def test_a_solution_that_does_not_fit_its_network(tmp_path: Path, here: Program) -> None:
    json_of(here("cartpole", "train", "--dim", "2", "--trainer", "cmaes", "--json"))
    path = tmp_path / "results" / "cartpole" / "cmaes-rademacher" / "d2-s0.json"
    content = json.loads(path.read_text())
    content["solution"]["network"]["hidden"] = [21, 20]
    path.write_text(text_of(sealed(content)))
    done = here("cartpole", "play", path)
    assert done.returncode == 2
    assert "562" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_speed(tmp_path: Path) -> None:
    command = ["speed", "codimension-1", "--trainer", "es", "--dim", "2", "--json"]
    figures = json_of(rlidim(*command, folder=tmp_path))
    assert figures["steps_per_second"] > 0
    assert figures["fraction_of_raw"] > 0
    assert 0 < figures["fraction_of_unchecked"] < 2 * figures["fraction_of_raw"]
    assert figures["hardware"]["processor"]
