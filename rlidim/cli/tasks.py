"""The commands of one task: its page, train, measure, play, export, compress."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlidim.cli.options import (
    Dimensions,
    Duration,
    check_local,
    executor_options,
    json_option,
    log_option,
    place_options,
    print_json,
    projection_option,
    results_of,
    scope_option,
    search_and_gather,
    set_option,
    show_option,
    task_of,
    tell,
    tell_of_hidden,
    timeout_option,
    trainer_option,
    variant_options,
)
from rlidim.errors import RlidimError, printable
from rlidim.tasks.task import ANY_GAME, FRACTION, LOCAL, TARGET

if TYPE_CHECKING:
    from rlidim.executors.job import Executor
    from rlidim.tasks.task import Task


@click.pass_context
def begin(context: click.Context, game: str | None = None) -> None:
    """Note the group's task for its commands; without a command, show its page."""
    name = str(context.command.name)
    context.obj |= {"task": name, "game": game}
    tell_of_hidden(context, name)
    if context.invoked_subcommand is None:
        show_page(context)


def show_page(context: click.Context) -> None:
    """Print the task's page: its settings and its records."""
    from rlidim.cli import answers

    click.echo(answers.page(context, task_of(context)))


@click.command("train")
@variant_options
@trainer_option
@click.option("--dim", type=int, help="The subspace dimension d.  [default: native training]")
@projection_option
@scope_option
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--force", is_flag=True, help="Run again even if the run is on record.")
@click.option(
    "--resume", is_flag=True, help="Go on from the last checkpoint of an interrupted run."
)
@click.option(
    "--processes",
    type=int,
    default=1,
    show_default=True,
    help="Split each generation of es and ars over so many, of this machine or, with --executor "
    "ray, of a cluster's CPUs; the result is the same.",
)
@place_options
@timeout_option
@set_option
@log_option
@show_option
@json_option
@click.pass_context
def train_command(
    context: click.Context,
    width: int | None,
    depth: int | None,
    protocol: str | None,
    trainer: str | None,
    dim: int | None,
    projection: str,
    scope: str,
    seed: int,
    force: bool,
    resume: bool,
    processes: int,
    executor: str,
    address: str | None,
    gpus_per_cell: float | None,
    timeout: float | None,
    overrides: Sequence[tuple[str, Any]],
    log_dir: Path,
    log: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make one run: in a random subspace of dimension d, or natively."""
    from rlidim.cli import answers
    from rlidim.trainers import logs

    task = task_of(context, width, depth, protocol)
    trainer = task.asked(trainer)
    task = task.replace_settings(trainer, dict(overrides))
    logs.check(log, log_dir)
    answers.check_dimensions(task, () if dim is None else (dim,), scope)
    from rlidim import interface
    from rlidim.cli.progress import RunProgress

    cluster = None
    if executor == "ray":
        from rlidim.executors.ray.cluster import RayCluster

        cluster = RayCluster(address, cpus=processes, gpus=gpus_per_cell or 0.0)
    else:
        check_local(address, gpus_per_cell)
    results = results_of(context)
    try:
        with RunProgress(task.steps) as progress:
            record = interface.train(
                task,
                trainer,
                d=dim,
                seed=seed,
                projection=projection,
                scope=scope,
                results=results.folder,
                log_dir=log_dir,
                log=log,
                force=force,
                resume=resume,
                processes=processes,
                timeout=timeout,
                cluster=cluster,
                listener=progress,
                tell=tell,
            )
    finally:
        if cluster is not None:
            cluster.close()
    path = results.path(record.cell)
    if as_json:
        print_json({**record.to_json(), "record": str(path)})
    elif record.status == "ok":
        target = f" (target {task.target.score:g})" if task.target is not None else ""
        click.echo(
            f"{record.cell}: {task.scores} {record.score:.4g}{target}, D = {record.D:,}, "
            f"{record.environment_steps:,} {task.steps}, "
            f"{record.provenance.get('seconds', 0.0):.1f} s"
        )
        click.echo(f"record: {path}")
    else:
        click.echo(f"{record.cell}: {record.status}; record: {path}")
    if record.status == "failed":
        click.echo(printable(f"{record.cell}: failed: {record.reason}"), err=True)
        context.exit(1)


@click.command("measure")
@variant_options
@trainer_option
@projection_option
@scope_option
@click.option("--dims", type=Dimensions(), help="Measure at these d instead of searching.")
@click.option(
    "--seeds", type=int, help="Runs at each d, in a search at first.  [default: the task's]"
)
@click.option("--baseline-seeds", type=int, help="Native runs.  [default: --seeds, or the task's]")
@click.option(
    "--budget",
    type=Duration(),
    help="Core time that its runs may take, those on record too.  [default: the task's]",
)
@click.option(
    "--precision",
    type=float,
    help="End when the interval's ends have at most this ratio.  [default: the task's, usually 2]",
)
@click.option(
    "--baseline",
    type=click.Choice([TARGET, LOCAL]),
    default=TARGET,
    show_default=True,
    help="What counts as 1: the task's target, if it declares one, or the median of native "
    "training.",
)
@click.option(
    "--fraction",
    type=float,
    default=FRACTION,
    show_default=True,
    help="Of the way from random actions to there, that a run must reach.",
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Make the runs again that failed: their records are deleted first.",
)
@set_option
@executor_options
@log_option
@show_option
@json_option
@click.pass_context
def measure_command(
    context: click.Context,
    width: int | None,
    depth: int | None,
    protocol: str | None,
    trainer: str | None,
    projection: str,
    scope: str,
    dims: tuple[int, ...] | None,
    seeds: int | None,
    baseline_seeds: int | None,
    budget: float | None,
    precision: float | None,
    baseline: str,
    fraction: float,
    retry_failed: bool,
    overrides: Sequence[tuple[str, Any]],
    executor: Executor,
    log_dir: Path,
    log: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure d_int90 with a 95 % interval: baseline, random score, search over d, plot.

    It is the smallest d at which at least half of the runs get 90 % of the way from random actions
    to the task's target. Where none is declared, or fewer than half of the native runs (of all D
    parameters) get as far, the way goes to the median of native training, and the number is called
    local.

    Runs on record are not repeated: the same command resumes an interrupted search.
    """
    from rlidim.cli import answers
    from rlidim.trainers import logs

    for option, value in (("--budget", budget), ("--precision", precision)):
        if dims is not None and value is not None:
            raise RlidimError(f"{option} ends a search, and --dims makes none: leave one out")
    task = task_of(context, width, depth, protocol)
    trainer = task.asked(trainer)
    task = task.replace_settings(trainer, dict(overrides))
    logs.check(log, log_dir)
    answers.check_dimensions(task, dims or (), scope)
    from rlidim.sweep.plan import Plan

    plan = Plan.of(
        task,
        trainer,
        projection=projection,
        scope=scope,
        fraction=fraction,
        dims=dims,
        seeds=seeds,
        baseline_seeds=baseline_seeds,
        local=baseline == LOCAL,
        budget=budget,
        precision=precision,
    )
    try:
        if retry_failed:
            from rlidim.sweep.search import forget_failures

            failed = forget_failures(plan, results_of(context))
            runs = f"{failed} run{'s' * (failed != 1)}"
            tell(f"{runs} that failed are made again" if failed else "no run on record has failed")
        ended = search_and_gather(context, plan, executor, log_dir, log)
    finally:
        executor.close()
    from rlidim.report.overview import describe, plainly
    from rlidim.report.places import FIGURES
    from rlidim.report.placing import neighbours, placed
    from rlidim.report.plot import plot_measurement
    from rlidim.sweep.forecast import advice, ending, forecast
    from rlidim.sweep.search import repetitions

    measurement = ended.measurement
    if as_json:
        among = neighbours(measurement)
        search = {"budget": plan.budget, "precision": plan.precision, "spent": ended.spent}
        print_json(
            {
                **measurement.to_json(),
                "search": search if plan.dims is None else None,
                "seconds_to_close": forecast(measurement, plan),
                "suite": None if among is None else among.to_json(),
            }
        )
    else:
        click.echo(describe(measurement))
        if plan.dims is None:
            click.echo(f"  {ending(ended, plan)}")
        narrower = advice(measurement, plan)
        if narrower is not None:
            click.echo(f"  {narrower}")
        others = repetitions(plan, results_of(context))
        if others:
            click.echo(
                f"  left out here, pooled by 'rlidim tables': repeated searches, {others} on record"
            )
        click.echo(plainly(measurement))
        place = placed(measurement)
        if place is not None:
            click.echo(place)
    # Last: what was read is printed even where no figure can be written.
    results = results_of(context)
    try:
        results.check_writable()
    except RlidimError as error:  # what is there was read
        tell(f"no figure: {error}")
        return
    figures = plot_measurement(measurement, results.folder / FIGURES / measurement.stem)
    if not as_json:
        click.echo(f"figure: {figures[0]}")


@click.command("play")
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--video", type=click.Path(path_type=Path), help="Write a .gif or .mp4.")
@click.option("--episodes", type=int, default=1, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@log_option
@click.pass_context
def play_command(
    context: click.Context,
    record: Path,
    video: Path | None,
    episodes: int,
    seed: int,
    log_dir: Path,
) -> None:
    """Play a recorded solution, rebuilt from its seeds and d numbers.

    It is shown in a window where there is a display, or in a --video.
    """
    from rlidim.solutions import asked

    task = task_of(context)
    asked.check_playing(task, video, episodes, seed)
    asked.record_of(task, record)
    from rlidim.solutions import (
        playback,
    )  # late: torch comes with it, and a mistake is told without

    returns = playback.play(
        task, record, video=video, episodes=episodes, seed=seed, log_dir=log_dir
    )
    for index, value in enumerate(returns):
        click.echo(f"episode {index + 1}: return {value:g}")
    if video is not None:
        click.echo(f"video: {video}")
    elif not playback.has_window(task):
        tell("nothing was shown: --video out.gif makes a video of these episodes")


@click.command("export")
@click.argument("record", type=click.Path(path_type=Path))
@click.option("--sb3", "model", type=click.Path(path_type=Path), help="A name.zip.")
@click.option(
    "--hub",
    "folder",
    type=click.Path(path_type=Path),
    help="A folder with the model, a card, a video and the record, to upload to a hub of models.",
)
@log_option
@click.pass_context
def export_command(
    context: click.Context, record: Path, model: Path | None, folder: Path | None, log_dir: Path
) -> None:
    """Write a recorded solution as a model that Stable-Baselines3 loads without rlidim."""
    if (model is None) == (folder is None):
        raise RlidimError("export: name --sb3 NAME.zip or --hub FOLDER, one of them")
    from rlidim.solutions import asked

    task = task_of(context)
    if model is not None:
        asked.check_model(model)
    asked.record_of(task, record)
    from rlidim.solutions import hub, playback  # late, as above

    if folder is not None:
        written = hub.write(task, record, out=folder, log_dir=log_dir)
    else:
        assert model is not None
        written = playback.export(task, record, out=model, log_dir=log_dir)
    for path in written:
        click.echo(str(path))


@click.command("compress")
@click.argument("record", type=click.Path(path_type=Path))
@log_option
@json_option
@click.pass_context
def compress_command(context: click.Context, record: Path, log_dir: Path, as_json: bool) -> None:
    """Describe a classifier in as few bytes as its accuracy allows: a file for each loss.

    RECORD is a run in a subspace. A file of an earlier compress is decoded instead, and the
    accuracy of its network printed.
    """
    import json

    task = task_of(context)
    check_readable(record)
    from rlidim.records.files import write_atomically
    from rlidim.records.folder import read_record
    from rlidim.report.columns import text_table
    from rlidim.report.places import DESCRIPTIONS
    from rlidim.solutions.compressed_file import recognises

    # By its ending too: a damaged file may have lost its beginning.
    if recognises(record) or record.suffix.lower() == ".rlz":
        from rlidim.solutions import description

        task = variant_of(context, task, description.task_of(record))
        score = description.decode(task, record)
        if as_json:
            print_json({"file": str(record), "score": score})
        else:
            click.echo(f"{record}: {task.scores} {score:.4g}")
        return
    run = read_record(record)
    task = variant_of(context, task, run.cell.task)
    from rlidim.solutions import description  # late, as above

    out = results_of(context).folder / DESCRIPTIONS
    described, problems = description.describe(task, run, record, log_dir, out, description.LOSSES)
    for problem in problems:
        click.echo(f"warning: {problem}", err=True)
    rows = [entry.to_json() for entry in described]
    path = out / f"{description.stem(run)}.json"
    write_atomically(path, json.dumps(rows, indent=1) + "\n")
    if as_json:
        print_json({"descriptions": rows, "file": str(path)})
    else:
        click.echo(text_table(rows))
        click.echo(f"files: {out}")


def check_readable(path: Path) -> None:
    """Check that there is such a file, before torch is loaded for what it holds.

    Raises:
        RlidimError: there is none, or no regular one (names it).
    """
    from rlidim.tasks.reading import check_regular

    check_regular(path, sys.maxsize)


def variant_of(context: click.Context, task: Task, name: str) -> Task:
    """Return the task or its variant of that name.

    Raises:
        RlidimError: the name is another task's.
    """
    from rlidim.tasks.names import find_task, split_name, task_files

    envs = context.find_root().obj["envs"]
    parts = split_name(name, task_files(envs))
    if task.name not in (name, parts and parts.base):
        raise RlidimError(f"a record of task '{name}', not of '{task.name}'")
    return find_task(name, envs)


@click.command("config")
@variant_options
@trainer_option
@set_option
@click.pass_context
def config_command(
    context: click.Context,
    width: int | None,
    depth: int | None,
    protocol: str | None,
    trainer: str | None,
    overrides: tuple[tuple[str, Any], ...],
) -> None:
    """Print every setting of the task and a trainer, defaults included, as a task's YAML.

    The same stand in every record.
    """
    from rlidim.tasks.writing import yaml_of

    task = task_of(context, width, depth, protocol)
    trainer = task.asked(trainer)
    task = task.replace_settings(trainer, dict(overrides))
    click.echo(yaml_of(task, [trainer]), nl=False)


COMMANDS = (
    train_command,
    measure_command,
    config_command,
    play_command,
    export_command,
    compress_command,
)


def task_group(name: str) -> click.Group:
    """Return the command group of a task or a variant, whose file is read when a command runs."""
    game = click.Option(["--game"], help="The ROM's name, such as seaquest.")
    return click.Group(
        name,
        commands=COMMANDS,
        callback=begin,
        params=[game] if name == ANY_GAME else [],
        help=f"Commands of the task {name}.",
        invoke_without_command=True,
    )
