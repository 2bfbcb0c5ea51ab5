"""A tree of plain values and arrays as bytes that cannot do anything when they are read.

The bytes are a magic word, the SHA-256 of all that follows, the length of a JSON text, that text,
and the arrays' numbers one after another. The JSON holds the tree, and each array's dtype, shape
and order. The digest is compared before anything is decoded: it tells of accidents, not of
strangers, who can make one. Against those stands that reading builds lists, tuples, dicts, strings,
numbers and arrays of numbers, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"rlidim-1"
DIGEST = hashlib.sha256().digest_size
LENGTH = 8  # bytes of the JSON's length, little-endian
# Booleans, integers, floats and complex numbers of the sizes that every platform has.
DTYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}
ORDERS = ("C", "F")  # a matrix product may round otherwise for columns that lie side by side


def encode(tree: Any) -> bytes:
    """Return a tree's bytes.

    Args:
        tree: of dicts with keys of str or int, lists, tuples, str, int, float, bool, None, and
            numpy's arrays and scalars of numbers. Arrays in the same memory are written once.

    Raises:
        TypeError: something else is in it.
    """
    arrays = _Arrays()
    plain = _plain(tree, arrays)
    text = json.dumps({"tree": plain, "arrays": arrays.kinds}, separators=(",", ":")).encode()
    parts: list[bytes | memoryview] = [len(text).to_bytes(LENGTH, "little"), text]
    parts += arrays.parts
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return b"".join([MAGIC, digest.digest(), *parts])


def decode(content: bytes) -> Any:
    """Undo :func:`encode`; every array is a copy, which can be written to.

    Raises:
        ValueError: the bytes are no tree's, or not all of them are as they were written.
    """
    if not content.startswith(MAGIC):
        raise ValueError("of another kind")
    digest = content[len(MAGIC) : len(MAGIC) + DIGEST]
    rest = memoryview(content)[len(MAGIC) + DIGEST :]
    if hashlib.sha256(rest).digest() != digest:
        raise ValueError("damaged: its checksum differs")
    length = int.from_bytes(rest[:LENGTH], "little")
    try:
        header = json.loads(rest[LENGTH : LENGTH + length].tobytes())
        arrays = _read(header["arrays"], rest[LENGTH + length :])
        return _tree(header["tree"], arrays)
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ValueError(f"no tree of values ({type(error).__name__}: {error})") from error


class _Arrays:
    """The arrays met so far: what is said of each, and its bytes."""

    def __init__(self) -> None:
        self.kinds: list[tuple[str, tuple[int, ...], str]] = []
        self.parts: list[memoryview] = []
        self._held: list[NDArray[Any]] = []
        self._known: dict[Any, int] = {}

    def add(self, array: NDArray[Any]) -> int:
        """Return an array's number, that of the one in the same memory where there is one."""
        if array.dtype.str not in DTYPES:
            raise TypeError(f"an array of {array.dtype} cannot be kept")
        memory = array.__array_interface__["data"][0], array.strides, array.shape, array.dtype.str
        if memory not in self._known:
            self._known[memory] = len(self.kinds)
            columns = array.flags.f_contiguous and not array.flags.c_contiguous
            self.kinds.append((array.dtype.str, array.shape, "F" if columns else "C"))
            rows = np.ascontiguousarray(array.T if columns else array)
            self.parts.append(rows.reshape(-1).view(np.uint8).data)
            self._held.append(array)  # lest another take its memory meanwhile
        return self._known[memory]


def _plain(value: Any, arrays: _Arrays) -> Any:
    """Return what JSON has for a value: an object of one key for what it has not."""
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [_plain(each, arrays) for each in value]
    if kind is tuple:
        return {"tuple": [_plain(each, arrays) for each in value]}
    if kind is dict:
        for key in value:
            if type(key) not in (str, int):
                raise TypeError(f"a key of {type(key).__name__} cannot be kept: {key!r}")
        return {"dict": [[key, _plain(each, arrays)] for key, each in value.items()]}
    if kind is np.ndarray:
        return {"array": arrays.add(value)}
    if isinstance(value, np.generic):
        return {"scalar": arrays.add(np.asarray(value))}
    raise TypeError(f"a {kind.__name__} cannot be kept: it is no plain value and no array")


def _read(kinds: list[Any], rest: memoryview) -> list[NDArray[Any]]:
    """Return views of the arrays that lie one after another."""
    arrays = []
    for name, shape, order in kinds:
        dtype = DTYPES[name]
        count = 1
        for size in shape:
            if type(size) is not int or size < 0:
                raise ValueError(f"a shape of {size!r}")
            count *= size
        if order not in ORDERS or count * dtype.itemsize > len(rest):
            raise ValueError("an array of more numbers than there are")
        numbers = np.frombuffer(rest, dtype, count)
        arrays.append(numbers.reshape(shape, order=order))
        rest = rest[count * dtype.itemsize :]
    if len(rest):
        raise ValueError("more numbers than the arrays have")
    return arrays


def _tree(plain: Any, arrays: list[NDArray[Any]]) -> Any:
    """Undo :func:`_plain`."""
    if isinstance(plain, list):
        return [_tree(each, arrays) for each in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    match kind:
        case "tuple":
            return tuple(_tree(each, arrays) for each in content)
        case "dict":
            return {key: _tree(each, arrays) for key, each in content}
        case "array":
            return arrays[content].copy(order="A")
        case "scalar":
            return arrays[content][()]
    raise ValueError(f"a value of the kind '{kind}'")
