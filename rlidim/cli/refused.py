"""What a command over many could not measure: it keeps none of the others from theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlidim.cli.options import search_and_gather
from rlidim.errors import RlidimError

if TYPE_CHECKING:
    from rlidim.executors.job import Executor
    from rlidim.records.folder import Results
    from rlidim.records.measurement import Measurement
    from rlidim.sweep.plan import Plan


class Refused:
    """The measurements that could not be made: none keeps the others from theirs."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        """Say and remember why one is not made."""
        self.lines.append(line)
        click.echo(f"error: {line}", err=True)

    def unless(
        self,
        context: click.Context,
        plan: Plan,
        executor: Executor,
        log_dir: Path,
        results: Results | None = None,
    ) -> Measurement | None:
        """Return the measurement of a plan; None, and the reason is told, if it cannot be made."""
        try:
            return search_and_gather(context, plan, executor, log_dir, results=results).measurement
        except RlidimError as error:
            executor.close()  # ends the round's other runs
            self(f"{plan.task.name} {plan.trainer}: {error}")
            return None

    def raise_any(self, done: str | None = None) -> None:
        """Raise if there is one.

        Args:
            done: what the command has done all the same.

        Raises:
            RlidimError: says how many there are, and the first.
        """
        if self.lines:
            before = "" if done is None else f"{done}; "
            raise RlidimError(f"{before}{len(self.lines)} could not be measured: {self.lines[0]}")
