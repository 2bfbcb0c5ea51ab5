"""The C++ kernels: the reference's P on every instruction set, whatever the threads and cuts."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections import cpp_kernels, normal, projection
from rlidim.projections.base import Projection

if cpp_kernels.reason():
    pytest.skip(cpp_kernels.reason(), allow_module_level=True)

import rlidim.projections.cpp_kernels._kernels as kernels
from rlidim.networks.rectified import RectifiedNetworks
from rlidim.projections.cpp_kernels.tables import affine_tables, block_words
from rlidim.projections.hadamard import sylvester
from rlidim.projections.hashed import HASHES
from rlidim.projections.philox import sign_stream
from rlidim.projections.rotation import SHIFTS
from rlidim.projections.stacked_fastfood import INNER, OUTER, StackedFastfood
from tests.marks import slow_but

SETS = kernels.instruction_sets()
ALL_SETS = ("avx512", "avx2", "portable") if platform.machine() == "x86_64" else ("portable",)
DTYPES = [torch.float32, torch.float64]
OPTIONS = [(family, {}) for family in cpp_kernels.implementations()] + [("hashed", {"entries": 3})]
# Around the sizes at which the kernels change their way: packed rows, lanes, tiles, blocks, passes.
SMALL = [
    *((1, 1), (2, 1), (5, 5), (7, 3), (17, 16), (33, 32), (75, 75), (129, 33), (300, 65)),
    *((600, 570), (1000, 129)),
]
LARGE = [(600, 600), (9000, 5000), (40_000, 33), (20_001, 777)]

every_family = pytest.mark.parametrize(
    ("family", "options"), OPTIONS, ids=lambda value: str(value) if value else ""
)


every_precision = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])
# The sets that this processor lacks are skipped by name.
every_set = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in SETS else pytest.mark.skip(reason=f"no {name} here"))
        for name in ALL_SETS
    ],
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
@every_precision
@pytest.mark.parametrize(
    "sizes", [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "large"]
)
@pytest.mark.usefixtures("any_set")
def test_the_reference_and_every_path_agree(
    family: str, options: dict[str, int], sizes: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    """Paths make the same bits; the fastest one's are the reference's numbers but for rounding."""
    for D, d in sizes:
        if d < options.get("entries", 1):
            continue
        # Nothing changes there for a dense family, and the reference is slow.
        if family in ("gaussian", "rademacher") and D * d > 2 * 10**7:
            continue
        where = f"{family} ({D}, {d})"
        P = projection(family, D, d, 2**40 + 7, dtype=dtype, backend="cpp", **options)
        found = {}
        for name in SETS:  # those of this processor, the fastest first
            kernels.use(name)
            found[name] = products(P, dtype)
        fastest = found.pop(SETS[0])
        wanted = reference_products(family, D, d, dtype, options)
        tolerance = 2e-5 if dtype is torch.float32 else 1e-12
        for ours, value in zip(fastest, wanted, strict=True):
            assert relative(ours, value) < tolerance, where
        for name, others in found.items():
            for ours, value in zip(others, fastest, strict=True):
                assert torch.equal(ours, value), f"{where}: {name} and {SETS[0]} differ"


def reference_products(
    family: str, D: int, d: int, dtype: torch.dtype, options: dict[str, int]
) -> list[Tensor]:
    P = projection(family, D, d, 2**40 + 7, dtype=dtype, backend="torch", **options)
    return products(P, dtype)


@every_family
@every_precision
@pytest.mark.parametrize(
    ("D", "d"), [(25, 25), (33, 32), (600, 570), (777, 70), (1000, 129), (5000, 300)]
)
def test_the_same_bits_as_the_reference(
    family: str, options: dict[str, int], D: int, d: int, dtype: torch.dtype
) -> None:
    ours, reference = (
        projection(family, D, d, 3, dtype=dtype, backend=backend, **options).to_dense()
        for backend in ("cpp", "torch")
    )
    if family == "fastfood":  # an entry is a sum of n numbers, in another order
        torch.testing.assert_close(ours, reference)
    else:
        assert torch.equal(ours, reference)


@every_set
@pytest.mark.usefixtures("any_set")
def test_all_normal_numbers(name: str) -> None:
    """A Gaussian P of ten million entries has every magnitude, each with both signs, exactly."""
    kernels.use(name)
    P = projection("gaussian", 40_000, 250, 0, backend="cpp")
    P.scale = torch.ones(250)  # type: ignore[attr-defined]
    found = P.rows(0, 40_000).to_dense().unique()
    every = normal.magnitudes().unique()
    assert torch.equal(found, torch.cat((-every.flip(0), every)).unique())


@every_family
def test_threads_change_nothing(family: str, options: dict[str, int]) -> None:
    D, d = 140_001, 70  # each form's rows suffice for more than two threads' tasks
    P = projection(family, D, d, 0, backend="cpp", **options)
    theta, base = normal_numbers(d, seed=1), normal_numbers(D, seed=2)
    block, many = normal_numbers(d, 19, seed=3), normal_numbers(D, 19, seed=4)
    out = torch.empty(D, 19)
    before = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append([
                P.forward(theta, base=base), P.adjoint(base),
                P.forward(block), P.forward(block, base=base, out=out).clone(),
                P.adjoint(many), P.adjoint(many.T.contiguous().T),
            ])  # fmt: skip
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], other, strict=True))


@pytest.mark.parametrize("family", ["rademacher", "rotation", "hashed", "stacked_fastfood"])
def test_rows_beyond_32_bits(family: str) -> None:
    """The counter's high word counts: a few rows of a matrix of 2^39, as the reference has them."""
    D, d, start, count = 2**39 + 12_345, 100, 2**39 + 11, 500
    ours = projection(family, D, d, 5, backend="cpp")
    theta, g = normal_numbers(d, 2, seed=1), normal_numbers(count, 2, seed=2)
    rows = ours.rows(start, start + count)
    assert not torch.equal(rows.forward(theta), ours.rows(11, 11 + count).forward(theta))
    dense = REFERENCE_ROWS[family](ours, start, start + count)
    for k in (0, slice(None)):
        assert relative(rows.forward(theta[:, k]), dense @ theta[:, k]) < 2e-5
        assert relative(rows.adjoint(g[:, k]), dense.T @ g[:, k]) < 2e-5


def test_gaussian_rows_beyond_32_bits() -> None:
    """The same for gaussian, whose scales would take all rows: its entries unscaled."""
    D, d, start, count = 3000, 20, 2**39 + 11, 300
    ours, reference = (projection("gaussian", D, d, 5, backend=b) for b in ("cpp", "torch"))
    ours.scale = torch.ones(d)  # type: ignore[attr-defined]
    dense = reference._entries(start, start + count)  # type: ignore[attr-defined]
    theta, g = normal_numbers(d, 2, seed=1), normal_numbers(count, 2, seed=2)
    assert torch.equal(ours._generate(start, start + count), dense)  # type: ignore[attr-defined]
    for k in (0, slice(None)):
        forward = ours._forward(theta[:, k], None, None, start, start + count)
        assert relative(forward, dense @ theta[:, k]) < 2e-5
        adjoint = ours._adjoint(g[:, k], start, start + count)
        assert relative(adjoint, dense.T @ g[:, k]) < 2e-5


def signs_of(start: int, stop: int, tag: int, seed: int) -> Tensor:
    return sign_stream(stop - start, tag, seed, torch.device("cpu"), start).float()


def rows_of_rademacher(P: Projection, start: int, stop: int) -> Tensor:
    return projection("rademacher", P.D, P.d, P.seed, backend="torch").rows(start, stop).to_dense()


def rows_of_blocks(P: Projection, start: int, stop: int) -> Tensor:
    """Rotation and hashed by their definitions, one row at a time."""
    dense = torch.zeros(stop - start, P.d)
    signs = signs_of(start, stop, P.tag, P.seed)
    tag = P.tag + (SHIFTS if P.family == "rotation" else HASHES)
    for row in range(start, stop):
        first, second = block_words(row // P.d, tag, P.seed)
        column = (row % P.d + first) % P.d
        if P.family == "hashed":
            factor = int(affine_tables(P.d)[0][first % P.d])
            column = (factor * (row % P.d) + second) % P.d
        scale = 1 / math.sqrt(P.D // P.d)  # a last, cut block changes nothing in single precision
        dense[row - start, column] = signs[row - start] * scale
    return dense


def rows_of_stacked(P: Projection, start: int, stop: int) -> Tensor:
    assert isinstance(P, StackedFastfood)
    ((_, stack),) = P.stacks
    n = stack.n
    first, last = start // n, -(-stop // n)
    H = sylvester(n, torch.float32, torch.device("cpu"))
    inner = signs_of(0, n, P.tag + INNER, P.seed)[: P.d] * stack.scale
    middle, outer = (
        signs_of(first * n, last * n, tag, P.seed).view(-1, n) for tag in (P.tag, P.tag + OUTER)
    )
    blocks = [T[:, None] * (H @ (S[:, None] * H)) for S, T in zip(middle, outer, strict=True)]
    rows = torch.cat(blocks)[:, : P.d] * inner
    return rows[start - first * n :][: stop - start]


REFERENCE_ROWS = {
    "rademacher": rows_of_rademacher,
    "rotation": rows_of_blocks,
    "hashed": rows_of_blocks,
    "stacked_fastfood": rows_of_stacked,
}


@every_family
def test_cuts_are_rows_of_the_whole(family: str, options: dict[str, int]) -> None:
    P = projection(family, 50_000, 90, 1, backend="cpp", **options)
    for members in ((), (3,)):
        theta = normal_numbers(90, *members, seed=1)
        whole = P.forward(theta)
        for start, stop in [(0, 1), (49_999, 50_000), (16_383, 16_385), (5, 40_001), (7, 7)]:
            assert torch.equal(P.rows(start, stop).forward(theta), whole[start:stop])


@every_family
def test_members_wherever_they_lie(family: str, options: dict[str, int]) -> None:
    """Row by row, member by member, every other number: the same product, nothing else written."""
    D, d, N = 70_003, 20, 70  # more rows than are computed at once
    P = projection(family, D, d, 0, backend="cpp", **options)
    theta, base = normal_numbers(d, N, seed=1), normal_numbers(D, seed=2)
    wanted = P.forward(theta, base=base)
    spaced = torch.full((D, 2 * N), math.nan)
    for out in (torch.empty(D, N), torch.empty(N, D).T, spaced[:, ::2]):
        assert torch.equal(P.forward(theta, base=base, out=out), wanted)
    assert bool(spaced[:, 1::2].isnan().all())
    g = normal_numbers(D, N, seed=3)
    adjoint = P.adjoint(g)
    assert relative(P.adjoint(g.T.contiguous().T), adjoint) < 2e-5
    spaced[:, ::2] = g
    assert torch.equal(P.adjoint(spaced[:, ::2]), adjoint)


@every_family
def test_strided_vectors_are_as_good(family: str, options: dict[str, int]) -> None:
    P = projection(family, 1000, 50, 0, backend="cpp", **options)
    theta, g = normal_numbers(50, 2, seed=1), normal_numbers(1000, 2, seed=2)
    wanted = P.forward(theta[:, 0].contiguous(), base=g[:, 1].contiguous())
    out = torch.full((1000, 2), math.nan)
    P.forward(theta[:, 0], base=g[:, 1], out=out[:, 0])
    assert torch.equal(out[:, 0], wanted)
    assert bool(out[:, 1].isnan().all())
    assert torch.equal(P.adjoint(g[:, 0]), P.adjoint(g[:, 0].contiguous()))
    assert torch.equal(P @ theta.T.contiguous().T, P @ theta)


@pytest.mark.parametrize(
    ("family", "options"),
    slow_but([("rademacher", {}), ("stacked_fastfood", {})], OPTIONS),
    ids=str,
)
def test_errors_are_no_larger_than_the_naive_ones(family: str, options: dict[str, int]) -> None:
    """At most twice the error of a stored matrix in the same precision."""
    D, d = 20_000, 700
    single = projection(family, D, d, 0, backend="cpp", **options)
    stored = single.to_dense()
    exact = stored.double()
    for kind, members in product(("normal", "uniform", "mean 1"), ((), (5,))):
        theta, g = (drawn(kind, n, *members, seed=seed) for n, seed in ((d, 1), (D, 2)))
        for ours, naive, wanted in [
            (single @ theta, stored @ theta, exact @ theta.double()),
            (single.T @ g, stored.T @ g, exact.T @ g.double()),
        ]:
            error, bound = (float((x.double() - wanted).norm()) for x in (ours, naive))
            floor = float(wanted.norm()) * torch.finfo(torch.float32).eps  # for sums of one term
            assert error <= 2 * max(bound, floor), f"{kind}, {members}"


def drawn(kind: str, *shape: int, seed: int) -> Tensor:
    if kind == "uniform":
        return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    return normal_numbers(*shape, seed=seed) + (1.0 if kind == "mean 1" else 0.0)


@pytest.mark.parametrize("family", ["rademacher", "sparse", "gaussian"])
def test_many_rows_with_a_mean_keep_their_digits(family: str) -> None:
    """Sums of 3 * 10^5 numbers, checked by those that are constant: the columns' sums."""
    D, d = 300_000, 12
    single, double = (projection(family, D, d, 0, dtype=dtype, backend="cpp") for dtype in DTYPES)
    for g in (torch.ones(D), drawn("mean 1", D, seed=2)):
        assert relative(single.adjoint(g).double(), double.adjoint(g.double())) < 3e-6


def test_a_backend_that_is_not_here_is_named() -> None:
    with pytest.raises(RlidimError, match="did you mean 'cpp'"):
        projection("rotation", 10, 2, 0, backend="cp")
    with pytest.raises(RlidimError, match="does not compute rotation on cpu here"):
        projection("rotation", 10, 2, 0, backend="triton")
    with pytest.raises(ValueError, match="no instruction set 'sse9'"):
        kernels.use("sse9")


@every_set
@pytest.mark.parametrize("sizes", [(4, 20, 20, 2), (3, 5), (130, 7, 1)])
@pytest.mark.parametrize("members", [1, 15, 16, 50, 64, 200])
def test_networks(name: str, sizes: tuple[int, ...], members: int, any_set: None) -> None:
    """The same bits on every instruction set and whatever stands beside a member."""
    kernels.use(name)
    generator = np.random.default_rng(members)
    D = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
    theta = generator.standard_normal((members, D)).astype(np.float32)
    observations = generator.standard_normal((members, sizes[0])).astype(np.float32)
    networks = RectifiedNetworks(theta, sizes)
    found = networks(observations).copy()
    for row in (0, members // 2, members - 1):
        x, start = observations[row].astype(np.float64), 0
        for layer, (inputs, outputs) in enumerate(pairwise(sizes), 1):
            weight = theta[row, start : start + inputs * outputs].reshape(outputs, inputs)
            start += inputs * outputs
            x = weight @ x + theta[row, start : start + outputs]
            start += outputs
            x = x if layer + 1 == len(sizes) else np.maximum(x, 0.0)
        np.testing.assert_allclose(found[row], x, rtol=1e-3, atol=1e-3)
    kernels.use("portable")
    np.testing.assert_array_equal(RectifiedNetworks(theta, sizes)(observations), found)
    chosen = np.arange(members)[::-3]
    alone = networks.select(chosen)(observations[chosen])
    np.testing.assert_array_equal(alone, found[chosen])


def test_a_network_passes_on_what_is_no_number() -> None:
    """As numpy's maximum does; the environment's check is to find it."""
    networks = RectifiedNetworks(np.ones((2, 17), np.float32), (2, 4, 1))
    found = networks(np.array([[math.nan, 0.0], [1.0, 2.0]], np.float32))
    assert math.isnan(found[0, 0])
    assert math.isfinite(found[1, 0])
