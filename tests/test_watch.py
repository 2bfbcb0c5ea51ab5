"""A run that hangs says so after a while, and ends where its time is limited."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from rlidim.errors import RlidimError
from rlidim.executors import ledger, making, stuck, watch
from rlidim.executors.job import Job
from rlidim.executors.ledger import died, finished, run
from rlidim.executors.local import ProcessPool
from rlidim.records.cell import Cell
from rlidim.records.checkpoints import FILE
from rlidim.records.folder import Results
from rlidim.records.record import Outcome
from rlidim.tasks.problems import Environment
from tests.test_executors import CELLS, COMMAND, jobs, outcome, quick

HANGS = ["Endless-v0", "Hanging-v0"]


def hanging(identity: str, **kwargs: Any) -> Any:
    """Return a task whose runs never end."""
    return quick().replace_problem(
        environment=Environment(id=f"tests.deadly:{identity}", kwargs=kwargs)
    )


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    executor = ProcessPool(2)
    yield executor
    executor.close()


@pytest.mark.parametrize("identity", HANGS)
def test_a_run_without_end_is_a_failed_record_of_one_line(tmp_path: Path, identity: str) -> None:
    job = Job(hanging(identity), CELLS[0], tmp_path, timeout=0.5)
    record = run(job)
    assert record is not None
    assert (record.status, record.stopped) == ("failed", making.TIMEOUT), record.error
    assert record.error == f"{CELLS[0]}: took longer than --timeout 0.5 s allows"
    assert Results(tmp_path).load(CELLS[0]) == record
    assert finished(record)  # not tried again by this command
    assert died(record)  # but by the next


def test_in_a_pool_it_costs_no_other_run(tmp_path: Path, pool: ProcessPool) -> None:
    endless = Job(hanging("Hanging-v0"), CELLS[0], tmp_path, timeout=1.0)
    records = {record.cell: record for record in pool.run([endless, *jobs(tmp_path, CELLS[1:])])}
    assert records.keys() == set(CELLS)
    assert records[CELLS[0]].stopped == making.TIMEOUT
    assert {record.status for cell, record in records.items() if cell != CELLS[0]} == {"ok"}


@pytest.mark.slow
def test_code_that_never_comes_back_ends_its_process_not_its_run(
    tmp_path: Path, pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "OUTSIDE", 0.5)
    lost = Job(hanging("Stuck-v0"), CELLS[0], tmp_path, timeout=4.0)
    records = {record.cell: record for record in pool.run([lost, *jobs(tmp_path, CELLS[1:])])}
    assert records.keys() == set(CELLS)
    record = records.pop(CELLS[0])
    assert (record.status, record.stopped) == ("failed", making.TIMEOUT)
    assert record.error == (
        f"{CELLS[0]}: took longer than --timeout 4 s allows, in code that never came back to Python"
    )
    assert Results(tmp_path).load(CELLS[0]) == record
    # Whose processes went with that one's are none the worse for it.
    assert {(other.status, other.attempts) for other in records.values()} == {("ok", 1)}


@pytest.mark.slow
def test_a_pool_that_broke_unnoticed_leaves_the_limit_of_those_in_the_next(
    tmp_path: Path, pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "OUTSIDE", 0.5)
    monkeypatch.setattr(ledger, "WORKER_DEATHS", 1)
    short, lost, later = CELLS[:3]
    given = [
        *jobs(tmp_path, [short]),
        Job(hanging("Hanging-v0"), lost, tmp_path),
        Job(hanging("Stuck-v0"), later, tmp_path, timeout=4.0),
    ]
    stopped: dict[Cell, str] = {}
    for record in pool.run(given):
        if not stopped:  # nobody sees the pool break before the third run begins, in another
            for process in pool._processes():
                process.kill()
            time.sleep(0.5)
        stopped[record.cell] = record.stopped
    assert (stopped[lost], stopped[later]) == (ledger.DEATH, making.TIMEOUT)


BUSY = """
import sys
from pathlib import Path
from rlidim.executors import watch
from rlidim.executors.job import Job
from rlidim.executors.ledger import run
from tests.test_watch import CELLS, hanging

watch.INSIDE = 0.5
run(Job(hanging("Stuck-v0"), CELLS[0], Path(sys.argv[1]), timeout=4.0))
"""


@pytest.mark.slow
def test_without_a_pool_it_ends_the_process_and_says_where(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUSY, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGPROF
    assert "deadly.py" in done.stderr
    assert "in step" in done.stderr


PAUSED = """
import time
from rlidim.executors import watch

with watch.Limit(2.0):
    print("begun", flush=True)
    time.sleep(0.5)
print("ended", flush=True)
"""


def test_a_pause_takes_no_time() -> None:
    with subprocess.Popen([sys.executable, "-c", PAUSED], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGSTOP)
        time.sleep(4.0)
        run.send_signal(signal.SIGCONT)
        assert run.stdout.readline() == "ended\n"
    assert run.returncode == 0


def test_a_paused_worker_is_not_taken_for_one_that_is_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the atlas pauses, or somebody with kill -STOP."""
    monkeypatch.setattr(stuck, "OUTSIDE", 0.2)
    watched = stuck.Watch(1, get_context("spawn"))
    place = watched.take(Job(quick(), CELLS[0], tmp_path, timeout=0.3))

    def ended(seconds: float) -> stuck.Place | None:
        until, found = time.monotonic() + seconds, None
        while found is None and time.monotonic() < until:
            found = watched.end_stuck([place])
            time.sleep(0.05)
        return found

    assert ended(1.0) is None  # no process has begun
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        watched.processes[place.index] = sleeper.pid
        sleeper.send_signal(signal.SIGSTOP)
        assert ended(1.5) is None
        assert sleeper.poll() is None
        sleeper.send_signal(signal.SIGCONT)
        assert ended(60.0) is place
    assert sleeper.returncode == -signal.SIGKILL


def test_an_environment_that_catches_every_exception_is_ended(tmp_path: Path) -> None:
    job = Job(hanging("Hanging-v0", patiently=True), CELLS[0], tmp_path, timeout=0.5)
    record = run(job)
    assert record is not None
    assert record.stopped == making.TIMEOUT


def test_an_environment_that_cannot_be_made_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the end of its time is turned into on its way is the end of its time."""

    def turns(run: Any) -> Outcome:
        try:
            time.sleep(3600)
        except watch.TimedOut as error:
            raise RlidimError("the environment cannot be made") from error
        raise AssertionError

    monkeypatch.setattr(making, "train", turns)
    record = run(Job(quick(), CELLS[0], tmp_path, timeout=0.2))
    assert record is not None
    assert record.stopped == making.TIMEOUT


def test_a_module_is_loaded_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of one would stay in the process, for all its later runs."""
    (tmp_path / "slow_to_load.py").write_text(
        "import time\nbegan = time.monotonic()\n"
        "while time.monotonic() - began < 0.5: pass\nwhole = 1"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def load() -> None:
        import slow_to_load  # type: ignore[import-not-found]

        assert slow_to_load.whole == 1
        time.sleep(3600)

    with pytest.raises(watch.TimedOut), watch.Limit(0.1):
        load()
    assert sys.modules.pop("slow_to_load").whole == 1


def test_the_limit_is_no_setting(tmp_path: Path) -> None:
    first = run(jobs(tmp_path)[0])
    limited = Job(quick(), CELLS[0], tmp_path, timeout=1e6)
    assert limited.config_hash == jobs(tmp_path)[0].config_hash
    assert run(limited) == first


def test_the_next_command_goes_on_from_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(quick(), CELLS[0], tmp_path / "results", tmp_path / "runs", timeout=0.2)
    checkpoint = tmp_path / "runs" / str(CELLS[0]) / FILE

    def hangs(run: Any) -> Outcome:
        checkpoint.parent.mkdir(parents=True)
        checkpoint.write_bytes(b"the last one")
        time.sleep(3600)
        raise AssertionError

    monkeypatch.setattr(making, "train", hangs)
    assert run(job) is not None
    assert checkpoint.exists()
    monkeypatch.setattr(making, "train", lambda run: outcome())
    record = run(job)
    assert record is not None
    assert (record.status, record.attempts) == ("ok", 1)
    assert not checkpoint.exists()


def test_a_limit_leaves_no_clock_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with watch.Limit(1000.0):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) == before


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_no_time_is_refused(seconds: float) -> None:
    for limited in (watch.Limit, lambda timeout: ProcessPool(1, timeout=timeout)):
        with pytest.raises(RlidimError, match="--timeout must be above 0 seconds"):
            limited(seconds)


def test_another_thread_hears_no_signals() -> None:
    said: list[str] = []

    def limit() -> None:
        try:
            watch.Limit(1.0)
        except RlidimError as error:
            said.append(str(error))

    thread = threading.Thread(target=limit)
    thread.start()
    thread.join()
    assert "main thread" in said[0]


def test_a_run_without_news_says_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET", 0.05)
    lines: list[str] = []
    reports: list[tuple[int, float | None]] = []
    with watch.watched("a run", lambda *news: reports.append(news), lines.append) as report:
        report(40, None)
        while len(lines) < 2:
            time.sleep(0.01)
    assert reports == [(40, None)]
    assert lines[0].startswith("a run: no news for 0 s, after 40 steps; now at ")
    assert f"{Path(__file__).name}:" in lines[0]
    assert "--timeout" in lines[0]


def test_a_run_with_news_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUIET", 3600.0)
    lines: list[str] = []
    with watch.watched("a run", lambda *news: None, lines.append) as report:
        report(1, 1.0)
    assert lines == []


SILENT = """
import sys
import time
from rlidim.executors import watch

watch.QUIET = 2.0
with watch.watched("a run", lambda *news: None):
    print("begun", flush=True)
    sys.stdin.readline()
    time.sleep(0.6)  # some looks more
"""


def test_a_pause_is_no_silence() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SILENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        child.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        child.send_signal(signal.SIGCONT)
        said = child.communicate("\n")[1]
    assert child.returncode == 0
    assert said == ""


YAML = """title: hangs
environment: {id: "tests.deadly:Endless-v0"}
network: {hidden: []}
trainers:
  cmaes: {n_timesteps: 1000}
"""


@pytest.mark.parametrize(
    "command",
    [
        "train --dim 1",
        pytest.param("measure --dims 1 --seeds 1 --workers 1", marks=pytest.mark.slow),
    ],
)
def test_on_the_command_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "hangs.yml").write_text(YAML)
    done = subprocess.run(
        [*COMMAND, "--envs", ".", "hangs", *command.split(), "--timeout", "1s"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    if command.startswith("train"):
        assert done.returncode == 1
        assert "took longer than --timeout 1 s allows" in said[-1]
    else:
        assert done.returncode == 2
        assert said[-1].startswith("error: hangs: no estimate")
    records, problems = Results(tmp_path / "results").scan()
    assert problems == []
    assert {record.stopped for record in records} == {making.TIMEOUT}


def test_waiting_for_another_sweep_s_run_is_no_time_of_a_run_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places = [0]
    monkeypatch.setattr(stuck, "_processes", None)
    stuck.begin(places)

    def work(name: str, began: stuck.Began) -> int:
        assert places == [0], "it waits for its lock still"
        began()
        return places[0]

    assert stuck.run_at(0, work, "a run") == os.getpid()
