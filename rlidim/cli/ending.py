"""How a command ends: by a signal, for want of memory, or when nobody takes what it prints."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import click

from rlidim.cli.anywhere import without_own_options
from rlidim.errors import GO_ON, printable

ANEW = "nothing was left half-written; the same command begins anew"
RESUMABLE = "the run is not on record; with --resume it goes on from its last checkpoint, if any"
# Commands whose runs are recorded, and those of a task: of `train` the one run is begun anew where
# nobody asks for its checkpoint.
MAKES_RUNS = {"bench", "calibrate", "gpu"}
OF_A_TASK = {"measure": GO_ON, "train": RESUMABLE}
MISTAKE = 2  # exit codes: of what the user can mend
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
UNREAD = 128 + signal.SIGPIPE  # whoever read the output is gone, as 'head' when it has enough
STANDARD_ERROR = "standard error"
LONGEST_REASON = 200  # characters
GRACE = 10.0  # seconds that a terminated command has to end by itself
# What the loader of shared objects says where there is no memory for one.
NO_MEMORY = (
    "failed to map segment",
    "cannot allocate memory",
    "can't start new thread",
    "bad_alloc",
)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated on SIGTERM, once; end the process where that is to no avail.

    The handler that was there comes back. Where one was there already, or outside of the main
    thread, which alone may set one, nothing is changed.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one is enough, and closing takes a moment
        last = threading.Timer(GRACE, end_now)
        last.daemon = True
        last.start()
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_now() -> None:
    """End this process and its workers, whatever they are doing."""
    end_workers()
    os._exit(TERMINATED)


def end_workers() -> None:
    """Kill the processes that this one has started: a worker that was only half there, too."""
    if "multiprocessing" in sys.modules:
        import multiprocessing

        for process in multiprocessing.active_children():
            process.kill()


class UnwrittenError(Exception):
    """What a command printed could not be written: a full disk, or nobody reads any more."""

    def __init__(self, stream: str, error: OSError) -> None:
        """Remember which stream it was, and why."""
        super().__init__(f"{stream}: cannot be written ({error.strerror})")
        self.code = UNREAD if error.errno == errno.EPIPE else MISTAKE


class _Raw(io.FileIO):
    """A stream that raises UnwrittenError, once; what comes later is dropped.

    So is at once what a full disk does not take of standard error: no run is lost for a line about
    its progress.
    """

    def __init__(self, number: int, stream: str) -> None:
        super().__init__(number, "wb", closefd=False)
        self._stream, self._failed = stream, False

    def write(self, content: Any) -> int:
        if not self._failed:
            try:
                return super().write(content) or 0
            except OSError as error:
                self._failed = True
                if self._stream == STANDARD_ERROR and error.errno != errno.EPIPE:
                    return memoryview(content).nbytes
                raise UnwrittenError(self._stream, error) from error
        return memoryview(content).nbytes


def _watched(stream: Any, name: str) -> Any:
    """Return a text stream that raises UnwrittenError; one without a file stays as it is."""
    try:
        number = stream.fileno()
        stream.flush()
    except (AttributeError, OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Raw(number, name)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )


@contextlib.contextmanager
def _watching() -> Iterator[None]:
    """Have what is printed raise UnwrittenError, for a while."""
    before = sys.stdout, sys.stderr
    sys.stdout = _watched(sys.stdout, "standard output")
    sys.stderr = _watched(sys.stderr, STANDARD_ERROR)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def afterwards(words: Sequence[str]) -> str:
    """Return what is true of an interrupted command line: does it go on, or begin anew?

    Args:
        words: of the line, as :func:`rlidim.cli.anywhere.ordered` returns them.
    """
    command, *others = [*without_own_options(words), ""]
    if command in MAKES_RUNS:
        return GO_ON
    return next((OF_A_TASK[word] for word in others if word in OF_A_TASK), ANEW)


def code_of(command: Callable[[], object], afterwards: str = GO_ON) -> int:
    """Run a command, print one line about what ends it before its time, and return the exit code.

    Args:
        command: the command line, already bound to its arguments; returns its exit code or None.
        afterwards: what is said of an interruption.

    Raises:
        BaseException: what is nobody's mistake but ours, with its traceback.
    """
    with _watching():
        try:
            returned = command()
            _flush()
        except UnwrittenError as error:
            if error.code == UNREAD:
                return error.code
            return _failed(f"error: {error}", error.code)
        except (click.Abort, KeyboardInterrupt) as error:
            end_workers()
            if isinstance(error, Terminated) or isinstance(error.__cause__, Terminated):
                return _failed(f"terminated: {afterwards}", TERMINATED)
            return _failed(f"interrupted: {afterwards}", INTERRUPTED)
        except Exception as error:
            reason = _lack_of_memory(error)
            if reason is None:
                raise
            end_workers()
            return _failed(
                f"error: out of memory ({reason}): free some, or raise its limit", MISTAKE
            )
    return returned if isinstance(returned, int) else 0


def _failed(line: str, code: int) -> int:
    """Print a line and return the code; where it cannot be printed there is nobody to tell."""
    with contextlib.suppress(UnwrittenError):
        click.echo(line, err=True)
        _flush()
    return code


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _lack_of_memory(error: BaseException) -> str | None:
    """Return in what words an error, or what it comes from, says that there is no memory."""
    cause: BaseException | None = error
    while cause is not None:
        said = printable(str(cause), LONGEST_REASON)
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return said or type(cause).__name__
        if any(words in said.lower() for words in NO_MEMORY):
            return said
        cause = cause.__cause__ or cause.__context__
    return None
