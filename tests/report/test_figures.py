"""The figures: every edge case is drawn, nothing lies outside the page or on something else."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlidim.errors import RlidimError
from rlidim.records.measurement import Measurement, gather
from rlidim.report import drawing
from rlidim.report.ladder import plot_ladder
from rlidim.report.plot import plot_measurement
from rlidim.report.task_ladder import plot_task_ladder
from rlidim.tasks.settings import TRAINERS
from rlidim.tasks.task import Target
from tests.factory import make_task
from tests.report.synthetic import baseline, curve, measured, published, random, runs

SIGNATURE = b"\x89PNG"
LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)


def one(name: str, scores: dict[int, list[float | None]], **task: Any) -> Measurement:
    made = make_task(name, **task)
    (found,) = gather(measured(made, scores), {name: made}, results_folder=Path("results"))
    return found


def cases() -> dict[str, Measurement]:
    generator = np.random.default_rng(5)
    return {
        "usual": one("cartpole", curve(generator, LADDER, 8), published=(published(),)),
        "one rung": one("rung", {8: [500.0, 480.0]}),
        "one run": one("run", {8: [500.0]}),
        "above": one("above", {1: [20.0] * 3, 64: [20.0] * 3}, published=(published(9000),)),
        "below": one("below", {8: [500.0] * 3, 16: [500.0] * 3}),
        "d = 1": one("codimension", {1: [500.0] * 5, 2: [500.0] * 5}, known=1),
        "extreme": one("extreme", {4: [-9000.0, None, 20.0], 8: [900.0, 500.0, 5000.0]}),
        "long": one(
            "a-task-with-a-name-that-has-no-end-and-$dollars$_and_underscores-and-more",
            curve(generator, LADDER, 20),
            published=(published(700, trainer="a-trainer-with-a-long-name"), published(4)),
        ),
    }


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the figures as they are saved."""
    found: list[Any] = []
    save = drawing.save

    def spy(figure: Any, stem: Path) -> list[Path]:
        found.append(figure)
        return save(figure, stem)

    monkeypatch.setattr(drawing, "save", spy)
    return found


def boxes(figure: Any) -> list[tuple[str, Any]]:
    """Return the extent of every text that is shown, in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    with drawing.style():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # places the axes' labels
        renderer = canvas.get_renderer()
        extents = [
            (text.get_text(), text.get_window_extent(renderer))
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip()
        ]
    return [(words, box) for words, box in extents if box.width > 0]


def check_layout(figure: Any) -> None:
    """Check that no text leaves the page and no two lie on each other."""
    pairs = boxes(figure)
    assert len(pairs) > 5
    width, height = figure.get_size_inches() * figure.dpi
    for name, box in pairs:
        assert box.x0 >= -1, name
        assert box.y0 >= -1, name
        assert box.x1 <= width + 1, name
        assert box.y1 <= height + 1, name
    for index, (first, a) in enumerate(pairs):
        for second, b in pairs[index + 1 :]:
            wide = min(a.x1, b.x1) - max(a.x0, b.x0)
            tall = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert wide <= 1 or tall <= 1, f"{first!r} lies on {second!r}"


@pytest.mark.parametrize("name", list(cases()))
def test_every_case_is_drawn(name: str, tmp_path: Path, figures: list[Any]) -> None:
    svg, png = plot_measurement(cases()[name], tmp_path / "figure.with.dots")
    assert (svg.name, png.name) == ("figure.with.dots.svg", "figure.with.dots.png")
    ElementTree.parse(svg)
    assert png.read_bytes()[:4] == SIGNATURE
    check_layout(figures[0])


@pytest.mark.slow
def test_ladders_of_every_size(tmp_path: Path, figures: list[Any]) -> None:
    every = list(cases().values())
    generator = np.random.default_rng(6)
    many = [
        one(f"task-{index}", curve(generator, LADDER, 1.3**index), known=4 if index % 5 else None)
        for index in range(30)
    ]
    for measurements in (every, many, every[:1], every[3:4], every[5:6]):
        svg, png = plot_ladder(measurements, tmp_path / "ladder")
        ElementTree.parse(svg)
        assert png.read_bytes()[:4] == SIGNATURE
        check_layout(figures[-1])


def test_the_ladder_of_tasks_has_a_row_each_with_its_trainers(
    tmp_path: Path, figures: list[Any]
) -> None:
    trainers = {name: TRAINERS[name](n_timesteps=1000) for name in ("es", "ppo-many", "td3")}
    generator = np.random.default_rng(7)
    task = make_task("two-trainers", trainers=trainers, published=(published(25),))
    records = [random(task)]
    for trainer, half in (("td3", 8), ("ppo-many", 20), ("es", 4)):
        scores = curve(generator, LADDER, half)
        records += [*baseline(task, trainer=trainer), *runs(task, scores, trainer=trainer)]
    both = gather(records, {task.name: task}, results_folder=Path("results"))
    unsolved = [one("unsolved", {8: [20.0] * 3}, target=Target(9000.0, "a test"))]
    for measurements in ([*cases().values(), *both, *unsolved], both):
        svg, png = plot_task_ladder(measurements, tmp_path / "tasks")
        ElementTree.parse(svg)
        assert png.read_bytes()[:4] == SIGNATURE
        check_layout(figures[-1])
    said = [text.get_text() for text in figures[-2].axes[0].texts]
    order = [words.split()[0] for words in said[: said.index("two-trainers")]][-3:]
    assert order == ["es", "ppo-many", "td3"]
    assert "codimension" not in said  # of known dimension
    assert "unsolved" not in said
    assert plot_task_ladder(unsolved, tmp_path / "none") == []
    assert not list(tmp_path.glob("none*"))


def test_the_ladder_sorts_by_difficulty_and_sets_calibration_apart(
    tmp_path: Path, figures: list[Any]
) -> None:
    unsolved = one("unsolved", {8: [20.0] * 3}, target=Target(9000.0, "a test"))
    plot_ladder([*cases().values(), unsolved], tmp_path / "ladder")
    from matplotlib.text import Text

    words = [text.get_text() for text in figures[0].findobj(Text)]
    assert not any("unsolved" in word for word in words)  # nothing is read of it
    assert any(word.endswith("local") for word in words)
    order = [words.index(name) for name in ("below, es", "cartpole, es", "above, es")]
    assert order == sorted(order)
    assert words.index("calibration") > order[-1]
    assert words.index("codimension, es") > words.index("calibration")


def test_bounds_are_drawn_as_arrows(tmp_path: Path, figures: list[Any]) -> None:
    """An open end reaches the edge of the axes, a closed one lies where the interval ends."""
    measurement = cases()["above"]
    plot_measurement(measurement, tmp_path / "figure")
    scores, _, strip = figures[0].axes
    assert measurement.estimate is not None
    low, high = measurement.estimate.interval
    assert high is None
    (bar,) = strip.get_lines()
    left, right = scores.get_xlim()
    start, end = bar.get_xdata()
    assert low is not None
    assert start == pytest.approx(low, rel=0.1)
    assert end == pytest.approx(right, rel=0.25)
    assert left < start


def test_coincident_runs_are_drawn_side_by_side(tmp_path: Path, figures: list[Any]) -> None:
    plot_measurement(one("same", {4: [20.0] * 4, 8: [500.0] * 7}), tmp_path / "figure")
    dots = [
        tuple(collection.get_offsets()[0])
        for collection in figures[0].axes[0].collections
        if len(collection.get_offsets()) == 1 and collection.get_zorder() == 4
    ]
    assert len(dots) == len(set(dots)) == 11
    assert sum(y == 1.0 for _, y in dots) == 7


def test_no_estimate_is_no_figure(tmp_path: Path) -> None:
    task = make_task()
    (found,) = gather(runs(task, {4: [500.0]}), {task.name: task}, results_folder=Path("results"))
    with pytest.raises(RlidimError, match="no record of random actions"):
        plot_measurement(found, tmp_path / "figure")
    assert plot_ladder([found], tmp_path / "ladder") == []
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RlidimError, match="cannot be written"):
        plot_measurement(cases()["usual"], tmp_path / "file" / "figure")


def test_what_a_killed_command_left_of_a_figure_goes(tmp_path: Path) -> None:
    (tmp_path / ".figure.svg.x7.tmp").write_text("<svg")
    written = plot_measurement(cases()["usual"], tmp_path / "figure")
    assert set(tmp_path.iterdir()) == set(written)


def test_the_users_own_style_changes_nothing(tmp_path: Path) -> None:
    import matplotlib

    measurement = cases()["usual"]
    plot_measurement(measurement, tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "none"}):
        plot_measurement(measurement, tmp_path / "styled")
        assert matplotlib.rcParams["font.size"] == 30
    plain, styled = ((tmp_path / f"{name}.svg").read_bytes() for name in ("plain", "styled"))
    assert plain == styled
