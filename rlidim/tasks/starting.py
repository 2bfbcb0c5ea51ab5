"""Solutions that a network starts at: written out in a task's file, or a record's, by its path."""

from __future__ import annotations

import base64
import dataclasses
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlidim.errors import RlidimError
from rlidim.tasks.problems import Network, Start
from rlidim.tasks.reading import LARGEST_RECORD, check_checksum, parse_json, read_file


def with_solutions(section: Any, file: Path) -> Any:
    """Return a network's section with the solutions of the records that ``start`` names in it.

    Args:
        section: as YAML reads it; anything but a path is left to the parser.
        file: of the task, beside which a relative path begins.

    Raises:
        RlidimError: a record cannot be read, or has no solution in a subspace.
    """
    if not isinstance(section, dict) or "start" not in section:
        return section
    where = f"{file}: network: start"
    if not isinstance(section["start"], list):
        raise RlidimError(f"{where}: expected a list of records: [{section['start']!s:.60}]")
    starts = []
    for start in section["start"]:
        try:
            starts.append(
                solution(file.parent / start, section) if isinstance(start, str) else start
            )
        except RlidimError as error:
            raise RlidimError(f"{where}: {error}") from error
    return {**section, "start": starts}


def solution(record: Path, section: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's solution as a task's file writes it out.

    Args:
        record: its path.
        section: of the network that is to start there.

    Raises:
        RlidimError: the record cannot be read, has no solution in a subspace, or that of a network
            which this one does not become by its numbers alone.
    """
    raw = read_file(record, LARGEST_RECORD)
    try:
        content = parse_json(raw)
        check_checksum(content)
        if content["status"] != "ok":
            raise ValueError(f"its status is {content['status']}")
        recorded = content["solution"]
        spec, numbers = recorded["spec"], base64.b64decode(recorded["theta_d"], validate=True)
        if spec["options"]:
            raise ValueError("its family has options")
        _check_network(recorded["network"], section)
        return {
            "theta_0_seed": recorded["theta_0_seed"],
            "family": spec["family"],
            "D": spec["D"],
            "seed": spec["seed"],
            "theta_d": list(struct.unpack(f"<{len(numbers) // 4}f", numbers)),
            "layout_version": spec.get("layout_version", Start.layout_version),
        }
    except (RlidimError, ValueError, LookupError, TypeError, struct.error) as error:
        raise RlidimError(
            f"{record}: no record of a solution in a subspace to start at ({error})"
        ) from error


def _check_network(recorded: Mapping[str, Any], section: Mapping[str, Any]) -> None:
    """Make sure that theta_0's seed and theta_d mean the same in both networks.

    Raises:
        ValueError: they do not.
    """
    for field in dataclasses.fields(Network):
        if field.name == "start":
            continue
        there, here = (part.get(field.name, field.default) for part in (recorded, section))
        if there != here and str(there) != str(here):  # YAML may give a number as text
            raise ValueError(f"its network has {field.name} {there}, this one {here}")
    if recorded.get("start"):
        raise ValueError("it began at another solution itself")
    if recorded.get("observation_mean") is not None:
        raise ValueError("its observations were normalised")
