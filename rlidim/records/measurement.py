"""From records to measurements: which runs belong together, and what they say of d_int."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell, Subject
from rlidim.records.configuration import configuration, hash_of
from rlidim.records.folder import Results
from rlidim.records.record import RunRecord
from rlidim.statistics.estimate import Estimate, estimate
from rlidim.statistics.scale import LOCAL, normalise
from rlidim.tasks.problems import Evaluation
from rlidim.tasks.task import FRACTION, Published, Task


@dataclass(frozen=True)
class Measurement:
    """One (task, trainer, projection, scope): its records and what they say.

    Attributes:
        task: None if no file of that name is known here.
        fraction: of the scale that counts as solved.
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
    def subject(self) -> Subject:
        """What is measured."""
        return Subject(self.task_name, self.trainer, self.projection, self.scope)

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
        if self.fraction != FRACTION:
            parts.append(f"{self.fraction * 100:g}")
        if self._is_local_on_demand:
            parts.append("local")
        return "-".join(parts)

    @property
    def _is_local_on_demand(self) -> bool:
        """Whether native training is 1 though the task declares a target."""
        if self.estimate is None or self.task is None or self.task.target is None:
            return False
        scale = self.estimate.scale
        return scale.kind == LOCAL and not scale.unsolved

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
    def failed_everywhere(self) -> list[int]:
        """The d at which runs were made and every one failed: nothing is known of these."""
        made = {record.cell.d for record in self.runs if record.cell.d is not None}
        return sorted(made - self.scores.keys())

    @property
    def environment_steps(self) -> int:
        """Steps spent in training, the baseline's included."""
        return total_steps([*self.runs, *self.baseline])

    @property
    def seconds(self) -> float:
        """Seconds that the runs took, one core each, the baseline's included."""
        return total_seconds([*self.runs, *self.baseline])

    @property
    def missing(self) -> str | None:
        """What an estimate needs and is not on record, None if all of it is."""
        if not self.runs:
            return "no run in a subspace was made"
        if all(record.status == "failed" for record in self.runs):
            return "every run in a subspace failed"
        if self.random is None:
            return "no record of random actions"
        if self.random.score is None:
            return "the run of random actions failed"
        if all(record.status == "failed" for record in self.baseline):
            return "every native run failed" if self.baseline else "no record of native training"
        return None

    @property
    def scores(self) -> dict[int, list[float]]:
        """The scores at each d, by seed; NaN for a run that diverged, failed ones left out."""
        scores: dict[int, list[float]] = {}
        for record in self.runs:
            if record.status != "failed" and record.cell.d is not None:
                value = math.nan if record.score is None else record.score
                scores.setdefault(record.cell.d, []).append(value)
        return scores

    @property
    def baseline_scores(self) -> list[float]:
        """The native runs' scores; one that diverged has random actions' score, the worst."""
        return baseline_scores(self.baseline, self.random)

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``measure --json`` prints."""
        estimate = self.estimate
        scores = self.baseline_scores
        results = Results(self.results_folder)
        reading = {} if estimate is None else estimate.to_json()
        records = [*self.runs, *self.baseline, *([self.random] if self.random else [])]
        return {
            "task": self.task_name,
            "trainer": self.trainer,
            "projection": self.projection,
            "scope": self.scope,
            "fraction": self.fraction,
            "D": self.D,
            "d_int": reading.get("d_int"),
            "crossing": reading.get("crossing"),
            "interval": reading.get("interval", [None, None]),
            "censored": reading.get("censored"),
            "first_passing_d": reading.get("first_passing_d"),
            "scale": reading.get("scale"),
            "mean": reading.get("mean"),
            "paper_rule_d": reading.get("paper_rule_d"),
            "reason": self.reason,
            "baseline": {
                "mean": float(np.mean(scores)) if scores else None,
                "seeds": len(scores),
                "scores": scores,
            },
            "random": {"mean": None if self.random is None else self.random.score},
            "dims": reading.get("dims", []),
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


def reaching(scores: Iterable[float], random: float, one: float, fraction: float = FRACTION) -> int:
    """Return how many scores get the fraction of the way from random actions' to another."""
    return sum(normalise(score, random, one) >= fraction for score in scores)


def gather(
    records: Sequence[RunRecord],
    tasks: Mapping[str, Task],
    *,
    fraction: float = FRACTION,
    local: bool = False,
    results_folder: Path,
) -> list[Measurement]:
    """Read every measurement that records hold: by task, trainer, projection and scope."""
    by_task: dict[str, list[RunRecord]] = {}
    for record in records:
        by_task.setdefault(record.cell.task, []).append(record)
    subjects = {Subject.of(record.cell) for record in records if record.cell.d is not None}
    return [
        read_measurement(
            by_task[subject.task],
            subject,
            tasks.get(subject.task),
            fraction=fraction,
            local=local,
            results_folder=results_folder,
        )
        for subject in sorted(subjects)
    ]


def read_measurement(
    records: Iterable[RunRecord],
    subject: Subject,
    task: Task | None,
    *,
    fraction: float = FRACTION,
    local: bool = False,
    results_folder: Path,
) -> Measurement:
    """Read one measurement: which of the records belong to it, and what they say of d_int.

    The native runs of a task and trainer serve all its projections and scopes. A run that diverged
    counts as random actions do, a failed one not at all. Records made with other settings than
    the rest of their measurement are left out, and the measurement's ``warnings`` say so.

    Args:
        records: in any order; those of other subjects are passed over.
        subject: what is measured.
        task: the subject's, None if its file is not known.
        fraction: of the scale that counts as solved.
        local: read against the median of native training even where the task declares a target.
        results_folder: where the records lie.
    """
    seen: dict[Cell, RunRecord] = {}
    warnings: list[str] = []
    for record in records:
        cell = record.cell
        if cell.task != subject.task:
            continue
        if cell in seen:
            warnings.append(f"{cell}: on record twice, in two files; one left out")
        seen.setdefault(cell, record)
    random = seen.get(Cell.random(subject.task))
    baseline = [
        record
        for cell, record in seen.items()
        if cell.d is None and cell.trainer == subject.trainer
    ]
    runs = [
        record
        for cell, record in seen.items()
        if cell.d is not None and Subject.of(cell) == subject
    ]
    settings: dict[str, Any] = {}
    if runs:
        wanted, settings, changed = _common_settings(task, runs)
        if changed:
            warnings.append(changed)
        runs = _alike(sorted(runs, key=_place), wanted, warnings)
        baseline = _alike(sorted(baseline, key=_place), wanted, warnings)
        runs, baseline = _of_one_size(runs, baseline, warnings)
        random = random_beside(random, settings, warnings)
    measurement = Measurement(
        task,
        *subject,
        fraction=fraction,
        D=max((record.D for record in runs if record.status != "failed"), default=None),
        estimate=None,
        reason=None,
        baseline=tuple(baseline),
        random=random,
        runs=tuple(runs),
        warnings=tuple(dict.fromkeys(warnings)),
        results_folder=results_folder,
    )
    try:
        return replace(measurement, estimate=_estimate(measurement, settings, local))
    except RlidimError as error:
        return replace(measurement, reason=str(error))


def _of_one_size(
    runs: list[RunRecord], baseline: list[RunRecord], warnings: list[str]
) -> tuple[list[RunRecord], list[RunRecord]]:
    """Leave out the records of a network of another size than that of most runs, with a warning.

    An environment of the user's own has changed since, which no setting shows. Of another scope
    than the policy's, the confined parameters are not those that native runs count.
    """
    sizes = Counter(record.D for record in runs if record.status != "failed")
    if not sizes:
        return runs, baseline
    usual = min(sizes, key=lambda D: (-sizes[D], D))

    def kept(records: list[RunRecord]) -> list[RunRecord]:
        fitting = [record for record in records if record.status == "failed" or usual == record.D]
        if len(fitting) < len(records):
            cell = records[0].cell
            warnings.append(
                f"{cell.task}/{cell.group}: {len(records) - len(fitting)} of networks of another "
                f"size than D = {usual:,}, left out: the environment has changed since; move them "
                "away, and the record of random actions too"
            )
        return fitting

    return kept(runs), kept(baseline) if runs[0].cell.scope == "policy" else baseline


def _place(record: RunRecord) -> tuple[int, int]:
    """Return what a measurement's runs are sorted by: d and the seed."""
    return record.cell.d or 0, record.cell.seed


def _estimate(measurement: Measurement, settings: Mapping[str, Any], local: bool) -> Estimate:
    """Estimate d_int from a measurement's records, made with these settings.

    Raises:
        RlidimError: a kind of record is missing, or the baseline is no better than random.
    """
    if measurement.missing is not None:
        raise RlidimError(measurement.missing)
    assert measurement.random is not None
    assert measurement.random.score is not None
    assert measurement.D is not None
    evaluation = settings.get("evaluation") or {}
    target = None if local or measurement.task is None else measurement.task.target
    return estimate(
        measurement.scores,
        baseline=measurement.baseline_scores,
        random=measurement.random.score,
        D=measurement.D,
        target=None if target is None else target.score,
        fraction=measurement.fraction,
        minimum_score=evaluation.get("minimum", Evaluation().minimum),
    )


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


def random_beside(
    random: RunRecord | None, settings: Mapping[str, Any], warnings: list[str]
) -> RunRecord | None:
    """Return the record of random actions if it was made as runs of these settings were.

    Otherwise a warning is added. Random actions have no trainer, and so no trainer's settings.
    """
    bare = hash_of({name: value for name, value in settings.items() if name != "trainer"})
    return random if random is not None and _alike([random], bare, warnings) else None


def _common_settings(
    task: Task | None, group: Sequence[RunRecord]
) -> tuple[str, dict[str, Any], str | None]:
    """Return the settings the group is read by, after their hash, and a line if they are not now's.

    They are the task's where a record has them, else those of most records; a failed run has a say
    where there are no others.
    """
    counts = Counter(record.config_hash for record in group if record.status != "failed")
    counts = counts or Counter(record.config_hash for record in group)
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
