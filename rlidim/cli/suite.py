"""The commands over all tasks: list, bench, tables."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rlidim.cli.calibrate import calibrate_command
from rlidim.cli.check import check_command
from rlidim.cli.machine import COMMANDS as MACHINE_COMMANDS
from rlidim.cli.options import (
    Duration,
    executor_options,
    json_option,
    log_option,
    print_json,
    results_of,
    tasks_of,
    tell,
    tell_of_hidden,
)
from rlidim.cli.refused import Refused
from rlidim.cli.site import site_command
from rlidim.errors import RlidimError

if TYPE_CHECKING:
    from rlidim.executors.job import Executor
    from rlidim.records.measurement import Measurement
    from rlidim.sweep.plan import Plan

NICE = 19  # of processes that work until a time is up: whatever else there is comes first
PAUSE = "pause"  # the file below --log-dir while which exists they stand still


@click.command("list")
@json_option
@click.pass_context
def list_command(context: click.Context, as_json: bool) -> None:
    """List the tasks by family: kind, network, D, trainers, published and our d_int90."""
    from rlidim.cli import answers
    from rlidim.report.columns import text_table

    tasks = tasks_of(context)
    for name in tasks:
        tell_of_hidden(context, name)
    rows = answers.rows(context, tasks)
    if as_json:
        print_json({"tasks": rows})
    else:
        click.echo(text_table(rows, *fitting()))


def fitting() -> tuple[int | None, Sequence[str]]:
    """Return the columns of the terminal, None elsewhere, and what a list leaves out first."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return width, ("kind", "published", "network", "trainers")


@click.command("bench")
@click.option(
    "--tier",
    type=click.Choice(["smoke", "quick", "full", "atlas"]),
    default="quick",
    show_default=True,
)
@click.option(
    "--until",
    type=Duration(),
    help="Work so long (3h, 20m), on whichever measurements narrow most per core second, at low "
    "priority, and pause while the file 'pause' lies in --log-dir.  [default: each to its end]",
)
@executor_options
@log_option
@click.pass_context
def bench_command(
    context: click.Context, tier: str, until: float | None, executor: Executor, log_dir: Path
) -> None:
    """Measure every task of a tier, then write the tables. Resumes where it was interrupted."""
    from rlidim.sweep import tiers

    refused = Refused()
    results = results_of(context)
    results.check_writable()
    plans = tiers.plans(tasks_of(context), tier, refused, results)
    if until is not None:
        done = work_until(context, plans, until, executor, log_dir, refused)
        refused.raise_any(f"{done} rows stand as shown above, their runs on record")
        return
    done = 0
    try:
        for number, plan in enumerate(plans, 1):
            click.echo(f"[{number}/{len(plans)}] {plan.task.name} {plan.trainer}", err=True)
            measurement = refused.unless(context, plan, executor, log_dir)
            if measurement is not None:
                done += 1
                show_row(context, measurement, plan)
    finally:
        executor.close()
    write_tables(context)
    refused.raise_any(f"{done} rows were measured")


def show_row(context: click.Context, measurement: Measurement, plan: Plan) -> None:
    """Print what a row says, and where its interval is wide why, and what closing it would cost."""
    from rlidim.report.overview import plainly
    from rlidim.sweep import closing

    click.echo(plainly(measurement))
    top = context.find_root().obj
    words = ["rlidim"] if top["envs"] is None else ["rlidim", "--envs", str(top["envs"])]
    words += ["--results", str(top["results"]), plan.task.name, "measure", "--trainer"]
    command = shlex.join([*words, plan.trainer])
    for line in closing.reasons(measurement, plan, command):
        click.echo(f"  {line}")


def work_until(
    context: click.Context,
    plans: Sequence[Plan],
    seconds: float,
    executor: Executor,
    log_dir: Path,
    refused: Refused,
) -> int:
    """Work on the most urgent measurements for so long, then write the tables and what is open.

    Returns:
        How many rows there are, those that were refused left out.
    """
    from rlidim.cli.progress import Progress
    from rlidim.executors.local import ProcessPool
    from rlidim.executors.pausing import pausing, stand_still
    from rlidim.sweep.atlas import work
    from rlidim.sweep.page import page

    if not isinstance(executor, ProcessPool):
        raise RlidimError("--until works on this machine: leave out --executor ray")
    os.nice(NICE)  # this process, and the workers that it starts
    pause = log_dir / PAUSE
    try:
        with Progress() as progress, pausing(executor, pause, tell):
            rows = work(
                plans,
                results_of(context),
                executor=executor,
                seconds=seconds,
                log_dir=log_dir,
                listener=progress,
                tell=tell,
                refuse=refused,
                stand_still=lambda: stand_still(pause),
            )
    finally:
        executor.close()
    stand_still(pause)
    write_tables(context)
    click.echo(page(rows, refused.lines))
    return sum(row.error is None for row in rows)


@click.command("tables")
@click.pass_context
def tables_command(context: click.Context) -> None:
    """Write TABLES.md, CSV, LaTeX and figures from the records alone."""
    write_tables(context)


def write_tables(context: click.Context) -> None:
    """Write every table and figure and say where."""
    from rlidim.cli import answers

    written, problems = answers.tables(context, tasks_of(context))
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    click.echo(f"{len(written)} files, first {written[0]}")


COMMANDS = (
    bench_command,
    calibrate_command,
    check_command,
    list_command,
    site_command,
    tables_command,
    *MACHINE_COMMANDS,
)
