"""The Triton kernels against the reference, by Triton's interpreter; and that all compile.

The interpreter has to be chosen before triton is imported: its tests run in a process of their own.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from rlidim.errors import RlidimError
from rlidim.projections import backends, philox, triton_kernels
from rlidim.projections.backends import FAMILIES
from rlidim.projections.base import Projection
from rlidim.speed.gpu import correctness

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)

CPU = torch.device("cpu")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SEED = 5 + 2**40
KINDS = triton_kernels.implementations()
HASHED_3 = ("hashed", {"entries": 3})
# d around the packing of 32, 64 and 128 signs a counter, d = 1, d = D, the last block cut.
SIZES = {
    "rademacher": [(1, 1), (7, 7), (130, 32), (131, 33), (70, 64), (70, 65), (140, 129)],
    "gaussian": [(1, 1), (7, 7), (130, 32), (70, 65)],
    "sparse": [(1, 1), (3, 3), (300, 33)],
    "fastfood": [(1, 1), (3, 3), (100, 30), (3000, 40)],
    "stacked_fastfood": [
        (1, 1),
        (7, 7),
        (75, 75),
        (600, 570),
        (2100, 1),
        (2200, 65),
        (2100, 129),
        (2300, 1000),
    ],
    "hashed": [(1, 1), (7, 7), (300, 1), (300, 65), (150, 129)],
    "rotation": [(1, 1), (7, 7), (300, 1), (300, 65), (150, 129)],
}
CASES = [(family, {}, D, d) for family in SIZES for D, d in SIZES[family]]
CASES += [(*HASHED_3, 7, 7), (*HASHED_3, 300, 65)]
# The interpreter cuts a bfloat16 off where the device rounds: 2^-16, not 2^-18.
TWO_PARTS = {"rademacher", "gaussian"}


if INTERPRETED:
    import triton
    import triton.language as tl

    from rlidim.projections.triton_kernels.stream import normal as normal_numbers

    @triton.jit
    def normal_kernel(words, table, out, SIZE: tl.constexpr):
        """Each word's two normal numbers."""
        drawn = tl.load(words + tl.arange(0, SIZE))[None, :].to(tl.uint32, bitcast=True)
        values = tl.reshape(normal_numbers(drawn, table), (2 * SIZE,))
        tl.store(out + tl.arange(0, 2 * SIZE), values)


@pytest.fixture(autouse=True)
def _interpreter_and_new_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the interpreter of Triton 3.6 loop: NumPy 2.4 makes no int of an array of one number."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        tensor.__index__ = lambda self: self.handle.data.item()

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)


def served_by_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Triton families serve the CPU."""
    monkeypatch.setitem(backends.FASTEST, "cpu", triton_kernels.implementations)


def normal(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def pair(
    family: str, D: int, d: int, dtype: torch.dtype = torch.float32, **options: int
) -> tuple[Projection, Projection]:
    where = {"dtype": dtype, "device": CPU, **options}
    return KINDS[family](D, d, SEED, **where), FAMILIES[family](D, d, SEED, **where)


def close(actual: Tensor, expected: Tensor, family: str, terms: int) -> None:
    """Equal up to the order of sums of that many terms of size one."""
    assert actual.shape == expected.shape
    assert actual.dtype is expected.dtype
    unit = torch.finfo(expected.dtype).eps
    if family in TWO_PARTS and expected.dtype is torch.float32 and expected.ndim == 2:
        unit = 2.0**-16
    tolerance = 8 * unit * math.sqrt(terms) * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=tolerance)


# Whose entries are drawn, not summed up.
DRAWN = [name for name in SIZES if FAMILIES[name].exact and not FAMILIES[name].transformed]


class TestInterpreted:
    __test__ = INTERPRETED

    @pytest.mark.parametrize(("family", "options", "D", "d"), CASES)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
    def test_products(
        self, family: str, options: dict[str, int], D: int, d: int, dtype: torch.dtype
    ) -> None:
        P, reference = pair(family, D, d, dtype, **options)
        start = D // 3
        for members in ([], [3]):
            theta, g = normal(d, *members, dtype=dtype), normal(D, *members, dtype=dtype)
            origin = normal(D, dtype=dtype)
            close(P.forward(theta, origin), reference.forward(theta, origin), family, d)
            close(P.adjoint(g), reference.adjoint(g), family, D)
            part, expected = P.rows(start, D), reference.rows(start, D)
            close(part.forward(theta), expected.forward(theta), family, d)
            close(part.adjoint(g[start:]), expected.adjoint(g[start:]), family, D)

    @pytest.mark.parametrize("family", SIZES)
    def test_many_members_and_strides(self, family: str) -> None:
        P, reference = pair(family, 90, 21)
        theta, g, origin = normal(17, 21).T, normal(17, 180).T[::2], normal(180)[::2]
        out = torch.full((90, 34), math.nan)[:, ::2]
        assert P.forward(theta, origin, out) is out
        close(out, reference.forward(theta, origin), family, 21)
        close(P.adjoint(g), reference.adjoint(g), family, 90)
        vector = theta[:, 3]
        close(P.forward(vector), reference.forward(vector), family, 21)
        close(P.adjoint(g[:, 3]), reference.adjoint(g[:, 3]), family, 90)
        assert P.rows(5, 5).forward(vector).shape == (0,)
        assert not P.rows(5, 5).adjoint(g[:0]).any()

    @pytest.mark.parametrize("family", SIZES)
    def test_base_may_be_out(self, family: str) -> None:
        P, reference = pair(family, 90, 21)
        origin, theta = normal(90), normal(21)
        expected = reference.forward(theta, origin)
        assert P.forward(theta, origin, origin) is origin
        close(origin, expected, family, 21)

    @pytest.mark.parametrize("family", SIZES)
    def test_same_matrix(self, family: str) -> None:
        P, reference = pair(family, 70, 9)
        exact = FAMILIES[family].exact
        torch.testing.assert_close(
            P.to_dense(), reference.to_dense(), rtol=0.0, atol=0.0 if exact else 1e-6
        )
        assert P.spec == reference.spec
        assert P.backend == "triton"

    @pytest.mark.parametrize(
        "family",
        sorted(name for name in SIZES if FAMILIES[name].exact and not FAMILIES[name].transformed),
    )
    def test_same_entries(self, family: str) -> None:
        """A product of one column is made by the kernels; to_dense of the dense families is not."""
        P, reference = pair(family, 300, 70)
        dense = reference.rows(100, 290).to_dense()
        for column in (0, 35, 69):
            entries = P.rows(100, 290).forward(torch.eye(70)[column])
            assert torch.equal(entries, dense[:, column])

    @pytest.mark.parametrize("family", SIZES)
    def test_what_make_gpu_checks(self, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its comparisons hold for the kernels, on a size that the interpreter can do."""
        served_by_triton(monkeypatch)
        monkeypatch.setitem(correctness.TOLERANCES, "float32", 1e-4)  # see TWO_PARTS
        monkeypatch.setattr(correctness, "POPULATIONS", (3,))
        row = correctness.check(
            correctness.Case(family, 300, 40, torch.float32, (101, 240), CPU, "triton"), seed=7
        )
        assert row["agrees"], row
        assert {"forward", "adjoint 3", "rows' adjoint", "members 3"} <= set(row["differences"])

    def test_every_normal_number(self) -> None:
        from rlidim.projections import normal as reference

        halves = torch.arange(2**16).view(-1, 2)
        words = halves[:, 0] | (halves[:, 1] << 16)
        out = torch.empty(2**16)
        table = reference.magnitudes().to(torch.int16)
        assert torch.equal(table.float(), reference.magnitudes())
        normal_kernel[(1,)](words.to(torch.int32), table, out, SIZE=2**15)
        assert torch.equal(out, reference.normal(words))

    def test_a_transform_in_three_passes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from rlidim.projections.triton_kernels import hadamard

        for name in ("LONGEST", "FACTOR"):
            monkeypatch.setattr(hadamard, name, 16)
        P, reference = pair("fastfood", 700, 40)
        assert P._hadamard._across == [16, 4]  # type: ignore[attr-defined]
        for members in ([], [3]):
            theta, g = normal(40, *members), normal(700, *members)
            close(P.forward(theta), reference.forward(theta), "fastfood", 40)
            close(P.adjoint(g), reference.adjoint(g), "fastfood", 700)

    @pytest.mark.parametrize("chunk", [2**12, 2**22])
    def test_blocks_longer_than_a_program(
        self, chunk: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ranges of rows that begin and end within a block, of a few blocks and of one."""
        from rlidim.projections.triton_kernels import hadamard, long_blocks

        monkeypatch.setattr(hadamard, "LONGEST", 2**7)
        monkeypatch.setattr(long_blocks, "CHUNK", chunk)
        P, reference = pair("stacked_fastfood", 5_000, 1_100)
        ((_, stack),) = P.stacks  # type: ignore[attr-defined]
        assert stack._long._hadamard._across == [16]
        for start, stop in ((0, 5_000), (1_500, 4_200), (2_050, 4_090), (1_500, 3_548)):
            part, expected = P.rows(start, stop), reference.rows(start, stop)
            for members in ([], [3]):
                theta, g = normal(1_100, *members), normal(stop - start, *members)
                origin = normal(stop - start)
                close(
                    part.forward(theta, origin),
                    expected.forward(theta, origin),
                    "stacked_fastfood",
                    1_100,
                )
                close(part.adjoint(g), expected.adjoint(g), "stacked_fastfood", 5_000)
        out = torch.full((3, 5_000), math.nan).T
        theta = normal(1_100, 3)
        assert P.forward(theta, out=out) is out
        close(out, reference.forward(theta), "stacked_fastfood", 1_100)

    @pytest.mark.parametrize(("family", "d"), [("rademacher", 70), ("rademacher", 40)])
    def test_counters_of_rows_beyond_32_bits(self, family: str, d: int) -> None:
        D, start = 2**34 + 12345, 2**34 - 30  # a counter serves one row, or two of 64 signs
        P = KINDS[family](D, d, SEED, dtype=torch.float32, device=CPU)
        assert start // (1 if d > 64 else 2) > 2**32
        expected = FAMILIES[family]._generate(P, start, start + 60)  # type: ignore[attr-defined]
        same_rows(P, expected, start)

    @pytest.mark.parametrize("family", ["stacked_fastfood", "rotation", "hashed"])
    def test_sign_streams_beyond_32_bits(
        self, family: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from rlidim.projections.triton_kernels import blocks, stream

        monkeypatch.setattr(blocks, "COLUMNS", 2**14)  # fewer and larger programs
        monkeypatch.setattr(stream, "TOTAL_SIZE", 2**14)
        monkeypatch.setattr(stream, "TOTAL_PARTS", 1)
        # A counter serves 128 rows; maps are drawn for each block, so that blocks are long.
        d = 40 if family == "stacked_fastfood" else 2**20
        D, start = 2**39 + 12345, 2**39 - 30
        P: Any = KINDS[family](D, d, SEED, dtype=torch.float32, device=CPU)
        rows = torch.arange(start, start + 60)
        if family == "stacked_fastfood":
            same_rows(P, stacked_rows(P, rows), start)
            return
        block, within = rows // d, rows % d
        factors = 1 if P._factors is None else P._factors[0, block].long()
        columns = (factors * within + P._shifts[0, block]) % d
        signed = philox.sign_stream(60, P.tag, SEED, CPU, start) * P._scale[columns]
        theta, g = normal(d), normal(60)
        part = P.rows(start, start + 60)
        size = signed.abs().max()
        close(part.forward(theta) / size, signed * theta[columns] / size, family, 1)
        expected = torch.zeros(d).scatter_add_(0, columns, signed * g)
        close(part.adjoint(g) / size, expected / size, family, 60)


def same_rows(P: Projection, expected: Tensor, start: int) -> None:
    """Compare the products of a range of rows, and their entries, with a dense matrix."""
    (count, d), size = expected.shape, expected.abs().max()  # entries are small where D is large
    part, theta, g = P.rows(start, start + count), normal(d), normal(count)
    close(part.forward(theta) / size, expected @ theta / size, P.family, d)
    close(part.adjoint(g) / size, expected.T @ g / size, P.family, count)
    for column in (0, d - 1):
        entries = part.forward(torch.eye(d)[column])
        close(entries / size, expected[:, column] / size, P.family, 1)


def stacked_rows(P: Any, rows: Tensor) -> Tensor:
    """Return rows of T_k H S_k H B C, their blocks' signs drawn for themselves."""
    from rlidim.projections.hadamard import sylvester
    from rlidim.projections.stacked_fastfood import OUTER

    found = []
    ((_, stack),) = P.stacks
    n = stack.n
    H = sylvester(n, torch.float64, CPU)
    for block in sorted(set((rows // n).tolist())):
        outer, middle = (
            philox.sign_stream(n, tag, SEED, CPU, block * n).double()
            for tag in (P.tag + OUTER, P.tag)
        )
        dense = (outer[:, None] * H * middle) @ H[:, : P.d] * stack._signed_scale.double()
        found.append(dense[rows[rows // n == block] % n])
    return torch.cat(found).float()


def kernel_modules() -> list[Any]:
    """Return the modules that launch kernels."""
    from rlidim.projections.triton_kernels import (
        blocks,
        dense,
        fastfood,
        hadamard,
        long_blocks,
        sparse,
        stream,
    )

    return [blocks, dense, fastfood, hadamard, long_blocks, sparse, stream]


def test_a_grid_that_a_gpu_has_not_is_one_line() -> None:
    pytest.importorskip("triton")
    from rlidim.projections.triton_kernels.stream import launch

    with pytest.raises(RlidimError, match=r"needs a grid 3 x 65536, .* hand over fewer columns"):
        launch(None, (3, 65_536), torch.zeros(1))


def not_triton(case: correctness.Case) -> bool:
    """Say whether torch computes a case: transforms in float64."""
    return case.family.endswith("fastfood") and case.dtype is torch.float64


def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[Any, Any]]:
    """Compile what is launched for sm_90, with its own parameters, instead of running it.

    Returns:
        The kernels' machine code by a name that tells their parameters, filled at each launch.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, make_backend
    from triton.runtime.jit import create_function_from_signature

    target = GPUTarget("cuda", 90, 32)
    compiled: dict[str, Any] = {}

    def launch(kernel: Any, grid: Any, *arguments: Any, **options: Any) -> None:
        backend = make_backend(target)
        bind = create_function_from_signature(kernel.signature, kernel.params, backend)
        bound, special, rest = bind(*arguments, **options)
        packed = kernel._pack_args(backend, options, bound, special, rest)
        parsed, signature, constants, attributes = packed
        name = f"{kernel.__module__}.{kernel.__name__} {signature} {constants}"
        if name not in compiled:
            source = ASTSource(kernel, signature, constants, attributes)
            compiled[name] = triton.compile(source, target=target, options=parsed.__dict__)

    for module in kernel_modules():
        monkeypatch.setattr(module, "launch", launch)
    return compiled


def spills(binary: bytes) -> float:
    """Return which share of the instructions moves registers to memory or back."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/nvdisasm"
    if not tool.exists():
        pytest.skip("this triton brings no nvdisasm")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        text = subprocess.run(
            [tool, "-c", file.name], capture_output=True, text=True, check=True
        ).stdout
    names = re.findall(r"\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)", text)
    counts = Counter(names)
    return (counts["LDL"] + counts["STL"]) / len(names)


SHARED_MEMORY = 227 * 1024  # bytes of one program on sm_90
SPILLING = 2**12  # from this length on a transform fills the registers
SPILL_SHARE = 0.1


# What is compiled beside two quick examples.
COMPILED = [
    ("rademacher", {}, 700, torch.float32),
    ("rademacher", {}, 700, torch.float64),
    ("gaussian", {}, 20, torch.float32),
    ("gaussian", {}, 700, torch.float32),
    ("gaussian", {}, 700, torch.float64),
    ("sparse", {}, 20, torch.float32),
    ("sparse", {}, 20, torch.float64),
    ("sparse", {}, 700, torch.float64),
    ("fastfood", {}, 20, torch.float32),
    *(("stacked_fastfood", {}, 2**power, torch.float32) for power in (3, 7, 8, 9, 12, 13)),
    ("stacked_fastfood", {}, 20_000, torch.float32),
    ("hashed", {}, 700, torch.float64),
    (*HASHED_3, 700, torch.float32),
]


class TestPlain:
    __test__ = not INTERPRETED

    @pytest.mark.slow
    def test_under_the_interpreter(self) -> None:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", __file__],
            env={**os.environ, "TRITON_INTERPRET": "1"},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout[-5000:]

    @pytest.mark.filterwarnings("ignore:.*encountered")  # scales of squares that no kernel summed
    @pytest.mark.parametrize(
        ("family", "options", "d", "dtype"),
        [
            ("rademacher", {}, 20, torch.float32),
            ("rotation", {}, 700, torch.float32),
            *(pytest.param(*case, marks=pytest.mark.slow) for case in COMPILED),
        ],
        ids=str,
    )
    def test_kernels_compile_without_spills(
        self,
        family: str,
        options: dict[str, int],
        d: int,
        dtype: torch.dtype,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        compiled = recorded(monkeypatch)
        kind = triton_kernels.implementations()[family]
        D = 40_000
        P = kind(D, d, 1, dtype=dtype, device=CPU, **options)
        for members in ([], [64]):
            theta, g = torch.empty(d, *members, dtype=dtype), torch.empty(D, *members, dtype=dtype)
            P.forward(theta, torch.empty(D, dtype=dtype))
            P.adjoint(g)
        assert compiled
        for name, kernel in compiled.items():
            assert kernel.metadata.shared <= SHARED_MEMORY, name
            allowed = SPILL_SHARE if family == "stacked_fastfood" and d >= SPILLING else 0.0
            assert spills(kernel.asm["cubin"]) <= allowed, name

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:.*encountered")  # scales of squares that no kernel summed
    def test_what_make_gpu_checks_reaches_the_kernels(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each product at each size launches one, and each kernel is launched at some size."""
        monkeypatch.setitem(backends.FASTEST, "cpu", triton_kernels.implementations)
        monkeypatch.setattr(correctness, "POPULATIONS", (2,))
        launched: list[tuple[str, str]] = []
        for module in kernel_modules():
            monkeypatch.setattr(
                module,
                "launch",
                lambda kernel, *_, **__: launched.append((kernel.__module__, kernel.__name__)),
            )
        reached = set()
        for case in correctness.plan(CPU):
            if case.backend != "triton" or not_triton(case):
                continue
            if case.dtype is torch.float64 and case.D > 5_000:  # as in float32
                continue
            P = KINDS[case.family](case.D, case.d, SEED, dtype=case.dtype, device=CPU)
            for name in ("_forward", "_adjoint"):
                product = getattr(P, name)

                def launches(*vectors: Any, product: Any = product, case: Any = case) -> Tensor:
                    launched.clear()
                    result: Tensor = product(*vectors)
                    assert launched, str(case)
                    reached.update(launched)
                    return result

                monkeypatch.setattr(P, name, launches)
            correctness.products(P, case, SEED)
        assert reached == {
            (module.__name__, name)
            for module in kernel_modules()
            for name in vars(module)
            if name.endswith("_kernel") and name != "squares_kernel"  # of gaussian's making
        }
