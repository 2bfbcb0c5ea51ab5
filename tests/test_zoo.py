"""Lines of rl_zoo3's YAML: pasted into a task's trainers they are read, or the key is named."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.configuration import configuration
from rlidim.tasks import loading, zoo
from rlidim.tasks.names import find_task, task_files
from rlidim.tasks.task import Task
from rlidim.tasks.writing import yaml_of

TASK = """title: pasted
environment: {id: CartPole-v1}
network: {hidden: [64, 64]}
trainers:
  TRAINER:
"""


def pasted(trainer: str, lines: str, folder: Path) -> Task:
    """Return a task whose trainer has the lines of a file of rl_zoo3's, indented as they are."""
    path = folder / "pasted.yml"
    indented = "\n".join(f"  {line}" for line in lines.strip("\n").splitlines())
    path.write_text(TASK.replace("TRAINER", trainer) + indented + "\n")
    return loading.load_task(path)


@pytest.mark.parametrize(
    ("trainer", "lines", "expected"),
    [
        (
            "ppo",
            """
  n_envs: 8
  n_timesteps: !!float 1e5
  n_steps: 32
  batch_size: 256
  gae_lambda: 0.8
  gamma: 0.98
  n_epochs: 20
  ent_coef: 0.0
  learning_rate: lin_0.001
  clip_range: lin_0.2
""",
            {"n_timesteps": 100_000, "learning_rate": "lin_0.001", "gae_lambda": 0.8},
        ),
        (
            "a2c",
            """
  normalize: "{'norm_obs': True, 'norm_reward': True}"
  n_timesteps: !!float 2e6
  use_rms_prop: True
""",
            {"normalize": True, "n_timesteps": 2_000_000},
        ),
        ("a2c", "  normalize: 'dict(norm_obs=False, norm_reward=False)'\n  n_timesteps: 1e6", {}),
        ("dqn", "  n_timesteps: !!float 5e4\n  learning_rate: !!float 2.3e-3", {"batch_size": 32}),
    ],
)
def test_lines_that_are_read_as_they_stand(
    trainer: str, lines: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    settings = pasted(trainer, lines, tmp_path).settings(trainer)
    assert {name: getattr(settings, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("policy: 'MlpPolicy'", "unknown key 'policy': leave it out: the task's network: is"),
        (
            'policy_kwargs: "dict(net_arch=[256, 256], activation_fn=nn.ReLU)"',
            "unknown key 'policy_kwargs': leave it out, and write network: {hidden: [256, 256], "
            "activation: relu}",
        ),
        (
            'policy_kwargs: "dict(log_std_init=-2, net_arch=dict(pi=[64], vf=[64]))"',
            "write network: {hidden: [64]}",
        ),
        ('policy_kwargs: "dict(ortho_init=False)"', "the task's network: says hidden"),
        ("policy_kwargs: \"__import__('os').abort()\"", "the task's network: says hidden"),
        ("env_wrapper: a.b.Wrapper", "unknown key 'env_wrapper': leave it out: register an id"),
        ("frame_stack: 4", "unknown key 'frame_stack'"),
        ("use_sde: True", "unknown key 'use_sde' (one of: batch_size"),
        ("normalize: \"{'norm_obs': False}\"", "normalize: expected true or false, found"),
        ("normalize: \"{'norm_obs': False, 'gamma': 0.9}\"", "normalize: expected true or false"),
        ("normalize: \"{'norm_obs': [1]}\"", "normalize: expected true or false"),
        ("normalize: \"{'norm_obs': 1}\"", "normalize: expected true or false"),
        ('normalize: "dict(norm_obs=exit())"', "normalize: expected true or false"),
    ],
)
def test_lines_that_have_another_place_are_named(line: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RlidimError) as caught:
        pasted("ppo", f"  n_timesteps: 1e5\n  {line}", tmp_path)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(VALUES)
def test_a_python_literal_is_read(value: Any) -> None:
    assert zoo.parse_python(repr(value)) == value


@given(st.text(max_size=30))
def test_any_other_text_is_refused_or_read(text: str) -> None:
    with contextlib.suppress(ValueError):
        zoo.parse_python(text)


def test_nothing_is_evaluated(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for text in (
        f"open({str(made)!r}, 'w')",
        f"dict(a=open({str(made)!r}, 'w'))",
        "[i for i in 'a']",
    ):
        with pytest.raises(ValueError, match="a "):
            zoo.parse_python(text)
    with pytest.raises(ValueError, match="no expression"):
        zoo.parse_python("(" * 5000)
    assert not made.exists()


@pytest.mark.parametrize("name", task_files())
def test_every_task_s_settings_are_a_task_s_file(name: str, tmp_path: Path) -> None:
    """Printed with all its defaults and read again, a task has the same runs."""
    task = find_task(name)
    (tmp_path / task.file.name).write_text(yaml_of(task, task.trainers))
    again = loading.load_task(tmp_path / task.file.name)
    assert again.target == task.target
    for trainer in task.trainers:
        cell = Cell(task.name, trainer, "rademacher", 4, 0)
        assert configuration(again, cell) == configuration(task, cell)
