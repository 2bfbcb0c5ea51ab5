"""The results as pages: whole links, and in a browser that runs their scripts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gymnasium
import numpy as np
import pytest
from PIL import Image

from rlidim.cli import films as films_of_the_command
from rlidim.cli.films import Films
from rlidim.cli.site import driven
from rlidim.networks.acting import architecture_of
from rlidim.records.cell import Cell
from rlidim.records.folder import Results
from rlidim.records.measurement import gather
from rlidim.records.record import RunRecord, decode
from rlidim.records.remembered import Remembered
from rlidim.report.site.markup import data, element
from rlidim.report.site.sliders import STEPS
from rlidim.report.site.write import write_site
from rlidim.solutions.file import of_record
from rlidim.tasks.names import find_task, find_tasks
from rlidim.tasks.settings import TRAINERS
from tests.browsing import SCHEMES, WIDTHS, look_at
from tests.factory import make_task
from tests.report.synthetic import measured, published

ROOT = Path(__file__).parent.parent.parent
NO_DISPLAY = "MuJoCo draws on a display, or with MUJOCO_GL=egl or osmesa without one"
TASKS = ("cartpole", "codimension-3", "frozenlake-8x8", "mnist-lenet", "pong", "hopper")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results, out = Results(ROOT / "results"), tmp_path_factory.mktemp("site")
    records = [record for task in TASKS for record in results.scan(task)[0]]
    measurements = gather(records, find_tasks(TASKS), results_folder=results.folder)
    films = Films(results, Remembered({}))
    pages = write_site(measurements, results, out, drive=driven, filming=films, documentation=None)
    assert not films.missing.keys() - {NO_DISPLAY}
    assert len(pages) == 4 + len(TASKS)
    return out


def test_a_record_s_copy_is_made_whole_again(tmp_path: Path) -> None:
    name, results = "codimension-3", Results(ROOT / "results")
    measurements = gather(results.scan(name)[0], find_tasks((name,)), results_folder=results.folder)

    def write() -> None:
        write_site(
            measurements,
            results,
            tmp_path,
            drive=driven,
            filming=lambda *_: None,
            documentation=None,
        )

    write()
    copy = next(tmp_path.glob(f"records/{name}/es-rademacher/d3-s0.json"))
    whole = copy.read_bytes()
    copy.write_bytes(whole[:100])  # as a killed copy left it, newer than its source
    write()
    assert copy.read_bytes() == whole


class Addresses(HTMLParser):
    """What a page asks for, and the places that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.places: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value is not None:
                self.asked.append(value)
            if name == "id" and value is not None:
                self.places.append(value)


def addresses(page: Path) -> Addresses:
    found = Addresses()
    found.feed(page.read_text())
    return found


def test_every_address_leads_somewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    asked = 0
    for page in pages:
        found = addresses(page)
        assert len(found.places) == len(set(found.places)), page
        for address in found.asked:
            if address == "data:,":
                continue
            assert "//" not in address
            path, _, place = address.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            assert target.is_file(), f"{page.name}: {address}"
            if place:
                assert place in addresses(target).places, f"{page.name}: {address}"
            asked += 1
    assert asked > 300


def test_what_is_measured_bounded_and_open_is_told_apart(site: Path) -> None:
    ladder = (site / "index.html").read_text()
    for name, kind in (("cartpole.html#es", "measured"), ("pong.html#ppo", "bounded")):
        assert re.search(rf'href="tasks/{name}-?\w*" class="lane {kind}"', ladder), name
    open_ = ladder.partition("Not determined")[2].partition("</ul>")[0]
    assert "hopper by es" in open_
    assert "frozenlake-8x8 by es" in open_
    assert "cartpole by es" not in open_


def test_a_solution_stands_on_the_page_to_the_last_bit(site: Path) -> None:
    page = (site / "tasks" / "cartpole.html").read_text()
    numbers = re.findall(r"<code>(-?\d[^<]+)</code>", page)
    told = {np.array(part.split(", "), dtype=np.float32).tobytes() for part in numbers}
    records, _ = Results(ROOT / "results").scan("cartpole")
    held = {
        decode(record.solution["theta_d"]).tobytes()
        for record in records
        if record.solution is not None and record.solution.get("theta_d") is not None
    }
    assert told
    assert told <= held


def test_a_solution_is_seen_beside_random_actions(site: Path) -> None:
    page = site / "tasks" / "cartpole.html"
    pictures = [address for address in addresses(page).asked if address.endswith(".webp")]
    assert len(pictures) == 2
    seconds = set()
    for name in pictures:
        file = page.parent / name
        assert file.stat().st_size <= 150_000
        with Image.open(file) as moving:
            assert moving.n_frames > 5  # type: ignore[attr-defined]
            apart = []
            for frame in range(moving.n_frames):  # type: ignore[attr-defined]
                moving.seek(frame)
                moving.load()  # then alone the duration is known
                apart.append(moving.info["duration"])
            seconds.add(sum(apart))
    assert len(seconds) == 1  # both begin anew together
    # The episode is one of those that scored the run: it ends as it is on record.
    said = re.search(
        r"A policy of 562 parameters, found by (\w+) in (\d+) numbers: return (\d+)",
        page.read_text(),
    )
    assert said is not None
    trainer, d, score = said[1], int(said[2]), float(said[3])
    records, _ = Results(ROOT / "results").scan("cartpole")
    assert score in {
        record.returns[0]
        for record in records
        if record.cell.trainer == trainer and record.cell.d == d and record.returns
    }
    for name in ("codimension-3", "mnist-lenet", "pong"):  # nothing to see, or no solution
        assert ".webp" not in (site / "tasks" / f"{name}.html").read_text()


def test_a_film_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    results, memory = Results(ROOT / "results"), Remembered({})
    task = find_task("cartpole")
    records, _ = results.scan("cartpole")
    six, eight = (
        next(r for r in records if r.cell.d == d and r.cell.trainer == "es") for d in (6, 8)
    )
    drawn: list[object] = []
    clip = {"content": "", "size": [3, 2], "score": 1.0, "steps": 1, "whole": True}

    def draw(task: object, record: RunRecord, path: Path) -> dict[str, object]:
        drawn.append(record.cell.d)
        return {"clips": [clip, clip]}

    monkeypatch.setattr(films_of_the_command, "_drawn", draw)
    for record in (six, six, eight, eight):
        assert Films(results, memory)(task, record) is not None
    assert drawn == [6, 8]


def test_names_with_special_characters_survive(tmp_path: Path) -> None:
    task = make_task("odd|name_<b>$&#", published=(published(8, note="a | b <em> \\x $y$"),))
    results = Results(tmp_path / "results")
    records = measured(task, {4: [20.0] * 3, 8: [500.0] * 3})
    for record in records:
        results.write(record)
    measurements = gather(records, {task.name: task}, results_folder=results.folder)
    pages = write_site(
        measurements, results, tmp_path / "site", drive=driven, filming=lambda task, record: None
    )
    assert {page.name for page in pages} >= {"index.html", "odd|name_<b>$&#.html"}
    for page in pages:
        for address in addresses(page).asked:
            path = unquote(address.partition("#")[0])
            assert not path or path == "data:," or (page.parent / path).is_file(), address
        assert "<b>$" not in page.read_text()
        assert "<em>" not in page.read_text()


def test_every_trainer_has_a_colour() -> None:
    """A trainer of many runs at once, ``ppo-many``, has that of the one it is."""
    style = (ROOT / "rlidim" / "report" / "site" / "assets" / "site.css").read_text()
    for name in TRAINERS:
        kind = name.partition("-")[0]
        assert f'[data-trainer|="{kind}"] {{ --accent: var(--{kind}); }}' in style, name
        assert style.count(f"  --{kind}: #") == 2, name  # on paper, and in the dark


def test_markup_escapes_what_is_no_markup() -> None:
    assert element("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'
    assert "</script>" not in data("x", ["</script>"])[:-9]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_in_a_browser(site: Path, browser: Any, width: int, scheme: str) -> None:
    look_at(sorted(site.rglob("*.html")), browser, width, scheme)


@pytest.mark.slow
def test_the_table_is_sorted_and_filtered(site: Path, browser: Any) -> None:
    view = browser.new_page()
    view.goto((site / "table.html").as_uri())

    def column(number: int) -> list[str]:
        rows = view.locator("#measurements tbody tr:visible")
        return [row.locator("th, td").nth(number).inner_text() for row in rows.all()]

    names = column(0)
    view.click("#measurements thead button >> nth=0")
    assert column(0) == sorted(names)
    view.click("#measurements thead button >> nth=0")
    assert column(0) == sorted(names, reverse=True)
    view.click("#measurements thead button >> nth=4")
    sizes = [int(text.replace(",", "")) for text in column(4)]
    assert sizes == sorted(sizes)
    view.select_option("select[name=trainer]", "ppo")
    assert set(column(1)) == {"ppo"}
    view.fill("input[name=words]", "codimension")
    assert column(0) == ["codimension-3"]
    assert view.inner_text("#count").startswith("1 of ")
    view.close()


@pytest.mark.slow
def test_every_run_is_a_dot(site: Path, browser: Any) -> None:
    view = browser.new_page()
    view.goto((site / "tasks" / "cartpole.html").as_uri())
    records, _ = Results(ROOT / "results").scan("cartpole")
    for trainer in ("es", "ppo"):
        runs = [
            record
            for record in records
            if record.cell.trainer == trainer and record.cell.d and record.status != "failed"
        ]
        section = view.locator(f"section[data-trainer={trainer}]")
        assert section.locator(".curve a circle").count() == len(runs)
    view.close()


@pytest.mark.slow
def test_the_sliders_drive_as_python_does(site: Path, browser: Any) -> None:
    """P, the network's actions and the cart's motion, over 500 recorded steps."""
    view = browser.new_page()
    view.goto((site / "sliders.html").as_uri())
    told = view.evaluate("about.theta_d")
    records, _ = Results(ROOT / "results").scan("cartpole")
    (record,) = [
        each
        for each in records
        if each.cell.d == 6 and each.solution and list(decode(each.solution["theta_d"])) == told
    ]
    path = Results(ROOT / "results").path(record.cell)
    solution = of_record(record, path, Path("runs"))
    network = architecture_of(solution.network)
    assert solution.theta_0_seed is not None
    theta = solution.parameters(network.initial_parameters(solution.theta_0_seed))
    found = view.evaluate("[...parameters(about, P, about.theta_d)]")
    np.testing.assert_allclose(found, theta, rtol=1e-6, atol=1e-6)

    policy = network.policy(theta)
    environment = gymnasium.make("CartPole-v1")
    observation, _ = environment.reset(seed=7)
    states, actions = [], []
    for _ in range(STEPS):
        states.append([float(number) for number in environment.unwrapped.state])  # type: ignore[attr-defined]
        actions.append(int(policy.act(observation[None])[0]))
        observation, *_ = environment.step(actions[-1])
    assert len(set(actions)) == 2
    theirs = view.evaluate(
        "(states) => { const theta = parameters(about, P, about.theta_d);"
        " return states.map((state) => act(about.sizes, theta, state)); }",
        states,
    )
    assert theirs == actions
    moved = view.evaluate(
        "([states, actions]) => states.map((state, index) => step(state, actions[index]))",
        [states[:-1], actions[:-1]],
    )
    np.testing.assert_allclose(moved, states[1:], rtol=1e-12, atol=1e-12)
    view.wait_for_timeout(300)
    assert "solved" in view.inner_text("#said")
    view.click("#zero")
    assert "falls at once" in view.inner_text("#said")
    assert str(Cell("cartpole", record.cell.trainer, "rademacher", 6, record.cell.seed)) in (
        view.inner_text(".note")
    )
    view.close()
