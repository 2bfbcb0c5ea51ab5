"""Every family in the registry keeps the contract of a projection; new ones are tested too."""

from __future__ import annotations

import functools
import itertools
import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections import from_spec, projection
from rlidim.projections.backends import FAMILIES
from rlidim.projections.base import Projection
from rlidim.projections.fastfood import Fastfood
from rlidim.projections.hashed import Hashed
from rlidim.projections.spec import ProjectionSpec
from tests.marks import slow_but
from tests.projections.definitions import DEFINITIONS

# d = 1, d = D, a last block that is not full, a power of two and its neighbours.
SIZES = [(1, 1), (5, 1), (7, 7), (25, 25), (64, 8), (65, 8), (100, 33), (562, 16), (1000, 129)]
OPTIONS = [(family, {}) for family in FAMILIES] + [("hashed", {"entries": 3})]

every_family = pytest.mark.parametrize(
    ("family", "options"), OPTIONS, ids=lambda value: str(value) if value else ""
)
every_size = pytest.mark.parametrize(("D", "d"), SIZES)


def make(
    family: str, options: dict[str, int], D: int, d: int, seed: int = 0, **where: object
) -> Projection:
    if d < options.get("entries", 1):
        pytest.skip("fewer columns than entries in a row")
    return projection(family, D, d, seed, **{"dtype": torch.float64, **options, **where})


def defined(family: str, options: dict[str, int], D: int, d: int, seed: int = 0) -> Tensor:
    """P by the formula in its docstring, made without the family's code."""
    return torch.from_numpy(DEFINITIONS[family](D, d, seed, **options))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@every_family
@every_size
def test_products_are_those_of_the_definition(
    family: str, options: dict[str, int], D: int, d: int
) -> None:
    P = make(family, options, D, d)
    dense = defined(family, options, D, d)
    theta, block, g, many = normal(d), normal(d, 3), normal(D), normal(D, 3)
    base = normal(D, seed=1)
    torch.testing.assert_close(P.to_dense(), dense)
    torch.testing.assert_close(P @ theta, dense @ theta)
    torch.testing.assert_close(P @ block, dense @ block)
    torch.testing.assert_close(P.T @ g, dense.T @ g)
    torch.testing.assert_close(P.T @ many, dense.T @ many)
    for column in {0, d // 2, d - 1}:
        unit = torch.eye(d, dtype=torch.float64)[column]
        torch.testing.assert_close(P @ unit, dense[:, column])
    torch.testing.assert_close(P.forward(theta, base=base), base + dense @ theta)
    torch.testing.assert_close(P.forward(block, base=base), base[:, None] + dense @ block)
    torch.testing.assert_close(P.column_norms(), dense.norm(dim=0))
    assert P.shape == (D, d)
    assert P.T.shape == (d, D)


def test_every_family_has_a_definition() -> None:
    """A new family needs one in tests/projections/definitions.py: what its docstring says."""
    assert DEFINITIONS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_columns_that_would_be_empty_are_defined_too(family: str) -> None:
    """Three rows: sparse gives such a column an entry; a singular P is drawn anew."""
    for seed in (*range(30), 2**64 - 1):
        P = make(family, {}, 3, 3, seed)
        torch.testing.assert_close(P.to_dense(), defined(family, {}, 3, 3, seed))


@every_family
@every_size
def test_adjoint(family: str, options: dict[str, int], D: int, d: int) -> None:
    P = make(family, options, D, d)
    theta, g = normal(d), normal(D, seed=1)
    torch.testing.assert_close((P @ theta) @ g, theta @ (P.T @ g))


@every_family
@every_size
def test_columns_have_unit_length(family: str, options: dict[str, int], D: int, d: int) -> None:
    norms = make(family, options, D, d).column_norms()
    if family == "fastfood" and (D & (D - 1) or D == 64):  # cut: unit on average, as the paper's
        assert float((norms - 1).abs().max()) < 6 / math.sqrt(D)
    else:
        torch.testing.assert_close(norms, torch.ones_like(norms))


@every_family
def test_linear(family: str, options: dict[str, int]) -> None:
    P = make(family, options, 200, 16)
    a, b = normal(16), normal(16, seed=1)
    torch.testing.assert_close(P @ (2 * a - 3 * b), 2 * (P @ a) - 3 * (P @ b))


@every_family
def test_rows_are_the_matrix_rows(family: str, options: dict[str, int]) -> None:
    P = make(family, options, 300, 12)
    dense, theta, block, g = P.to_dense(), normal(12), normal(12, 2), normal(300)
    for start, stop in [(0, 300), (0, 1), (299, 300), (13, 171), (50, 50)]:
        rows = P.rows(start, stop)
        assert rows.shape == (stop - start, 12)
        torch.testing.assert_close(rows.to_dense(), dense[start:stop])
        torch.testing.assert_close(rows.forward(theta), dense[start:stop] @ theta)
        torch.testing.assert_close(rows.forward(block), dense[start:stop] @ block)
        torch.testing.assert_close(
            rows.forward(theta, base=g[start:stop]), g[start:stop] + dense[start:stop] @ theta
        )
        torch.testing.assert_close(rows.adjoint(g[start:stop]), dense[start:stop].T @ g[start:stop])
    cuts = [0, 7, 150, 300]
    parts = [P.rows(a, b).adjoint(g[a:b]) for a, b in itertools.pairwise(cuts)]
    torch.testing.assert_close(torch.stack(parts).sum(0), P.T @ g)


@every_family
def test_out_is_written(family: str, options: dict[str, int]) -> None:
    P = make(family, options, 90, 10)
    theta, base, g = normal(10), normal(90, seed=1), normal(90, seed=2)
    expected = base + P @ theta
    out = torch.full((90,), math.nan, dtype=torch.float64)
    assert P.forward(theta, base=base, out=out) is out
    torch.testing.assert_close(out, expected)
    for block_out in (
        torch.full((90, 2), math.nan, dtype=torch.float64),
        torch.full((2, 90), math.nan, dtype=torch.float64).T,  # member by member
    ):
        block = torch.stack((torch.zeros_like(theta), theta), 1)
        assert P.forward(block, base=base, out=block_out) is block_out
        torch.testing.assert_close(block_out, torch.stack((base, expected), 1))
    short = torch.empty(10, dtype=torch.float64)
    assert P.adjoint(g, out=short) is short
    torch.testing.assert_close(short, P.T @ g)
    P.forward(theta, base=base, out=base)  # in place
    torch.testing.assert_close(base, expected)


@every_family
def test_a_function_of_its_seed(family: str, options: dict[str, int]) -> None:
    P = make(family, options, 400, 20, seed=5)
    again = make(family, options, 400, 20, seed=5)
    assert torch.equal(P.to_dense(), again.to_dense())
    torch.manual_seed(1)
    assert torch.equal(make(family, options, 400, 20, seed=5).to_dense(), P.to_dense())
    for other in (0, 6, 5 + 2**32):  # the key's high word counts too
        assert not torch.equal(make(family, options, 400, 20, seed=other).to_dense(), P.to_dense())
    rebuilt = from_spec(P.spec, dtype=torch.float64)
    assert torch.equal(rebuilt.to_dense(), P.to_dense())
    assert ProjectionSpec.from_json(P.spec.to_json()) == P.spec


@every_family
def test_single_precision_is_the_same_matrix_rounded(family: str, options: dict[str, int]) -> None:
    exact = make(family, options, 512, 24).to_dense()
    single = make(family, options, 512, 24, dtype=torch.float32).to_dense()
    assert single.dtype is torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-6)


@every_family
def test_threads_do_not_change_it(family: str, options: dict[str, int]) -> None:
    """P itself, on every backend; tests of the kernels ask the same of their products."""
    threads = torch.get_num_threads()
    try:
        matrices = []
        for count in (1, 2):
            torch.set_num_threads(count)
            matrices.append(make(family, options, 70_000, 9).to_dense())  # enough rows for two
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*matrices)


@every_family
def test_columns_look_independent(family: str, options: dict[str, int]) -> None:
    D, d = 4096, 24
    P = make(family, options, D, d)
    gram = P.to_dense().T @ P.to_dense()
    largest = float((gram - torch.eye(d, dtype=gram.dtype)).abs().max())
    # Of 276 scalar products of random unit vectors none exceeds 6 / sqrt(D) but once in a million.
    # Columns of a Kronecker product that share a factor's column are those of the other factor.
    rows = math.sqrt(D) if family == "kronecker" else D
    assert largest < 6 / math.sqrt(rows)


@every_family
def test_gradients(family: str, options: dict[str, int]) -> None:
    P = make(family, options, 30, 6)
    theta = normal(6).requires_grad_()
    assert torch.autograd.gradcheck(P.apply, (theta,))
    assert torch.autograd.gradgradcheck(P.apply, (theta,))


@every_family
def test_scipy_operator(family: str, options: dict[str, int]) -> None:
    P = make(family, options, 60, 9)
    operator, dense = P.aslinearoperator(), P.to_dense().numpy()
    theta, g = normal(9).numpy(), normal(60).numpy()
    np.testing.assert_allclose(operator.matvec(theta), dense @ theta)
    np.testing.assert_allclose(operator.rmatvec(g), dense.T @ g)
    np.testing.assert_allclose(operator @ np.eye(9), dense)
    one = theta[:, None]
    np.testing.assert_allclose(operator.matmat(one), dense @ one)
    np.testing.assert_allclose((operator.T @ operator).matmat(one), dense.T @ (dense @ one))
    np.testing.assert_allclose(operator.matvec(theta[:, None]), (dense @ theta)[:, None])


@settings(max_examples=40, deadline=None)
@given(
    family=st.sampled_from(sorted(FAMILIES)),
    D=st.integers(1, 300),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_size_and_seed(family: str, D: int, share: float, seed: int) -> None:
    d = max(1, round(share * D))
    P = projection(family, D, d, seed, dtype=torch.float64)
    theta, g = normal(d), normal(D, seed=1)
    torch.testing.assert_close((P @ theta) @ g, theta @ (P.T @ g), rtol=1e-9, atol=1e-9)
    if family != "fastfood":
        torch.testing.assert_close(P.column_norms(), torch.ones(d, dtype=torch.float64))


@pytest.mark.parametrize("family", ["gaussian", "rademacher"])
def test_a_large_dense_family_is_regenerated_not_stored(family: str) -> None:
    P = projection(family, 200_000, 200, 3)  # 160 MB: beyond what is kept
    theta = normal(200, dtype=torch.float32)
    part = P.rows(100_000, 100_050)
    torch.testing.assert_close((P @ theta)[100_000:100_050], part.to_dense() @ theta)
    g = torch.zeros(200_000)
    g[100_007] = 2.0
    torch.testing.assert_close(P.T @ g, 2.0 * part.to_dense()[7])


@pytest.mark.slow
@pytest.mark.parametrize("family", [name for name, kind in FAMILIES.items() if not kind.dense])
def test_structured_families_need_no_matrix(family: str) -> None:
    # Dense, this would take 40 GB.
    P = projection(family, 1_000_000, 10_000, 0)
    norm = float((P @ normal(10_000, dtype=torch.float32)).norm())
    assert norm == pytest.approx(100.0, rel=0.1)


def test_sparse_density() -> None:
    D, d = 10_000, 50
    share = float((projection("sparse", D, d, 0).to_dense() != 0).double().mean())
    assert share == pytest.approx(1 / math.sqrt(D), rel=0.2)


@pytest.mark.parametrize("entries", [1, 2, 5])
def test_hashed_entries_a_row(entries: int) -> None:
    P = projection("hashed", 1000, 40, 0, entries=entries)
    assert isinstance(P, Hashed)
    assert torch.equal((P.to_dense() != 0).sum(1), torch.full((1000,), entries))


# Square, nearly square, and where the next power of two above d is more than D.
AWKWARD = [
    *((1, 1), (2, 2), (3, 3), (5, 5), (7, 6), (25, 24), (25, 25), (75, 75), (127, 127)),
    *((257, 257), (600, 570), (700, 520), (562, 562), (600, 600), (1025, 1025)),
]


@pytest.mark.parametrize(("D", "d"), slow_but([(1, 1), (7, 6), (75, 75), (257, 257)], AWKWARD))
@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "kronecker"])
def test_columns_are_independent_up_to_as_many_as_rows(family: str, D: int, d: int) -> None:
    """Full rank in single precision for every seed; the median condition is a Gaussian's, or so."""
    seeds = range(seeds_needed(D, d))
    matrices = (make(family, {}, D, d, seed, dtype=torch.float32).to_dense() for seed in seeds)
    conditions = [condition(P.double()) for P in matrices]
    assert max(conditions) < 1e9  # of a singular P in single precision: 1e16
    assert statistics.median(conditions) <= 2 * gaussian_condition(D, d)


def condition(P: Tensor) -> float:
    """Return the condition number, columns of unit length."""
    values = torch.linalg.svdvals(P / P.norm(dim=0))
    return float(values[0] / values[-1])


@functools.cache
def gaussian_condition(D: int, d: int) -> float:
    """Return the median of normal numbers."""
    seeds = range(2 * seeds_needed(D, d))
    return statistics.median(condition(normal(D, d, seed=seed)) for seed in seeds)


def seeds_needed(D: int, d: int) -> int:
    """Return how many for a median: a square matrix's condition has no mean."""
    return 5 if d < D and D > 100 else 45 if D < 300 else 15


@pytest.mark.parametrize("family", ["rademacher", "sparse", "fastfood", "stacked_fastfood"])
def test_a_singular_draw_has_another_layout(family: str) -> None:
    """What was made with a singular P before these were drawn anew is refused, not misread."""
    kind = FAMILIES[family]
    for seed in range(60):
        P = make(family, {}, 5, 5, seed)
        assert from_spec(P.spec, dtype=torch.float64).spec == P.spec
        if P.layout == kind.layout_version:
            continue
        assert P.layout == kind.layout_version + 1
        with pytest.raises(RlidimError, match="layout version"):
            from_spec(ProjectionSpec(family, P.D, P.d, seed, kind.layout_version))


def test_a_wide_fastfood_takes_a_longer_transform() -> None:
    """Numbers that were made before keep their layout: those of d <= L / 8."""
    narrow, wide = (make("fastfood", {}, 562, d) for d in (128, 129))
    assert isinstance(narrow, Fastfood)
    assert isinstance(wide, Fastfood)
    assert (narrow.L, narrow.layout) == (1024, 2)
    assert (wide.L, wide.layout) == (8192, 3)


@pytest.mark.parametrize(("D", "d"), [(600, 600), (600, 570), (100, 65), (75, 75)])
def test_two_parts_are_the_definition(D: int, d: int) -> None:
    """stacked_fastfood where the next power of two above d is more than D."""
    P, dense = make("stacked_fastfood", {}, D, d), defined("stacked_fastfood", {}, D, d)
    theta, block, g, many = normal(d), normal(d, 3), normal(D), normal(D, 3)
    torch.testing.assert_close(P.to_dense(), dense)
    torch.testing.assert_close(P.forward(block, base=g), g[:, None] + dense @ block)
    torch.testing.assert_close(P.forward(theta, base=g), g + dense @ theta)
    torch.testing.assert_close(P.T @ many, dense.T @ many)
    rows = P.rows(13, D - 9)
    torch.testing.assert_close(rows.forward(theta, base=g[13:-9]), (g + dense @ theta)[13:-9])
    torch.testing.assert_close(rows.adjoint(g[13:-9]), dense[13:-9].T @ g[13:-9])
    assert (P.layout, P.layout_version) == (2, 1)


def test_auto_goes_by_the_size() -> None:
    assert projection("auto", 562, 16, 0).family == "rademacher"
    assert projection("auto", 199_210, 750, 0).family == "stacked_fastfood"


def test_rotation_is_orthonormal_within_its_blocks() -> None:
    P = projection("rotation", 640, 32, 0, dtype=torch.float64)
    gram = P.to_dense().T @ P.to_dense()
    torch.testing.assert_close(gram, torch.eye(32, dtype=torch.float64))


@every_family
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_nothing_of_nothing(family: str, options: dict[str, int], backend: str) -> None:
    """No members, no rows: empty products, or zeros."""
    P = make(family, options, 1000, 10, backend=backend)
    none = torch.zeros(10, 0, dtype=torch.float64)
    assert (P @ none).shape == (1000, 0)
    assert P.adjoint(torch.zeros(1000, 0, dtype=torch.float64)).shape == (10, 0)
    rows = P.rows(64, 64)
    for members in ((), (3,)):
        assert rows.forward(torch.zeros(10, *members, dtype=torch.float64)).shape == (0, *members)
        nothing = rows.adjoint(torch.zeros(0, *members, dtype=torch.float64))
        assert torch.equal(nothing, torch.zeros(10, *members, dtype=torch.float64))


@pytest.mark.parametrize("family", ["sparse", "stacked_fastfood", "gaussian", "hashed"])
def test_scales_are_correctly_rounded(family: str) -> None:
    """Squared lengths are whole numbers, and 1 / sqrt of them numpy's, on every backend."""
    backends = ["torch", "auto"]
    ours, reference = (make(family, {}, 5000, 300, backend=name).to_dense() for name in backends)
    assert torch.equal(ours, reference)


@pytest.mark.gpu
@every_family
def test_same_on_the_gpu(family: str, options: dict[str, int]) -> None:
    here = make(family, options, 1000, 24).to_dense()
    there = make(family, options, 1000, 24, device="cuda").to_dense()
    torch.testing.assert_close(there.cpu(), here)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: projection("rademacer", 10, 2, 0), "did you mean 'rademacher'"),
        (lambda: projection("hashed", 10, 2, 0, entry=1), "did you mean 'entries'"),
        (lambda: projection("hashed", 10, 2, 0, entries=3), "entries must be between 1 and d = 2"),
        (lambda: projection("gaussian", 10, 0, 0), "between 1 and D = 10, got 0"),
        (lambda: projection("gaussian", 10, 11, 0), "between 1 and D = 10, got 11"),
        (lambda: projection("gaussian", 10, 2, -1), "seed must be"),
        (lambda: projection("gaussian", 10, 2, 2**64), "seed must be"),
        (lambda: projection("gaussian", 10, 2, 0, dtype=torch.float16), "float32 or float64"),
        (lambda: projection("gaussian", 10, 2, 0) @ torch.zeros(3), "must have shape (2,)"),
        (lambda: projection("gaussian", 10, 2, 0).T @ torch.zeros(2), "must have shape (10,)"),
        (lambda: projection("gaussian", 10, 2, 0) @ torch.zeros(2).double(), "float32"),
        (
            lambda: projection("gaussian", 10, 2, 0).forward(torch.zeros(2), out=torch.zeros(9)),
            "out must have shape (10,)",
        ),
        (lambda: projection("gaussian", 10, 2, 0).rows(5, 11), "within 0 and D = 10"),
        (
            lambda: projection(
                "rademacher",
                10**7,
                10**4,
                0,
            ).to_dense(),
            "372.5 GiB",
        ),
        (
            lambda: from_spec(ProjectionSpec("gaussian", 10, 2, 0, layout_version=99)),
            "layout version",
        ),
        (lambda: ProjectionSpec.from_json({"family": "gaussian"}), "not the specification"),
        (
            lambda: from_spec(ProjectionSpec("gaussian", 10, 2, 0, options={"dtype": 1})),
            "projection 'gaussian' has no option 'dtype'",
        ),
    ],
)
def test_mistakes_are_named(call: object, message: str) -> None:
    with pytest.raises(RlidimError) as caught:
        call()  # type: ignore[operator]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
