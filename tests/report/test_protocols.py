"""The default beside the paper's protocol, from synthetic records of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlidim import task as tasks
from rlidim.report import gather, protocols
from tests.report.synthetic import classifier


@pytest.mark.parametrize(("paper", "agree"), [(700, "yes"), (2_000, "NO")])
def test_both_protocols_stand_in_one_row(paper: int, agree: str) -> None:
    found = [*classifier("mnist-fc", 700), *classifier("mnist-fc-paper", paper)]
    loaded = tasks.find_all({record.cell.task for record in found})
    measured = gather(found, loaded, results_folder=Path("results"))
    (row,) = protocols.table(measured, 0.9).rows
    assert row[:3] == ("mnist-fc", "adam", "stacked_fastfood")
    assert row[-1] == agree


def test_one_protocol_alone_has_no_row() -> None:
    found = classifier("mnist-fc", 700)
    measured = gather(found, tasks.find_all(["mnist-fc"]), results_folder=Path("results"))
    assert protocols.table(measured, 0.9).rows == ()
