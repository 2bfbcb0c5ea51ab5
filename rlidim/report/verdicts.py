"""A claim's verdict, from comparisons that 95 % intervals decide or leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlidim.records.measurement import Measurement
from rlidim.report.rows import estimate_of
from rlidim.report.tables import Table

SUPPORTED, REFUTED, OPEN = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim, the records' verdict on it, and their figures.

    ``rule`` says in plain words what supports and what refutes it, where its table's own notes do
    not.
    """

    claim: str
    verdict: str
    figures: str
    rule: str = ""


@dataclass(frozen=True)
class Part:
    """One of the comparisons that a claim rests on.

    Attributes:
        verdict: on the claim, of this comparison alone.
        figures: what was found; none of one that was not made.
        wanting: what would decide one that is left open.
    """

    verdict: str
    figures: str = ""
    wanting: str = ""


def from_parts(claim: str, parts: Sequence[Part], rule: str) -> Claim:
    """Return a claim that rests on several comparisons: all of them support it, one refutes it."""
    verdict = all_of([part.verdict for part in parts])
    figures = "; ".join(part.figures for part in parts if part.figures)
    if verdict == OPEN:
        wanting = [part.wanting for part in parts if part.verdict == OPEN]
        figures += f". What would decide: {'; '.join(wanting)}"
    return Claim(claim, verdict, figures, rule)


def all_of(verdicts: Sequence[str]) -> str:
    """Return the verdict on a claim of several parts."""
    return REFUTED if REFUTED in verdicts else OPEN if OPEN in verdicts else SUPPORTED


def narrower(*compared: Measurement) -> str:
    """Return which intervals have to become narrower to tell readings apart: open ones, if any."""
    open_ones = [each for each in compared if not estimate_of(each).closed]
    kind = "closed" if open_ones else "narrower"
    names = [each.task_name for each in open_ones or compared]
    noun = f"a {kind} interval" if len(names) == 1 else f"{kind} intervals"
    return f"{noun} of {' and '.join(names)}"


def listed(title: str, judged: Sequence[Claim], *notes: str) -> Table:
    """Return a table with a row for each claim; below it the notes, and the claims' own rules."""
    rows = tuple((claim.claim, claim.verdict, claim.figures) for claim in judged)
    rules = dict.fromkeys(claim.rule for claim in judged if claim.rule)
    return Table(title, ("claim", "verdict", "figures"), rows, 3, (*notes, *rules))
