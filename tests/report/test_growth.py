"""How a product's time grows with d: the exponent, the verdict, and a file that is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlidim.errors import RlidimError
from rlidim.report import growth, verdicts
from rlidim.report.places import GROWTH

DIMS = (100, 1_000, 10_000)


def timed(exponents: Mapping[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "family": family,
            "D": 100_909,
            "d": d,
            "operation": operation,
            "members": 1,
            "threads": threads,
            "seconds": seconds * d**exponent,
        }
        for family, exponent in exponents.items()
        for d in DIMS
        for operation, threads, seconds in (
            ("forward", 1, 1e-6),
            ("forward", 2, 0.3),
            ("adjoint", 1, 1.0),
        )
    ]


def saved(folder: Path, rows: object) -> Path:
    path = folder / GROWTH
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rows": rows}))
    return folder


def test_the_exponent_of_a_power_is_found(tmp_path: Path) -> None:
    rows = growth.read(saved(tmp_path, timed({"gaussian": 1.0, "sparse": 0.5})))
    assert growth.exponents(rows) == {
        "gaussian": pytest.approx(1.0),
        "sparse": pytest.approx(0.5),
    }


@pytest.mark.parametrize(
    ("dense", "sparse", "flat", "verdict"),
    [
        (1.0, 0.5, 0.02, verdicts.SUPPORTED),
        (0.5, 1.0, 0.02, verdicts.REFUTED),
        (1.0, 0.5, 0.3, verdicts.REFUTED),
        (1.0, 0.05, 0.02, verdicts.REFUTED),
    ],
)
def test_the_order_of_the_families_decides(
    dense: float, sparse: float, flat: float, verdict: str, tmp_path: Path
) -> None:
    rows = timed({"gaussian": dense, "sparse": sparse, "fastfood": flat})
    judged = growth.claim(growth.read(saved(tmp_path, rows)))
    assert judged is not None
    assert judged.verdict == verdict
    assert "D = 100,909 and d from 100 to 10,000" in judged.figures


def test_without_a_family_it_is_undecided_and_without_a_file_unsaid(tmp_path: Path) -> None:
    assert growth.claim(growth.read(tmp_path)) is None
    judged = growth.claim(growth.read(saved(tmp_path, timed({"sparse": 0.5}))))
    assert judged is not None
    assert judged.verdict == verdicts.OPEN
    assert judged.figures.endswith("would decide")


def test_one_size_is_judged(tmp_path: Path) -> None:
    rows = timed({"sparse": 0.5})
    saved(tmp_path, [*rows, {**rows[0], "D": 1_009}])
    with pytest.raises(RlidimError, match="products of several D"):
        growth.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": [1]}', '{"rows": 3}', '{"rows": [{}]}'])
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / GROWTH
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(RlidimError, match=r"cpu\.json"):
        growth.read(tmp_path)
