"""Every command that the documentation shows is run: as it stands, or on a small budget.

What no test can afford is parsed by the real command, to its last option, and not invoked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from rlidim import cli
from rlidim.cli import tasks
from rlidim.records.folder import read_record

ROOT = Path(__file__).parent.parent
PAGES = {path: path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
LINE = re.compile(r"^\$ (.+?)(?:\s+#.*)?$", re.MULTILINE)  # in a block, its comment left out
INLINE = re.compile(r"`(rlidim [^`]+)`")
SETTING = re.compile(r"(\w+)=(\S+) (?=rlidim )")  # of a variable, before a command
RESULTS = ("es-rademacher", "es-native", "random")  # of CartPole: what the shown records are among
# By trainer: what a run may take here.
TINY = {
    "es": ["--set", "n_timesteps=1000"],
    "cmaes": ["--set", "n_timesteps=1000"],
    "ppo": ["--set", "n_timesteps=1024", "--set", "n_envs=2", "--set", "n_steps=128"],
    "ppo-many": ["--set", "n_timesteps=1024", "--set", "n_envs=2", "--set", "n_steps=128"],
    "dqn": ["--set", "n_timesteps=300", "--set", "learning_starts=100"],
    "reinforce": ["--set", "n_timesteps=1000"],
}
QUICK = ("", "list", "check", "config", "doctor", "export", "projections", "tables")
SLOW = ("train", "measure", "play", "site")  # on a small budget, too
MADE = {"play": "out.gif", "site": "build/site/index.html"}
# What is parsed alone, and why.
PARSED = {
    "--executor ray": "joins a cluster: tests/test_ray.py starts one",
    "--game": "random actions alone play a hundred of its games",
    "--projection coordinates": "of a package: tests/test_own_code.py installs it",
    "calibrate": "measures for minutes: tests/test_calibration.py reads what it reads",
    "bench": "measures for minutes: tests/test_atlas.py works on less",
    "gpu": "asks for a GPU: tests/test_gpu.py runs its parts",
    "kernels": "times for minutes: tests/test_kernels.py times one size",
    "speed": "times for minutes: tests/test_speed.py times less",
}


def shown() -> list[str]:
    """Return the commands of rlidim, each once, with the variables that are set before it."""
    lines = [
        line for page in PAGES.values() for line in (*LINE.findall(page), *INLINE.findall(page))
    ]
    ours = [line for line in lines if re.match(r"(\w+=\S+ )*rlidim ", line)]
    return sorted({re.sub(r" #.*", "", line) for line in ours if "TASK" not in line})


def words_of(line: str) -> list[str]:
    """Return a line's words behind ``rlidim``."""
    return SETTING.sub("", line).split()[1:]


def command_of(line: str) -> str:
    """Return the name of the command that a line runs; empty for a task's page."""
    words = words_of(line)
    while words[0].startswith("--"):
        words = words[2:]
    if words[0] in cli.cli.commands:
        return words[0]
    return next(
        (word for word in words[1:] if word in {command.name for command in tasks.COMMANDS}), ""
    )


def parsed_alone(line: str) -> bool:
    return any(part in line for part in PARSED if part.startswith("--")) or (
        command_of(line) in PARSED
    )


def with_budget(words: list[str]) -> list[str]:
    """Return the words of a line that trains, with the least that it can do."""
    trainer = words[words.index("--trainer") + 1]
    grid = ["--dims", "2", "--seeds", "1", "--workers", "1"] if "measure" in words else []
    if "--budget" in words:  # of a search, which a grid is not
        place = words.index("--budget")
        words = [*words[:place], *words[place + 2 :]]
    return [*words, *TINY[trainer], *grid, "--results", "anew"]


@pytest.fixture
def place(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder as the reader's is, with some of the records."""
    (tmp_path / "results" / "cartpole").mkdir(parents=True)
    for name in RESULTS:
        source = ROOT / "results" / "cartpole" / name
        (tmp_path / "results" / "cartpole" / name).symlink_to(source, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLIDIM_RESULTS", raising=False)
    monkeypatch.setenv("RLIDIM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    return tmp_path


def write_own_task(folder: Path, line: str) -> None:
    """Write what the line's page says lies in my_tasks, with an environment that is here."""
    page = next(text for text in PAGES.values() if line in text)
    for name, content in re.findall(r"```\w+\n# (my_tasks/\S+)\n(.*?)```", page, re.DOTALL):
        (folder / name).parent.mkdir(exist_ok=True)
        own = re.sub(r"environment: {.*}", "environment: {id: CartPole-v1}", content)
        (folder / name).write_text(own)


def run(line: str, words: list[str], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run words as a line says that they are run."""
    for name, value in SETTING.findall(line):
        monkeypatch.setenv(name, value)
    if "my_tasks" in line:
        write_own_task(place, line)
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert not ended.value.code, line


RUN = [line for line in shown() if not parsed_alone(line)]


def test_enough_commands_are_shown_and_each_has_its_test() -> None:
    lines = shown()
    assert len(lines) > 30
    for line in lines:
        assert parsed_alone(line) or command_of(line) in (*QUICK, *SLOW), line
    for part in PARSED:
        assert any(part in line for line in lines), f"{part}: nothing of it is shown any more"


@pytest.mark.parametrize("line", shown())
def test_a_command_shown_is_understood(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the real command, to every option and its value; nothing is invoked."""
    invoked: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *context, **given: invoked.append(name)

    for command in (*cli.cli.commands.values(), *tasks.COMMANDS):
        monkeypatch.setattr(command, "callback", note(command.name or ""))
    monkeypatch.setattr(tasks, "show_page", note(""))
    run(line, words_of(line), place, monkeypatch)
    assert invoked == ([] if "--help" in line else [command_of(line)])


@pytest.mark.parametrize("line", [each for each in RUN if command_of(each) in QUICK])
def test_a_quick_command_shown_runs(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(line)
    run(line, words, place, monkeypatch)
    assert capsys.readouterr().out
    assert (place / "model.zip").exists() == ("model.zip" in words)


@pytest.mark.slow
@pytest.mark.parametrize("line", [each for each in RUN if command_of(each) in SLOW])
def test_a_slow_command_shown_runs_on_a_small_budget(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = words_of(line)
    if command_of(line) in MADE:
        run(line, words, place, monkeypatch)
        assert (place / MADE[command_of(line)]).exists()
        return
    run(line, with_budget(words), place, monkeypatch)
    records = [read_record(path) for path in (place / "anew").glob("*/*/*.json")]
    assert {record.status for record in records} == {"ok"}
    trainer = words[words.index("--trainer") + 1]
    assert trainer in {record.cell.trainer for record in records}


def test_what_else_is_shown_is_there() -> None:
    """Targets of the Makefile, and the extras that pip is asked for."""
    lines = [line for page in PAGES.values() for line in LINE.findall(page)]
    targets = {line.split()[1] for line in lines if line.startswith("make ")}
    extras = {name for line in lines for name in re.findall(r"\[([\w,]+)\]", line)}
    assert targets
    assert extras
    listed = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert targets <= {*listed}
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for part in extras for name in part.split(",")} <= known.keys()
