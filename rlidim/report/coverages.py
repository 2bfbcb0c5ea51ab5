"""The interval's coverage in simulation, as tables."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.report.columns import one_line
from rlidim.report.tables import Table
from rlidim.statistics.wording import NONE
from rlidim.tasks.reading import read_file

LARGEST = 1_000_000  # bytes of it
KEY = ("kind", "baseline", "seeds", "curve", "scores", "repetitions")  # of a line
FIGURES = ("coverage", "truth_below", "truth_above", "open", "median_ratio")
OF_SEARCHES = ("settled", "settled_coverage", "mean_runs")
COLUMNS = (*KEY, *FIGURES, *OF_SEARCHES, "code")
SEARCHED = "search"  # the kind of the lines in which a search chose what d to test
PROMISED = 0.94
Row = Mapping[str, str]  # of the file


def read(file: Path) -> list[dict[str, str]]:
    """Return the lines of the file; none where there is none.

    Raises:
        RlidimError: it is no table of coverage.
    """
    if not file.exists():
        return []
    try:
        rows = list(csv.DictReader(read_file(file, LARGEST).decode().splitlines()))
        for row in rows:
            if set(row) != {*COLUMNS} or None in row.values():
                raise ValueError("a line of other columns")
            float(row["coverage"]), int(row["repetitions"]), float(row["settled_coverage"] or 0)
    except (ValueError, csv.Error) as error:
        raise RlidimError(
            f"{file}: not a table of coverage ({error}); remove it to make it anew"
        ) from error
    return rows


def holds(rows: Sequence[Row]) -> bool:
    """Return whether every case's coverage is the promised one."""
    return all(float(row["coverage"]) >= PROMISED for row in rows)


def summary(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return a row for each baseline and number of seeds: coverage over all its cases."""
    found = []
    for (kind, baseline, seeds), group in itertools.groupby(
        rows, key=lambda row: (row["kind"], row["baseline"], row["seeds"])
    ):
        cases = list(group)
        worst = min(cases, key=lambda row: float(row["coverage"]))
        shares = [float(row["coverage"]) for row in cases]
        settled = [float(row["settled_coverage"]) for row in cases if row["settled_coverage"]]
        found.append(
            {
                "runs": "chosen by the search" if kind == SEARCHED else f"{seeds} at each d",
                "1 is": baseline,
                "cases": len(cases),
                "coverage": f"{100 * sum(shares) / len(shares):.1f}",
                "least": f"{100 * min(shares):.1f}",
                "where": f"{worst['curve']}, {worst['scores']}".replace("_", " "),
                "below 94": sum(share < PROMISED for share in shares),
                "least, settled": f"{100 * min(settled):.1f}" if settled else "-",
            }
        )
    return found


def tables(rows: Sequence[Row]) -> list[Table]:
    """Return the summary, and every case: a row for each curve, a column a kind of scores."""
    if not rows:
        return []
    short = summary(rows)
    repetitions = sorted({int(row["repetitions"]) for row in rows})
    notes = (
        one_line(
            f"""Coverage of the 95 % interval in %, of {", ".join(f"{n:,}" for n in repetitions)}
            simulated measurements a case: five curves by six kinds of scores. Least: the worst
            case's, and which it is. Settled: of the searches alone that stopped because their
            interval was narrow."""
        ),
    )
    every = []
    kinds = list(dict.fromkeys(row["scores"] for row in rows))
    for key, group in itertools.groupby(
        rows, key=lambda row: (row["kind"], row["baseline"], row["seeds"], row["curve"])
    ):
        found = {row["scores"]: f"{100 * float(row['coverage']):.1f}" for row in group}
        every.append((*key, *(found.get(kind, NONE) for kind in kinds)))
    return [
        Table(
            "Coverage", tuple(short[0]), tuple(tuple(map(str, r.values())) for r in short), 2, notes
        ),
        Table(
            "Coverage of every case",
            ("runs", "1 is", "seeds", "curve", *(kind.replace("_", " ") for kind in kinds)),
            tuple(every),
            4,
        ),
    ]
