"""The C++ kernels: the reference's P on every instruction set, whatever the threads and cuts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections import Projection, native, normal, projection

if native.reason():
    pytest.skip(native.reason(), allow_module_level=True)

from rlidim.projections.native import kernels

SETS = kernels.instruction_sets()
OPTIONS = [(family, {}) for family in native.implementations()] + [("hashed", {"entries": 3})]
# Around the sizes at which the kernels change their way: packed rows, lanes, tiles, blocks, passes.
SIZES = [
    *[(1, 1), (2, 1), (5, 5), (7, 3), (17, 16), (33, 32), (129, 33), (300, 65), (1000, 129)],
    *[(600, 600), (9000, 5000), (40_000, 33), (20_001, 777)],
]

every_family = pytest.mark.parametrize(
    ("family", "options"), OPTIONS, ids=lambda value: str(value) if value else ""
)


@pytest.fixture
def any_set() -> Iterator[None]:
    """Put back the path that was chosen."""
    before = kernels.instruction_set()
    yield
    kernels.use(before)


def normal_numbers(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def products(P: Projection, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Every form of product, on the same random input."""
    theta, block = (normal_numbers(P.d, *n, seed=1, dtype=dtype) for n in ((), (5,)))
    g, many = (normal_numbers(P.D, *n, seed=2, dtype=dtype) for n in ((), (3,)))
    start, stop = P.D // 3, P.D - P.D // 5
    rows = P.rows(start, stop)
    return [
        P.forward(theta),
        P.forward(theta, base=g),
        P.forward(block, base=g),
        P.adjoint(g),
        P.adjoint(many),
        rows.forward(theta, base=g[start:stop]),
        rows.forward(block),
        rows.adjoint(g[start:stop]),
    ]


def relative(found: Tensor, wanted: Tensor) -> float:
    if not wanted.numel():
        return 0.0
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


@every_family
@pytest.mark.parametrize(("D", "d"), SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.usefixtures("any_set")
def test_the_reference_and_every_path_agree(
    family: str, options: dict[str, int], D: int, d: int, dtype: torch.dtype
) -> None:
    if d < options.get("entries", 1):
        pytest.skip("fewer columns than entries in a row")
    if family in ("gaussian", "rademacher") and D * d > 2 * 10**7:
        pytest.skip("nothing changes there for a dense family, and the reference is slow")
    seed = 2**40 + 7
    P = projection(family, D, d, seed, dtype=dtype, backend="native", **options)
    reference = projection(family, D, d, seed, dtype=dtype, backend="torch", **options)
    wanted = products(reference, dtype)
    tolerance = 2e-5 if dtype is torch.float32 else 1e-12
    kernels.use(SETS[0])
    first = products(P, dtype)
    for found, value in zip(first, wanted, strict=True):
        assert relative(found, value) < tolerance
    for name in SETS[1:]:
        kernels.use(name)
        for found, value in zip(products(P, dtype), first, strict=True):
            assert torch.equal(found, value), f"{name} and {SETS[0]} differ"


@every_family
def test_the_same_bits_as_the_reference(family: str, options: dict[str, int]) -> None:
    ours, reference = (
        projection(family, 777, 70, 3, backend=backend, **options).to_dense()
        for backend in ("native", "torch")
    )
    if family == "fastfood":  # an entry is a sum of n numbers, in another order
        torch.testing.assert_close(ours, reference)
    else:
        assert torch.equal(ours, reference)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.usefixtures("any_set")
def test_all_normal_numbers(name: str) -> None:
    """A Gaussian P of ten million entries has every magnitude, each with both signs, exactly."""
    kernels.use(name)
    P = projection("gaussian", 40_000, 250, 0, backend="native")
    P.scale = torch.ones(250)  # type: ignore[attr-defined]
    found = P.rows(0, 40_000).to_dense().unique()
    every = normal.magnitudes().unique()
    assert torch.equal(found, torch.cat((-every.flip(0), every)).unique())


@every_family
def test_threads_change_nothing(family: str, options: dict[str, int]) -> None:
    P = projection(family, 300_000, 40, 0, backend="native", **options)
    before = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            theta, g = normal_numbers(40, seed=1), normal_numbers(300_000, seed=2)
            results.append([P.forward(theta, base=g), P.adjoint(g)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], other, strict=True))


@pytest.mark.parametrize("family", ["rademacher", "rotation", "hashed", "stacked_fastfood"])
def test_rows_beyond_32_bits(family: str) -> None:
    """The counter's high word counts: a few rows of a matrix of 2^33 and more."""
    D, d, start = 2**39 + 12_345, 100, 2**39 + 11
    ours = projection(family, D, d, 5, backend="native")
    theta = normal_numbers(d, seed=1)
    found = ours.rows(start, start + 500).forward(theta)
    near = ours.rows(11, 511).forward(theta)
    assert not torch.equal(found, near)
    assert float(found.norm() * math.sqrt(D / 500)) == pytest.approx(float(theta.norm()), rel=0.5)
    if family == "rademacher":
        reference = projection(family, D, d, 5, backend="torch")
        wanted = reference.rows(start, start + 500).forward(theta)
        assert relative(found, wanted) < 2e-5


@every_family
def test_cuts_are_rows_of_the_whole(family: str, options: dict[str, int]) -> None:
    P = projection(family, 50_000, 90, 1, backend="native", **options)
    theta, whole = normal_numbers(90, seed=1), None
    whole = P.forward(theta)
    for start, stop in [(0, 1), (49_999, 50_000), (16_383, 16_385), (5, 40_001), (7, 7)]:
        assert torch.equal(P.rows(start, stop).forward(theta), whole[start:stop])


@every_family
def test_strided_vectors_are_as_good(family: str, options: dict[str, int]) -> None:
    P = projection(family, 1000, 50, 0, backend="native", **options)
    theta, g = normal_numbers(50, 2, seed=1), normal_numbers(1000, 2, seed=2)
    wanted = P.forward(theta[:, 0].contiguous(), base=g[:, 1].contiguous())
    out = torch.full((1000, 2), math.nan)
    P.forward(theta[:, 0], base=g[:, 1], out=out[:, 0])
    assert torch.equal(out[:, 0], wanted)
    assert bool(out[:, 1].isnan().all())
    assert torch.equal(P.adjoint(g[:, 0]), P.adjoint(g[:, 0].contiguous()))
    assert torch.equal(P @ theta.T.contiguous().T, P @ theta)


@every_family
def test_errors_are_no_larger_than_the_naive_ones(family: str, options: dict[str, int]) -> None:
    """At most twice the error of a stored matrix in the same precision."""
    D, d = 20_000, 700
    single = projection(family, D, d, 0, backend="native", **options)
    exact = single.to_dense().double()
    theta, g = normal_numbers(d, seed=1), normal_numbers(D, seed=2)
    for ours, naive, wanted in [
        (single @ theta, exact.float() @ theta, exact @ theta.double()),
        (single.T @ g, exact.float().T @ g, exact.T @ g.double()),
    ]:
        error, bound = (float((x.double() - wanted).norm()) for x in (ours, naive))
        floor = float(wanted.norm()) * torch.finfo(torch.float32).eps  # for sums of one term
        assert error <= 2 * max(bound, floor)


def test_a_backend_that_is_not_here_is_named() -> None:
    with pytest.raises(RlidimError, match="did you mean 'native'"):
        projection("rotation", 10, 2, 0, backend="nativ")
    with pytest.raises(RlidimError, match="does not compute kronecker on cpu here"):
        projection("kronecker", 10, 2, 0, backend="native")
    with pytest.raises(ValueError, match="no instruction set 'sse9'"):
        kernels.use("sse9")
