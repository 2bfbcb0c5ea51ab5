"""From records to measurements: which runs belong together, and what they say of d_int."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.errors import RlidimError
from rlidim.records.cell import RANDOM, Cell
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.statistics import estimate as estimating
from rlidim.statistics.estimate import Estimate
from rlidim.tasks.problems import Evaluation
from rlidim.tasks.task import Published, Task


@dataclass(frozen=True)
class Measurement:
    """One (task, trainer, projection, scope): its records and what they say.

    Attributes:
        task: None if no file of that name is known here.
        fraction: of the baseline's normalised score that counts as solved.
        D: parameters that are confined, None if no run in a subspace has a score.
        estimate: None if there can be none; ``reason`` then says why.
        baseline: the native runs of the same task and trainer.
        random: the record that scores random actions.
        runs: the runs in subspaces, by d and seed, failed ones included.
        warnings: one line for each group of records that was left out.
        results_folder: where the records lie.
    """

    task: Task | None
    task_name: str
    trainer: str
    projection: str
    scope: str
    fraction: float
    D: int | None
    estimate: Estimate | None
    reason: str | None
    baseline: tuple[RunRecord, ...]
    random: RunRecord | None
    runs: tuple[RunRecord, ...]
    warnings: tuple[str, ...]
    results_folder: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Task, trainer, projection, and the scope if it is not the usual one."""
        names = (self.task_name, self.trainer, self.projection)
        return names if self.scope == "policy" else (*names, f"scope {self.scope}")

    @property
    def label(self) -> str:
        """The measurement in words: ``cartpole, es, rademacher``."""
        return ", ".join(self.names)

    @property
    def stem(self) -> str:
        """The name of its figures' files, without an ending."""
        parts = [self.task_name, self.trainer, self.projection]
        if self.scope != "policy":
            parts.append(self.scope)
        if self.fraction != 0.9:
            parts.append(f"{self.fraction * 100:g}")
        return "-".join(parts)

    @property
    def known(self) -> int | None:
        """The dimension that construction fixes, for calibration tasks."""
        return None if self.task is None else self.task.known

    @property
    def published(self) -> tuple[Published, ...]:
        """What others have read of the task."""
        return () if self.task is None else self.task.published

    @property
    def failed(self) -> int:
        """How many runs in subspaces failed: they have no score."""
        return sum(record.status == "failed" for record in self.runs)

    @property
    def diverged(self) -> int:
        """How many runs in subspaces diverged: they have the worst score."""
        return sum(record.status == "diverged" for record in self.runs)

    @property
    def succeeded(self) -> int:
        """How many runs in subspaces ended with a score of their own."""
        return sum(record.status == "ok" for record in self.runs)

    @property
    def environment_steps(self) -> int:
        """Steps spent in training, the baseline's included."""
        return total_steps([*self.runs, *self.baseline])

    @property
    def seconds(self) -> float:
        """Seconds that the runs took, one core each, the baseline's included."""
        return total_seconds([*self.runs, *self.baseline])

    @property
    def baseline_scores(self) -> list[float]:
        """The native runs' scores; one that diverged has random actions' score, the worst."""
        return baseline_scores(self.baseline, self.random)

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``measure --json`` prints."""
        estimate = self.estimate
        scores = self.baseline_scores
        results = Results(self.results_folder)
        found = {} if estimate is None else estimate.to_json()
        records = [*self.runs, *self.baseline, *([self.random] if self.random else [])]
        return {
            "task": self.task_name,
            "trainer": self.trainer,
            "projection": self.projection,
            "scope": self.scope,
            "fraction": self.fraction,
            "D": self.D,
            "d_int": found.get("d_int"),
            "crossing": found.get("crossing"),
            "interval": found.get("interval", [None, None]),
            "censored": found.get("censored"),
            "first_passing_d": found.get("first_passing_d"),
            "paper_rule_d": found.get("paper_rule_d"),
            "reason": self.reason,
            "baseline": {
                "mean": float(np.mean(scores)) if scores else None,
                "seeds": len(scores),
                "scores": scores,
            },
            "random": {"mean": None if self.random is None else self.random.score},
            "dims": found.get("dims", []),
            "runs": len(self.runs),
            "diverged": self.diverged,
            "failed": self.failed,
            "environment_steps": self.environment_steps,
            "seconds": self.seconds,
            "records": [str(results.path(record.cell)) for record in records],
            "warnings": list(self.warnings),
        }


def total_steps(records: Iterable[RunRecord]) -> int:
    """Return the environment steps that the records' training took."""
    return sum(record.environment_steps for record in records)


def total_seconds(records: Iterable[RunRecord]) -> float:
    """Return the seconds that the records' runs took of a core.

    Of a record that lacks them, or of a run split over processes, those that passed on each of its
    cores: as many, where nothing else was running.
    """
    total = 0.0
    for about in (record.provenance for record in records):
        processes = about.get("processes", 1)
        passed = about.get("seconds", 0.0)
        total += about.get("cpu_seconds", passed) if processes == 1 else processes * passed
    return float(total)


def baseline_scores(baseline: Iterable[RunRecord], random: RunRecord | None) -> list[float]:
    """Return the native scores, random actions' in place of a diverged run's."""
    worst = None if random is None else random.score
    scores = [
        worst if record.score is None else record.score
        for record in baseline
        if record.status != "failed"
    ]
    return [score for score in scores if score is not None]


def gather(
    records: Sequence[RunRecord],
    tasks: Mapping[str, Task],
    *,
    fraction: float = 0.9,
    results_folder: Path,
) -> list[Measurement]:
    """Group the records into measurements, sorted by task, trainer, projection and scope.

    The native runs of a task and trainer serve all its projections and scopes. A run that diverged
    counts as random actions do, a failed one not at all. Records made with other settings than
    the rest of their measurement are left out, and the measurement's ``warnings`` say so.
    """
    groups: dict[tuple[str, str, str, str], list[RunRecord]] = {}
    native: dict[tuple[str, str], list[RunRecord]] = {}
    random: dict[str, RunRecord] = {}
    seen: dict[Cell, RunRecord] = {}
    twice: dict[str, list[str]] = {}
    for record in records:
        cell = record.cell
        if cell in seen:
            line = f"{cell}: on record twice, in two files; one left out"
            twice.setdefault(cell.task, []).append(line)
            continue
        seen[cell] = record
        if cell.trainer == RANDOM:
            random[cell.task] = record
        elif cell.d is None:
            native.setdefault((cell.task, cell.trainer), []).append(record)
        else:
            key = (cell.task, cell.trainer, cell.projection, cell.scope)
            groups.setdefault(key, []).append(record)
    return [
        _measurement(
            tasks.get(key[0]),
            key,
            sorted(group, key=lambda record: (record.cell.d or 0, record.cell.seed)),
            sorted(native.get(key[:2], []), key=lambda record: record.cell.seed),
            random.get(key[0]),
            twice.get(key[0], []),
            fraction,
            results_folder,
        )
        for key, group in sorted(groups.items())
    ]


def of_one_kind(
    task: Task | None, records: Sequence[RunRecord]
) -> tuple[list[RunRecord], list[str]]:
    """Return a group's records that were made with the task's settings, or else with most records'.

    Args:
        task: None if its file is not known.
        records: of one task and trainer, at least one.

    Returns:
        The records, and a line for each thing that was left out or is not as the task is now.
    """
    wanted, _, changed = _common_settings(task, records)
    warnings = [changed] if changed else []
    return _alike(records, wanted, warnings), warnings


def _measurement(
    task: Task | None,
    key: tuple[str, str, str, str],
    group: Sequence[RunRecord],
    native: Sequence[RunRecord],
    random: RunRecord | None,
    twice: Sequence[str],
    fraction: float,
    folder: Path,
) -> Measurement:
    warnings = list(twice)
    wanted, settings, changed = _common_settings(task, group)
    if changed:
        warnings.append(changed)
    runs = _alike(group, wanted, warnings)
    baseline = _alike(native, wanted, warnings)
    # Random actions have no trainer, and so no trainer's settings.
    bare = hash_of({name: value for name, value in settings.items() if name != "trainer"})
    if random is not None and not _alike([random], bare, warnings):
        random = None
    scored = [record.D for record in runs if record.status != "failed"]
    D = max(scored, default=None)
    found: Estimate | None = None
    reason = _missing(runs, baseline, random)
    if reason is None:
        assert random is not None
        assert random.score is not None
        assert D is not None
        scores: dict[int, list[float]] = {}
        for record in runs:
            if record.status != "failed" and record.cell.d is not None:
                value = math.nan if record.score is None else record.score
                scores.setdefault(record.cell.d, []).append(value)
        evaluation = settings.get("evaluation") or {}
        try:
            found = estimating.estimate(
                scores,
                baseline=baseline_scores(baseline, random),
                random=random.score,
                D=D,
                fraction=fraction,
                minimum_score=evaluation.get("minimum", Evaluation().minimum),
            )
        except RlidimError as error:
            reason = str(error)
    return Measurement(
        task,
        *key,
        fraction=fraction,
        D=D,
        estimate=found,
        reason=reason,
        baseline=tuple(baseline),
        random=random,
        runs=tuple(runs),
        warnings=tuple(dict.fromkeys(warnings)),
        results_folder=folder,
    )


def _common_settings(
    task: Task | None, group: Sequence[RunRecord]
) -> tuple[str, dict[str, Any], str | None]:
    """Return the settings the group is read by, after their hash, and a line if they are not now's.

    They are the task's where a record has them, else those of most records.
    """
    counts = Counter(record.config_hash for record in group)
    cell = group[0].cell
    usual = min(counts, key=lambda name: (-counts[name], name))
    changed = None
    if task is not None and cell.trainer in task.trainers:
        current = hash_of(configuration(task, cell))
        if current in counts:
            usual = current
        else:
            changed = (
                f"{cell.task}/{cell.group}: made with other settings than {task.file.name} has now"
            )
    settings = next(record.settings for record in group if record.config_hash == usual)
    return usual, settings, changed


def _alike(records: Sequence[RunRecord], wanted: str, warnings: list[str]) -> list[RunRecord]:
    """Return the records with the wanted settings; add a warning if any others were left out."""
    others = [record for record in records if record.config_hash != wanted]
    if others:
        first = others[0].cell
        count = f"{len(others)} record{'s' if len(others) > 1 else ''}"
        warnings.append(
            f"{first.task}/{first.group}: {count} made with other settings than the rest of the "
            f"measurement left out, first {first.label}"
        )
    return [record for record in records if record.config_hash == wanted]


def _missing(
    runs: Sequence[RunRecord], baseline: Sequence[RunRecord], random: RunRecord | None
) -> str | None:
    """Return what stands in the way of an estimate, or None."""
    if all(record.status == "failed" for record in runs):
        return "every run in a subspace failed"
    if random is None or random.score is None:
        return "no record of random actions"
    if all(record.status == "failed" for record in baseline):
        return "every native run failed" if baseline else "no record of native training"
    return None
