"""The lock on a record: two sweeps on one folder never make the same run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell

LOCKS = ".locks"  # the folder of locks, beside the tasks' records


@contextmanager
def claim(results: Path, cell: Cell, *, wait: bool = False) -> Iterator[bool]:
    """Hold a cell's lock.

    Yields whether the lock was got; with ``wait`` it always is. The lock is the operating
    system's: it goes when its holder dies, however it dies.

    Args:
        results: the folder of records.
        cell: the run to make.
        wait: until whoever holds the lock lets it go.

    Raises:
        RlidimError: the folder cannot be written, or the lock not be given back.
    """
    import filelock

    folder = results / LOCKS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{cell}.lock".replace("/", "--"))
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        yield False
        return
    except OSError as error:
        raise RlidimError(f"--results {results}: cannot be written ({error.strerror})") from error
    try:
        yield True
    except BaseException:
        with suppress(OSError):  # what is being raised says more
            lock.release()
        raise
    try:
        lock.release()
    except OSError as error:
        raise RlidimError(
            f"--results {results}: the lock of {cell} cannot be given back ({error.strerror}); it "
            "goes with this command"
        ) from error
