"""Tables as Markdown and LaTeX, everything escaped."""

from __future__ import annotations

import re

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
