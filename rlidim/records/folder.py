"""The folder of records: where each is, reading, writing, and the lock on each."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.records.cell import Cell
from rlidim.records.checking import check_record
from rlidim.records.configuration import hash_of
from rlidim.records.files import try_writing, write_atomically
from rlidim.records.record import SCHEMA, RunRecord
from rlidim.records.text import sealed, text_of
from rlidim.tasks.reading import LARGEST_RECORD, check_checksum, parse_json, read_file


class Results:
    """The folder of records: ``<task>/<trainer>-<projection>/d<d>-s<seed>.json``."""

    def __init__(self, folder: Path) -> None:
        """Remember the folder; it is made when the first record is written."""
        self.folder = folder

    def path(self, cell: Cell) -> Path:
        """Return where the cell's record is or will be."""
        return self.folder / cell.task / cell.group / f"{cell.label}.json"

    def check_there(self) -> None:
        """Make sure that there is such a folder.

        Raises:
            RlidimError: there is none.
        """
        if not self.folder.is_dir():
            raise RlidimError(f"--results {self.folder}: no such folder; measure something first")

    def check_writable(self) -> None:
        """Find out now, not after the first run, whether records can be written.

        Raises:
            RlidimError: they cannot.
        """
        try:
            try_writing(self.folder)
        except OSError as error:
            raise RlidimError(
                f"--results {self.folder}: cannot be written ({error.strerror})"
            ) from error

    def load(self, cell: Cell) -> RunRecord | None:
        """Return the cell's record, or None if there is none yet.

        Raises:
            RlidimError: there is a file, but it is no record of this cell.
        """
        path = self.path(cell)
        if not path.exists():
            return None
        try:
            record = read_record(path)
            if record.cell != cell:
                raise RlidimError(f"{path}: holds the record of {record.cell}, not of {cell}")
        except RlidimError as error:
            raise RlidimError(f"{error}; once it is moved away, the run is made again") from error
        return record

    def write(self, record: RunRecord) -> Path:
        """Write a record in one piece and return its path; the cell is claimed, or nobody else's.

        Raises:
            RlidimError: the file cannot be written.
            ValueError: what would be written could not be read again.
        """
        # Through JSON first, which has lists alone where Python has tuples too; indented, since the
        # encoder then names a number that JSON has not.
        plain = json.loads(json.dumps(record.to_json(), indent=1, allow_nan=False))
        text = text_of(sealed({**plain, "schema": SCHEMA})) + "\n"
        try:
            check_record(plain)
        except RlidimError as error:
            raise ValueError(str(error)) from error
        if len(text) > LARGEST_RECORD:
            raise ValueError(f"{len(text):,} bytes, at most {LARGEST_RECORD:,} are read again")
        path = self.path(record.cell)
        write_atomically(path, text)
        return path

    def scan(self, task: str | None = None) -> tuple[list[RunRecord], list[str]]:
        """Read every record below the folder.

        Args:
            task: read those of its folder alone.

        Returns:
            The records, sorted by path, and one line for each file that is none.
        """
        records, problems = [], []
        for path in self._paths(task):
            try:
                record = read_record(path)
                if str(self.path(record.cell)) != str(path):
                    raise RlidimError(f"{path}: holds the record of {record.cell}")
                records.append(record)
            except RlidimError as error:
                problems.append(str(error))
        return records, problems

    def fingerprint(self, task: str | None = None) -> str:
        """Return the SHA-256 of the names and contents of all that :meth:`scan` would read."""
        digest = hashlib.sha256(os.fsencode(self.folder))
        for path in self._paths(task):
            try:
                content = read_file(path, LARGEST_RECORD)
            except RlidimError as error:
                content = os.fsencode(str(error))
            digest.update(os.fsencode(f"{path}:{len(content)}:") + content)
        return digest.hexdigest()

    def _paths(self, task: str | None) -> list[Path]:
        """Return the files where records belong, of one task or of all."""
        if task is None:
            return sorted(self.folder.glob("*/*/*.json"))
        return sorted((self.folder / task).glob("*/*.json"))


def read_record(path: Path) -> RunRecord:
    """Read one record.

    Raises:
        RlidimError: not readable, no regular file or too large, truncated, foreign, of a newer
            schema, or its score is not the mean of its returns, its configuration's hash not that
            of its settings, its checksum not that of its content (names the file).
    """
    raw = read_file(path, LARGEST_RECORD)
    try:
        content = parse_json(raw)
    except ValueError as error:
        raise RlidimError(f"{path}: not a record: truncated or not JSON ({error})") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if type(schema) is not int or schema < 1:
        raise RlidimError(f"{path}: not a record of rlidim")
    if schema > SCHEMA:
        raise RlidimError(f"{path}: schema {schema} is newer than {SCHEMA}: upgrade rlidim")
    try:
        check_record(content)
        _check_sums(content)
        return RunRecord.from_json(content)
    except (RlidimError, KeyError, TypeError, ValueError) as error:
        raise RlidimError(f"{path}: not a record of rlidim ({error})") from error


def _check_sums(content: dict[str, Any]) -> None:
    """Check that a record is as it was written: its configuration's hash, and its checksum.

    Raises:
        RlidimError: it was changed since.
    """
    if hash_of(content["settings"]) != content["config_hash"]:
        raise RlidimError("its config_hash is not that of its settings")
    check_checksum(content)
