"""HTML from elements: whatever is no Markup yet is escaped."""

from __future__ import annotations

import html
import json
from typing import Any

EMPTY = ("br", "hr", "img", "input", "link", "meta")


class Markup(str):
    """HTML; a plain str is text."""


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element.

    Args:
        name: of the tag.
        children: text or Markup; None is left out.
        attributes: ``class_`` and ``for_`` lose their underscore, another one becomes a hyphen;
            None and False are left out, True has no value.

    Example:
        >>> element("p", "a < b", element("br"), class_="note", data_d=6, hidden=True)
        '<p class="note" data-d="6" hidden>a &lt; b<br></p>'
    """
    said = []
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            said.append(f" {key}")
        elif value is not None and value is not False:
            said.append(f' {key}="{html.escape(str(value))}"')
    opening = f"<{name}{''.join(said)}>"
    if name in EMPTY:
        return Markup(opening)
    return Markup(f"{opening}{together(*children)}</{name}>")


def together(*children: object) -> Markup:
    """Return children as one piece of HTML."""
    parts = (
        child if isinstance(child, Markup) else html.escape(str(child))
        for child in children
        if child is not None
    )
    return Markup("".join(parts))


def data(identity: str, content: Any) -> Markup:
    """Return a script element that holds JSON, which a page's own scripts read by its id.

    It stands in the page itself: a page of file:// may not fetch another file.
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    inner = Markup(text.replace("<", "\\u003c"))
    return element("script", inner, type="application/json", id=identity)
