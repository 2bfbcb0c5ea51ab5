"""The paper's claim on cost: how the time of a product grows with d, by the family of P.

Li et al. 2018, section 2 and supplementary section S7: a dense P takes D d multiplications, a
sparse one D sqrt(d), Fastfood D log D, whatever d.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlidim.errors import RlidimError
from rlidim.report.places import GROWTH
from rlidim.report.verdicts import OPEN, REFUTED, SUPPORTED, Claim
from rlidim.tasks.reading import parse_json, read_file

LARGEST_FILE = 2**24  # bytes
DENSE, SPARSE, FLAT = "gaussian", "sparse", ("fastfood", "stacked_fastfood")
HARDLY = 0.1  # of an exponent: d a thousand times as large takes twice the time


def read(results: Path) -> Sequence[Mapping[str, Any]]:
    """Return the rows of products timed at one D and several d; none where there is no file.

    Raises:
        RlidimError: the file is damaged, or of several D.
    """
    path = results / GROWTH
    if not path.exists():
        return ()
    try:
        rows = parse_json(read_file(path, LARGEST_FILE))["rows"]
        timed = [
            _timed(row)
            for row in rows
            if row["operation"] == "forward" and row["members"] == row["threads"] == 1
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise RlidimError(f"{path}: not what 'rlidim kernels --out' writes ({error})") from error
    if len({row["D"] for row in timed}) > 1:
        raise RlidimError(f"{path}: products of several D; one is expected, of several d")
    return timed


def _timed(row: Mapping[str, Any]) -> dict[str, Any]:
    seconds = row["seconds"]
    return {
        "family": str(row["family"]),
        "D": int(row["D"]),
        "d": int(row["d"]),
        "seconds": None if seconds is None else float(seconds),
    }


def exponents(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return for each family the slope of log time on log d, where there are three d at least."""
    found = {}
    for family in sorted({row["family"] for row in rows}):
        points = sorted(
            (row["d"], row["seconds"])
            for row in rows
            if row["family"] == family and row["seconds"] is not None
        )
        if len({d for d, _ in points}) >= 3:
            d, seconds = np.log(np.array(points, float)).T
            found[family] = float(np.polyfit(d, seconds, 1)[0])
    return found


def claim(rows: Sequence[Mapping[str, Any]]) -> Claim | None:
    """Judge the claim; None where nothing was timed."""
    found = exponents(rows)
    if not found:
        return None
    flat = [found[family] for family in FLAT if family in found]
    verdict, wanting = OPEN, "; products of a dense, a sparse and a Fastfood P would decide"
    if DENSE in found and SPARSE in found and flat:
        holds = found[DENSE] > found[SPARSE] > HARDLY >= max(flat)
        verdict, wanting = SUPPORTED if holds else REFUTED, ""
    largest = sorted({row["d"] for row in rows if row["seconds"] is not None})
    slopes = ", ".join(f"{family} {slope:.2f}" for family, slope in found.items())
    return Claim(
        "a product costs more as d grows with a dense P, less so with a sparse one, and hardly "
        "more by Fastfood",
        verdict,
        f"time as a power of d, for D = {rows[0]['D']:,} and d from {largest[0]:,} to "
        f"{largest[-1]:,} in one thread: {slopes}{wanting}",
    )
