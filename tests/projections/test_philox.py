"""The stream is Philox4x32-10 bit for bit, and what is made of it has the right distribution."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from scipy import stats

from rlidim.projections import normal as normal_numbers
from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES
from rlidim.projections.philox import philox, sign_stream, uniform, words
from tests.projections.definitions import philox_numpy

# Random123's known-answer vectors for philox4x32-10: counter, key, result.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], result: tuple[int, ...]
) -> None:
    seed = key[0] | key[1] << 32
    found = philox(tuple(torch.tensor(word) for word in counter), seed)  # type: ignore[arg-type]
    assert tuple(int(word) for word in found) == result
    assert tuple(philox_numpy(np.array(counter, np.uint32), seed)) == result


def test_torch_and_numpy_agree() -> None:
    counter = np.random.default_rng(0).integers(0, 2**32, (1000, 4), dtype=np.uint32)
    columns = tuple(torch.from_numpy(column.astype(np.int64)) for column in counter.T)
    found = torch.stack(philox(columns, 2**63 + 7), 1).numpy()  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, philox_numpy(counter, 2**63 + 7))


def test_rows_beyond_32_bits_are_other_rows() -> None:
    block = torch.zeros(2, dtype=torch.int64)
    near, far = words(torch.tensor([5, 5 + 2**32]), block, tag=1, seed=0)
    assert not torch.equal(near, far)


def test_distributions() -> None:
    rows = torch.arange(25_000)
    drawn = words(rows, torch.zeros_like(rows), tag=99, seed=0)
    assert stats.kstest(uniform(drawn).flatten().numpy(), "uniform").pvalue > 1e-3
    ones = int((sign_stream(100_000, 99, 0, torch.device("cpu")) == 1).sum())
    assert stats.binomtest(ones, 100_000).pvalue > 1e-3


@pytest.mark.slow
def test_normal_numbers() -> None:
    """Ten million entries pass a Kolmogorov-Smirnov test; their moments are the normal ones."""
    rows = torch.arange(10_000_000 // 8)
    drawn = normal_numbers.normal(words(rows, torch.zeros_like(rows), tag=99, seed=0)).flatten()
    assert torch.equal(drawn, drawn.round())
    x = drawn.double().numpy() / normal_numbers.SCALE
    assert stats.kstest(x, "norm").pvalue > 1e-3
    for power, moment in enumerate((0, 1, 0, 3), 1):
        assert (x**power).mean() == pytest.approx(moment, abs=0.01)


def test_normal_numbers_follow_the_quantile_function() -> None:
    odd = 2 * np.arange(normal_numbers.MAGNITUDES) + 1
    exact = stats.norm.isf(odd / 2**17) * normal_numbers.SCALE
    assert np.abs(normal_numbers.magnitudes().numpy() - exact).max() < 1.5
    signs = torch.tensor([[0x8000_0000]])  # the high half: the largest odd number, negative
    assert normal_numbers.normal(signs).tolist() == [[17715.0, -17715.0]]


# A stored solution is worthless once these change: then raise the family's layout_version.
GOLDEN = {
    "gaussian": "4bd52a20f3993c38",
    "rademacher": "749adfee780c7cad",
    "sparse": "eae1a703b3710d5a",
    "fastfood": "bd3b16b4b199b566",
    "stacked_fastfood": "eea44c50ffaecb92",
    "hashed": "f96fde3927582173",
    "kronecker": "261889466a9ae25c",
    "rotation": "b4b6b3fa6d3fcd47",
}


def fingerprint(family: str) -> str:
    """Hash P, rounded so that only the last bits of floating-point functions may differ."""
    P = projection(family, 300, 17, seed=2**40 + 3, dtype=torch.float64).to_dense()
    rounded = torch.round(P * 2**30).to(torch.int64).numpy()
    return hashlib.sha256(rounded.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("family", FAMILIES)
def test_golden_bits(family: str) -> None:
    assert fingerprint(family) == GOLDEN[family]
