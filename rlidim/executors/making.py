"""One run made, wherever that is: from a job to a record, with nothing read or claimed."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.devices import device
from rlidim.errors import MachineLostError, RlidimError
from rlidim.executors.job import Job
from rlidim.executors.watch import Limit, say
from rlidim.records.cell import Seeds
from rlidim.records.checkpoints import Checkpoints, Spent
from rlidim.records.provenance import hardware, versions
from rlidim.records.record import Outcome, RunRecord, digest, encode, thinned
from rlidim.trainers.logs import Log
from rlidim.trainers.run import Report, Run, is_resumable, train, train_together, unheard

if TYPE_CHECKING:
    from rlidim.trainers.evolution.population import Worker

CHECKPOINT_FORMAT = 6  # another one's checkpoints are not read
DIED = "the worker process died (killed, or out of memory)"
ATTEMPTS = 2  # a cell that fails is tried once more, then left as failed
TIMEOUT = "timeout"  # why a run stopped: its time was over
RECORDED = 20_000  # numbers of theta_d that a record holds at most: 100 kB


@dataclass(frozen=True)
class Made:
    """A run just made, not yet on disk.

    Attributes:
        record: what is to be written.
        solution: the content of the solution's file, if the solution is too long for the record.
    """

    record: RunRecord
    solution: bytes | None = None


class Attempt:
    """A job on its way to a record: what is known of it before it ends.

    Attributes:
        job: the cell; of its folders none is touched.
        logs: where the trainer writes what it likes; None: nothing.
        raised: by its report, which is no fault of the run's; None: nothing.
    """

    raised: BaseException | None = None
    _record: RunRecord | None = None  # once it has ended

    def __init__(self, job: Job, number: int, logs: Path | None) -> None:
        """Begin.

        Args:
            job: the cell.
            number: how often the cell was tried, this time included.
            logs: where the trainer writes what it likes; None: nothing.
        """
        self.job, self.logs = job, logs
        self._number = number
        self._seeds = Seeds.of(job.cell)
        self._started = datetime.now(UTC)
        self._checkpoints = _checkpoints(job, self._seeds, logs)
        self._log = Log(job.log, logs, job.cell, job.configuration)

    def run(self, report: Report, worker: Callable[[], Worker] | None = None) -> Run:
        """Return what the trainer is given.

        Args:
            report: is told the steps made and the score so far.
            worker: makes the processes that a run is split over; None: processes of this machine.
        """
        job, log = self.job, self._log

        def heard(steps: int, score: float | None) -> None:
            try:
                if log.names and score is not None:
                    log.write(steps, {"score": score})
                report(steps, score)
            except BaseException as error:
                self.raised = error
                raise

        return Run(
            job.task,
            job.cell,
            self._seeds,
            heard,
            self.logs,
            self._checkpoints,
            job.processes,
            worker,
            log if log.names else None,
        )

    def close(self) -> None:
        """Finish the logs, once the record is kept; what cannot be written of them is said.

        Nothing of a result depends on a log, and a server may take long to answer.
        """
        record = self._record
        ok = record is not None and record.status != "failed"
        score = None if record is None else record.score
        for reason in self._log.close(score, failed=not ok):
            say(f"{self.job.cell}: {reason}")

    def done(self, outcome: Outcome, spent: Spent) -> Made:
        """Return the run, from what came out and what it took since it began or was taken up."""
        made = self._made(_record(self.job, self._seeds, outcome, None, self._number), spent)
        if self.job.log_dir is not None and too_long(outcome):
            return dataclasses.replace(made, solution=_solution(outcome, self._seeds))
        return made

    def failed(self, error: str, spent: Spent) -> Made:
        """Return the run as failed, with a traceback."""
        return self._made(_record(self.job, self._seeds, None, error, self._number), spent)

    def timed_out(self, error: str, spent: Spent) -> Made:
        """Return the run as failed because its time was over, which a line says."""
        record = _record(self.job, self._seeds, None, error, ATTEMPTS)
        return self._made(dataclasses.replace(record, stopped=TIMEOUT), spent)

    def _made(self, record: RunRecord, spent: Spent) -> Made:
        self._record = record
        provenance: dict[str, Any] = {"started": self._started.isoformat(timespec="seconds")}
        checkpoints = self._checkpoints
        if checkpoints is not None:
            spent += checkpoints.spent
            if checkpoints.resumed is not None:
                provenance["resumed_at"] = checkpoints.resumed
            if checkpoints.note is not None:
                provenance["checkpoint_not_used"] = checkpoints.note
            if checkpoints.unwritten is not None:
                provenance["checkpoint_not_written"] = checkpoints.unwritten
        if self.job.processes > 1:
            provenance["processes"] = self.job.processes
        provenance |= {
            "seconds": round(spent.seconds, 3),
            "cpu_seconds": round(spent.cpu_seconds, 3),
            "versions": versions(),
            "hardware": hardware(),
            "arithmetic": arithmetic(),
        }
        return Made(dataclasses.replace(record, provenance=provenance))


def make(
    attempt: Attempt,
    worker: Callable[[], Worker] | None = None,
    report: Report = unheard,
) -> Made:
    """Make one run with one thread.

    Args:
        attempt: the run, closed by the caller.
        worker: makes the processes that a run is split over; None: processes of this machine.
        report: is told the steps made and the score so far.

    Returns:
        The run; one that failed is among them: its record holds the traceback, or that its time
        was over.

    Raises:
        RlidimError: a mistake that only the user can mend.
        MachineLostError: a worker elsewhere is gone.
        BaseException: what ``report`` raises; nothing is said of the run.
    """
    limit = Limit(attempt.job.timeout)
    began = Spent.now()

    def spent() -> Spent:
        return Spent.now() - began

    try:
        with one_thread(), limit:
            outcome: Any = train(attempt.run(report, worker))  # whatever a user's own returns
        if not isinstance(outcome, Outcome):
            raise TypeError(f"the trainer returned {outcome!r:.60}, an Outcome is expected")
        outcome = outcome.in_plain_numbers()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in an environment too: it ends the run alone
        if limit.passed:
            return attempt.timed_out(f"{attempt.job.cell}: {limit}", spent())
        if attempt.raised is not None:
            raise attempt.raised from None
        if isinstance(error, RlidimError | MachineLostError):
            raise
        return attempt.failed(traceback.format_exc(), spent())
    else:
        return attempt.done(outcome, spent())


def make_together(
    attempts: Sequence[Attempt], report: Report = unheard
) -> Iterator[tuple[Attempt, Made]]:
    """Make runs of one task and trainer side by side, with one thread; yield each as it ends.

    Args:
        attempts: the runs, closed by the caller.
        report: is told the steps made and the score so far of any of them.

    Raises:
        RlidimError: a mistake that only the user can mend.
        BaseException: what ``report`` raises; nothing is said of the runs that have not ended.
    """
    going = dict(enumerate(attempts))
    began = Spent.now()
    try:
        with one_thread():
            for made in train_together([attempt.run(report) for attempt in attempts]):
                attempt = going.pop(made.place)
                if made.outcome is None:
                    yield attempt, attempt.failed(str(made.error), made.spent)
                else:
                    yield attempt, attempt.done(made.outcome, made.spent)
    except (KeyboardInterrupt, GeneratorExit, RlidimError):
        raise
    except BaseException:  # all that go on are of this process
        for attempt in attempts:
            if attempt.raised is not None:
                raise attempt.raised from None
        error, spent = traceback.format_exc(), (Spent.now() - began) / max(1, len(going))
        for attempt in going.values():
            yield attempt, attempt.failed(error, spent)


def arithmetic() -> dict[str, Any]:
    """Return what a run's rounding depends on, beside its versions and processor.

    Returns:
        instruction_set, that the C++ kernels take: avx512, avx2 or portable, None without them;
        torch_capability, that torch's kernels take: AVX512, AVX2, DEFAULT or another processor's;
        threads, of torch while it trains.
    """
    import torch

    from rlidim.projections import cpp_kernels

    with one_thread():
        return {
            "instruction_set": cpp_kernels.instruction_set(),
            "torch_capability": torch.backends.cpu.get_cpu_capability(),
            "threads": torch.get_num_threads(),
        }


def _checkpoints(job: Job, seeds: Seeds, logs: Path | None) -> Checkpoints | None:
    """Return the run's checkpoints, None for a trainer that makes none or has no place for them."""
    if logs is None or not is_resumable(job.task, job.cell.trainer):
        return None
    about = {
        "format": CHECKPOINT_FORMAT,
        "settings": job.config_hash,
        "seeds": dataclasses.asdict(seeds),
        "versions": versions(),
        # Networks on frames are on a GPU where there is one, which rounds otherwise.
        "device": str(device()) if job.task.problem.on_device else "cpu",
    }
    return Checkpoints(logs, about, resume=job.resume)


def failure(
    job: Job, error: str, attempts: int, stopped: str = "error", seconds: float = 0.0
) -> Made:
    """Return the record of a run that came to nothing outside of its trainer.

    Args:
        job: the cell.
        error: what happened, a line.
        attempts: how often the cell was tried.
        stopped: why the run ended.
        seconds: that it took, which count for a budget.
    """
    record = _record(job, Seeds.of(job.cell), None, error, attempts)
    provenance = {"seconds": seconds, "versions": versions(), "hardware": hardware()}
    return Made(dataclasses.replace(record, stopped=stopped, provenance=provenance))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, so that a result depends neither on the pool nor on the machine."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def _solution(outcome: Outcome, seeds: Seeds) -> bytes:
    from rlidim.projections.spec import ProjectionSpec
    from rlidim.solutions import file

    confined = outcome.theta_d is not None
    return file.serialise(
        file.Solution(
            spec=None if outcome.spec is None else ProjectionSpec.from_json(outcome.spec),
            theta_d=outcome.theta_d,
            theta_0_seed=seeds.theta_0 if confined else None,
            theta_0=outcome.theta,
            network=outcome.network,
            versions=versions(),
        )
    )


def too_long(outcome: Outcome) -> bool:
    """Say whether a solution is kept out of its record: a native one, or one of a large d."""
    if outcome.theta_d is None:
        return outcome.theta is not None
    return outcome.theta_d.size > RECORDED


def _record(
    job: Job, seeds: Seeds, outcome: Outcome | None, error: str | None, attempts: int
) -> RunRecord:
    common: dict[str, Any] = {
        "cell": job.cell,
        "seeds": seeds,
        "settings": job.configuration,
        "config_hash": job.config_hash,
        "attempts": attempts,
        "provenance": {},
    }
    if outcome is None:
        return RunRecord(
            status="failed",
            score=None,
            returns=(),
            D=0,
            environment_steps=0,
            curve=(),
            stopped="error",
            solution=None,
            details={},
            error=error,
            **common,
        )
    solution: dict[str, Any] | None = None
    if outcome.theta_d is not None:
        solution = {
            "spec": outcome.spec,
            "theta_0_seed": seeds.theta_0,
            "theta_d": None if too_long(outcome) else encode(outcome.theta_d),
            "network": outcome.network,
        }
        if too_long(outcome):
            solution["sha256"] = digest(outcome.theta_d)
    elif outcome.theta is not None:
        solution = {"network": outcome.network, "sha256": digest(outcome.theta)}
    returns = tuple(float(value) for value in outcome.returns)
    return RunRecord(
        status=outcome.status,
        score=sum(returns) / len(returns) if outcome.status == "ok" else None,
        returns=returns,
        D=outcome.D,
        environment_steps=outcome.environment_steps,
        curve=thinned(outcome.curve),
        stopped=outcome.stopped,
        solution=solution,
        details=outcome.details,
        error=None,
        **common,
    )
