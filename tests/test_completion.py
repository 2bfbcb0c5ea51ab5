"""What a shell completes at TAB, asked as bash asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RLIDIM = Path(sys.executable).parent / "rlidim"
YAML = """title: probe
environment: {id: CartPole-v1}
network: {hidden: [8]}
trainers:
  es: {n_timesteps: 500}
  ppo: {n_timesteps: 500}
"""


def complete(folder: Path, line: str) -> set[str]:
    """Return what the last word of a line may become."""
    words = line.split(" ")
    done = subprocess.run(
        [RLIDIM],
        env={
            **os.environ,
            "_RLIDIM_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return {answer.removeprefix("plain,") for answer in done.stdout.split()}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rlidim ben", {"bench"}),
        ("rlidim cartpole-v", {"cartpole-v0", "cartpole-v0-li2018"}),
        ("rlidim --envs mine prob", {"probe"}),
        ("rlidim --envs nowhere cartp", set()),
        ("rlidim cartpole me", {"measure"}),
        ("rlidim --envs mine probe train --trainer ", {"es", "ppo"}),
        ("rlidim cartpole measure --trainer cm", {"cmaes"}),
        ("rlidim cartpole train --projection au", {"auto"}),
        ("rlidim cartpole train --projection rad", {"rademacher"}),
        ("rlidim cartpole train --log w", {"wandb"}),
    ],
)
def test_completion(tmp_path: Path, line: str, expected: set[str]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "probe.yml").write_text(YAML)
    assert complete(tmp_path, line) == expected
