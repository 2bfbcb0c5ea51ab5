"""The command that asks what a reading is worth: known dimensions, repetitions, bases, choices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from rlidim.cli.options import (
    executor_options,
    json_option,
    log_option,
    print_json,
    records_of,
    results_of,
    skipped,
    tasks_of,
    tell,
)
from rlidim.cli.refused import Refused
from rlidim.errors import RlidimError

if TYPE_CHECKING:
    from rlidim.executors.job import Executor
    from rlidim.report.tables import Table


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
        simulate_coverage(context, repetitions, executor, as_json)
    elif replications is not None:
        repeat_searches(context, replications, executor, log_dir, as_json)
    elif bases:
        try_bases(context, executor, log_dir, as_json)
    elif choices:
        choose_otherwise(context, executor, log_dir, as_json)
    else:
        read_known(context, executor, log_dir, as_json)


def read_known(context: click.Context, executor: Executor, log_dir: Path, as_json: bool) -> None:
    """Measure the tasks of known dimension, and print whether each lies in its interval."""
    from rlidim.sweep import calibration

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


def simulate_coverage(
    context: click.Context, repetitions: int, executor: Executor, as_json: bool
) -> None:
    """Make the table of the interval's coverage, and print its summary."""
    from rlidim.executors.local import ProcessPool
    from rlidim.report import coverages
    from rlidim.report.columns import text_table
    from rlidim.report.places import COVERAGE
    from rlidim.sweep import simulation
    from rlidim.tasks.names import find_task

    if not isinstance(executor, ProcessPool):
        raise RlidimError("--coverage works on this machine: leave out --executor ray")
    file = results_of(context).folder / COVERAGE
    rows = simulation.make_table(file, repetitions, find_task("cartpole"), executor.workers, tell)
    if as_json:
        print_json({"coverage": rows, "holds": coverages.holds(rows)})
    else:
        click.echo(text_table(coverages.summary(rows)))
        click.echo(f"table: {file}")
    context.exit(0 if coverages.holds(rows) else 1)


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
