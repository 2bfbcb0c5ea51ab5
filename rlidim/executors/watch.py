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
TICK = 1.0  # seconds between two looks at the time that a run has taken
LOOKS = 8  # that a short limit allows at least
LONGEST = 1e8  # seconds of a limit, three years: a clock has an end
AGAIN = 5.0  # seconds until a run that has caught its end is ended anew
IMPORTING = "<frozen importlib._bootstrap>"  # the file of the code that loads modules
# Code that never comes back to Python hears nothing. In a pool the main process ends it when its
# run has had so many seconds too many; elsewhere it ends the process after so many of a core.
OUTSIDE, INSIDE = 10.0, 20.0
Tell = Callable[[str], None]


class TimedOut(BaseException):
    """The end of a run's time; no ``except Exception`` of an environment's catches it."""


class Limit:
    """The time that a run may take, as a context: TimedOut is raised within when it is over.

    It is raised by a signal, so that a ``step`` that waits or counts for ever ends too. A pause
    (SIGSTOP, Ctrl-Z, the file that pauses the atlas) takes no time. One that is stuck in foreign
    code and never comes back is ended with its process.

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
            tick = min(TICK, self.seconds / LOOKS)
            self._longest, self._left = 2 * tick, self.seconds
            self._seen = time.monotonic(), time.process_time()
            self._before = signal.signal(signal.SIGALRM, self._look)
            signal.setitimer(signal.ITIMER_REAL, tick, tick)
            if sys.__stderr__ is not None:  # says where it was stuck, then ends as the signal does
                faulthandler.register(signal.SIGPROF, sys.__stderr__, all_threads=False, chain=True)
            self._allow(self.seconds)
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the clock."""
        self._over = True  # lest a signal at this moment leave a clock running
        if self.seconds is not None:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            faulthandler.unregister(signal.SIGPROF)
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, self._before)

    def _allow(self, seconds: float) -> None:
        """Let the process compute so long, and ``INSIDE``, without coming back to Python."""
        signal.setitimer(signal.ITIMER_PROF, seconds + INSIDE)

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self._over:
            return
        before, self._seen = self._seen, (time.monotonic(), time.process_time())
        passed, computed = (now - then for now, then in zip(self._seen, before, strict=True))
        # What is longer than between two looks was a pause, unless the process has computed
        # meanwhile: in foreign code, at whose end Python looks.
        self._left -= min(passed, max(self._longest, computed))
        self._allow(max(self._left, 0.0))
        if self._left > 0 or _is_importing(frame):
            return
        self._left = AGAIN
        self.passed = True
        raise TimedOut

    def __str__(self) -> str:
        """Return what is said of a run whose time is over."""
        return took_longer(self.seconds)


def took_longer(seconds: float | None) -> str:
    """Return what is said of a run that took longer than it may."""
    return f"took longer than --timeout {seconds:g} s allows"


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
    if not 0 < seconds <= LONGEST:
        raise RlidimError(
            f"--timeout must be above 0 seconds, at most {LONGEST:,.0f}, got {seconds:g}"
        )


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
    last = [0.0, 0.0]  # the seconds of silence since, pauses left out, and the steps made by then
    runner = threading.get_ident()

    def heard(steps: int, score: float | None) -> None:
        last[:] = [0.0, steps]
        report(steps, score)

    def watch() -> None:
        patience, tick = QUIET, min(TICK, QUIET / LOOKS)
        seen = time.monotonic()
        while not over.wait(tick):
            before, seen = seen, time.monotonic()
            last[0] += min(seen - before, 2 * tick)  # what is longer was a pause
            if last[0] < patience:
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
