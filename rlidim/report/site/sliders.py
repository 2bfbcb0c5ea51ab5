"""CartPole in the browser, driven by theta_0 + P theta_d: P is regenerated there from its seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlidim.records.record import RunRecord, decode
from rlidim.report import text
from rlidim.report.site.entry import Entry
from rlidim.report.site.markup import Markup, data, element, together
from rlidim.report.site.page import heading

TASK, FAMILY = "cartpole", "rademacher"
NUMBERS = 6
SPAN = 2.0  # a slider goes so many times the largest number of the solution, either way
STEPS = 500  # of an episode


@dataclass(frozen=True)
class Driven:
    """The run whose policy the page begins with.

    Attributes:
        record: the run, its d small enough for sliders.
        theta_0: as base64 of float32, since numpy draws it.
        sizes: of the network's layers.
    """

    record: RunRecord
    theta_0: str
    sizes: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        solution = self.record.solution
        assert solution is not None
        spec = solution["spec"]
        return {
            "D": spec["D"],
            "d": spec["d"],
            "seed": str(spec["seed"]),  # 64 bits: more than a number of JavaScript holds
            "theta_0": self.theta_0,
            "theta_d": [float(number) for number in decode(solution["theta_d"])],
            "sizes": list(self.sizes),
            "steps": STEPS,
        }


def driven(entries: list[Entry]) -> RunRecord | None:
    """Return the best run of six numbers whose policy the page can play, None if there is none."""
    runs = [
        record
        for entry in entries
        if entry.measurement.task_name == TASK and entry.measurement.projection == FAMILY
        for record in entry.measurement.runs
        if record.cell.d == NUMBERS and _playable(record)
    ]
    return min(runs, key=_preference, default=None)


def _preference(record: RunRecord) -> tuple[float, bool, int]:
    """Return what runs are chosen by: the score, then the trainer of the README's picture."""
    return -(record.score or 0.0), record.cell.trainer != "es", record.cell.seed


def _playable(record: RunRecord) -> bool:
    """Say whether the page's script has what the record's policy is made of."""
    solution = record.solution
    if record.status != "ok" or solution is None or "theta_0_seed" not in solution:
        return False
    spec, network = solution["spec"], solution["network"]
    return (
        spec.get("layout_version") == 1
        and network.get("activation") == "relu"
        and network.get("action") == "argmax"
        and network.get("observation_mean") is None
    )


def sliders_page(run: Driven) -> Markup:
    """Return the content of the page."""
    reach = SPAN * max(abs(number) for number in decode(run.record.solution["theta_d"]))  # type: ignore[index]
    rows = [
        element(
            "label",
            element("span", "θ", element("sub", str(index + 1))),
            element(
                "input",
                type="range",
                min=f"{-reach:.3f}",
                max=f"{reach:.3f}",
                step="any",
                data_index=index,
            ),
            element("output"),
        )
        for index in range(NUMBERS)
    ]
    return together(
        heading(
            "Six sliders",
            "This policy has ",
            f"{run.record.D} parameters, and six numbers decide them all: ",
            element("code", "θ = θ₀ + P θ_d"),
            ". They start at a solution that was found by training. Move one, and see how much of "
            "it the pole forgives.",
        ),
        element(
            "div",
            element(
                "div",
                element("canvas", width=720, height=300, role="img", aria_label="The pole"),
                element("p", id="said", role="status"),
                class_="stage",
            ),
            element(
                "div",
                *rows,
                element(
                    "p",
                    element("button", "The solution", type="button", id="solution"),
                    element("button", "All zero: θ₀ alone", type="button", id="zero"),
                    element("button", "Random", type="button", id="random"),
                    element("button", "Push the pole", type="button", id="push"),
                    class_="buttons",
                ),
                class_="controls",
            ),
            class_="sliders",
        ),
        element(
            "p",
            "P has ",
            f"{run.record.D} by {NUMBERS} signs, and none of them was sent to this page: they are "
            "drawn here from the run's seed by Philox, the stream that drew them in training. The "
            f"run is {run.record.cell}, whose score over {len(run.record.returns)} fresh episodes "
            f"is {text.number(run.record.score)}.",
            class_="note",
        ),
        data("policy", run.to_json()),
    )
