"""A tree of values as bytes: it comes back as it was, and strange bytes do nothing."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlidim.records import state

TREE = {
    "words": ["a", "\ud800", ("b",), (), [], {}],
    "numbers": (0, -(2**200), True, None, 0.1, -0.0, math.inf, -math.inf),
    3: {"rows": np.arange(6.0).reshape(2, 3), "columns": np.asfortranarray(np.ones((2, 3)))},
    "others": [np.float32(0.1), np.int64(-1), np.bool_(True), np.array(2), np.zeros((0, 4))],
    "strided": np.arange(20, dtype=np.int16)[::-3],
}


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | np.generic):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and one.tobytes() == other.tobytes()
    return repr(one) == repr(other)


def sealed(text: bytes, numbers: bytes = b"") -> bytes:
    """Return what a stranger may write: any content under a checksum that is right."""
    rest = len(text).to_bytes(state.LENGTH, "little") + text + numbers
    return state.MAGIC + hashlib.sha256(rest).digest() + rest


def test_a_tree_comes_back() -> None:
    assert same(state.decode(state.encode(TREE)), TREE)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
)


@given(trees)
@settings(max_examples=200, deadline=None)
def test_any_tree_comes_back(tree: Any) -> None:
    assert same(state.decode(state.encode(tree)), tree)


def test_random_states_come_back() -> None:
    generator = np.random.default_rng(0)
    generator.standard_normal(3)
    tree = (random.getstate(), np.random.get_state(), generator.bit_generator.state)
    of_python, of_numpy, of_generator = state.decode(state.encode(tree))
    random.setstate(of_python)
    np.random.set_state(of_numpy)
    other = np.random.default_rng(1)
    other.bit_generator.state = of_generator
    assert other.standard_normal() == generator.standard_normal()


def test_an_array_keeps_its_order_and_can_be_written_to() -> None:
    found = state.decode(state.encode(TREE))
    for name, array in TREE[3].items():
        again = found[3][name]
        assert again.flags.f_contiguous == array.flags.f_contiguous
        again += 1.0
    assert found[3]["rows"][0, 0] == 1.0


def test_one_memory_is_written_once_and_read_apart() -> None:
    array = np.arange(1000.0)
    content = state.encode({"one": array, "view": array[:], "part": array[:10]})
    assert len(content) < 1.2 * array.nbytes
    found = state.decode(content)
    found["one"] += 1.0
    np.testing.assert_array_equal(found["view"], array)
    np.testing.assert_array_equal(found["part"], array[:10])


@pytest.mark.parametrize(
    "value",
    [
        deque([1]),
        OrderedDict(a=1),
        {(1, 2): 3},
        {True: 1},
        b"bytes",
        np.array([None], dtype=object),
        np.array(["a"]),
        print,
        np.datetime64(0, "s"),
    ],
    ids=repr,
)
def test_what_is_no_plain_value_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be kept"):
        state.encode([value])


def test_any_flipped_bit_and_any_cut_is_told() -> None:
    content = state.encode({"a": [1, np.arange(3)]})
    for index in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[index // 8] ^= 1 << index % 8
        with pytest.raises(ValueError, match=r"damaged|of another kind"):
            state.decode(bytes(damaged))
    for length in range(len(content)):
        with pytest.raises(ValueError, match=r"damaged|of another kind"):
            state.decode(content[:length])


def tree_of(tree: Any, *arrays: Any) -> bytes:
    return json.dumps({"tree": tree, "arrays": arrays}).encode()


STRANGE = {
    "no JSON": sealed(b"\x80\x04N."),
    "nothing": sealed(b""),
    "a list": sealed(b"[]"),
    "a length beyond the end": state.MAGIC
    + hashlib.sha256(b"\xff" * 8).digest()
    + b"\xff" * state.LENGTH,
    "deep": sealed(b'{"arrays":[],"tree":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep arrays": sealed(tree_of([], ["<f8", [[[1]]], "C"])),
    "another kind": sealed(tree_of({"call": "os.system"})),
    "two kinds": sealed(tree_of({"tuple": [], "dict": []})),
    "keys that are lists": sealed(tree_of({"dict": [[[], 1]]})),
    "no such array": sealed(tree_of({"array": 7})),
    "objects": sealed(tree_of({"array": 0}, ["|O", [1], "C"]), bytes(8)),
    "records": sealed(tree_of({"array": 0}, ["f8,O", [1], "C"]), bytes(16)),
    "huge": sealed(tree_of({"array": 0}, ["<f8", [2**62, 2**62], "C"]), bytes(8)),
    "negative": sealed(tree_of({"array": 0}, ["<f8", [-1], "C"]), bytes(8)),
    "true": sealed(tree_of({"array": 0}, ["<f8", [True], "C"]), bytes(8)),
    "another order": sealed(tree_of({"array": 0}, ["<f8", [1], "K"]), bytes(8)),
    "more numbers": sealed(tree_of({"array": 0}, ["<f8", [1], "C"]), bytes(9)),
    "fewer numbers": sealed(tree_of({"array": 0}, ["<f8", [2], "C"]), bytes(8)),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_bytes_under_a_right_checksum_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no tree of values"):
        state.decode(STRANGE[name])
