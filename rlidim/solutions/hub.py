"""A recorded solution as a folder for a hub of models, in the layout of Stable-Baselines3's.

Hugging Face's hub shows the card and the video, and ``huggingface_sb3.load_from_hub`` finds the
zip by its name; uploading the folder is the user's own command.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from rlidim.errors import RlidimError
from rlidim.networks.acting import AnyArchitecture
from rlidim.networks.perceptron import Architecture
from rlidim.records.files import write_atomically
from rlidim.records.folder import read_record
from rlidim.records.record import RunRecord
from rlidim.solutions import playback
from rlidim.tasks.task import Task

CARD = "README.md"
VIDEO = "replay.mp4"  # the names that the hub knows
RESULTS = "results.json"
RECORD = "record.json"

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
from {package} import {algorithm}

model = {algorithm}.load("{model}")  # needs no rlidim
```

`{record}` is the run's record: its seeds, settings and versions, and theta_d itself. It was made by

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
        RlidimError: no such record, no solution in it, or what a model or a video needs is missing.
    """
    from rlidim.trainers.sb3.algorithms import HOMES
    from rlidim.trainers.sb3.export import MODELS, model_of

    record = read_record(path)
    if record.status != "ok" or record.cell.trainer not in {*MODELS, *HOMES}:
        raise RlidimError(f"{path}: no run that ended with a model of Stable-Baselines3")
    architecture, _ = playback.parameters_of(record, path, log_dir)
    model_class = model_of(record.cell.trainer, architecture)
    environment = task.control.environment.id.rpartition(":")[2].replace("/", "-")
    algorithm = model_class.__name__
    model = out / f"{algorithm.lower()}-{environment}.zip"
    out.mkdir(parents=True, exist_ok=True)
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
        trainer=algorithm,
        title=f"{task.title}, by {algorithm}",
        about=about(record, architecture),
        mean=mean,
        deviation=deviation,
        episodes=len(record.returns),
        package=model_class.__module__.partition(".")[0],
        algorithm=algorithm,
        model=model.name,
        record=RECORD,
        command=command(record),
    )
    write_atomically(out / RESULTS, json.dumps(results, indent=1) + "\n")
    write_atomically(out / RECORD, path.read_text())
    write_atomically(out / CARD, card)
    return [out / CARD, *exported, video, out / RESULTS, out / RECORD]


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


def command(record: RunRecord) -> str:
    """Return the command that makes the run again."""
    cell = record.cell
    words = ["rlidim", cell.task, "train", "--trainer", cell.trainer, "--seed", str(cell.seed)]
    if cell.d is not None:
        words += ["--dim", str(cell.d), "--projection", cell.projection]
        words += [] if cell.scope == "policy" else ["--scope", cell.scope]
    return " ".join(words)
