"""The default beside the paper's protocol, from synthetic records of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlidim.records.measurement import gather
from rlidim.report import protocols
from rlidim.tasks.names import find_tasks
from tests.report.synthetic import classifier


@pytest.mark.parametrize(("paper", "agree"), [(700, "yes"), (2_000, "NO")])
def test_both_protocols_stand_in_one_row(paper: int, agree: str) -> None:
    found = [*classifier("mnist-fc", 700), *classifier("mnist-fc-paper", paper)]
    loaded = find_tasks({record.cell.task for record in found})
    measured = gather(found, loaded, results_folder=Path("results"))
    (row,) = protocols.table(measured).rows
    assert row[:3] == ("mnist-fc", "adam", "stacked_fastfood")
    assert row[-1] == agree


def test_an_end_that_is_open_proves_no_agreement() -> None:
    low = [
        record
        for record in classifier("mnist-fc-paper", 700, shares=(0.9, 1.0))
        if record.cell.d is None or record.cell.seed == 0
    ]
    found = [*classifier("mnist-fc", 700), *low]
    loaded = find_tasks({record.cell.task for record in found})
    measured = gather(found, loaded, results_folder=Path("results"))
    estimates = {one.task_name: one.estimate for one in measured}
    paper, ours = estimates["mnist-fc-paper"], estimates["mnist-fc"]
    assert paper is not None
    assert ours is not None
    assert None in paper.interval
    (row,) = protocols.table(measured).rows
    assert row[-1] == "not known"


def test_one_protocol_alone_has_no_row() -> None:
    found = classifier("mnist-fc", 700)
    measured = gather(found, find_tasks(["mnist-fc"]), results_folder=Path("results"))
    assert protocols.table(measured).rows == ()
