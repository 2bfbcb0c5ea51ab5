"""The frame of every page: head, navigation, foot."""

from __future__ import annotations

from rlidim.report.site.markup import Markup, element, together

PAGES = (
    ("index.html", "Ladder"),
    ("table.html", "Table"),
    ("published.html", "Ours against published"),
    ("sliders.html", "Six sliders"),
)
ASSETS = "assets"


def page(
    title: str,
    *content: object,
    here: str,
    scripts: tuple[str, ...] = (),
    documentation: str | None,
    without: tuple[str, ...] = (),
) -> str:
    """Return a page.

    Args:
        title: of the page.
        content: its main part.
        here: its address from the results' first page.
        scripts: files of the assets.
        documentation: its address from the results' first page; None: there is none.
        without: pages that are not there.
    """
    up = "../" * here.count("/")
    links = [
        element("a", name, href=up + address, aria_current="page" if address == here else None)
        for address, name in PAGES
        if address not in without
    ]
    if documentation is not None:
        links.append(element("a", "Documentation", href=up + documentation, class_="apart"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title, " · rlidim"),
        element("link", rel="icon", href="data:,"),
        element("link", rel="stylesheet", href=f"{up}{ASSETS}/site.css"),
        *(element("script", src=f"{up}{ASSETS}/{name}", defer=True) for name in scripts),
    )
    body = element(
        "body",
        element(
            "header",
            element("a", "rlidim", href=f"{up}index.html", class_="name"),
            element("nav", *links, aria_label="Pages"),
        ),
        element("main", *content),
        element(
            "footer",
            "Made from the records alone: one JSON file a run. The same records give the same "
            "pages: ",
            element("code", "rlidim site"),
            ".",
        ),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def heading(title: str, *lead: object) -> Markup:
    """Return a page's title, and what it begins with."""
    return together(element("h1", title), element("p", *lead, class_="lead") if lead else None)
