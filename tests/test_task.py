"""The strict loader: every file of the suite loads, every mistake has one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlidim import task
from rlidim.errors import RlidimError

MINIMAL = """
title: Mine
environment: {id: CartPole-v1}
network: {hidden: [8]}
trainers:
  es: {n_timesteps: 1000}
"""


def write(folder: Path, text: str, name: str = "mine.yml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", sorted(task.files()))
def test_every_file_of_the_suite_loads(name: str) -> None:
    loaded = task.find(name)
    assert loaded.name == name
    assert loaded.trainers
    assert loaded.search.hint >= 1


def test_minimal_file_and_defaults(tmp_path: Path) -> None:
    loaded = task.load(write(tmp_path, MINIMAL))
    assert loaded.name == "mine"
    assert loaded.evaluation.episodes == 100
    assert loaded.settings("es").n_timesteps == 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "evaluatoin: {}\n", "unknown key 'evaluatoin' (did you mean 'evaluation'?)"),
        (MINIMAL.replace("n_timesteps", "n_timestep"), "did you mean 'n_timesteps'?"),
        (MINIMAL.replace("es:", "ess:"), "unknown trainer 'ess'"),
        (MINIMAL.replace("1000", "many"), "expected a whole number, found 'many'"),
        (MINIMAL.replace("1000", "true"), "expected a whole number, found True"),
        (MINIMAL.replace("1000", "0.5"), "expected a whole number, found 0.5"),
        (MINIMAL.replace("title: Mine\n", ""), "key 'title' is missing"),
        (MINIMAL.replace("network", "nettwork"), "did you mean 'network'?"),
        (MINIMAL.replace("hidden: [8]", "hidden: 8"), "expected a list of a whole number"),
        (MINIMAL + "kind: contrl\n", "did you mean 'control'?"),
        (MINIMAL + "bench: {es: [quik]}\n", "did you mean 'quick'?"),
        (MINIMAL + "known: 0\n", "expected a whole number >= 1"),
        (MINIMAL + "search: {hints: 3}\n", "did you mean 'hint'?"),
        (MINIMAL + "search: {es: {hints: 3}}\n", "search: es: unknown key 'hints'"),
        ("title: [", "not a YAML file"),
        ("- 1\n", "expected a mapping"),
        ("title: x\ntrainers: {es: {n_timesteps: 1}}\n", "needs the keys environment and network"),
    ],
)
def test_mistakes_have_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RlidimError) as raised:
        task.load(path)
    message = str(raised.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message


def test_trainers_inherit_the_general_search(tmp_path: Path) -> None:
    text = MINIMAL + "search: {hint: 5, runs: 7, es: {hint: 9}}\n"
    loaded = task.load(write(tmp_path, text))
    assert (loaded.search.hint, loaded.search_for("es").hint) == (5, 9)
    assert loaded.search_for("es").runs == 7


def test_own_tasks_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write(tmp_path, MINIMAL, "cartpole.yml")
    assert task.find("cartpole", tmp_path).file == own
    monkeypatch.setenv("RLIDIM_ENVS", str(tmp_path))
    assert task.find("cartpole").file == own


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(RlidimError, match=r"unknown task 'cartpol' .did you mean 'cartpole'"):
        task.find("cartpol")


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="no such folder"):
        task.files(tmp_path / "nowhere")


def test_settings_can_be_replaced(tmp_path: Path) -> None:
    loaded = task.load(write(tmp_path, MINIMAL))
    assert loaded.replace_settings("es", {"n_timesteps": 5}).settings("es").n_timesteps == 5
    with pytest.raises(RlidimError, match="did you mean 'population'"):
        loaded.replace_settings("es", {"populaton": 5})
    with pytest.raises(RlidimError, match="no settings for trainer 'ppo'"):
        loaded.settings("ppo")


PUBLISHED = "{d_int: 3, D: 9, trainer: es, rule: paper, baseline: x, source: y, fraction: 0.5}"


def test_a_published_number_may_have_been_read_at_another_share(tmp_path: Path) -> None:
    text = f"{MINIMAL}published: [{PUBLISHED}, {PUBLISHED.replace(', fraction: 0.5', '')}]\n"
    read = [entry.fraction for entry in task.load(write(tmp_path, text)).published]
    assert read == [0.5, None]
    for wrong in ("0", "1", "-0.9", ".nan"):
        path = write(tmp_path, text.replace("0.5", wrong))
        with pytest.raises(RlidimError, match="published: fraction must be above 0 and below 1"):
            task.load(path)
