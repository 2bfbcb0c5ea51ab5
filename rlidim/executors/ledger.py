"""What is on record and what may be written: claim a cell, check its file, write once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing

from rlidim.errors import RlidimError
from rlidim.executors.job import Job
from rlidim.executors.making import (
    ATTEMPTS,
    TIMEOUT,
    Attempt,
    Made,
    failure,
    make,
    make_together,
)
from rlidim.executors.stuck import Began
from rlidim.executors.watch import watched
from rlidim.records import checkpoints
from rlidim.records.cell import Cell
from rlidim.records.configuration import differences
from rlidim.records.folder import Results
from rlidim.records.lock import claim
from rlidim.records.record import RunRecord
from rlidim.solutions import file
from rlidim.trainers.run import Report, unheard

DEATH = "death"  # why a run stopped: its worker process died as often as it may
WORKER_DEATHS = 2  # a cell whose worker process died this often is recorded as failed


def finished(record: RunRecord) -> bool:
    """Say whether a record stands as it is: a failure does so only after its last attempt."""
    return record.status != "failed" or record.attempts >= ATTEMPTS


def died(record: RunRecord) -> bool:
    """Say whether a record is of a worker's deaths, or of a run whose time was over.

    The next command tries the cell again, the latter from its checkpoint if it has left one.
    """
    return record.stopped in (DEATH, TIMEOUT)


def check_settings(job: Job, record: RunRecord) -> None:
    """Make sure that a record on disk was made with the job's settings.

    Raises:
        RlidimError: it was not; the line names the file and the first setting that differs.
    """
    if record.config_hash == job.config_hash or superseded(job, record):
        return
    path = Results(job.results).path(job.cell)
    name, before, now = next(differences(record.settings, job.configuration), ("?", "?", "?"))
    raise RlidimError(
        f"{path}: was made with {name} = {before!r}, now it is {now!r}; "
        "choose other folders with --results and --log-dir, or move the file away"
    )


def superseded(job: Job, record: RunRecord) -> bool:
    """Say whether a record is of a failure under other settings: the job's may mend it."""
    return record.status == "failed" and record.config_hash != job.config_hash


def standing(job: Job) -> RunRecord | None:
    """Return the record on disk that the job builds on: a result, or a failure to be tried again.

    Raises:
        RlidimError: the file is no record of this cell, or was made with other settings.
    """
    earlier = Results(job.results).load(job.cell)
    if earlier is None or superseded(job, earlier) or died(earlier):
        return None
    check_settings(job, earlier)
    return earlier


def next_attempt(earlier: RunRecord | None) -> int:
    """Return the number of the attempt that follows a record."""
    return 1 if earlier is None else earlier.attempts + 1


def keep(job: Job, made: Made) -> RunRecord:
    """Write a run that was made under a claim: first what the record refers to, then the record.

    A record with numbers that JSON has not is kept as that of a failed run.

    Raises:
        RlidimError: a file cannot be written.
    """
    if made.solution is not None and job.log_dir is not None:
        file.write(job.log_dir / str(job.cell) / file.FILE, made.solution)
    try:
        Results(job.results).write(made.record)
    except ValueError as error:
        made = failure(job, f"the record cannot be written: {error}", made.record.attempts)
        Results(job.results).write(made.record)
    return made.record


def keep_end(job: Job, error: str, stopped: str, seconds: float = 0.0) -> RunRecord:
    """Record under a claim what has ended a run from outside, after so many seconds.

    What another sweep has put on record meanwhile stands.
    """
    earlier = standing(job)
    if earlier is not None and finished(earlier):
        return earlier
    return keep(job, failure(job, error, ATTEMPTS, stopped=stopped, seconds=seconds))


def record_end(job: Job, error: str, stopped: str, seconds: float) -> RunRecord | None:
    """Claim a cell and :func:`keep_end`; None if another sweep is making the run just now."""
    with claim(job.results, job.cell) as mine:
        return keep_end(job, error, stopped, seconds) if mine else None


def unnoted() -> None:
    """Do nothing as a run begins: nobody counts its time."""


def run(
    job: Job,
    wait_for_lock: bool = False,
    force: bool = False,
    report: Report = unheard,
    began: Began = unnoted,
) -> RunRecord | None:
    """Make one run and write its record, unless it is on disk already (``force``: even then).

    ``report`` is told the steps made and the score so far; ``began`` is called once the cell is
    claimed, from when on its time counts.

    Returns:
        The record, or None if another process is making this run at this moment.

    Raises:
        RlidimError: a mistake that only the user can mend, such as a folder of logs that cannot
            be written; nothing is recorded.
    """
    with claim(job.results, job.cell, wait=wait_for_lock) as mine:
        if not mine:
            return None
        began()
        earlier = None if force else standing(job)
        if earlier is not None and finished(earlier):
            return earlier
        with closing(_begin(job, earlier)) as attempt:
            with watched(str(job.cell), report) as heard:
                made = make(attempt, report=heard)
            return _keep_all(attempt, made)


def _begin(job: Job, earlier: RunRecord | None) -> Attempt:
    """Begin the attempt that follows a record, None for the first.

    Raises:
        RlidimError: its logs cannot be written.
    """
    logs = None
    if job.log_dir is not None:
        checkpoints.check_writable(job.log_dir)
        logs = job.log_dir / str(job.cell)
    return Attempt(job, next_attempt(earlier), logs)


def _keep_all(attempt: Attempt, made: Made) -> RunRecord:
    """Write a run and remove its checkpoint, from which only another attempt would go on."""
    record = keep(attempt.job, made)
    if attempt.logs is not None and finished(record) and not died(record):
        checkpoints.clear(attempt.logs)
    return record


def run_together(
    jobs: Sequence[Job], began: Began = unnoted
) -> Iterator[tuple[Job, RunRecord | None]]:
    """Make runs of one task and trainer side by side, each written as it ends: see :func:`run`.

    A run by itself may be of any trainer; of several ``began`` is not told, for their time has no
    limit.

    Yields:
        each job with its record, or None where another process is making this run.

    Raises:
        RlidimError: as :func:`run`; the records written so far stay.
    """
    if len(jobs) == 1:
        yield jobs[0], run(jobs[0], began=began)
        return
    with ExitStack() as every:
        attempts = []
        claims: dict[Cell, ExitStack] = {}
        for job in jobs:
            claims[job.cell] = own = every.enter_context(ExitStack())
            if not own.enter_context(claim(job.results, job.cell)):
                yield job, None
                continue
            earlier = standing(job)
            if earlier is not None and finished(earlier):
                own.close()
                yield job, earlier
                continue
            attempts.append(own.enter_context(closing(_begin(job, earlier))))
        if not attempts:
            return
        with watched(_names(attempts), unheard) as heard:
            for attempt, made in make_together(attempts, heard):
                job = attempt.job
                record = _keep_all(attempt, made)
                claims[job.cell].close()
                yield job, record


def _names(attempts: Sequence[Attempt]) -> str:
    """Return what runs side by side are called."""
    first = str(attempts[0].job.cell)
    return first if len(attempts) == 1 else f"{first} and {len(attempts) - 1} more"


def run_all(jobs: Sequence[Job], began: Began = unnoted) -> list[RunRecord | None]:
    """Make the runs of a batch; return their records, None as :func:`run` does, in order."""
    records = {job.cell: record for job, record in run_together(jobs, began)}
    return [records[job.cell] for job in jobs]


def run_when_free(
    job: Job, force: bool = False, report: Report = unheard, began: Began = unnoted
) -> RunRecord:
    """Run a job once nobody else is running it."""
    record = run(job, wait_for_lock=True, force=force, report=report, began=began)
    assert record is not None
    return record


def run_all_when_free(jobs: Sequence[Job], began: Began = unnoted) -> list[RunRecord | None]:
    """Run jobs, one after another, once nobody else is running them."""
    return [run_when_free(job, began=began) for job in jobs]
