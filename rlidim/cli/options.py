"""Options shared by the commands, and the tasks, records and executors that they name."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rlidim.cli import completion
from rlidim.errors import RlidimError

if TYPE_CHECKING:
    from rlidim.executors.job import Executor
    from rlidim.records.folder import Results
    from rlidim.records.record import RunRecord
    from rlidim.sweep.plan import Plan
    from rlidim.sweep.search import Ended
    from rlidim.tasks.task import Task

    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic from click 8.4 on


DEFAULT = Path("results")  # the folder of records


class Usage(click.ClickException):
    """A user's mistake: one line, exit code 2."""

    exit_code = 2

    def __init__(self, error: RlidimError) -> None:
        """Keep the message."""
        super().__init__(str(error))


class Dimensions(ParamType):
    """Comma-separated subspace dimensions."""

    name = "d,d,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Parse the numbers, or name the form expected."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"expected whole numbers with commas between them, got '{value}'", param, ctx)


class Duration(ParamType):
    """A length of time, as seconds."""

    name = "3h|20m|90s"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Parse it, or name the form expected."""
        if isinstance(value, float):
            return value
        from rlidim.tasks.fields import seconds_of

        try:
            return seconds_of(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Assignment(ParamType):
    """One ``key=value`` that replaces a trainer's setting."""

    name = "key=value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Any]:
        """Parse the value as YAML does."""
        if isinstance(value, tuple):
            return value
        key, equals, text = value.partition("=")
        if not equals:
            self.fail(f"expected key=value, got '{value}'", param, ctx)
        from rlidim.tasks.reading import parse_yaml

        try:
            return key, parse_yaml(text)
        except ValueError:
            self.fail(f"expected key=value, got '{value}', whose value is not YAML", param, ctx)


trainer_option = click.option(
    "--trainer", shell_complete=completion.trainers, help="[default: the task's first]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
projection_option = click.option(
    "--projection",
    default="auto",
    show_default=True,
    shell_complete=completion.families,
    help="The family of P; auto goes by the task's D (rlidim projections).",
)
scope_option = click.option(
    "--scope",
    type=click.Choice(["policy", "all"]),
    default="policy",
    show_default=True,
    help="What is confined: the acting network (a critic, or on frames its last layer, trains "
    "natively), or all.",
)
set_option = click.option(
    "--set",
    "overrides",
    type=Assignment(),
    multiple=True,
    help="Replace a trainer's setting, e.g. n_timesteps=20000.",
)
log_option = click.option(
    "--log-dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Checkpoints, training logs (CSV, TensorBoard), and solutions too long for a record.",
)
show_option = click.option(
    "--log",
    multiple=True,
    metavar="tensorboard|wandb",
    shell_complete=completion.logs,
    help="Show the numbers of every run in TensorBoard or Weights & Biases, below --log-dir "
    "(WANDB_MODE=offline: there alone).",
)

timeout_option = click.option(
    "--timeout",
    type=Duration(),
    help="What a run may take: one that takes longer is recorded as failed.  [default: any time]",
)


def variant_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose a variant of a task: the arguments of ``Task.variant``."""
    for option in (
        click.option(
            "--protocol",
            type=click.Choice(["paper"]),
            help="Train a supervised task with the settings of Li et al. 2018.",
        ),
        click.option("--depth", type=int, help="Hidden layers of a fully connected classifier."),
        click.option("--width", type=int, help="Units of each of its hidden layers."),
    ):
        command = option(command)
    return command


def results_of(context: click.Context) -> Results:
    """Return the folder of records that the command line names.

    Raises:
        RlidimError: it is a file.
    """
    from rlidim.records.folder import Results

    folder = context.find_root().obj["results"]
    if folder.exists() and not folder.is_dir():
        raise RlidimError(f"--results {folder}: a file, not a folder")
    return Results(folder)


def task_of(
    context: click.Context,
    width: int | None = None,
    depth: int | None = None,
    protocol: str | None = None,
) -> Task:
    """Load the task of a command's group, or its variant that the options name.

    Raises:
        RlidimError: the task's file is wrong, or it has no such variant or game.
    """
    from rlidim.tasks.names import find_task, split_name, task_files

    top = context.find_root().obj
    parts = split_name(top["task"], task_files(top["envs"]))
    if parts is None:
        return find_task(top["task"], top["envs"])
    # An option overrides the choice in the group's name.
    given = {"width": width, "depth": depth, "protocol": protocol, "game": top["game"]}
    chosen = {key: value for key, value in given.items() if value is not None}
    task = find_task(parts.base, top["envs"]).variant(**{**parts.choices, **chosen})
    if given["game"] is not None:
        from rlidim.environments import making

        making.check(task)
    return task


def tasks_of(context: click.Context) -> dict[str, Task]:
    """Load every task, and the variants on record, with a warning for each file that is wrong."""
    from rlidim.tasks.names import find_tasks

    folder = results_of(context).folder
    recorded = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return find_tasks(
        recorded,
        context.find_root().obj["envs"],
        bad=lambda line: skipped([line]),
    )


def records_of(context: click.Context) -> list[RunRecord]:
    """Read the records, with a warning for each file that is no record."""
    records, problems = results_of(context).scan()
    skipped(problems)
    return records


def skipped(problems: Iterable[str]) -> None:
    """Print a warning for each file that is left out."""
    for problem in problems:
        click.echo(f"warning: {problem}; skipped", err=True)


def tell_of_hidden(context: click.Context, name: str) -> None:
    """Say that a file of the user's is taken in place of the suite's task of that name, if so."""
    from rlidim.tasks.names import hiding

    hides = hiding(name, context.find_root().obj["envs"])
    if hides is not None:
        tell(f"{hides} is taken in place of the suite's task of that name")


def tell(line: str) -> None:
    """Print a line about the progress on standard error."""
    click.echo(line, err=True)


def print_json(content: Any) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for the machines that cells run on."""
    for option in (
        click.option(
            "--gpus-per-cell",
            type=float,
            help="With --executor ray: GPUs that each cell is given, or a share of one.  "
            "[default: none]",
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            help="With --executor ray: the head of the cluster to join.  [default: as ray.init(): "
            "RAY_ADDRESS, else the cluster that 'ray start' started here, else a new one here]",
        ),
        click.option(
            "--executor",
            type=click.Choice(["local", "ray"]),
            default="local",
            show_default=True,
            help="Where cells run: processes of this machine, or tasks of a Ray cluster, which "
            "bring back records and solutions but no logs.",
        ),
    ):
        command = option(command)
    return command


def executor_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for where cells run; the command gets them as one ``executor``."""

    @functools.wraps(command)
    def with_executor(
        *arguments: Any,
        workers: int | None,
        executor: str,
        address: str | None,
        gpus_per_cell: float | None,
        timeout: float | None,
        **others: Any,
    ) -> None:
        chosen = executor_of(executor, workers, address, gpus_per_cell, timeout)
        command(*arguments, executor=chosen, **others)

    workers = click.option(
        "--workers",
        type=int,
        help="Cells that run at a time, one thread each.  [default: all cores, or all CPUs "
        "of the cluster]",
    )
    return workers(place_options(timeout_option(with_executor)))


def executor_of(
    executor: str,
    workers: int | None,
    address: str | None,
    gpus_per_cell: float | None,
    timeout: float | None = None,
) -> Executor:
    """Return the executor that the command line asks for; nothing is started yet.

    Raises:
        RlidimError: a value out of its range, an option of the other executor, Ray is missing.
    """
    from rlidim.executors.local import ProcessPool, default_workers

    if executor == "ray":
        from rlidim.executors.ray.cluster import RayCluster

        return RayCluster(address, workers=workers, gpus=gpus_per_cell or 0.0, timeout=timeout)
    check_local(address, gpus_per_cell)
    return ProcessPool(default_workers() if workers is None else workers, timeout=timeout)


def check_local(address: str | None, gpus_per_cell: float | None) -> None:
    """Check that no option of a cluster was given for this machine.

    Raises:
        RlidimError: one was.
    """
    for name, value in (("--address", address), ("--gpus-per-cell", gpus_per_cell)):
        if value is not None:
            raise RlidimError(f"{name} {value} is for --executor ray; add it, or leave {name} out")


def search_and_gather(
    context: click.Context,
    plan: Plan,
    executor: Executor,
    log_dir: Path,
    log: Sequence[str] = (),
    results: Results | None = None,
) -> Ended:
    """Run a plan with its progress shown, and return the measurement and on what it ended.

    Its records go into the folder of the command line, or another.

    Raises:
        RlidimError: the records give no estimate.
    """
    from rlidim.cli.progress import Progress
    from rlidim.sweep.search import search

    results = results_of(context) if results is None else results
    with Progress() as progress:
        ended = search(
            plan, results, executor=executor, log_dir=log_dir, log=log, listener=progress
        )
    measurement = ended.measurement
    if measurement.estimate is None:
        from rlidim.tasks.names import command

        folder = results.folder / plan.task.name
        random = [] if measurement.random is None else [measurement.random]
        failed = [run for run in (*measurement.runs, *measurement.baseline, *random) if run.reason]
        remedy = f"see the records below {folder}"
        if failed:
            last = failed[-1]
            words = ["measure", "--trainer", plan.trainer, "--retry-failed"]
            words += [] if results.folder == DEFAULT else ["--results", str(results.folder)]
            again = command(plan.task, *words)
            where = f" ({last.raised_at})" if last.raised_at else ""
            remedy = (
                f"the last of {len(failed)} that failed: {last.reason}{where}; once that is "
                f"mended, '{again}' makes them again"
            )
        raise RlidimError(f"{plan.task.name}: no estimate: {measurement.reason}; {remedy}")
    return ended
