"""The progress of a long job: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from rlidim.records.cell import Cell
    from rlidim.sweep.plan import Plan
    from rlidim.sweep.search import State

QUIET_SECONDS = 5.0  # between plain lines


class Shown:
    """A line on standard error that changes: in place on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        """Open the console on standard error."""
        self.console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self.started = self._shown = time.monotonic()
        self._last = self._printed = ""

    def __enter__(self) -> Self:
        """Begin to show."""
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the last line standing."""
        if self._live is not None:
            self._live.stop()
        if self._last != self._printed:
            self._print()

    def show(self, line: str) -> None:
        """Show a line in place of the one before."""
        if line == self._last:
            return
        self._last = line
        if self._live is not None:
            self._live.update(Text(line, overflow="ellipsis", no_wrap=True))
        elif time.monotonic() - self._shown >= QUIET_SECONDS:
            self._print()

    def _print(self) -> None:
        self._shown, self._printed = time.monotonic(), self._last
        self.console.print(self._last, markup=False, soft_wrap=True)


class Progress(Shown):
    """The progress of a search: cells done, running, time left, the estimate."""

    def __init__(self) -> None:
        """Begin before the first search."""
        super().__init__()
        self._plan: Plan | None = None
        self._before = 0  # runs of the search when it began, or was gone on with

    def __call__(self, state: State) -> None:
        """Show a state."""
        if state.plan is not self._plan:
            self._plan, self._before = state.plan, len(state.records)
            self.started = time.monotonic()
        self.show(self.line(state))

    def line(self, state: State) -> str:
        """Return one line about a state."""
        finished = len(state.records) - self._before
        done = len(state.records)
        parts = [f"{state.plan.task.name} {state.plan.trainer}: {done} run{'s' * (done != 1)} done"]
        if state.resumed:
            parts.append(f"{state.resumed} of them on record before")
        if state.running:
            parts.append(f"{len(state.running)} to go in this round")
            elapsed = time.monotonic() - self.started
            if finished:
                left = elapsed / finished * len(state.running)
                parts.append(f"about {max(left, 1):.0f} s")
            parts.append(f"{elapsed:.0f} s so far")
        if state.estimate is not None:
            from rlidim.statistics.wording import describe  # late: a mistake is told without scipy

            parts.append(describe(state.estimate))
        return ", ".join(parts)


class RunProgress(Shown):
    """The progress of one run: steps, seconds, and the score so far."""

    def __init__(self, steps: str) -> None:
        """Keep the unit of the run's steps."""
        super().__init__()
        self.steps = steps

    def __call__(self, cell: Cell, steps: int, score: float | None) -> None:
        """Show the steps made and the score so far."""
        parts = [f"{cell}: {steps:,} {self.steps}"]
        if score is not None:
            parts.append(f"score {score:.4g} so far")
        self.show(", ".join([*parts, f"{time.monotonic() - self.started:.0f} s"]))
