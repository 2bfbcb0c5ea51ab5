"""The commands about this machine: speed, kernels, projections, doctor, gpu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rlidim.cli.options import ParamType, json_option, print_json, results_of, tell
from rlidim.errors import RlidimError


class Size(ParamType):
    """A projection's size."""

    name = "D,d"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        """Parse the two numbers, or name the form expected."""
        if isinstance(value, tuple):
            return value
        try:
            D, d = (int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"expected two whole numbers with a comma, got '{value}'", param, ctx)
        return D, d


again_option = click.option("--again", is_flag=True, help="Time what is on file again, too.")
families_option = click.option(
    "--family", "families", multiple=True, help="This family alone; may be repeated."
)


@click.command("speed")
@click.argument("task", required=False)
@click.option("--trainer", help="Of the task.  [default: es, or its first]")
@click.option("--projection", help="The family of P.  [default: auto; without TASK all]")
@click.option("--dim", type=int, help="The subspace dimension, with TASK.  [default: 16]")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    help="With TASK: split generations of es and ars over so many, too, against one.  [default: 1]",
)
@click.option("--network", "networks", multiple=True, help="Without TASK: this network alone.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A folder for the results as JSON; without TASK they are resumed from there.",
)
@again_option
@json_option
@click.pass_context
def speed_command(
    context: click.Context,
    task: str | None,
    trainer: str | None,
    projection: str | None,
    dim: int | None,
    processes: int,
    networks: tuple[str, ...],
    out: Path | None,
    again: bool,
    as_json: bool,
) -> None:
    """Time a task's trainer, or without TASK a training step natively and in every family.

    A trainer: steps/s against the raw environment's, or a run in a subspace against a native one.
    """
    from rlidim.networks.dimension import projection_family
    from rlidim.tasks import families
    from rlidim.tasks.names import find_task

    if projection not in (None, families.AUTO):
        families.check(projection)
    if task is None:
        if trainer is not None or dim is not None or processes != 1:
            raise RlidimError(
                "--trainer, --dim and --processes belong to a task: rlidim speed TASK"
            )
        print_steps(networks, () if projection is None else (projection,), out, again, as_json)
        return
    if networks or again:
        raise RlidimError("--network and --again belong to the training steps: leave out TASK")
    loaded = find_task(task, context.find_root().obj["envs"])
    trainer = trainer or ("es" if "es" in loaded.trainers else next(iter(loaded.trainers)))
    family = projection_family(loaded, projection or families.AUTO)
    from rlidim.speed import runs  # late: torch comes with it, and a mistake is told without

    measured = runs.measure(
        loaded, trainer, projection=family, d=16 if dim is None else dim, processes=processes
    )
    if out is not None:
        runs.write(measured, out)
    if as_json:
        print_json(measured)
    else:
        click.echo(runs.table(measured))


def print_steps(
    networks: tuple[str, ...],
    families: tuple[str, ...],
    out: Path | None,
    again: bool,
    as_json: bool,
) -> None:
    """Time training steps and print the table."""
    from rlidim.speed import steps

    content = steps.run(networks, families, out, again=again, listener=tell)
    if as_json:
        print_json(content)
    else:
        click.echo(steps.table(content))


@click.command("kernels")
@click.option("--device", default="cpu", show_default=True, help="cpu (one thread) or cuda.")
@families_option
@click.option(
    "--size",
    "sizes",
    type=Size(),
    metavar="D,d",
    multiple=True,
    help="This size alone; may be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A folder for the results as JSON, resumed from there, e.g. results/kernels.",
)
@again_option
@click.option(
    "--longest",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds; a product that would take longer is listed as not measured.",
)
@json_option
def kernels_command(
    device: str,
    families: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    out: Path | None,
    again: bool,
    longest: float,
    as_json: bool,
) -> None:
    """Time every family's products against the floor (writing D numbers) and its peers."""
    from rlidim.tasks.families import check

    for family in families:
        check(family)
    from rlidim.speed import products  # late: torch comes with it, and a mistake is told without
    from rlidim.speed.cases import Limits

    content = products.run(
        device, families, sizes, out, again=again, limits=Limits(longest), listener=tell
    )
    if as_json:
        print_json(content)
    else:
        click.echo(products.table(content))


@click.command("projections")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@json_option
def projections_command(device: str, as_json: bool) -> None:
    """List the families of P: what computes them here, what they keep, what auto means."""
    from rlidim.speed.cases import device_of
    from rlidim.speed.families import overview, table

    families = overview(device_of(device))
    if as_json:
        print_json(families)
    else:
        click.echo(table(families))


@click.command("doctor")
@json_option
@click.pass_context
def doctor_command(context: click.Context, as_json: bool) -> None:
    """Show versions, devices, kernels, optional parts, data; say what is missing.

    The exit code is 1 where something has to be mended: data or results that cannot be used.
    """
    from rlidim.cli import doctor

    findings = doctor.examine(results_of(context))
    if as_json:
        print_json(findings)
    else:
        click.echo(doctor.table(findings))
    wrong = doctor.problems(findings)
    if wrong:
        tell(f"to be mended: {'; '.join(wrong)}")
        context.exit(1)


@click.command("gpu")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("results/kernels"),
    show_default=True,
    help="Where the JSON results go.",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    default=480.0,
    show_default=True,
    help="Seconds after which nothing new is begun.",
)
@click.option("--queue", metavar="TASK", help="Only what is queued of a task.")
@json_option
@click.pass_context
def gpu_command(
    context: click.Context, out: Path, budget: float, queue: str | None, as_json: bool
) -> None:
    """Run everything that waits for a GPU: correctness, the benchmarks, queued experiments.

    The queue goes on from the records in --results and from checkpoints in build/gpu-runs; its new
    records are packed into queue.tar.gz.
    """
    from rlidim.speed.gpu import everything

    content = everything.run(out, budget, tell, results_of(context).folder, queue)
    if as_json:
        print_json(content)
    else:
        click.echo(everything.table(content))


COMMANDS = (
    doctor_command,
    gpu_command,
    kernels_command,
    projections_command,
    speed_command,
)
