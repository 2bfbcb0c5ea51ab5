"""A recorded solution as a folder for a hub of models, in the layout of Stable-Baselines3's.

Hugging Face's hub shows the card and the video, and ``huggingface_sb3.load_from_hub`` finds the
zip by its name; uploading the folder is the user's own command.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.errors import RlidimError
from rlidim.networks.acting import AnyArchitecture
from rlidim.networks.perceptron import Architecture
from rlidim.records.configuration import configuration, differences
from rlidim.records.files import try_writing, write_atomically, writing
from rlidim.records.record import RunRecord
from rlidim.solutions import playback
from rlidim.solutions.asked import record_of
from rlidim.solutions.video import check_writer
from rlidim.tasks import names
from rlidim.tasks.task import Task

CARD = "README.md"
VIDEO = "replay.mp4"  # the names that the hub knows
RESULTS = "results.json"
RECORD = "record.json"
MADE = "- stable-baselines3\n- rlidim\n"  # in every card

TEMPLATE = """---
library_name: stable-baselines3
tags:
- {environment}
- reinforcement-learning
- stable-baselines3
- rlidim
model-index:
- name: {trainer}
  results:
  - task:
      type: reinforcement-learning
      name: reinforcement-learning
    dataset:
      name: {environment}
      type: {environment}
    metrics:
    - type: mean_reward
      value: {mean:.2f} +/- {deviation:.2f}
      name: mean_reward
      verified: false
---

# {title}

{about} Score: {mean:.2f} ± {deviation:.2f} over {episodes} fresh episodes.

```python
{code}
```

`{record}` is the run's record: its seeds, settings and versions{solution}. It was made by

```console
$ {command}
```
"""


def write(task: Task, path: Path, *, out: Path, log_dir: Path, seed: int = 0) -> list[Path]:
    """Write a folder with a model card, the model, a video and the record.

    Args:
        task: the record's, a control task.
        path: the record.
        out: the folder.
        log_dir: the folder of logs, where native runs keep their parameters.
        seed: of the video's episode.

    Returns:
        The files, the card first.

    Raises:
        RlidimError: no such record, no solution in it, one of another network than the task has, or
            what a model or a video needs is missing.
    """
    from rlidim.trainers.sb3.export import model_of

    record = record_of(task, path)
    if record.status != "ok" or record.solution is None:
        raise RlidimError(f"{path}: no run that ended with a model of Stable-Baselines3")
    made_by = command(task, record)
    check_writer(out / VIDEO)
    playback.check_draws(task)
    architecture, _ = playback.parameters_of(record, path, log_dir)
    kind = model_of(record.cell.trainer, architecture)
    environment = task.control.environment.id.rpartition(":")[2].replace("/", "-")
    model = out / f"{kind.__name__.lower()}-{environment}.zip"
    _check_folder(out)
    with writing(out, "--hub"):
        try_writing(out)
    exported = playback.export(task, path, out=model, log_dir=log_dir)
    video = out / VIDEO
    playback.play(task, path, video=video, episodes=1, seed=seed, log_dir=log_dir)
    mean, deviation = float(np.mean(record.returns)), float(np.std(record.returns))
    results = {
        "mean_reward": mean,
        "std_reward": deviation,
        "is_deterministic": True,
        "n_eval_episodes": len(record.returns),
    }
    card = TEMPLATE.format(
        environment=environment,
        # Not the class that loads the model: that is PPO for evolution's too.
        trainer=record.cell.trainer,
        title=f"{task.title}, by {record.cell.trainer}",
        about=about(record, architecture),
        mean=mean,
        deviation=deviation,
        episodes=len(record.returns),
        code=loading(task, kind, exported, remembers=bool(getattr(architecture, "memory", 0))),
        record=RECORD,
        solution=", and theta_d itself" if record.solution.get("theta_d") is not None else "",
        command=made_by,
    )
    write_atomically(out / RESULTS, json.dumps(results, indent=1) + "\n", "--hub")
    write_atomically(out / RECORD, path.read_text(), "--hub")
    write_atomically(out / CARD, card, "--hub")
    return [out / CARD, *exported, video, out / RESULTS, out / RECORD]


def _check_folder(out: Path) -> None:
    """Make sure that no card of something else is lost.

    Raises:
        RlidimError: it would be.
    """
    card = out / CARD
    with writing(out, "--hub"):
        own = not card.exists() or MADE in card.read_text(errors="replace")
    if not own:
        raise RlidimError(f"--hub {out}: holds a {CARD} of something else: name another folder")


def loading(task: Task, kind: type[Any], exported: Sequence[Path], *, remembers: bool) -> str:
    """Return the lines of Python that load an exported model, and what it needs to act.

    Args:
        task: whose environment it acts in.
        kind: the model's class.
        exported: its file, and that of the statistics of a policy that normalises what it sees.
        remembers: whether its network has a memory.
    """
    model, *statistics = (path.name for path in exported)
    lines = [
        f"from {kind.__module__.partition('.')[0]} import {kind.__name__}",
        "",
        f'model = {kind.__name__}.load("{model}")  # needs no rlidim',
    ]
    if statistics:
        environment = task.control.environment
        arguments = [repr(environment.id)]
        arguments += [f"{name}={value!r}" for name, value in environment.kwargs.items()]
        lines[:1] = [
            "import gymnasium",
            lines[0],
            "from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize",
        ]
        lines += [
            f"env = DummyVecEnv([lambda: gymnasium.make({', '.join(arguments)})])",
            f'env = VecNormalize.load("{statistics[0]}", env)  # what the model sees',
        ]
    if remembers:
        lines.append("# predict(observation, state, episode_start) hands its memory on")
    return "\n".join(lines)


def about(record: RunRecord, architecture: AnyArchitecture) -> str:
    """Return what the policy is, in a sentence, and in another what it has to be told."""
    d = record.cell.d
    found = ""
    if d is not None:
        found = (
            f" that was found by moving {d:,} numbers: theta_0 + P theta_d, with P random "
            f"({record.cell.projection})"
        )
    masked = isinstance(architecture, Architecture) and architecture.masked
    told = " It takes valid actions alone: tell `predict` by `action_masks=`." if masked else ""
    return f"A policy of {record.D:,} parameters{found}, trained by {record.cell.trainer}.{told}"


def command(task: Task, record: RunRecord) -> str:
    """Return the command that makes the run again, settings that are not the task's included.

    Raises:
        RlidimError: the record is of another network or evaluation than the task has.
    """
    cell = record.cell
    words = ["train", "--trainer", cell.trainer, "--seed", str(cell.seed)]
    made_with = record.settings["trainer"]
    # A record lacks a setting that came after it: it was made with the default.
    values = {
        field.name: made_with.get(field.name, field.default)
        for field in dataclasses.fields(task.settings(cell.trainer))
    }
    for name, before, now in differences(record.settings, configuration(task, cell)):
        section, _, setting = name.partition(".")
        if section != "trainer" or setting not in values:
            raise RlidimError(
                f"the record was made with {name} = {before!r}, task '{task.name}' has {now!r}: "
                "no command of the task's makes its run again; name the task it was made of"
            )
        words += ["--set", f"{setting}={json.dumps(values[setting])}"]
    if cell.d is not None:
        words += ["--dim", str(cell.d), "--projection", cell.projection]
        words += [] if cell.scope == "policy" else ["--scope", cell.scope]
    return names.command(task, *words)
