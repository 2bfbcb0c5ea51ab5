"""Data sets by name: located or downloaded, verified, decoded once, mapped from the cache."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlidim.data import cache, download, formats, home, places
from rlidim.data.cache import Decoded
from rlidim.data.formats import Arrays
from rlidim.data.places import Copy
from rlidim.data.show import say
from rlidim.data.sources import CLASSES, SOURCES, Source
from rlidim.errors import RlidimError, nearest

NAMES = ("mnist", "fashion-mnist", "cifar10")


SHAPES = {name: SOURCES[name].shape for name in NAMES}  # (C, H, W), known before a download


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set of N training and M test images, read-only and mapped from the cache.

    Attributes:
        name: one of NAMES.
        train_images: uint8 (N, C, H, W), channels red, green, blue or grey alone.
        train_labels: uint8 (N,), each below ``classes``.
        test_images: uint8 (M, C, H, W).
        test_labels: uint8 (M,).
        classes: how many there are.
    """

    name: str
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.uint8]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.uint8]
    classes: int = CLASSES


def load(name: str) -> DataSet:
    """Return a data set; its first use decodes it, and downloads it if this machine has no copy.

    The images come in their published order, the same on every machine. Processes that ask at
    once wait for the first of them.

    Args:
        name: one of NAMES.

    Raises:
        RlidimError: no such data set, a file is missing or not the published one, every mirror
            failed, or the cache cannot be written.
    """
    source = _source(name)
    copy = places.locate(source)
    decoded = Decoded(name, source)
    if parent_process() is None and (line := places.passed_by(source, copy)) is not None:
        _say_once(line)
    arrays = _arrays(decoded, copy)
    if arrays is None:
        with cache.lock(name):
            # The lock's previous holder may have prepared the arrays.
            arrays = _arrays(decoded, copy)
            if arrays is None:
                arrays = _prepare(decoded, copy)
    return DataSet(name=name, classes=CLASSES, **arrays)


@functools.cache
def _say_once(line: str) -> None:
    say(line)


def passed_by(name: str) -> str | None:
    """Return a line if RLIDIM_DATA names a folder without the data set, which is elsewhere."""
    source = _source(name)
    return places.passed_by(source, places.locate(source))


def place(name: str) -> Path | None:
    """Return the folder that :func:`load` would read, or None if it would download.

    Raises:
        RlidimError: no such data set, or RLIDIM_DATA names no folder or half a data set.
    """
    source = _source(name)
    copy = places.locate(source)
    if copy is not None:
        return copy.folder
    decoded = Decoded(name, source)
    return None if decoded.read() is None else decoded.folder


def _source(name: str) -> Source:
    if name not in NAMES:
        raise RlidimError(f"unknown data set '{name}'{nearest(name, NAMES)}")
    return SOURCES[name]


def _arrays(decoded: Decoded, copy: Copy | None) -> Arrays | None:
    """Return the cache's arrays unless the user's files, if any, are of other content."""
    arrays = decoded.read()
    if arrays is not None and copy is not None and not decoded.knows(copy):
        formats.verify(copy)
        decoded.remember(copy)
    return arrays


def _prepare(decoded: Decoded, copy: Copy | None) -> Arrays:
    if copy is None:
        published = decoded.source.editions[0]
        folder = home.folder() / "downloads" / decoded.name
        for file in published.files:
            download.fetch(file, folder, decoded.source.folders[0])
        copy = Copy(published, folder)
    say(f"{decoded.name}: decoding {copy.folder}, once")
    decoded.write(formats.decode(decoded.source, copy))
    decoded.remember(copy)
    arrays = decoded.read()
    if arrays is None:
        raise RlidimError(f"{decoded.folder}: removed while it was written; try again")
    return arrays
