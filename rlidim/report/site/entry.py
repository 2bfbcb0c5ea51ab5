"""What the pages say of one measurement, in the same words everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from rlidim.records.measurement import Measurement
from rlidim.report import rows, text
from rlidim.report.site.track import MEASURED, UNDETERMINED, kind_of
from rlidim.statistics.estimate import Estimate
from rlidim.statistics.wording import NONE, in_short, interval, read, why_open

REINFORCEMENT, SUPERVISED, CALIBRATION = "reinforcement learning", "supervised", "calibration"
GROUPS = (REINFORCEMENT, SUPERVISED, CALIBRATION)


@dataclass(frozen=True)
class Entry:
    """A measurement with its place among the pages.

    Attributes:
        measurement: what is told of.
        name: the trainer, with projection and scope where those are ambiguous.
    """

    measurement: Measurement
    name: str

    @property
    def estimate(self) -> Estimate | None:
        """The estimate, if there is one."""
        return self.measurement.estimate

    @property
    def kind(self) -> str:
        """How it is drawn: see :func:`kind_of`."""
        unsolved = self.estimate is not None and self.estimate.scale.unsolved
        return kind_of(self.estimate, unsolved)

    @property
    def group(self) -> str:
        """The group of tasks that it stands in."""
        if self.measurement.known is not None:
            return CALIBRATION
        task = self.measurement.task
        supervised = task is not None and task.kind == "supervised"
        return SUPERVISED if supervised else REINFORCEMENT

    @property
    def reading(self) -> str:
        """The reading with its interval; where native training fails, that alone."""
        return in_short(self.estimate)

    @property
    def number(self) -> str:
        """The reading alone."""
        return NONE if self.kind == UNDETERMINED else read(self.estimate)

    @property
    def interval(self) -> str:
        """The interval alone."""
        return NONE if self.kind == UNDETERMINED else interval(self.estimate)

    @property
    def cost(self) -> str:
        """What the runs took of a core, native ones too."""
        return text.core_time(self.measurement.seconds)

    @property
    def runs(self) -> str:
        """How many runs there are: ``50 in subspaces, 5 native``."""
        return f"{len(self.measurement.runs)} in subspaces, {len(self.measurement.baseline)} native"

    @property
    def why(self) -> str | None:
        """Why it is no number with two bounds; None where it is one."""
        estimate = self.estimate
        if estimate is None:
            return self.measurement.reason
        if estimate.scale.unsolved:
            return text.scale_of(self.measurement, estimate)
        if estimate.unreached:
            return f"not even d = D = {estimate.D:,} passes"
        return None if self.kind == MEASURED else why_open(estimate)

    @property
    def difficulty(self) -> float:
        """What rows are sorted by; what has no reading comes last."""
        estimate = self.estimate
        if estimate is None or self.kind == UNDETERMINED:
            return float("inf")
        return rows.difficulty(estimate)

    @property
    def anchor(self) -> str:
        """Its place on the task's page."""
        return "-".join(self.measurement.names[1:]).replace(" ", "-")


def entries_of(measurements: Sequence[Measurement]) -> list[Entry]:
    """Return the entries of measurements that have an estimate, named as shortly as is clear."""
    names = text.short_names(measurements)
    return [
        Entry(measurement, ", ".join(parts))
        for measurement, (_, *parts) in zip(measurements, names, strict=True)
        if measurement.estimate is not None
    ]


def address(task: str) -> str:
    """Return the page of a task, from the results' first page."""
    return f"tasks/{quote(task)}.html"
