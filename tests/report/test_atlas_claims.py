"""What the tables say of many tasks and trainers together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rlidim.records.measurement import Measurement, gather
from rlidim.report import atlas, headline, rows, trainers, verdicts
from rlidim.tasks.problems import Start
from rlidim.tasks.settings import EvolutionStrategySettings, PPOManySettings, PPOSettings, evolves
from rlidim.tasks.task import Task
from tests.factory import make_task
from tests.report.synthetic import baseline, random, runs

TRAINERS = {
    "es": EvolutionStrategySettings(n_timesteps=1),
    "ppo": PPOSettings(n_timesteps=100),
    "ppo-many": PPOManySettings(n_timesteps=100),
}


START = Start(theta_0_seed=0, family="rademacher", D=562, seed=0, theta_d=(1.0,))


def task(name: str, start: tuple[Start, ...] = ()) -> Task:
    made = make_task(name, trainers=TRAINERS)
    network = dataclasses.replace(made.control.network, start=start)
    return made.replace_problem(network=network)


def read(
    name: str, failing: int, solving: int, trainer: str = "es", start: tuple[Start, ...] = ()
) -> list[Measurement]:
    """Return a measurement whose runs fail at one d and solve the task at another."""
    it = task(name, start)
    scores: dict[int, list[float | None]] = {failing: [20.0] * 10, solving: [500.0] * 10}
    records = [random(it), *baseline(it, trainer=trainer), *runs(it, scores, trainer=trainer)]
    return gather(records, {name: it}, results_folder=Path("results"))


def both(readings: dict[str, tuple[int, int]]) -> list[Measurement]:
    """Return tasks measured by es and by ppo, each solved from a d on."""
    found = []
    for name, (es, ppo) in readings.items():
        it = task(name)
        records = [random(it)]
        for trainer, d in (("es", es), ("ppo", ppo)):
            records += baseline(it, trainer=trainer)
            records += runs(it, {d // 2: [20.0] * 10, d: [500.0] * 10}, trainer=trainer)
        found += gather(records, {name: it}, results_folder=Path("results"))
    return found


def test_gradients_beside_evolution() -> None:
    assert evolves("cmaes")
    assert not evolves("ppo")
    table = trainers.gradients(both({"easy": (8, 16), "hard": (32, 32)}))
    assert [(row[0], row[1], row[3]) for row in table.rows] == [
        ("easy", "es", "ppo"),
        ("hard", "es", "ppo"),
    ]
    assert table.rows[0][5].startswith("2 [")
    assert table.rows[1][5].startswith("1 [")
    assert trainers.gradients(read("lone", 4, 8, "ppo")).rows == ()


def test_trainers_that_rank_alike_and_those_that_do_not() -> None:
    alike = both({"a": (4, 8), "b": (8, 16), "c": (16, 64), "d": (32, 32), "e": (64, 128)})
    (row,) = trainers.correlations(alike).rows
    assert row[:4] == ("es", "ppo", "5", "0.90")
    low, high = (float(end) for end in row[4].strip("[]").split(", "))
    assert -1 < low < 0.9 < high <= 1
    assert row[5:8] == ("5", *row[3:5])  # five families
    assert row[8].endswith("(1 to 3.8)")
    opposite = both({"a": (4, 64), "b": (8, 32), "c": (16, 16), "d": (32, 12), "e": (64, 4)})
    assert float(trainers.correlations(opposite).rows[0][3]) == -1.0


def test_variants_of_a_task_are_one_family() -> None:
    found = both(
        {
            "pole-1m": (8, 16),
            "pole-short": (12, 24),
            "a": (48, 96),
            "b": (64, 64),
            "c": (96, 48),
            "pole": (4, 128),
        }
    )
    (row,) = trainers.correlations(found).rows
    assert row[2] == "6"
    assert row[3] != "-1.00"
    assert row[5:8] == ("4", "-1.00", "-")
    # Only the family's plainest task is away: another speaks for it.
    names = ("pole-1m", "pole-short", "a")
    assert trainers.one_of_each_family(names, {*names, "pole"}) == ["a", "pole-1m"]


def test_few_tasks_have_no_correlation() -> None:
    (row,) = trainers.correlations(both({"a": (4, 8), "b": (8, 16)})).rows
    assert row[2:8] == ("2", "-", "-") * 2
    assert trainers.correlations(both({"a": (4, 8)})).rows == ()


@pytest.mark.parametrize(
    ("levels", "verdict", "wanting"),
    [
        (((2, 4), (8, 16), (32, 64)), "supported", ""),
        (((32, 64), (8, 16), (2, 4)), "refuted", ""),
        # A step that goes down by its estimate alone, [17, 32] to [13, 24], is none.
        (((2, 4), (16, 32), (12, 24)), "supported", ""),
        (((2, 4), (64, 128), (16, 32)), "undecided", "but falls from second to third"),
        (((8, 16), (8, 16), (9, 18)), "undecided", "narrower intervals of first and third by es"),
        (((4, 8), (4, 8), (4, 8)), "undecided", "tasks further apart than first and third"),
    ],
)
def test_a_knob(
    levels: tuple[tuple[int, int], ...],
    verdict: str,
    wanting: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("first", "second", "third")
    monkeypatch.setattr(atlas, "KNOBS", {"a shorter pole": names})
    found = [each for name, d in zip(names, levels, strict=True) for each in read(name, *d)]
    knob = next(claim for claim in atlas.claims(found) if "pole" in claim.claim)
    assert knob.verdict == verdict
    assert wanting in knob.figures
    assert ("What would decide" in knob.figures) == (verdict == "undecided")
    assert knob.rule == atlas.HARDER
    assert not any("pole" in claim.claim for claim in atlas.claims(found[:2]))  # a level is missing


@pytest.mark.parametrize(
    ("there", "verdict"), [(4, "supported"), (64, "refuted"), (16, "undecided")]
)
def test_a_start_at_a_neighbour_s_solution(
    there: int, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas, "STARTED", {"warm": "cold"})
    cold, warm = read("cold", 8, 16), read("warm", there // 2, there, start=(START,))
    claim = next(c for c in atlas.claims([*cold, *warm]) if "neighbouring" in c.claim)
    assert claim.verdict == verdict
    assert "cold es 12 [9, 16] to" in claim.figures
    assert claim.rule == atlas.NEIGHBOUR
    assert not any("neighbouring" in c.claim for c in atlas.claims(cold))
    assert "warm" not in headline.by_trainer([*cold, *warm])


def test_each_rule_stands_once_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs = {"longer": ("first", "second"), "shorter": ("second", "first")}
    monkeypatch.setattr(atlas, "KNOBS", knobs)
    judged = atlas.claims([*read("first", 4, 8), *read("second", 32, 64)])
    table = verdicts.listed("Claims", judged, "of all of them")
    assert [row[1] for row in table.rows] == ["supported", "refuted", "undecided"]
    assert table.notes == ("of all of them", atlas.HARDER, atlas.TRANSITION)


def test_the_transition_s_sharpness() -> None:
    sharp = [each for index in range(6) for each in read(f"sharp-{index}", 8, 16)]
    gradual = [each for index in range(6) for each in read(f"gradual-{index}", 2, 32)]
    (claim,) = atlas.claims(sharp)
    assert claim.verdict == "supported"
    assert "in 6 of the 6 rows" in claim.figures
    (claim,) = atlas.claims(gradual)
    assert claim.verdict == "refuted"
    assert "in 0 of the 6 rows" in claim.figures
    (claim,) = atlas.claims([*gradual, *sharp])
    assert claim.verdict == "undecided"
    assert claim.figures.endswith("What would decide: more rows")
    assert claim.rule == atlas.TRANSITION


@pytest.mark.parametrize(("failing", "largest", "total"), [(12, 32, 1), (12, 48, 2), (200, 562, 2)])
def test_a_row_in_which_nobody_looked_far_enough_has_no_part_in_the_transition(
    failing: int, largest: int, total: int
) -> None:
    """Eight of ten runs solve at the largest d: four times the failing one, all 562, or less."""
    it = task("short")
    mostly: list[float | None] = [500.0] * 8 + [20.0] * 2
    scores: dict[int, list[float | None]] = {failing: [20.0] * 10, 2 * failing: mostly}
    records = [random(it), *baseline(it), *runs(it, {**scores, largest: mostly})]
    short = gather(records, {"short": it}, results_folder=Path("results"))
    assert rows.counts(short[0])
    (claim,) = atlas.claims([*read("sharp", 8, 16), *short])
    assert f"in 1 of the {total} rows" in claim.figures


def test_a_row_that_native_training_solves_as_often_as_not_is_not_compared() -> None:
    it = task("coin")
    natives = baseline(it, [500.0] * 5 + [20.0] * 5)
    flat: list[float | None] = [500.0, 20.0] * 10
    records = [random(it), *natives, *runs(it, {8: [20.0] * 10, 16: flat, 32: [500.0] * 10})]
    (row,) = gather(records, {"coin": it}, results_folder=Path("results"))
    assert rows.is_read(row)
    assert not rows.counts(row)
    assert headline.table([row]).rows[0][2].endswith("‡")
    (solved,) = read("solved", 8, 16)
    assert rows.counts(solved)
    assert list(trainers.readings([row, solved])) == ["solved"]


def test_the_usual_family_speaks_whoever_has_the_most_runs() -> None:
    it = task("task")
    usual, other = {8: [20.0] * 4, 16: [500.0] * 4}, {8: [20.0] * 20, 16: [500.0] * 20}
    records = [*runs(it, usual), *runs(it, other, projection="gaussian")]
    found = gather([random(it), *baseline(it), *records], {"task": it}, results_folder=Path("r"))
    assert headline.by_trainer(found)["task"]["es"].projection == "rademacher"


def test_a_trainer_and_its_batched_form_share_a_column_of_readme() -> None:
    it = task("task")
    wide, narrow = {8: [20.0] * 4, 32: [500.0] * 4}, {8: [20.0] * 10, 12: [500.0] * 10}
    records = [random(it)]
    for trainer, scores in (("ppo", wide), ("ppo-many", narrow)):
        records += [*baseline(it, trainer=trainer), *runs(it, scores, trainer=trainer)]
    found = gather(records, {"task": it}, results_folder=Path("r"))
    table = headline.read(found)
    assert table.header == ("task", "D", "ppo", "published")
    assert table.rows[0][2] == "10 [9, 12] (local)†"
    assert headline.table(found).header == ("task", "D", "ppo", "ppo-many", "published")


def test_an_open_reading_does_not_make_a_task_easy() -> None:
    """An open 2 ranks behind a closed 40, and what is not read at all comes last."""
    open_end = {1: [500.0, 20.0], 4: [500.0] * 2}
    closed = {32: [20.0] * 8, 48: [500.0] * 8}
    nothing: dict[int, list[float | None]] = {562: [20.0] * 20}
    found = []
    for name, scores in (("none", nothing), ("open", open_end), ("closed", closed)):
        it = task(name)
        records = [random(it), *baseline(it), *runs(it, scores)]
        found += gather(records, {name: it}, results_folder=Path("r"))
    assert [row[0] for row in headline.table(found).rows] == ["closed", "open", "none"]
