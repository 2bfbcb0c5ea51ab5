"""Pages in a browser that runs their scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS, SCHEMES = (390, 1400), ("light", "dark")


def foreign(address: str) -> bool:
    return not address.startswith(("file:", "data:"))


def look_at(pages: Iterable[Path], browser: Any, width: int, scheme: str) -> None:
    """No error, no other host, no horizontal overflow, every image there."""
    view = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    said: list[str] = []
    view.on("console", lambda message: said.append(message.text))
    view.on("pageerror", lambda error: said.append(str(error)))
    view.on("request", lambda asked: said.append(asked.url) if foreign(asked.url) else None)
    for page in pages:
        view.goto(page.as_uri())
        view.wait_for_timeout(100)
        assert view.evaluate("document.documentElement.scrollWidth") <= width, page.name
        assert view.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    view.close()
    assert said == []
