"""The documentation as a site: built from nothing, whole, and without another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.browsing import SCHEMES, WIDTHS, look_at

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    out = tmp_path_factory.mktemp("documentation")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=True,
        capture_output=True,
    )
    return out


class Loads(HTMLParser):
    """What a page loads, what it links to, and its places."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = dict(attributes)
        if tag in ("script", "img", "iframe") and said.get("src"):
            self.loads.append(str(said["src"]))
        if tag == "link" and said.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(str(said["href"]))
        if tag == "a" and said.get("href"):
            self.links.append(str(said["href"]))


def pages(site: Path) -> list[Path]:
    found = [*site.glob("*.html"), *site.glob("results/*.html")]
    assert len(found) > 18
    return sorted(found)


def test_nothing_is_asked_of_another_host_and_links_lead_somewhere(site: Path) -> None:
    for page in pages(site):
        read = Loads()
        read.feed(page.read_text())
        for address in read.loads:
            assert "//" not in address, f"{page.name} loads {address}"
        for address in [*read.loads, *read.links]:
            path = unquote(address.partition("#")[0])
            if path and ":" not in path:
                assert (page.parent / path).exists(), f"{page.name}: {address}"


def test_mathematics_is_typeset(site: Path) -> None:
    for name, formulas in (("method.html", 10), ("projections.html", 5), ("gpu.html", 1)):
        page = (site / name).read_text()
        assert page.count("<math") >= formulas, name
        assert "arithmatex" not in page
        assert not re.search(r"\\\\(theta|frac)", page)


def test_the_benchmarks_tables_are_there(site: Path) -> None:
    for name in ("projections.html", "gpu.html"):
        page = (site / name).read_text()
        assert "<!-- kernels" not in page
        assert "stacked_fastfood</td>" in page


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_site_in_a_browser(site: Path, browser: Any, width: int, scheme: str) -> None:
    look_at(pages(site), browser, width, scheme)


def test_the_search_works_from_files(site: Path, browser: Any) -> None:
    view = browser.new_page(viewport={"width": 1400, "height": 900})
    view.goto((site / "method.html").as_uri())
    view.locator(".md-search__input").first.click()
    view.keyboard.type("calibration")
    view.wait_for_selector(".md-search-result__item")
    view.close()
