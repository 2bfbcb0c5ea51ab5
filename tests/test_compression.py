"""Description lengths: what is written comes back bit for bit, near its entropy, or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from rlidim.errors import RlidimError
from rlidim.solutions.arithmetic_code import GROWTHS, code_length, decode_indices, encode_indices
from rlidim.solutions.compressed_file import (
    LEVELS,
    Parts,
    paper_bound,
    read,
    recognises,
    smallest,
    write,
)
from rlidim.solutions.quantisation import GRID, KMEANS, METHODS, UNIFORM, Quantised, quantise

HEADER: dict[str, Any] = {
    "score": 0.9024,
    "settings": "8174fd03",
    "task": "mnist-fc",
    "theta_0_seed": 2311946323,
    "spec": {
        "family": "rademacher",
        "D": 199210,
        "d": 750,
        "seed": 2**64 - 1,
        "layout_version": 1,
        "options": {},
    },
}
# The levels -1, 0.5, 2 and 0.25, 1, 1.75 (nearly).
EVEN = Quantised(
    UNIFORM, -1.0, 2.0, np.arange(3, dtype=np.uint16), np.array([0, 2, 1, 1, 2, 0, 0], np.uint8)
)
CHOSEN = Quantised(
    KMEANS, 0.25, 1.75, np.array([0, 32768, GRID], np.uint16), np.array([1, 0, 2, 2], np.uint8)
)

# Written by version 2: HEADER, deflated, and EVEN.
OLD_FILE = """
726c7a020a024200070000009dd2b10dc0300804c095fee101b34f942db27b2457266536b8e20e5b
c3347c8ba5fb824f27bb8dd8da0a1ce01f3c2e294b4279a123988c2f79479e6873b2956efebc0000
80bf000000404bb32fe2a452
"""


def gaussian(d: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=d).astype(np.float32)


def parts_of(header: dict[str, Any], quantised: Quantised) -> Parts:
    """Return the sizes of the parts of a file that is written and thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder) / "solution", header, quantised)


def entropy(indices: NDArray[np.uint8]) -> float:
    """Return the empirical entropy of all indices together, in bytes."""
    counts = np.bincount(indices)
    counts = counts[counts > 0]
    return float((counts * np.log2(indices.size / counts)).sum()) / 8


def error_of(theta_d: NDArray[np.float32], quantised: Quantised) -> float:
    difference = quantised.values().astype(np.float64) - theta_d
    return float((difference**2).mean())


@st.composite
def coded(draw: st.DrawFn) -> tuple[NDArray[np.uint8], int, int]:
    """Draw (indices, levels, growth), from one symbol only to all alike."""
    levels = draw(st.sampled_from([1, 2, 3, 5, 16, 24, 255, 256]) | st.integers(1, 256))
    d = draw(st.sampled_from([1, 2, 500]) | st.integers(1, 2000))
    skew = draw(st.sampled_from([0.0, 0.3, 1.0, 3.0, 30.0]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = generator.permutation(np.arange(1.0, levels + 1) ** -skew)
    indices = generator.choice(levels, size=d, p=weights / weights.sum()).astype(np.uint8)
    return indices, levels, draw(st.sampled_from(GROWTHS))


@settings(max_examples=150, deadline=None)
@given(coded())
def test_indices_come_back_and_cost_what_the_model_says(
    drawn: tuple[NDArray[np.uint8], int, int],
) -> None:
    indices, levels, growth = drawn
    code = encode_indices(indices, levels, growth)
    np.testing.assert_array_equal(decode_indices(code, levels, growth, indices.size), indices)
    assert len(code) <= math.ceil(code_length(indices, levels, growth) / 8) + 1


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.sampled_from(GROWTHS))
def test_short_and_deliberate_symbols_come_back(symbols: list[int], growth: int) -> None:
    indices = np.array(symbols, np.uint8)
    code = encode_indices(indices, 4, growth)
    np.testing.assert_array_equal(decode_indices(code, 4, growth, indices.size), indices)


@pytest.mark.parametrize("growth", GROWTHS)
def test_carries_run_through_whole_words(growth: int) -> None:
    """The last symbol again and again keeps the coder's low just below a carry."""
    for tail in itertools.product((0, 1, 254, 255), repeat=3):
        indices = np.array([255] * 300 + list(tail) + [255] * 40 + list(tail), np.uint8)
        code = encode_indices(indices, 256, growth)
        np.testing.assert_array_equal(decode_indices(code, 256, growth, indices.size), indices)


def test_the_closed_form_is_the_adaptive_models_length() -> None:
    """Against the probabilities multiplied up one index at a time, with exact fractions."""
    indices, levels = np.array([0, 2, 2, 1, 4, 2, 0], np.uint8), 5
    for growth in GROWTHS:
        # Splits of 0..4 at its middles: (first, middle, end, depth).
        splits = [(0, 2, 5, 0), (0, 1, 2, 1), (2, 3, 5, 1), (3, 4, 5, 2)]
        counts = {}
        for first, middle, end, depth in splits:
            total = 64 * 2 ** (growth * depth)
            below = total * (middle - first) // (end - first)
            counts[middle] = [below, total - below]
        bits = 0.0
        for index in indices.tolist():
            for first, middle, end, _ in splits:
                if first <= index < end:
                    side = int(index >= middle)
                    bits -= math.log2(counts[middle][side] / sum(counts[middle]))
                    counts[middle][side] += 32
        assert code_length(indices, levels, growth) == pytest.approx(bits, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("levels", [2, 3, 4, 16, 24, 64])
@pytest.mark.parametrize("d", [500, 750, 5000])
def test_the_code_is_near_the_entropy(method: str, levels: int, d: int) -> None:
    generator = np.random.default_rng(d)
    for theta_d in (gaussian(d), generator.laplace(size=d), generator.uniform(size=d)):
        quantised = quantise(theta_d, levels, method)
        least = entropy(quantised.indices)
        assert parts_of({}, quantised).indices <= 1.01 * least + 16


def test_one_used_level_of_many_is_nearly_free() -> None:
    indices = np.zeros(5000, np.uint8)
    assert encode_indices(indices, 1, 0) == b""
    assert len(encode_indices(indices, 2, 0)) <= 4
    assert min(len(encode_indices(indices, 256, growth)) for growth in GROWTHS) <= 16


def test_the_code_beats_the_standard_library() -> None:
    for levels in (16, 64):
        indices = quantise(gaussian(750), levels, UNIFORM).indices
        huffman = zlib.compressobj(9, wbits=-15, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
        theirs = len(huffman.compress(indices.tobytes()) + huffman.flush())
        assert min(len(encode_indices(indices, levels, growth)) for growth in GROWTHS) < theirs


numbers = hnp.arrays(
    np.float32,
    st.integers(1, 60),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.floats(-3, 3, width=32)
    | st.sampled_from([0.0, -0.0, 1.0, 1.5, 2.0]),
)


@settings(deadline=None)
@given(numbers, st.integers(2, 256), st.sampled_from(METHODS))
@example(np.array([2e15, 0, *[-1] * 50], np.float32), 2, KMEANS)  # a sum that would cancel
def test_any_theta_d_is_quantised(theta_d: NDArray[np.float32], levels: int, method: str) -> None:
    quantised = quantise(theta_d, levels, method)
    codebook = quantised.codebook.astype(np.float64)
    assert 1 <= codebook.size <= levels
    assert (np.diff(codebook) >= 0).all()
    assert theta_d.min() <= codebook[0]
    assert codebook[-1] <= theta_d.max()
    chosen = np.abs(quantised.values().astype(np.float64) - theta_d)
    nearest = np.abs(codebook[None, :] - theta_d.astype(np.float64)[:, None]).min(axis=1)
    np.testing.assert_allclose(chosen, nearest, rtol=1e-12)


@settings(deadline=None)
@given(numbers, st.integers(2, 256))
@example(np.array([11, 19, 20, 20, 21, 25, 28], np.float32), 5)  # where even levels start best
def test_kmeans_is_no_worse_than_uniform(theta_d: NDArray[np.float32], levels: int) -> None:
    ours = error_of(theta_d, quantise(theta_d, levels, KMEANS))
    theirs = error_of(theta_d, quantise(theta_d, levels, UNIFORM))
    scale = max(abs(float(theta_d.max())), abs(float(theta_d.min())))
    rounding = (float(theta_d.max()) - float(theta_d.min())) / GRID + 2**-23 * scale
    assert math.sqrt(ours) <= math.sqrt(theirs) * (1 + 1e-6) + rounding + 1e-44


def test_kmeans_is_near_the_best() -> None:
    """Max, "Quantizing for minimum distortion", 1960, table 1: errors for a Gaussian."""
    theta_d = gaussian(100_000)
    for levels, published in ((2, 0.3634), (4, 0.1175), (8, 0.03454), (16, 0.009497)):
        found = error_of(theta_d, quantise(theta_d, levels, KMEANS))
        assert found == pytest.approx(published, rel=0.03)
    theta_d = gaussian(750)
    even = error_of(theta_d, quantise(theta_d, 64, UNIFORM))
    assert error_of(theta_d, quantise(theta_d, 64, KMEANS)) < even / 2


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_leaves_kmeans_its_levels(method: str) -> None:
    theta_d = np.append(gaussian(1000), np.float32(1000))
    error = error_of(theta_d, quantise(theta_d, 8, method))
    assert error < 0.1 if method == KMEANS else error > 0.5


def test_uniform_levels() -> None:
    quantised = quantise([3.0, 0.0, 1.4, 1.6], 4, UNIFORM)
    np.testing.assert_array_equal(quantised.codebook, np.array([0, 1, 2, 3], np.float32))
    np.testing.assert_array_equal(quantised.indices, [3, 0, 1, 2])


def test_few_distinct_numbers_are_kept() -> None:
    theta_d = np.array([5, -3, 5, 1, -3, 1], np.float32)
    quantised = quantise(theta_d, 16, KMEANS)
    assert quantised.places.size == 3
    np.testing.assert_allclose(quantised.values(), theta_d, atol=8 / GRID)
    for method in METHODS:
        equal = quantise(np.full(9, 0.1), 256, method)
        np.testing.assert_array_equal(equal.values(), np.full(9, 0.1, np.float32))
        assert parts_of({}, equal).indices == 0


@pytest.mark.parametrize(
    ("theta_d", "levels", "method", "message"),
    [
        ([1.0], 1, UNIFORM, "levels must be between 2 and 256, got 1"),
        ([1.0], 257, UNIFORM, "levels must be between 2 and 256, got 257"),
        ([1.0], 2, "kmean", "did you mean 'kmeans'"),
        ([], 2, KMEANS, "theta_d must be"),
        ([[1.0]], 2, KMEANS, "theta_d must be"),
        ([1.0, math.nan], 2, KMEANS, "finite"),
        ([1e39], 2, UNIFORM, "finite"),
    ],
)
def test_bad_arguments_are_named(theta_d: Any, levels: int, method: str, message: str) -> None:
    with pytest.raises(RlidimError, match=message):
        quantise(theta_d, levels, method)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "other"}, "unknown method"),
        ({"low": 3.0}, "ends"),
        ({"low": 0.1}, "ends"),
        ({"high": 1e39}, "ends"),
        ({"high": math.nan}, "ends"),
        ({"places": np.array([0, 2, 1], np.uint16)}, "ascend"),
        ({"places": np.array([0, 1, 3], np.uint16)}, "from 0 to 2"),
        ({"places": np.arange(3)}, "uint16"),
        ({"places": np.arange(257, dtype=np.uint16)}, "levels must be"),
        ({"indices": np.array([3], np.uint8)}, "below the 3 levels"),
        ({"indices": np.array([], np.uint8)}, "d 1 to"),
        ({"indices": np.array([1])}, "uint8"),
    ],
)
def test_what_no_file_could_hold_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RlidimError, match=message):
        dataclasses.replace(EVEN, **changes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("levels", [2, 3, 64, 256])
@pytest.mark.parametrize("d", [1, 2, 750])
def test_a_file_comes_back(tmp_path: Path, method: str, levels: int, d: int) -> None:
    path = tmp_path / "folder" / "solution.rlz"
    quantised = quantise(gaussian(d), levels, method)
    parts = write(path, HEADER, quantised)
    header, values = read(path)
    assert header == HEADER
    assert values.dtype == np.float32
    assert values.tobytes() == quantised.values().tobytes()
    assert path.stat().st_size == parts.total
    inner = max(0, quantised.places.size - 2) if method == KMEANS else 0
    assert parts.codebook == 8 + 2 * inner
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "solution"
    usual = parts_of(HEADER, EVEN).header
    assert usual < 70  # 161 as JSON; D, d and two seeds are 39 digits
    long = {"ids": np.random.default_rng(0).integers(0, 2**62, 1000).tolist(), "é": [None, 1e-9]}
    for header in ({}, {"é": "ü"}, long):
        write(path, header, EVEN)
        assert read(path)[0] == header
    for bad in ({"a": math.inf}, {"a": {1}}, {"a": "\ud800"}):
        with pytest.raises(RlidimError, match="not JSON-ready"):
            write(path, bad, EVEN)
    with pytest.raises(RlidimError, match="the most is 65535"):
        write(path, {"a": "b" * 2**16}, EVEN)


def test_the_papers_bound() -> None:
    assert paper_bound(750) == 3008
    assert paper_bound(10, seeds=2) == 56
    parts = parts_of(HEADER, quantise(gaussian(750), 64, UNIFORM))
    assert parts.total < paper_bound(750) / 5


# The format may not drift: a change of these bytes is a new version. The header is too short to be
# deflated, because zlib's bytes, unlike what they decode to, depend on its version.
@pytest.mark.parametrize(
    ("quantised", "size", "digest"),
    [
        (EVEN, 28, "13c6c390b33a92467c9e2bffa64ed4d9c522efcde4e541bc7671585196ff77fb"),
        (CHOSEN, 29, "7be624595e97ce1cdc2e6c8a6c5cee6e9b8dc98c6ff2e82ec9a01bf83b6ebcea"),
    ],
    ids=METHODS,
)
def test_the_format_is_fixed(tmp_path: Path, quantised: Quantised, size: int, digest: str) -> None:
    path = tmp_path / "solution"
    assert write(path, {}, quantised).total == size
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_the_code_is_fixed() -> None:
    """Long enough for carries, renewed words and all three growths."""
    indices = (np.arange(20_000) ** 2 % 1009 % 200).astype(np.uint8)
    digest = hashlib.sha256()
    for growth in GROWTHS:
        digest.update(encode_indices(indices, 200, growth))
    assert digest.hexdigest() == "02693ace2e0c3381637f2cbaae3f12b2a5330bdf5398c00453cf2d013824541a"


def test_an_old_file_is_read(tmp_path: Path) -> None:
    """With a deflated header, whose dictionary may not drift either."""
    path = tmp_path / "solution"
    path.write_bytes(bytes.fromhex(OLD_FILE))
    header, values = read(path)
    assert header == HEADER
    np.testing.assert_array_equal(values, np.array([-1, 2, 0.5, 0.5, 2, -1, -1], np.float32))


@pytest.mark.parametrize("quantised", [EVEN, CHOSEN], ids=METHODS)
def test_damage_at_every_position_is_found(tmp_path: Path, quantised: Quantised) -> None:
    path = tmp_path / "solution"
    write(path, HEADER, quantised)
    content = path.read_bytes()
    for position in range(len(content)):
        for damage in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= damage
            path.write_bytes(damaged)
            with pytest.raises(RlidimError, match=str(path)):
                read(path)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(RlidimError, match=str(path)):
            read(path)
    path.write_bytes(content + b"\0")
    with pytest.raises(RlidimError, match="checksum"):
        read(path)


@pytest.mark.parametrize("quantised", [EVEN, CHOSEN], ids=METHODS)
def test_a_file_made_wrong_fails_in_one_line(tmp_path: Path, quantised: Quantised) -> None:
    """Every byte changed and the checksum made anew: another well-formed file or one clear line."""
    path = tmp_path / "solution"
    write(path, HEADER, quantised)
    body = path.read_bytes()[:-4]
    lines = []
    for position, bit in itertools.product(range(len(body)), range(8)):
        if position == 10 or (position > 12 and bit not in (1, 5)):
            continue  # byte 10 makes d millions: valid, and slow
        forged = bytearray(body)
        forged[position] ^= 1 << bit
        path.write_bytes(bytes(forged) + struct.pack("<I", zlib.crc32(forged)))
        try:
            _, values = read(path)
        except RlidimError as error:
            lines.append(str(error))
        else:
            assert np.isfinite(values).all()
    assert len(lines) > 50
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)


def test_foreign_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "solution"
    for foreign in (b"", b"\x80\x04pickled and long enough to hold it all", b"PK\x03\x04" * 20):
        path.write_bytes(foreign)
        with pytest.raises(RlidimError, match="not a compressed solution"):
            read(path)
    write(path, {}, EVEN)
    newer = bytearray(path.read_bytes())
    newer[3] = 3
    path.write_bytes(newer)
    with pytest.raises(RlidimError, match="format 3, this rlidim reads 2"):
        read(path)
    path.write_bytes(b"rlz\x02")
    with pytest.raises(RlidimError, match="truncated"):
        read(path)
    with pytest.raises(RlidimError, match="cannot be read"):
        read(tmp_path / "absent")


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RlidimError, match="cannot be written"):
        write(tmp_path / "file" / "solution", {}, EVEN)


def test_the_smallest_that_is_good_enough() -> None:
    theta_d = gaussian(300)

    def accuracy(values: NDArray[np.float32]) -> float:
        seen.append(values.tobytes())
        return -float(((values - theta_d) ** 2).mean())

    for least in (-0.4, -0.05, -0.002):
        seen: list[bytes] = []
        found = smallest(theta_d, accuracy, least)
        assert found is not None
        assert seen[-1] == found.values().tobytes()
        assert accuracy(found.values()) >= least
        # No other candidate passes and is smaller, but for the byte that the closed form may miss.
        size = parts_of({}, found).total
        for method, levels in itertools.product(METHODS, LEVELS):
            other = quantise(theta_d, levels, method)
            if accuracy(other.values()) >= least:
                assert size <= parts_of({}, other).total + 1


def test_the_search_is_in_order_and_never_repeats() -> None:
    sizes, seen = [], []

    def never(values: NDArray[np.float32]) -> float:
        seen.append(values.tobytes())
        levels = np.unique(values).size
        sizes.append(levels)
        return math.nan

    # Three distinct numbers: k-means has the same values at 3 levels and all above.
    theta_d = np.array([0, 1, 4] * 40, np.float32)
    assert smallest(theta_d, never, 0.0) is None
    assert len(seen) == len(set(seen)) <= len(LEVELS) + 2

    scores = iter([0.0, 0.0, 1.0])
    tried: list[int] = []

    def third(values: NDArray[np.float32]) -> float:
        tried.append(np.unique(values).size)
        return next(scores)

    found = smallest(gaussian(300), third, 0.5)
    assert found is not None
    assert len(tried) == 3
    assert max(tried) <= 4


def test_exactly_the_least_passes() -> None:
    """0.52 - 0.05 is a little more than 0.47 in floats."""
    least = 0.52 - 0.05
    assert least > 0.47
    assert smallest(gaussian(30), lambda values: 0.47, least) is not None
    assert smallest(gaussian(30), lambda values: 0.46999, least) is None


def test_a_file_is_recognised_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "solution.json"
    assert not recognises(path)
    write(path, HEADER, EVEN)
    assert recognises(path)
    path.write_text("{}")
    assert not recognises(path)
    assert not recognises(tmp_path)


def test_the_smallest_passes_errors_on() -> None:
    def broken(values: NDArray[np.float32]) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        smallest(gaussian(5), broken, 0.0)
    with pytest.raises(RlidimError, match="finite"):
        smallest([math.inf], broken, 0.0)
