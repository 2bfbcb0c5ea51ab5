"""Films of solutions for the tasks' pages, drawn once and remembered beside the records."""

from __future__ import annotations

import base64
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.cli import answers
from rlidim.cli.options import tell
from rlidim.errors import RlidimError
from rlidim.records.remembered import Remembered, key_of
from rlidim.report.site.film import Clip, Film
from rlidim.solutions import screen

if TYPE_CHECKING:
    from rlidim.records.folder import Results
    from rlidim.records.record import RunRecord
    from rlidim.tasks.task import Task

FILE = "films.json"
REASON, CLIPS = "reason", "clips"


class Films:
    """Draws a run's film, unless it is remembered.

    Attributes:
        missing: the names of the tasks of which there is none, by the reason why.
    """

    def __init__(self, results: Results, memory: Remembered) -> None:
        """Name the records' folder, and what is remembered of them."""
        self.missing: dict[str, list[str]] = {}
        self._results, self._memory = results, memory

    def __call__(self, task: Task, record: RunRecord) -> Film | None:
        """Return the film of a run whose solution its record holds.

        None where the task's environment draws nothing, or cannot draw here.
        """
        path = self._results.path(record.cell)
        key = key_of(answers.about(task), str(record.cell), path.read_bytes(), screen.about())
        said = self._memory.recall(task.name, key, lambda: _drawn(task, record, path))
        if REASON in said:
            self.missing.setdefault(said[REASON], []).append(task.name)
        if not said.get(CLIPS):
            return None
        found, by_chance = map(_clip, said[CLIPS])
        return Film(found, by_chance)


def _clip(said: dict[str, Any]) -> Clip:
    content = base64.b64decode(said["content"])
    return Clip(**{**said, "content": content, "size": tuple(said["size"])})


def _drawn(task: Task, record: RunRecord, path: Path) -> dict[str, Any]:
    """Return what is remembered of a run: its clips, none, or why there are none."""
    from rlidim.solutions.film import films
    from rlidim.solutions.playback import draws

    try:
        if not draws(task):
            return {CLIPS: []}
        tell(f"{task.name}: a film of {record.cell}")
        made = films(task, record, path, path.parent)
    except RlidimError as error:
        return {REASON: str(error)}
    return {
        CLIPS: [
            dataclasses.asdict(film) | {"content": base64.b64encode(film.content).decode()}
            for film in made
        ]
    }
