"""Local copies of the data sets: below RLIDIM_DATA, or in a system package's folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rlidim.data.sources import Edition, Source
from rlidim.errors import RlidimError


@dataclass(frozen=True)
class Copy:
    """A copy of an edition: all its files, not yet verified, in one folder."""

    edition: Edition
    folder: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, in the edition's order."""
        return tuple(self.folder / file.name for file in self.edition.files)


def data_folder() -> Path | None:
    """Return the folder RLIDIM_DATA names, or None if it is not set.

    Raises:
        RlidimError: it names no folder.
    """
    value = os.environ.get("RLIDIM_DATA")
    if not value:
        return None
    try:
        folder = Path(value).expanduser()
    except RuntimeError as error:  # ~name of nobody
        raise RlidimError(f"RLIDIM_DATA {value}: no such folder ({error})") from error
    if not os.path.isdir(folder):
        raise RlidimError(
            f"RLIDIM_DATA {folder}: no such folder; without the variable the data are downloaded"
        )
    return folder


def locate(source: Source) -> Copy | None:
    """Return the first copy of an edition, or None if no folder holds any file.

    Raises:
        RlidimError: RLIDIM_DATA names no folder, or holds some of an edition's files only (a copy
            that was interrupted is not to be hidden by a download).
    """
    data = data_folder()
    own = [] if data is None else [data / folder for folder in source.folders]
    incomplete = None
    for folder in (*own, *map(Path, source.installed)):
        for edition in source.editions:
            copy = Copy(edition, folder)
            missing = [path for path in copy.paths if not os.path.isfile(path)]
            if not missing:
                return copy
            if len(missing) < len(edition.files) and folder in own and incomplete is None:
                incomplete = missing[0]
    if incomplete is not None:
        raise RlidimError(f"{incomplete}: missing, though the data set's other files are there")
    return None


def passed_by(source: Source, copy: Copy | None) -> str | None:
    """Return a line if RLIDIM_DATA names a folder and the copy, if any, lies elsewhere."""
    data = data_folder()
    if data is None or (copy is not None and data in copy.folder.parents):
        return None
    wanted = data / source.folders[0] / source.editions[0].files[0].name
    return f"RLIDIM_DATA {data} has no such data: {wanted} is not there"
