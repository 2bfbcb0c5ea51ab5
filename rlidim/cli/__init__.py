"""The command line: parse, dispatch, print. One group of commands for every file in ``envs/``."""

from __future__ import annotations

import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from rlidim import __version__
from rlidim.cli import completion
from rlidim.cli.anywhere import ordered
from rlidim.cli.ending import MISTAKE, afterwards, code_of, terminable
from rlidim.cli.options import DEFAULT, Usage
from rlidim.cli.suite import COMMANDS
from rlidim.cli.tasks import task_group
from rlidim.errors import RlidimError, nearest, printable
from rlidim.trainers.warned import told_once


class Rlidim(click.Group):
    """The top level: its own commands, and a group for each task, from its file's name alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the suite's own commands; the tasks stand in the help's last section."""
        return sorted(self.commands)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Return a command, or the group of the task or the variant of that name."""
        from rlidim.tasks.names import find_task, split_name, task_files

        if name in self.commands:
            return self.commands[name]
        envs = ctx.params.get("envs")
        try:
            parts = split_name(name, task_files(envs))
            if parts is not None and parts.base != name:
                find_task(name, envs)  # raises if the task has no such variant
            return None if parts is None else task_group(name)
        except RlidimError as error:
            raise Usage(error) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command or task when there is none of that name.

        A task that has a command's name is refused where its own commands are asked for.
        """
        name = args[0]
        if name in self.commands and args[1:2] and args[1] in task_group(name).commands:
            from rlidim.tasks.loading import load_task
            from rlidim.tasks.names import task_files

            if (file := task_files(ctx.params.get("envs")).get(name)) is not None:
                load_task(file)  # raises
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from rlidim.tasks.names import ENDINGS, task_files

            if name in task_group(name).commands:
                raise Usage(RlidimError(f"a task comes first: rlidim TASK {name}; see rlidim list"))
            if (file := Path(name)).suffix in ENDINGS and os.path.isfile(file):
                words = shlex.join(["rlidim", "--envs", str(file.parent), file.stem])
                raise Usage(RlidimError(f"a task's file: {words}"))
            raise Usage(RlidimError(f"unknown task or command '{name}'{self._meant(ctx, name)}"))
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, name: str) -> str:
        """Return what an unknown name may stand for: a task's environment, or what is alike."""
        from rlidim.tasks.names import find_tasks, task_files
        from rlidim.tasks.problems import Control

        envs = ctx.params.get("envs")
        of_it = [
            task.name
            for task in find_tasks((), envs, bad=lambda line: None).values()
            if isinstance(task.problem, Control) and task.problem.environment.id == name
        ]
        if of_it:
            return f" (the environment of task '{min(of_it, key=len)}')"
        known = [*self.commands, *task_files(envs)]
        elsewhere = "" if envs else ", and for tasks of your own --envs FOLDER"
        return nearest(name, known, listed=False) or f"; see rlidim list{elsewhere}"

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Name the commands and the tasks that begin so."""
        return [*super().shell_complete(ctx, incomplete), *completion.tasks(ctx, incomplete)]

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the tasks."""
        from rlidim.tasks.names import task_files

        with formatter.section("Tasks (rlidim TASK --help)"):
            names = printable(" ".join(task_files(ctx.params.get("envs"))))
            indent = " " * formatter.current_indent
            lines = textwrap.wrap(  # a name in one piece, to be copied
                names,
                formatter.width,
                initial_indent=indent,
                subsequent_indent=indent,
                break_on_hyphens=False,
            )
            formatter.write("\n".join(lines) + "\n")


@click.group(
    cls=Rlidim,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="rlidim")
@click.option(
    "--envs",
    type=click.Path(path_type=Path),
    envvar="RLIDIM_ENVS",
    show_envvar=True,
    help="A folder with your own tasks (YAML).",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    envvar="RLIDIM_RESULTS",
    show_envvar=True,
    default=DEFAULT,
    show_default=True,
    help="The folder of records.",
)
@click.pass_context
def cli(context: click.Context, envs: Path | None, results: Path) -> None:
    """How hard is this task, really?

    Measures the intrinsic dimension of reinforcement-learning tasks: the smallest number of
    dimensions d of a random subspace of a policy's parameters in which at least half of the runs
    get 90 % of the way from random actions to the task's target (after Li et al., ICLR 2018).
    Where a task declares no target, or native training does not reach it, the way goes to the
    median of native training, and the number is called local.

    Begin with: rlidim cartpole measure --trainer es
    """
    context.obj = {"envs": envs, "results": results}


for command in COMMANDS:
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: a mistake of the user's is one line and exit code 2, Ctrl-C 130."""
    words = ordered(sys.argv[1:] if arguments is None else arguments)
    with terminable(), told_once():
        code = code_of(lambda: run(words), afterwards(words))
    sys.exit(code)


def run(words: list[str]) -> object:
    """Run a command, say in one line what its user can mend, and return the exit code."""
    try:
        return cli.main(args=words, standalone_mode=False)
    except RlidimError as error:
        click.echo(f"error: {error}", err=True)
        return MISTAKE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.NoSuchOption as error:
        click.echo(f"error: {no_such(error)}", err=True)
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        return error.exit_code


def no_such(error: click.NoSuchOption) -> str:
    """Return what is wrong with an option that there is not, and what may have been meant."""
    from rlidim.tasks.settings import TRAINERS

    option, context = error.option_name, error.ctx
    setting = option.lstrip("-").replace("-", "_")
    group = None if context is None else context.command
    commands = [group, *group.commands.values()] if isinstance(group, click.Group) else [group]
    sets = any(each is not None and _takes(each, "--set") for each in commands)
    if sets and any(setting in kind.__dataclass_fields__ for kind in TRAINERS.values()):
        return f"No such option: {option}; a trainer's setting is given by --set {setting}=VALUE"
    if isinstance(group, click.Group) and group is not cli:
        behind = [
            name for name, command in sorted(group.commands.items()) if _takes(command, option)
        ]
        if behind:
            return f"No such option: {option}; it stands behind a command: {', '.join(behind)}"
    return error.format_message()


def _takes(command: click.Command, option: str) -> bool:
    return any(option in parameter.opts for parameter in command.params)
