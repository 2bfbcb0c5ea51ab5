"""The published formats: idx files (LeCun 1998) and CIFAR-10's pickled batches (Krizhevsky 2009).

Every file is verified first, by the SHA-256 of the very bytes that are decoded.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import math
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlidim.data.places import Copy
from rlidim.data.sources import CLASSES, File, Source
from rlidim.errors import RlidimError

Images = NDArray[np.uint8]
Arrays = dict[str, Images]

UNSIGNED_BYTE = b"\x00\x00\x08"  # how an idx file of bytes begins
ARCHIVE_FOLDER = "cifar-10-batches-py"
BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError, tarfile.TarError)  # when unpacking


def expected_shapes(source: Source) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the four arrays by their names in ``DataSet``."""
    return {
        "train_images": (source.train, *source.shape),
        "train_labels": (source.train,),
        "test_images": (source.test, *source.shape),
        "test_labels": (source.test,),
    }


def verify(copy: Copy) -> None:
    """Check the SHA-256 of every file.

    Raises:
        RlidimError: a file cannot be read, or is not the published one.
    """
    for file, path in zip(copy.edition.files, copy.paths, strict=True):
        _opened(path, file).close()


def decode(source: Source, copy: Copy) -> Arrays:
    """Return the four arrays: images uint8 (N, C, H, W), labels uint8 (N,).

    Raises:
        RlidimError: a file cannot be read, is not the published one, or holds another array than
            expected.
    """
    arrays = DECODERS[copy.edition.format](source, copy)
    for name, shape in expected_shapes(source).items():
        if arrays[name].shape != shape:
            raise RlidimError(f"{copy.folder}: {name} {arrays[name].shape}, expected {shape}")
        if name.endswith("labels") and arrays[name].max(initial=0) >= CLASSES:
            raise RlidimError(f"{copy.folder}: {name}: a label is not below {CLASSES}")
    return arrays


def digest(file: io.BufferedReader) -> str:
    """Return the SHA-256 of a file from its current position on."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path, file: File) -> io.BufferedReader:
    """Open a file, verified, at its beginning."""
    try:
        opened = path.open("rb")
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        _check(digest(opened), path, file)
        opened.seek(0)
    except OSError as error:
        opened.close()
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error
    except BaseException:
        opened.close()
        raise
    return opened


def _check(checksum: str, where: Path | str, file: File) -> None:
    if checksum not in file.sha256:
        raise RlidimError(
            f"{where}: not the published file: its SHA-256 is {checksum}, expected {file.sha256[0]}"
        )


def _read_idx_files(source: Source, copy: Copy) -> Arrays:
    parsed = []
    for file, path in zip(copy.edition.files, copy.paths, strict=True):
        with _opened(path, file) as opened:
            try:
                content = gzip.decompress(opened.read())
            except BROKEN as error:
                raise RlidimError(f"{path}: cannot be unpacked ({error})") from error
        array = parse_idx(content, path)
        parsed.append(array[:, None] if array.ndim == 3 else array)
    return dict(zip(expected_shapes(source), parsed, strict=True))


def parse_idx(content: bytes, where: Path) -> Images:
    """Return the array of an idx file of unsigned bytes, in the shape of its header.

    Raises:
        RlidimError: another type, or shorter or longer than its header says.
    """
    if len(content) < 4 or content[:3] != UNSIGNED_BYTE:
        raise RlidimError(f"{where}: not an idx file of bytes: begins with {content[:4].hex()}")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise RlidimError(f"{where}: ends within its header")
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise RlidimError(f"{where}: {len(content)} bytes, expected {expected} for {shape}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _read_batches(source: Source, copy: Copy) -> Arrays:
    contents = {}
    for file, path in zip(copy.edition.files, copy.paths, strict=True):
        with _opened(path, file) as opened:
            contents[file.name] = opened.read()
    return _join(source, copy, copy.edition.files, contents)


def _read_archive(source: Source, copy: Copy) -> Arrays:
    """Read members by their names; nothing is ever extracted to the disk."""
    wanted = {f"{ARCHIVE_FOLDER}/{member.name}": member.name for member in copy.edition.members}
    contents = {}
    (path,) = copy.paths
    with _opened(path, copy.edition.files[0]) as opened:
        try:
            with tarfile.open(fileobj=opened, mode="r:*") as archive:
                for member in archive:
                    # Nothing is extracted, but such a name is meant to harm those who do.
                    for name in (member.name, member.linkname):
                        if name.startswith("/") or ".." in name.split("/"):
                            raise RlidimError(f"{path}: refused: '{name}' leaves the folder")
                    if member.name in wanted and member.isreg():
                        stream = archive.extractfile(member)
                        contents[wanted[member.name]] = b"" if stream is None else stream.read()
        except BROKEN as error:
            raise RlidimError(f"{path}: cannot be unpacked ({error})") from error
    for name, short in wanted.items():
        if short not in contents:
            raise RlidimError(f"{path}: holds no {name}")
    return _join(source, copy, copy.edition.members, contents)


def _join(
    source: Source, copy: Copy, files: tuple[File, ...], contents: dict[str, bytes]
) -> Arrays:
    """Verify and unpickle the batches, of which the last is the test set."""
    images, labels = [], []
    for file in files:
        where = copy.folder / file.name
        content = contents.pop(file.name)
        _check(hashlib.sha256(content).hexdigest(), where, file)
        batch = _unpickle(content, where, source)
        images.append(batch[0])
        labels.append(batch[1])
    return {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": np.concatenate(labels[:-1]),
        "test_images": images[-1],
        "test_labels": labels[-1],
    }


class _Unpickler(pickle.Unpickler):
    """Builds arrays of numbers and nothing else, whatever the file asks for."""

    # As numpy 1 and numpy 2 call it; taken from an array, for both modules are private.
    _RECONSTRUCT = np.empty(0).__reduce__()[0]
    _ALLOWED: dict[tuple[str, str], Any] = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class.

        Raises:
            UnpicklingError: it is not allowed.
        """
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return self._ALLOWED[module, name]


def _unpickle(content: bytes, where: Path, source: Source) -> tuple[Images, Images]:
    """Return a batch's images (n, C, H, W) and labels (n,)."""
    try:
        batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
        images, labels = batch[b"data"], batch[b"labels"]
        return (
            np.ascontiguousarray(images, dtype=np.uint8).reshape(-1, *source.shape),
            np.array(labels, dtype=np.uint8).reshape(len(images)),
        )
    except Exception as error:  # pickle documents no list of its exceptions
        raise RlidimError(f"{where}: not a batch of CIFAR-10 ({error})") from error


DECODERS: dict[str, Callable[[Source, Copy], Arrays]] = {
    "idx": _read_idx_files,
    "archive": _read_archive,
    "batches": _read_batches,
}
