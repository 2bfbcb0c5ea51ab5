"""The command that writes the results as pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlidim.cli.options import records_of, results_of, tasks_of, tell

if TYPE_CHECKING:
    from rlidim.records.record import RunRecord
    from rlidim.report.site.sliders import Driven


@click.command("site")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/site"),
    show_default=True,
    help="The folder of the pages.",
)
@click.option("--documentation", help="Where the pages' link to the documentation leads.")
@click.pass_context
def site_command(context: click.Context, out: Path, documentation: str | None) -> None:
    """Write the results as pages, from the records alone: ladder, table, a page a task.

    They need no server and no other host: open index.html, or put the folder on any web server.
    """
    results = results_of(context)
    results.check_there()
    from rlidim.cli import answers
    from rlidim.cli.films import FILE, Films
    from rlidim.records.measurement import gather
    from rlidim.records.remembered import remembered
    from rlidim.report.site.write import write_site

    measurements = gather(records_of(context), tasks_of(context), results_folder=results.folder)
    with remembered(answers.memory_of(results, FILE)) as memory:
        films = Films(results, memory)
        pages = write_site(
            measurements,
            results,
            out,
            drive=driven,
            filming=films,
            documentation=documentation,
        )
    for reason, tasks in films.missing.items():
        tell(f"no film of {', '.join(tasks)}: {reason}")
    click.echo(f"{len(pages)} pages, first {pages[0]}")


def driven(record: RunRecord) -> Driven | None:
    """Return what the sliders' page needs of a run: theta_0, which numpy draws, beside it."""
    from rlidim.networks.acting import architecture_of
    from rlidim.networks.perceptron import Architecture
    from rlidim.records.record import encode
    from rlidim.report.site.sliders import Driven

    assert record.solution is not None
    network = architecture_of(record.solution["network"])
    if not isinstance(network, Architecture):
        return None
    theta_0 = network.initial_parameters(record.solution["theta_0_seed"])
    return Driven(record, encode(theta_0), network.sizes)
