"""What makes a site of README, docs/ and results/: see mkdocs.yml.

README is the first page; the tables and figures of results/ are pages too; mathematics becomes
MathML, so that no script typesets it; and the results' own pages are written beside it.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
TABLES = ("TABLES.md", "COVERAGE.md", "FAMILIES.md")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
SHIM = "https://unpkg.com/iframe-worker/shim"  # what the theme asks for in a page of files
KERNELS = "<!-- kernels: {} -->"  # stands where the table of a device is put


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add README, the tables and the figures."""

    def add(address: str, path: Path) -> None:
        if path.exists():
            files.append(File.generated(config, address, abs_src_path=str(path)))

    add("index.md", ROOT / "README.md")
    for name in TABLES:
        add(f"results/{name}", RESULTS / name)
    for figure in sorted((RESULTS / "figures").glob("*.svg")):
        add(f"results/figures/{figure.name}", figure)
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead where the files lie in the site, and put in the tables of the benchmark."""
    if page.file.src_uri == "index.md":
        return markdown.replace("](docs/", "](")
    for device in ("cpu", "cuda"):
        place = KERNELS.format(device)
        if place in markdown:
            content = json.loads((RESULTS / "kernels" / f"{device}.json").read_text())
            markdown = markdown.replace(place, kernels(content))
    return markdown.replace("](../results/", "](results/")


def kernels(content: Mapping[str, Any]) -> str:
    """Return a table of the forward products on one thread: times, and against a stored matrix."""
    hardware = content["hardware"]
    machine = hardware.get("gpu") or hardware["processor"]
    lines = [
        f"Measured on: {machine}.",
        "",
        "| family | D | d | time | / writing D numbers | / torch, stored P |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for row in content["rows"]:
        lone = row["members"] == 1 and row["threads"] == 1
        seconds = row.get("device_seconds") or row["seconds"]
        if row["operation"] == "forward" and lone and seconds is not None:
            against = row["against"]
            lines.append(
                f"| {row['family']} | {row['D']:,} | {row['d']:,} | {1e6 * seconds:,.3g} us "
                f"| {_ratio(against.get('fill'))} | {_ratio(against.get('torch dense'))} |"
            )
    return "\n".join(lines)


def _ratio(figures: Mapping[str, Any] | None) -> str:
    return "-" if not figures or figures.get("ratio") is None else f"{figures['ratio']:.3g}"


def on_page_content(content: str, **_: Any) -> str:
    """Typeset the mathematics."""
    return FORMULA.sub(_typeset, content)


def _typeset(found: re.Match[str]) -> str:
    block = found[2] == "["
    return str(convert(html.unescape(found[3]), display="block" if block else "inline"))


def on_post_page(output: str, config: Any, page: Any, **_: Any) -> str:
    """Have the search of a page of files work without another host."""
    return output.replace(SHIM, page.url.count("/") * "../" + "search.js")


def on_post_build(config: Any, **_: Any) -> None:
    """Write the results' own pages into the site; the theme's page of a web server goes."""
    site = Path(config["site_dir"])
    (site / "404.html").unlink(missing_ok=True)
    out = site / "results"
    command = [sys.executable, "-m", "rlidim", "--results", str(RESULTS), "site", "--out", str(out)]
    subprocess.run([*command, "--documentation", "../index.html"], check=True)
