"""What a run of a plan takes: by those on record, or else a guess by its budget."""

from __future__ import annotations

from collections.abc import Sequence

from rlidim.records.folder import Results
from rlidim.records.measurement import total_seconds
from rlidim.records.record import RunRecord
from rlidim.sweep.plan import Plan

# Of a run where none is on record, a guess that its first round replaces. The atlas gives a row its
# number of native runs by it: eight of some that then turn out to be long, until the next sitting.
UNKNOWN_SECONDS, STEPS_A_SECOND = 60.0, 5_000
SHORTEST = 1e-3  # seconds of a run: it divides


def seconds_of_a_run(plan: Plan, runs: Sequence[RunRecord]) -> float:
    """Return the core seconds that each of the runs took, or a guess where there are none."""
    if runs:
        return max(total_seconds(runs) / len(runs), SHORTEST)
    settings = plan.task.settings(plan.trainer)
    steps = getattr(settings, "n_timesteps", None)  # a trainer of the user's own may have any
    return steps / STEPS_A_SECOND if isinstance(steps, int | float) else UNKNOWN_SECONDS


def native_seconds(plan: Plan, results: Results | None) -> float:
    """Return the core seconds of a native run, a guess where none is on record.

    Raises:
        RlidimError: a native run's file is no record.
    """
    runs: list[RunRecord] = []
    while results is not None and (record := results.load(plan.native(len(runs)))):
        runs.append(record)
    return seconds_of_a_run(plan, runs)
