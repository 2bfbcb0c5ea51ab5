"""An overview of the families: each one's backend and memory here, and what ``auto`` means."""

from __future__ import annotations

from typing import Any

import torch

from rlidim.projections import projection
from rlidim.projections.backends import FAMILIES
from rlidim.report.columns import text_table
from rlidim.speed.memory import held_bytes

SIZE = (100_000, 200)  # at which memory is shown: large enough that no family stores all of P


def overview(device: torch.device) -> dict[str, Any]:
    """Return the families and the rule.

    Returns:
        families: name, backend, memory (kept, in vectors of D), what it is and what its columns'
        rank may lack; size: (D, d) of that memory; rule: when, family, why.
    """
    from rlidim.projections.choice import RULE

    D, d = SIZE
    families = []
    for family, kind in FAMILIES.items():
        P = projection(family, D, d, 0, device=device)
        about = (kind.__doc__ or "").strip().splitlines()[0]
        families.append(
            {
                "family": family,
                "backend": P.backend,
                "memory": round(held_bytes(P) / (4 * D), 2),
                "about": about,
                "rank": kind.rank_note,
            }
        )
    rule = [{"when": row.when, "family": row.family, "why": row.why} for row in RULE]
    return {"device": device.type, "size": list(SIZE), "families": families, "rule": rule}


def table(content: dict[str, Any]) -> str:
    """Return the overview as text."""
    D, d = content["size"]
    return "\n".join(
        [
            text_table(
                [
                    {name: said for name, said in row.items() if name != "rank"}
                    for row in content["families"]
                ]
            ),
            "",
            *(f"{row['family']}: {row['rank']}" for row in content["families"] if row["rank"]),
            f"memory: what P keeps at D = {D:,}, d = {d:,}, in vectors of D",
            "",
            'projection="auto" is the first of:',
            *(f"  {row['when']}: {row['family']} ({row['why']})" for row in content["rule"]),
        ]
    )
