"""Timings as text: a line a product, then the bars, then what was not measured and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlidim.report.columns import text_table
from rlidim.speed.paired import NOTE
from rlidim.speed.rows import Row

NONE = "-"
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"))
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def duration(seconds: float | None) -> str:
    """Return ``1.23 ms``."""
    if seconds is None:
        return NONE
    scale, unit = next(((s, u) for s, u in UNITS if seconds >= s), UNITS[-1])
    return f"{seconds / scale:.3g} {unit}"


def rate(value: float | None, unit: str) -> str:
    """Return ``12.3 Gsigns/s``."""
    if value is None:
        return NONE
    scale, prefix = next(((s, p) for s, p in PREFIXES if value >= s), (1.0, ""))
    return f"{value / scale:.3g} {prefix}{unit}"


def ratio(figures: dict[str, Any] | None) -> str:
    """Return the median and the quartiles: ``1.36 [1.34, 1.39]``."""
    if not figures or figures.get("ratio") is None:
        return NONE
    return f"{figures['ratio']:.3g} [{figures['low']:.3g}, {figures['high']:.3g}]"


def product(row: Row) -> str:
    """Return ``forward``, or ``forward (2 threads)``."""
    threads = f" ({row['threads']} threads)" if row["threads"] > 1 else ""
    return f"{row['operation']}{threads}"


def kernel_table(rows: Sequence[Row], bars: Sequence[dict[str, Any]]) -> str:
    """Return the tables of ``rlidim kernels``.

    Ratios are our time / the other's, with their quartiles; ``extra`` is the memory beyond the
    vectors read and written, in vectors of D.
    """
    shown = []
    for row in rows:
        if row["seconds"] is None:
            continue
        peers = [
            f"{name} {ratio(figures)}"
            for name, figures in row["against"].items()
            if name != "fill" and "ratio" in figures
        ]
        shown.append(
            {
                "family": row["family"],
                "D": f"{row['D']:,}",
                "d": f"{row['d']:,}",
                "product": product(row),
                "backend": row["backend"],
                "time": duration(row["seconds"]),
                **device_column(row, rows),
                "rate": rate(row["rate"], row["rate_unit"]),
                "extra": NONE if row["extra_vectors"] is None else f"{row['extra_vectors']:.3g} D",
                "/ fill": ratio(row["against"].get("fill")),
                "/ others": "; ".join(peers) or NONE,
            }
        )
    missing: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["reason"] is not None:
            case = f"{row['family']} ({row['D']:,}, {row['d']:,})"
            missing.setdefault((case, row["reason"]), []).append(product(row))
    lines = [f"{case} {', '.join(names)}: {reason}" for (case, reason), names in missing.items()]
    return _parts(shown, bars, lines + _missing_peers(rows))


def step_table(rows: Sequence[Row], bars: Sequence[dict[str, Any]]) -> str:
    """Return the tables of training steps."""
    shown = [
        {
            "network": row["network"],
            "D": f"{row['D']:,}",
            "d": f"{row['d']:,}",
            "batch": row["batch"],
            "family": row["family"] + (" (default)" if row["default"] else ""),
            "backend": row["backend"],
            "native step": duration(row["native_seconds"]),
            "step": duration(row["seconds"]),
            "/ native": ratio(row),
            "pairs": row["pairs"],
            **recorded_columns(row, rows),
        }
        for row in rows
        if row["seconds"] is not None
    ]
    missing = [
        f"{row['network']} in {row['family']}: {row['reason']}"
        for row in rows
        if row["reason"] is not None
    ]
    profiles = [
        {"where the time goes": row["network"]}
        | {part: duration(seconds) for part, seconds in row["parts"].items()}
        for row in rows
        if row.get("parts")
    ]
    return _parts(shown, bars, missing, profiles)


def device_column(row: Row, rows: Sequence[Row]) -> dict[str, str]:
    """Return the column of a GPU's own time, without the launches, where any row has one."""
    if not any(other.get("device_seconds") for other in rows):
        return {}
    return {"on the device": duration(row.get("device_seconds"))}


def recorded_columns(row: Row, rows: Sequence[Row]) -> dict[str, str]:
    """Return the columns of steps repeated as CUDA graphs, where any row has them."""
    if not any(other.get("recorded") for other in rows):
        return {}
    figures = row["recorded"] or {}
    return {
        "native, recorded": duration(figures.get("native_seconds")),
        "recorded": duration(figures.get("seconds")),
        "/ native, recorded": ratio(figures),
        "pairs, recorded": str(figures.get("pairs", NONE)),
    }


def _missing_peers(rows: Sequence[Row]) -> list[str]:
    """Return each peer's reasons, and at how many of the products each kept it away."""
    counts: dict[str, int] = {}
    for row in rows:
        for name, figures in row["against"].items():
            if "reason" in figures:
                line = f"{name}: {figures['reason']}"
                counts[line] = counts.get(line, 0) + 1
    return [f"{line} ({count} product{'s' * (count > 1)})" for line, count in counts.items()]


def _parts(
    shown: Sequence[dict[str, Any]],
    bars: Sequence[dict[str, Any]],
    missing: Sequence[str],
    profiles: Sequence[dict[str, Any]] = (),
) -> str:
    parts = [text_table(shown)]
    if profiles:
        parts.append(text_table(profiles))
    if bars:
        texts = [
            {name: text for name, text in bar.items() if name != "why"}
            | {"value": NONE if bar["value"] is None else f"{bar['value']:.3g}"}
            for bar in bars
        ]
        parts.append(text_table(texts))
    why = [f"  {bar['bar']}: {bar['why']}" for bar in bars if bar["why"]]
    if why:
        parts.append("\n".join(["why a bar may be missed:", *why]))
    if missing:
        parts.append("\n".join(["not measured:", *(f"  {line}" for line in missing)]))
    if shown:
        parts.append(NOTE)
    return "\n\n".join(parts)
