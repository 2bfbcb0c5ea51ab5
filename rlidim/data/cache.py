"""The cache: decoded arrays as .npy files, written whole or not at all, by one process at a time.

Below the folder: ``downloads/<name>/``, ``decoded/<name>-<key>/``, ``locks/<name>.lock``. The key
stands for the checksums of the published files, so arrays of other content are never read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import numpy as np
from numpy.lib import format as npy

from rlidim.data.formats import Arrays, expected_shapes
from rlidim.data.home import folder
from rlidim.data.places import Copy
from rlidim.data.show import say
from rlidim.data.sources import Source
from rlidim.errors import RlidimError

LAYOUT = 1  # of the arrays: a change of it makes old caches invisible
VERIFIED = "verified.json"
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's error in a write into the user's.

    Raises:
        RlidimError: the file cannot be written, or the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise RlidimError(
                f"{path}: no space left; free some, or set RLIDIM_CACHE to a folder on another disk"
            ) from error
        raise RlidimError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "set RLIDIM_CACHE to a folder that can"
        ) from error


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the data set's lock, which ends with its holder, however that dies.

    Raises:
        RlidimError: the cache cannot be written.
    """
    path = folder() / "locks" / f"{name}.lock"
    file_lock = filelock.FileLock(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file_lock.acquire(timeout=0)
        except filelock.Timeout:
            say(f"{name}: another process prepares it, waiting")
            file_lock.acquire()
    try:
        yield
    finally:
        file_lock.release()


class Decoded:
    """The decoded arrays of one data set."""

    def __init__(self, name: str, source: Source) -> None:
        """Derive the folder; nothing is read."""
        checksums = [file.sha256[0] for edition in source.editions for file in edition.files]
        key = hashlib.sha256(json.dumps([LAYOUT, checksums]).encode()).hexdigest()[:16]
        self.name = name
        self.source = source
        self.folder = folder() / "decoded" / f"{name}-{key}"

    def read(self) -> Arrays | None:
        """Return the arrays, mapped and read-only, or None if they are not there or damaged."""
        arrays = {}
        for name, shape in expected_shapes(self.source).items():
            try:
                array = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                return None
            if array.shape != shape or array.dtype != np.uint8:
                return None
            arrays[name] = np.asarray(array)  # a plain view: the map stays its base
        return arrays

    def write(self, arrays: Arrays) -> None:
        """Put the arrays in the cache, all or none; the lock is held.

        Raises:
            RlidimError: they cannot be written.
        """
        with writing(self.folder):
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            for half_written in self.folder.parent.glob(f".{self.name}.*.tmp"):  # of the killed
                shutil.rmtree(half_written, ignore_errors=True)
            temporary = Path(
                tempfile.mkdtemp(dir=self.folder.parent, prefix=f".{self.name}.", suffix=".tmp")
            )
            try:
                for name, array in arrays.items():
                    _save(temporary / f"{name}.npy", array)
                temporary.chmod(0o755)
                if self.folder.exists():  # damaged, or it would not be written again
                    shutil.rmtree(self.folder)
                temporary.rename(self.folder)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise

    def knows(self, copy: Copy) -> bool:
        """Say whether the copy was verified before and is still the same."""
        return _stamps(copy).items() <= self._verified().items()

    def remember(self, copy: Copy) -> None:
        """Note that the copy was verified."""
        stamps = {**self._verified(), **_stamps(copy)}
        # A cache that may only be read serves as well; it verifies each time.
        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    json.dump(stamps, file)
                os.chmod(name, 0o644)
                os.replace(name, self.folder / VERIFIED)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def _verified(self) -> dict[str, list[int]]:
        try:
            content = json.loads((self.folder / VERIFIED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def _save(path: Path, array: np.ndarray) -> None:
    # By the file's own write: numpy's would hide that the disk is full behind an error of its own.
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(array))
        file.write(np.ascontiguousarray(array).data)
        file.flush()
        os.fsync(file.fileno())


def _stamps(copy: Copy) -> dict[str, list[int]]:
    stamps = {}
    for path in copy.paths:
        with contextlib.suppress(OSError):  # unreadable: its verification says so
            status = path.stat()
            stamps[str(path.resolve())] = [status.st_size, status.st_mtime_ns]
    return stamps
