"""A population's networks on a GPU, all in one call, against one after another on the CPU."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlidim.speed.gpu import compared

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from rlidim.speed.cases import Limits, Listener
    from rlidim.speed.rows import Row

SHAPE, ACTIONS = (4, 84, 84), 6  # Pong's
# Of frames behind the statistics; the paper's network of Pong has them, the DQN's has none.
REFERENCE = 8
NETWORKS = {"paper": True, "nature": False}
MEMBERS = (8, 32, 128)
SIGMA = 0.02  # of a member's distance from the others, as evolution draws them
TOLERANCE = 1e-4  # of the largest output
SECONDS = 0.5  # of a comparison
NAMES = ("network", "members")  # the fields that name a row
FILE = "populations.json"


def run(out: Path, gpu: torch.device, limits: Limits, listener: Listener) -> dict[str, Any]:
    """Compare and time what is not on file yet, an observation a member.

    Returns:
        Device, versions, hardware, sources and rows; ``seconds`` of a call on the GPU hold the
        frames' way there and the outputs' back, and are compared with one thread of the CPU.
    """
    from rlidim.networks import atari as atari_networks
    from rlidim.speed.rows import RowFile, digest, provenance

    source = Path(atari_networks.__file__)
    where = {**provenance(gpu), "sources": digest([source], source.parent)}
    return compared.filled(
        RowFile(out / FILE, where, NAMES),
        [compared.blank(network=name, members=members) for name in NETWORKS for members in MEMBERS],
        partial(fill, gpu=gpu),
        lambda row: f"{row['members']} networks of the kind '{row['network']}'",
        limits,
        listener,
    )


def fill(row: Row, gpu: torch.device) -> None:
    """Measure a row in place."""
    import numpy as np
    import torch

    from rlidim.networks.atari import PixelArchitecture, StackedNetworks
    from rlidim.speed.paired import Timed, compare
    from rlidim.tasks.problems import PixelNetwork

    normalised = NETWORKS[row["network"]]
    architecture = PixelArchitecture.of(PixelNetwork(row["network"], normalised), SHAPE, ACTIONS)
    generator = np.random.default_rng()

    def drawn(count: int) -> NDArray[np.uint8]:
        return generator.integers(256, size=(count, *SHAPE), dtype=np.uint8)

    if normalised:
        architecture = replace(architecture, reference=drawn(REFERENCE))
    theta_0 = architecture.initial_parameters(0)
    networks = [
        architecture.module(theta_0 + SIGMA * generator.standard_normal(theta_0.size))
        .requires_grad_(False)
        .eval()
        for _ in range(row["members"])
    ]
    stacked = StackedNetworks(networks, gpu)
    frames = torch.from_numpy(drawn(row["members"]))

    def one_by_one() -> torch.Tensor:
        pairs = zip(networks, torch.split(frames, 1), strict=True)
        return torch.cat([network(frame) for network, frame in pairs])

    with torch.inference_mode():
        right, mine = one_by_one(), stacked(frames)
        difference = float((mine - right).abs().max() / right.abs().max())
        cpu = torch.device("cpu")  # by its clock: a call ends when the outputs are back
        comparison = compare(Timed(lambda: stacked(frames), cpu), Timed(one_by_one, cpu), SECONDS)
    row["D"] = architecture.D
    compared.judge(row, difference, TOLERANCE, "the outputs")
    row.update(comparison.to_json())
    row.update(seconds=comparison.seconds, cpu_seconds=comparison.other_seconds)


def table(content: dict[str, Any]) -> str:
    """Return the results as text."""
    from rlidim.report.columns import text_table
    from rlidim.speed.text import NONE, duration, ratio

    return text_table(
        [
            {
                "network": row["network"],
                "members": row["members"],
                "difference": NONE if row["difference"] is None else f"{row['difference']:.1e}",
                "GPU": duration(row["seconds"]),
                "CPU, one thread": duration(row["cpu_seconds"]),
                "ratio": ratio(row),
                "reason": row["reason"] or "",
            }
            for row in content["rows"]
        ]
    )
