"""What is printed and how it is escaped."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlidim.records.cell import Cell
from rlidim.records.measurement import Measurement, gather
from rlidim.report import render
from rlidim.report.baselines import unmeasured
from rlidim.report.columns import text_table
from rlidim.report.overview import describe, list_rows, plainly, task_page
from rlidim.report.published import reread
from rlidim.report.tables import Table
from rlidim.statistics.wording import beside, in_short, interval, read, why_open
from rlidim.statistics.wording import describe as short
from rlidim.tasks.problems import Analytic
from rlidim.tasks.task import Baseline, Target, Task
from tests.factory import make_record, make_task
from tests.report.synthetic import measured, published, runs

STEP: dict[int, list[float | None]] = {4: [20.0] * 5, **{d: [500.0] * 5 for d in (8, 12, 16, 32)}}
FAMILIES = ("rademacher", "sparse")
NASTY = "a|b & c <d> *e* _f_ `g` 5% $h$ #i {j} ~k ^l \\m [n](o)"


def one(task: Task, scores: dict[int, list[float | None]]) -> Measurement:
    (found,) = gather(measured(task, scores), {task.name: task}, results_folder=Path("results"))
    return found


def test_a_bound_is_shown_as_a_bound() -> None:
    task = make_task()
    above = describe(one(task, {1: [20.0] * 3, 4: [20.0] * 3}))
    below = describe(one(task, {4: [500.0] * 3, 8: [500.0] * 3}))
    exact = one(task, STEP)
    assert re.search(r"d_int90 \(local\) > 4, 95 % interval at least \d+, D = 562", above)
    assert re.search(r"d_int90 \(local\) <= 4, 95 % interval (open|at most \d+),", below)
    assert "its upper end open: no tested d up to 4 passes" in above
    assert "open: every tested d from 4 on passes" in below
    assert exact.estimate is not None
    low, high = exact.estimate.interval
    assert f"d_int90 (local) = 6, 95 % interval [{low}, {high}], D = 562" in describe(exact)


def test_no_estimate_is_said_with_its_reason() -> None:
    task = make_task()
    (found,) = gather(runs(task, {4: [500.0]}), {task.name: task}, results_folder=Path("results"))
    assert "no estimate: no record of random actions" in describe(found)


def test_published_numbers_are_compared_plainly() -> None:
    inside = make_task(published=(published(8, trainer="es"),))
    outside = make_task(published=(published(25),))
    assert "our interval by the mean contains it" in describe(one(inside, STEP))
    assert "theirs" not in describe(one(inside, STEP))
    assert "our interval by the mean misses it; theirs: trainer dqn" in describe(one(outside, STEP))
    other_size = make_task(published=(published(8, trainer="es", D=1000),))
    assert "theirs: D 1,000" in describe(one(other_size, STEP))


def test_a_published_number_stands_beside_the_interval_that_its_rule_gives() -> None:
    entry = dataclasses.replace(published(25, trainer="es"), baseline=Baseline("global", 30.0))
    theirs = reread(entry, one(make_task(), STEP))
    assert theirs is not None
    line = f"by their rule ours is {beside(theirs)}, which misses it"
    assert line in describe(one(make_task(published=(entry,)), STEP))
    assert "our interval" not in line


def test_an_open_interval_ends_at_the_native_dimension() -> None:
    scores: dict[int, list[float | None]] = {1: [20.0] * 3, 4: [20.0] * 3}
    beyond, within, under = (make_task(published=(published(d),)) for d in (563, 562, 1))
    assert "our interval by the mean misses it" in describe(one(beyond, scores))
    assert "our interval by the mean leaves it open" in describe(one(within, scores))
    assert "our interval by the mean misses it" in describe(one(under, scores))


def test_known_dimensions_inside_and_outside() -> None:
    assert "known by construction: 8, inside" in describe(one(make_task(known=8), STEP))
    assert "known by construction: 25, OUTSIDE" in describe(one(make_task(known=25), STEP))
    above = {1: [20.0] * 3, 4: [20.0] * 3}
    assert "known by construction: 25, where the tested d" in describe(
        one(make_task(known=25), above)
    )


def test_a_task_that_not_even_D_solves_has_no_number() -> None:
    never = one(make_task(), {8: [20.0] * 3, 562: [20.0] * 3}).estimate
    assert never is not None
    assert (read(never), interval(never)) == ("none", "-")
    assert "d_int90 (local) none, not even at d = D = 562" in short(never)
    bounded = one(make_task(), {8: [20.0] * 3, 64: [20.0] * 3}).estimate
    assert read(bounded) == "> 64"


def test_the_page_of_a_task_nobody_has_measured() -> None:
    page = task_page(make_task("cartpole", published=(published(),)), [], None)
    for part in ("envs/synthetic.yml", "CartPole-v1", "n_timesteps=1000"):
        assert part in page
    assert "D = unknown: 'rlidim check envs/synthetic.yml' says why" in page
    assert "25" in page
    assert "baseline its own direct run; Li et al. 2018, table 1" in page
    assert "columns of P not normalised" in page
    assert "rlidim cartpole measure --trainer es" in page


def test_the_page_shows_our_records() -> None:
    task = make_task("cartpole")
    page = task_page(task, [one(task, {4: [20.0] * 3, 8: [500.0] * 3})], 562)
    assert "D = 562" in page
    assert "d_int90 (local) = 6" in page


def test_the_page_shows_native_runs_that_no_measurement_has() -> None:
    task = make_task("cartpole")
    cells = [Cell.baseline("cartpole", "es", seed) for seed in range(2)]
    records = [make_record(task, cell, 480.0) for cell in cells]
    page = task_page(task, [], 562, natives=unmeasured(records, [], {"cartpole": task}))
    assert "cartpole, es, native: 480 ± 0 (2); no run in a subspace yet" in page
    assert "none;" not in page


def test_the_list_is_json_and_names_projections_only_where_it_must() -> None:
    task = make_task("cartpole", published=(published(),))
    tasks = {"cartpole": task, "other": make_task("other", known=3, problem=Analytic())}
    records = measured(task, STEP)
    sizes = {"cartpole": 562, "other": None}
    (other, row) = list_rows(tasks, gather(records, tasks, results_folder=Path("r")), sizes)
    assert (other["family"], row["family"]) == ("calibration", "gymnasium")
    assert row == json.loads(json.dumps(row))
    assert row["published"] == ["25 (dqn)"]
    (reading,) = row["ours"]
    assert re.fullmatch(r"es 6 \[\d, \d\] \(local\)", reading)
    assert row["D"] == 562
    assert (other["D"], other["ours"], other["kind"]) == (None, [], "analytic, known")
    records += runs(task, STEP, projection="sparse")
    (_, row) = list_rows(tasks, gather(records, tasks, results_folder=Path("r")), sizes)
    assert row["ours"] == [reading.replace("es", f"es {family}") for family in FAMILIES]


def test_text_tables_align_and_show_what_is_empty() -> None:
    shown = text_table([{"a": "x", "n": 5}, {"a": ["y", "z"], "n": None}, {"a": [], "n": 1000}])
    assert shown.splitlines() == [
        "a        n",
        "----  ----",
        "x        5",
        "y; z     -",
        "-     1000",
    ]
    assert text_table([]) == "nothing to show"


def unescape_markdown(text: str) -> str:
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text))


@given(st.text(alphabet=st.sampled_from("ab |\\`*_$~<>&;[](){}#amp:.-"), max_size=30))
def test_escaped_markdown_reads_back_as_it_was(text: str) -> None:
    escaped = render.escape_markdown(text)
    assert unescape_markdown(escaped) == " ".join(text.split())
    # What would end a cell, or begin a tag, emphasis, code, mathematics or a link.
    bare = re.sub(r"\\.", ".", escaped)
    assert not re.search(r"[|`*_$<~]|\]\(", bare)


@given(st.text(alphabet=st.sampled_from("ab |\\`*_$~<>&^%[](){}#"), max_size=30))
def test_escaped_latex_has_no_bare_special_character(text: str) -> None:
    escaped = render.escape_latex(text)
    bare = re.sub(r"\\text[a-z]+\{\}|\\[{}&%$#_]|\$\\pm\$", "", escaped)
    assert not re.search(r"[\\{}&%$#_~^<>|]", bare)


def test_every_cell_is_escaped_in_every_format() -> None:
    table = Table(NASTY, ("d_int90", NASTY), ((NASTY, "> 4"), ("b", "5 ± 1")), 1, (NASTY,))
    markdown = render.markdown_table(table)
    # Four bars a row for three columns' edges, whatever the cells hold.
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in markdown.splitlines()} == {3}
    latex = render.latex_table(table)
    body = [line for line in latex.splitlines() if line.endswith(r" \\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {1}
    assert r"$d_{\mathrm{int}90}$" in body[0]
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    bare = latex.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")


@pytest.mark.parametrize("words", ["[6, 12]", "> 64", "34 / 1 / 0"])
def test_what_we_write_ourselves_stays_legible_in_markdown(words: str) -> None:
    assert render.escape_markdown(words) == words


def test_a_reading_of_no_target_says_so_in_short() -> None:
    local = one(make_task(), STEP)
    target = make_task(target=Target(500.0, "a test"))
    reached, missed = one(target, STEP), one(make_task(target=Target(9000.0, "a test")), STEP)
    assert in_short(None) == "-"
    assert re.fullmatch(r"6 \[\d, \d\] \(local\)", in_short(local.estimate))
    assert re.fullmatch(r"6 \[\d, \d\]", in_short(reached.estimate))
    assert in_short(missed.estimate) == "native unsolved"
    assert "for 90 % of what the whole network reaches" in plainly(local)
    assert "numbers are enough (95 %" in plainly(reached)


def test_native_unsolved_names_how_long_native_runs_last() -> None:
    """As the records say, which may be otherwise than the task's file does by now."""
    task = make_task(target=Target(9000.0, "a test"))
    steps = task.settings("es").n_timesteps
    assert f"native unsolved within {steps:,} steps: 0 of" in describe(one(task, STEP))


def test_each_open_end_has_its_own_reason() -> None:
    """Three native runs that scatter leave the scale in doubt, beside what the tested d lack."""
    task = make_task()
    scores = {8: [480.0] * 4, 16: [500.0] * 4}
    sure = one(task, scores)
    assert sure.estimate is not None
    assert str(why_open(sure.estimate)).startswith("its lower end open: every tested d from 8 on")
    natives = [record for record in measured(task, scores) if record.cell.d is not None]
    natives += [make_record(task, Cell.random(task.name), 20.0)]
    natives += [
        make_record(task, Cell.baseline(task.name, "es", seed), score)
        for seed, score in enumerate((440.0, 500.0, 560.0))
    ]
    (doubted,) = gather(natives, {task.name: task}, results_folder=Path("results"))
    assert doubted.estimate is not None
    said = str(why_open(doubted.estimate))
    assert "its lower end open: every tested d from 8 on passes" in said
    assert "its upper end open: 3 native runs leave the scale in doubt" in said
