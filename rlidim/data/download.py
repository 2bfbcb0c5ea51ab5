"""Downloads: over https from several mirrors in turn, resumed where they broke off, verified.

The bytes so far lie in ``<name>.part``, which gets its name only once its SHA-256 matches, so that
half a file is never taken for a whole one.
"""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path

from rlidim.data import formats
from rlidim.data.cache import writing
from rlidim.data.show import progress
from rlidim.data.sources import File
from rlidim.errors import RlidimError

TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 5  # at one mirror, as long as each brings something
CHUNK = 1 << 18
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416


class _MirrorError(Exception):
    """A failure of one mirror; the next one may serve."""


def fetch(file: File, folder: Path, wanted: str) -> Path:
    """Return the file in the folder, downloaded unless it is there; the lock is held.

    Args:
        file: to download.
        folder: of the download.
        wanted: the folder below RLIDIM_DATA where a copy may lie, for messages.

    Raises:
        RlidimError: every mirror failed (names them all), or the folder cannot be written.
    """
    path = folder / file.name
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            if _digest(path) in file.sha256:
                return path
            path.unlink()  # it was right once: the disk is to blame
    part = folder / f"{file.name}.part"
    failures = []
    for url in file.mirrors:
        try:
            _fetch_from(url, file, part)
        except _MirrorError as error:
            failures.append(f"{url} ({error})")
            continue
        with writing(path):
            os.replace(part, path)
        return path
    raise RlidimError(
        f"{file.name}: cannot be downloaded: {', '.join(failures) or 'no mirror is known'}; "
        f"without a network set RLIDIM_DATA to a folder that holds {wanted}/{file.name}"
    )


def _fetch_from(url: str, file: File, part: Path) -> None:
    """Complete the part and verify it."""
    reason = "nothing came"
    for _ in range(ATTEMPTS):
        before = _size(part)
        if before < file.size:
            reason = _transfer(url, file, part, before)
        have = _size(part)
        if have == file.size:
            checksum = _digest(part)
            if checksum in file.sha256:
                return
            _discard(part)
            if before == 0:
                raise _MirrorError(f"wrong SHA-256 {checksum}, expected {file.sha256[0]}")
            # The bytes of an earlier download may have been wrong: once more from the start.
        elif have > file.size:
            _discard(part)
        elif have == before:
            break
    raise _MirrorError(f"{reason}: {_size(part)} of {file.size} bytes are here")


def _transfer(url: str, file: File, part: Path, have: int) -> str:
    """Append the mirror's bytes to the part, and return the reason why they ended."""
    headers = {"User-Agent": "rlidim"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(url, headers=headers)
        with (
            urllib.request.urlopen(request, timeout=TIMEOUT) as response,
            progress(file.name, url, file.size) as show,
        ):
            start = _start(response, have)
            _check_length(response, file.size - start)
            with writing(part):
                opened = part.open("ab" if start else "wb")
            try:
                # A byte more than expected is enough to know that it is another file.
                while start <= file.size and (chunk := response.read1(CHUNK)):
                    with writing(part):
                        opened.write(chunk)
                        opened.flush()
                    start += len(chunk)
                    show(start)
            except RlidimError:
                _discard(part)  # on a full disk it would only be in the way
                raise
            finally:
                opened.close()
    except urllib.error.HTTPError as error:
        reason = f"HTTP {error.code} {error.reason}"
        if error.code != RANGE_NOT_SATISFIABLE:
            raise _MirrorError(reason) from error
        _discard(part)  # and once more from the start
        return reason
    except (OSError, http.client.HTTPException) as error:
        return _reason(error)
    return "the connection broke off"


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """Return where the answer's bytes belong: at the end of the part, or at its beginning."""
    if response.status != PARTIAL_CONTENT:
        return 0  # the server ignores ranges
    stated = response.headers.get("Content-Range", "")
    if not stated.startswith(f"bytes {have}-"):
        raise _MirrorError(f"asked for the bytes from {have}, answered '{stated}'")
    return have


def _check_length(response: http.client.HTTPResponse, expected: int) -> None:
    """Refuse another file, such as a login page, before it takes the place of a part."""
    stated = response.headers.get("Content-Length")
    if stated is not None and stated != str(expected):
        raise _MirrorError(f"another file: {stated} bytes, expected {expected}")


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(cause).__name__


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise RlidimError(f"{part}: cannot be read ({error.strerror})") from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return formats.digest(file)
    except OSError as error:
        raise RlidimError(f"{path}: cannot be read ({error.strerror})") from error


def _discard(part: Path) -> None:
    with writing(part):
        part.unlink(missing_ok=True)
