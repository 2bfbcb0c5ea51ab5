"""A run that hangs: said after a while, and ended where its time is limited."""

from __future__ import annotations

import contextlib
import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

from rlidim.errors import RlidimError
from rlidim.trainers.run import Report

QUIET = 60.0  # seconds without news of a run until a line says so; twice as many until the next
AGAIN = 5.0  # seconds until a run that has caught its end is ended anew
SOON = 0.1  # seconds until one is ended that was loading a module
IMPORTING = "<frozen importlib._bootstrap>"  # the file of the code that loads modules
GRACE = 20.0  # seconds that it then has left; code that never comes back to Python sees no signal
Tell = Callable[[str], None]


class TimedOut(BaseException):
    """The end of a run's time; no ``except Exception`` of an environment's catches it."""


class Limit:
    """The time that a run may take, as a context: TimedOut is raised within when it is over.

    It is raised by a signal, so that a ``step`` that waits or counts for ever ends too. One that is
    stuck in foreign code and never comes back ends its process, which is a worker's death.

    Attributes:
        seconds: None for no limit.
        passed: whether the time was over.
    """

    def __init__(self, seconds: float | None) -> None:
        """Set the limit.

        Raises:
            RlidimError: it is not above 0, or this is not the main thread, which alone hears
                signals.
        """
        if seconds is not None:
            check_timeout(seconds)
            if threading.current_thread() is not threading.main_thread():
                raise RlidimError("a timeout is for runs in a process's main thread: leave it out")
        self.seconds = seconds
        self.passed = self._over = False

    def __enter__(self) -> Self:
        """Start the clock."""
        if self.seconds is not None:
            self._before = signal.signal(signal.SIGALRM, self._end)
            signal.setitimer(signal.ITIMER_REAL, self.seconds, AGAIN)
            if sys.__stderr__ is not None:
                faulthandler.dump_traceback_later(
                    self.seconds + GRACE, exit=True, file=sys.__stderr__
                )
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the clock."""
        self._over = True  # lest a signal at this moment leave a clock running
        if self.seconds is not None:
            faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, self._before)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._over:
            return
        if _is_importing(frame):
            signal.setitimer(signal.ITIMER_REAL, SOON, AGAIN)
            return
        self.passed = True
        raise TimedOut

    def __str__(self) -> str:
        """Return what is said of a run whose time is over."""
        return f"took longer than --timeout {self.seconds:g} s allows"


def _is_importing(frame: FrameType | None) -> bool:
    """Say whether a module is being loaded: half of it would stay for the process's later runs."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False


def check_timeout(seconds: float) -> None:
    """Make sure that a limit is one.

    Raises:
        RlidimError: it is not above 0.
    """
    if not seconds > 0:
        raise RlidimError(f"--timeout must be above 0 seconds, got {seconds:g}")


def say(line: str) -> None:
    """Print a line on standard error, whichever it is at this moment."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def watched(name: str, report: Report, tell: Tell = say) -> Iterator[Report]:
    """Say where a run stands that has not reported for long, ever more rarely.

    Args:
        name: of the run.
        report: is told what the run reports.
        tell: is called with each line.

    Yields:
        The report for the run.
    """
    over = threading.Event()
    last = [time.monotonic(), 0.0]  # when it was, and the steps made by then
    runner = threading.get_ident()

    def heard(steps: int, score: float | None) -> None:
        last[:] = [time.monotonic(), steps]
        report(steps, score)

    def watch() -> None:
        patience = QUIET
        while not over.wait(patience - min(time.monotonic() - last[0], patience)):
            if time.monotonic() - last[0] < patience:
                continue
            place = _place(sys._current_frames().get(runner))
            tell(
                f"{name}: no news for {patience:.0f} s, after {last[1]:.0f} steps; now {place}; an "
                "episode without end, or a step that hangs, is ended by --timeout"
            )
            patience *= 2

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield heard
    finally:
        over.set()
        watcher.join()


def _place(frame: FrameType | None) -> str:
    """Return the line of code that a thread is at."""
    if frame is None:
        return "nowhere"
    return f"at {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
