"""Files in one piece: no reader ever sees half of one."""

from __future__ import annotations

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rlidim.errors import RlidimError


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that no reader ever sees half of it.

    What a process has left that was killed while it wrote the same file goes.

    Args:
        path: the file.
        content: its bytes.
        durable: wait for the disk, 2 ms; a copy that is looked at again the next time need not.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_unfinished(path)
    descriptor, name = _begin(path)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _begin(path: Path) -> tuple[int, str]:
    """Return the descriptor and name of a new file beside a path's, locked while it is written."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with suppress(OSError):  # where files have no locks nobody else can have this one's either
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, name
        os.close(descriptor)  # it was taken for a dead process's before it was locked


def clear_unfinished(path: Path) -> None:
    """Remove the halves of a file that nobody is writing any more: their writers were killed."""
    _clear(path.parent.glob(f".{glob.escape(path.name)}.*.tmp"))


def clear_unfinished_in(folder: Path) -> None:
    """Remove such halves of any file of a folder."""
    _clear(folder.glob(".*.tmp"))


def _clear(halves: Iterable[Path]) -> None:
    for half in halves:
        with suppress(OSError), half.open("rb") as file:  # or gone, or another's, or being written
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            half.unlink()


@contextmanager
def writing(path: Path, option: str = "--results") -> Iterator[None]:
    """Make of a failure to write what lies in an option's folder one line that names both.

    Raises:
        RlidimError: what is done within raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise RlidimError(
            f"{path}: cannot be written ({error.strerror}); choose another folder with {option}"
        ) from error


def try_writing(folder: Path) -> None:
    """Make a folder and, for a moment, a file in it.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_atomically(path: Path, text: str, option: str = "--results") -> None:
    """Write a file in one piece.

    Args:
        path: the file.
        text: its content.
        option: of the command line that names its folder.

    Raises:
        RlidimError: the folder or the file cannot be written.
    """
    with writing(path, option):
        replace_file(path, text.encode())
