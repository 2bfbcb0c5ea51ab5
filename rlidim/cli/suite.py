"""The commands over all tasks: list, calibrate, bench, tables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from rlidim.cli.check import check_command
from rlidim.cli.machine import COMMANDS as MACHINE_COMMANDS
from rlidim.cli.options import (
    Duration,
    executor_options,
    json_option,
    log_option,
    print_json,
    records_of,
    results_of,
    search_and_gather,
    skipped,
    tasks_of,
    tell,
)
from rlidim.cli.site import site_command
from rlidim.errors import RlidimError

if TYPE_CHECKING:
    from rlidim.executors.job import Executor
    from rlidim.records.folder import Results
    from rlidim.records.measurement import Measurement
    from rlidim.report.tables import Table
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

    rows = answers.rows(context, tasks_of(context))
    if as_json:
        print_json({"tasks": rows})
    else:
        click.echo(text_table(rows))


@click.command("calibrate")
@click.option("--coverage", is_flag=True, help="Simulate how often the interval holds the truth.")
@click.option(
    "--repetitions",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Simulated measurements of each case, for --coverage.",
)
@click.option(
    "--replications",
    type=click.IntRange(min=2),
    help="Repeat the whole search of cheap rows so often (of dear ones 4 times at most), each with "
    "seeds of its own: do the intervals hold what the others read?",
)
@click.option(
    "--bases",
    is_flag=True,
    help="Train measured rows at d = D in two bases, those of policies of up to 100,000 parameters "
    "whose P is no rotation: is it the trainer that minds?",
)
@click.option(
    "--choices",
    is_flag=True,
    help="Measure CartPole with one choice at a time made otherwise (width, family of P, learning "
    "rate ...), and three more rows with other widths: what does a reading depend on?",
)
@executor_options
@log_option
@json_option
@click.pass_context
def calibrate_command(
    context: click.Context,
    coverage: bool,
    repetitions: int,
    replications: int | None,
    bases: bool,
    choices: bool,
    executor: Executor,
    log_dir: Path,
    as_json: bool,
) -> None:
    """Measure tasks of known dimension: does the instrument read them right?

    Exit code 1 if a known dimension lies outside its interval; one beyond an open end is neither
    inside nor outside: more runs would decide. With --coverage, if any case is covered in less
    than 94 %.
    """
    from rlidim.executors.local import ProcessPool
    from rlidim.report import coverages
    from rlidim.report.columns import text_table
    from rlidim.report.places import COVERAGE
    from rlidim.sweep import calibration, simulation
    from rlidim.tasks.names import find_task

    asked = {
        "--coverage": coverage,
        "--replications": replications is not None,
        "--bases": bases,
        "--choices": choices,
    }
    given = [option for option, is_given in asked.items() if is_given]
    if len(given) > 1:
        raise RlidimError(f"{' and '.join(given)}: one at a time")
    source = context.get_parameter_source("repetitions")
    if not coverage and source is not ParameterSource.DEFAULT:
        raise RlidimError("--repetitions are of --coverage: add it, or leave them out")
    if coverage:
        if not isinstance(executor, ProcessPool):
            raise RlidimError("--coverage works on this machine: leave out --executor ray")
        file = results_of(context).folder / COVERAGE
        rows = simulation.make_table(
            file, repetitions, find_task("cartpole"), executor.workers, tell
        )
        if as_json:
            print_json({"coverage": rows, "holds": coverages.holds(rows)})
        else:
            click.echo(text_table(coverages.summary(rows)))
            click.echo(f"table: {file}")
        context.exit(0 if coverages.holds(rows) else 1)
    if replications is not None:
        repeat_searches(context, replications, executor, log_dir, as_json)
        return
    if bases:
        try_bases(context, executor, log_dir, as_json)
        return
    if choices:
        choose_otherwise(context, executor, log_dir, as_json)
        return
    refused = Refused()
    readings = []
    try:
        for plan in calibration.plans(tasks_of(context)):
            measurement = refused.unless(context, plan, executor, log_dir)
            if measurement is not None:
                readings.append(calibration.Reading.of(plan.task, measurement))
    finally:
        executor.close()
    holds = all(reading.holds is not False for reading in readings)
    if as_json:
        print_json({"readings": [reading.to_json() for reading in readings], "holds": holds})
    else:
        click.echo(calibration.table(readings))
    refused.raise_any()
    context.exit(0 if holds else 1)


def repeat_searches(
    context: click.Context, repetitions: int, executor: Executor, log_dir: Path, as_json: bool
) -> None:
    """Repeat the searches of the tier for it, and print how often an interval holds the others."""
    from rlidim.records.measurement import gather
    from rlidim.report import replications
    from rlidim.sweep import repeated

    tasks, refused = tasks_of(context), Refused()
    plans = repeated.plans(tasks, repetitions, refused)
    tasks |= {plan.task.name: plan.task for plan in plans}  # variants too
    try:
        for number, plan in enumerate(plans, 1):
            tell(f"[{number}/{len(plans)}] {plan.task.name} {plan.trainer}, {plan.replication}")
            refused.unless(context, plan, executor, log_dir)
    finally:
        executor.close()
    names = {plan.subject for plan in plans}
    records = [record for record in records_of(context) if record.cell.task in tasks]
    measurements = [
        measurement
        for measurement in gather(records, tasks, results_folder=results_of(context).folder)
        if measurement.subject in names
    ]
    print_table(replications.table(measurements), "replications", as_json)
    refused.raise_any()


def try_bases(context: click.Context, executor: Executor, log_dir: Path, as_json: bool) -> None:
    """Make the runs at d = D of every measured row, and print which trainers mind the basis."""
    from rlidim.records.folder import Results
    from rlidim.records.measurement import gather
    from rlidim.report import bases
    from rlidim.report.places import BASES
    from rlidim.sweep import calibration

    folder = results_of(context).folder
    measurements = gather(records_of(context), tasks_of(context), results_folder=folder)
    results, refused = Results(folder / BASES), Refused()
    results.check_writable()
    try:
        calibration.try_bases(
            measurements,
            results,
            executor=executor,
            log_dir=log_dir / BASES,
            tell=tell,
            refuse=refused,
        )
    finally:
        executor.close()
    made, problems = results.scan()
    skipped(problems)
    print_table(bases.table(measurements, made), "bases", as_json)
    refused.raise_any()


def choose_otherwise(
    context: click.Context, executor: Executor, log_dir: Path, as_json: bool
) -> None:
    """Measure rows with one choice at a time made otherwise, and print their readings."""
    from rlidim.records.folder import Results
    from rlidim.records.measurement import gather
    from rlidim.report import choices
    from rlidim.report.places import CHOICES
    from rlidim.sweep import calibration

    folder, tasks = results_of(context).folder, tasks_of(context)
    refused = Refused()
    plans = calibration.otherwise(tasks, refused)
    try:
        for number, (choice, plan) in enumerate(plans, 1):
            tell(f"[{number}/{len(plans)}] {plan.task.name} {plan.trainer}, {choice.words}")
            results = Results(choices.folder(folder, choice.name))
            logs = log_dir / CHOICES / choice.name
            refused.unless(context, plan, executor, logs, results=results)
    finally:
        executor.close()
    own = gather(records_of(context), tasks, results_folder=folder)
    found, problems = choices.read(own, folder, tasks)
    for problem in problems:
        tell(f"warning: {problem}")
    print_table(choices.table(found), "choices", as_json)
    refused.raise_any()


def print_table(table: Table, name: str, as_json: bool) -> None:
    """Print a table as text, or as one JSON object under a name."""
    from rlidim.report.columns import text_table

    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    if as_json:
        print_json({name: rows})
    else:
        click.echo(text_table(rows))


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
