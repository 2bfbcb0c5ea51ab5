"""Native runs: those without runs in subspaces to compare, and the learning curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlidim.records.cell import RANDOM
from rlidim.records.measurement import (
    Measurement,
    baseline_scores,
    of_one_kind,
    random_beside,
    reaching,
    total_seconds,
    total_steps,
)
from rlidim.records.record import RunRecord
from rlidim.report import drawing, text
from rlidim.report.tables import Table
from rlidim.statistics.scale import HALF
from rlidim.statistics.wording import NONE, UNSOLVED
from rlidim.tasks.task import FRACTION, Task

WIDTH, HEIGHT = 7.2, 3.2  # inches


@dataclass(frozen=True)
class Baseline:
    """The native runs of a task and trainer that did not fail, at least one.

    Attributes:
        task: None if it has no file.
        name: of the task.
        trainer: of the runs.
        runs: by seed, all made with the same settings.
        random: the record of random actions, if there is one.
        warnings: a line for each group of records that is left out.
    """

    task: Task | None
    name: str
    trainer: str
    runs: tuple[RunRecord, ...]
    random: RunRecord | None
    warnings: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name in words: ``humanoid, ppo, native``."""
        return f"{self.name}, {self.trainer}, native"

    @property
    def stem(self) -> str:
        """The figure's file name, without an ending."""
        return f"native-{self.name}-{self.trainer}"

    @property
    def scores(self) -> list[float]:
        """The runs' scores; a run that diverged has that of random actions, if on record."""
        return baseline_scores(self.runs, self.random)

    @property
    def random_score(self) -> float | None:
        """The score of random actions, None where it is not on record."""
        return None if self.random is None else self.random.score

    @property
    def reaching(self) -> int | None:
        """How many runs get 0.9 of the way from random actions to the target.

        Where the score of random actions is not on record, those that reach the target itself, and
        thus at least so many. None where the task declares no target.
        """
        target = None if self.task is None else self.task.target
        if target is None:
            return None
        random = self.random_score
        if random is None:
            return sum(score >= target.score for score in self.scores)
        return reaching(self.scores, random, target.score)


def unmeasured(
    records: Iterable[RunRecord],
    measurements: Sequence[Measurement],
    tasks: Mapping[str, Task],
) -> list[Baseline]:
    """Return the native runs whose task and trainer have no measurement, by task and trainer."""
    measured = {(measurement.task_name, measurement.trainer) for measurement in measurements}
    groups: dict[tuple[str, str], dict[int, RunRecord]] = {}
    random: dict[str, RunRecord] = {}
    for record in records:
        key = record.cell.task, record.cell.trainer
        if record.cell.trainer == RANDOM:
            random[record.cell.task] = record
        elif record.cell.d is None and key not in measured and record.status != "failed":
            groups.setdefault(key, {}).setdefault(record.cell.seed, record)
    baselines = []
    for (name, trainer), by_seed in sorted(groups.items()):
        task = tasks.get(name)
        runs, warnings = of_one_kind(task, [by_seed[seed] for seed in sorted(by_seed)])
        chance = random_beside(random.get(name), runs[0].settings, warnings)
        baselines.append(Baseline(task, name, trainer, tuple(runs), chance, tuple(warnings)))
    return baselines


def of_unsolved(measurement: Measurement) -> Baseline | None:
    """Return the native runs of a measurement that says native unsolved, None of any other."""
    estimate = measurement.estimate
    if estimate is None or not estimate.scale.unsolved:
        return None
    runs = tuple(record for record in measurement.baseline if record.status != "failed")
    return Baseline(
        measurement.task,
        measurement.task_name,
        measurement.trainer,
        runs,
        measurement.random,
        warnings=(),  # the measurement's own
    )


def table(baselines: Sequence[Baseline]) -> Table:
    """Return one row for each baseline."""
    rows = []
    for baseline in baselines:
        task = baseline.task
        solved = None if task is None else task.problem.evaluation.solved
        count = len(baseline.runs)
        rows.append(
            (
                baseline.name,
                baseline.trainer,
                text.whole(max(record.D for record in baseline.runs)),
                text.spread(baseline.scores),
                text.number(solved),
                _reaching(baseline),
                text.whole(round(total_steps(baseline.runs) / count)),
                text.hours(total_seconds(baseline.runs) / count),
            )
        )
    header = (
        *("task", "trainer", "D", "score", "solved at", "native reach it"),
        *("steps a run", "core hours a run"),
    )
    notes = (
        "Score: mean ± standard deviation (seeds) of the best checkpoint on fresh episodes; a run "
        "that diverged counts as random actions do, one that failed not at all. Solved at: where "
        f"training stops. Native reach it: so many runs get {FRACTION:g} of the way from random "
        "actions to the task's target, where it declares one; native unsolved where fewer than "
        "half do; at least so many, by the whole target, where random actions are not on record. "
        "No run in a subspace is on record for these.",
    )
    return Table("Native training alone", header, tuple(rows), 2, notes)


def _reaching(baseline: Baseline) -> str:
    """Return how many runs reach the target, in words: ``1 of 3, native unsolved``."""
    reaching, count = baseline.reaching, len(baseline.scores)
    if reaching is None:
        return NONE
    if baseline.random_score is None:
        return f"{'at least ' if reaching < count else ''}{reaching} of {count}"
    return f"{reaching} of {count}{f', {UNSOLVED}' if reaching < HALF * count else ''}"


def plot_curves(baseline: Baseline, stem: Path) -> list[Path]:
    """Draw the learning curves, one for each seed; return the paths of the SVG and the PNG.

    Raises:
        RlidimError: a file cannot be written.
    """
    from matplotlib.figure import Figure

    with drawing.style():
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes: Any = figure.add_subplot()
        solved = None if baseline.task is None else baseline.task.problem.evaluation.solved
        if solved is not None:
            axes.axhline(solved, color=drawing.GREEN, linewidth=1, linestyle=(0, (4, 3)))
            axes.annotate(
                f"solved at {_number(solved)}",
                (0, solved),
                xycoords=("axes fraction", "data"),
                xytext=(4, 3),
                textcoords="offset points",
                ha="left",
                color=drawing.GREEN,
            )
        for record in baseline.runs:
            if record.curve:
                steps, scores = zip(*record.curve, strict=True)
                axes.step(steps, scores, where="post", color=drawing.BLUE, linewidth=1.4, alpha=0.8)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_number)
        unit = "steps" if baseline.task is None else baseline.task.steps
        axes.set_xlabel(unit)
        axes.set_ylabel("best checkpoint's score")
        axes.spines[["top", "right"]].set_visible(False)
        count = len(baseline.runs)
        runs = f"{count} run{'s' if count > 1 else ''}"
        axes.set_title(f"{baseline.label} ({runs})", loc="left")
        return drawing.save(figure, stem)


def _number(value: float, _: object = None) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"
