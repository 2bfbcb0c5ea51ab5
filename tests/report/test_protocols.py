"""The default beside the paper's protocol, from synthetic records of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlidim import task as tasks
from rlidim.records import Cell, RunRecord
from rlidim.report import gather, protocols
from tests.factory import make_record
from tests.report.synthetic import baseline, random


def records(name: str, at: int) -> list[RunRecord]:
    """Return records of a task that reaches 90 % at d = at."""
    task = tasks.find_all([name])[name]
    found = [*baseline(task, (0.98,) * 4, "adam"), random(task, 0.1)]
    for share in (0.5, 0.75, 1.0, 1.5):
        d = round(share * at)
        for seed in range(6):
            score = 0.1 + 0.88 * (1 - 0.1 * at / d) + 0.002 * (seed - 2.5)
            cell = Cell(name, "adam", "stacked_fastfood", d, seed)
            found.append(make_record(task, cell, score, D=199_210))
    return found


@pytest.mark.parametrize(("paper", "agree"), [(700, "yes"), (2_000, "NO")])
def test_both_protocols_stand_in_one_row(paper: int, agree: str) -> None:
    found = [*records("mnist-fc", 700), *records("mnist-fc-paper", paper)]
    loaded = tasks.find_all({record.cell.task for record in found})
    measured = gather(found, loaded, results_folder=Path("results"))
    (row,) = protocols.table(measured, 0.9).rows
    assert row[:3] == ("mnist-fc", "adam", "stacked_fastfood")
    assert row[-1] == agree


def test_one_protocol_alone_has_no_row() -> None:
    found = records("mnist-fc", 700)
    measured = gather(found, tasks.find_all(["mnist-fc"]), results_folder=Path("results"))
    assert protocols.table(measured, 0.9).rows == ()
