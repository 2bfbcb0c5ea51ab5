"""Tables as Markdown, LaTeX and HTML, everything escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from rlidim.report.columns import one_line
from rlidim.report.tables import Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
h1, h2, h3 { line-height: 1.2; margin: 2.2rem 0 .6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right;
  white-space: nowrap; }
th { border-bottom: 2px solid #555; vertical-align: bottom; }
.word { text-align: left; }
.notes { color: #555; font-size: .86rem; max-width: 60rem; }
img { max-width: 100%; height: auto; }
pre { background: #f4f4f4; padding: .7rem 1rem; overflow-x: auto; }
"""


def escape_markdown(text: str) -> str:
    """Return the text escaped for GitHub's Markdown, in a table's cell too."""
    escaped = re.sub(r"([\\`*_|$~<])", r"\\\1", one_line(text).replace("&", "&amp;"))
    # A bracket closes a link only before ( [ or :, so that intervals stay legible.
    return re.sub(r"\](?=[(\[:])", r"\\]", escaped)


def escape_latex(text: str) -> str:
    """Return the text escaped for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in one_line(text))


def markdown_table(table: Table) -> str:
    """Return a pipe table, its numbers aligned to the right."""
    cells = [[escape_markdown(cell) for cell in row] for row in (table.header, *table.rows)]
    rule = ["---" if column < table.left else "--:" for column in range(len(table.header))]
    lines = [cells[0], rule, *cells[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_notes(table: Table) -> str:
    """Return the notes, a list item each."""
    return "\n".join(f"- {escape_markdown(note)}" for note in table.notes)


def latex_table(table: Table) -> str:
    """Return a booktabs table, its notes below it."""
    columns = "l" * table.left + "r" * (len(table.header) - table.left)
    header = " & ".join(_latex_header(name) for name in table.header)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}}}",
        r"\resizebox{\linewidth}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf"{header} \\",
        r"\midrule",
        *(
            # A row that begins with a bracket would be read as an option of the line's end.
            rf"{{}}{' & '.join(escape_latex(cell) for cell in row)} \\"
            for row in table.rows
        ),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par\smallskip {{\footnotesize {_latex_header(note)}\par}}" for note in table.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_header(name: str) -> str:
    return re.sub(r"d\\_int(\d+(?:\.\d+)?)", r"$d_{\\mathrm{int}\1}$", escape_latex(name))


def html_table(table: Table) -> str:
    """Return a table element and its notes."""

    def line(tag: str, cells: Sequence[str]) -> str:
        parts = [
            f"<{tag}{' class=word' if column < table.left else ''}>{html.escape(cell)}</{tag}>"
            for column, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(parts)}</tr>"

    lines = [
        '<div class="scroll"><table>',
        f"<thead>{line('th', table.header)}</thead>",
        "<tbody>",
        *(line("td", row) for row in table.rows),
        "</tbody></table></div>",
    ]
    if table.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
        lines.append(f'<ul class="notes">{items}</ul>')
    return "\n".join(lines)
