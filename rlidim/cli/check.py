"""The command that tries a task's file before anything is trained on it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from rlidim.cli.options import json_option, print_json
from rlidim.tasks.names import command, task_files
from rlidim.tasks.problems import Control


@click.command("check")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check_command(context: click.Context, file: Path, as_json: bool) -> None:
    """Try a task's FILE: is it valid, does its environment run, what will a measurement cost?

    Random actions are played through every form of the environment that training would use, and
    each trainer is asked whether it serves the network and the actions. A task's name stands for
    its file.
    """
    named = task_files(context.find_root().obj["envs"]).get(str(file))
    check(file if named is None or os.path.isfile(file) else named, as_json)


def check(file: Path, as_json: bool) -> None:
    """Try a task's file and say what came of it.

    Raises:
        RlidimError: it is not valid, or its environment does not run.
    """
    from rlidim.networks.dimension import native_dimension
    from rlidim.tasks.loading import load_task

    task = load_task(file)
    D = native_dimension(task)  # asked anew: what is remembered may be why it is tried
    about: list[dict[str, object]] = []
    spaces = rate = None
    endless = False
    if isinstance(task.problem, Control):
        from rlidim.environments.making import own_spaces_of
        from rlidim.environments.trial import told, trials
        from rlidim.networks.acting import architecture
        from rlidim.trainers.run import check_served

        with told(f"{file}"):
            architecture(task)
        tried = trials(task)
        for trainer in task.trainers:
            with told(f"{file}: trainers: {trainer}"):
                check_served(task, trainer)
        endless = not any(trial.ended for trial in tried)
        about = [{"form": trial.form, "steps/s": round(trial.rate)} for trial in tried]
        rate = max(trial.rate for trial in tried)
        spaces = own_spaces_of(task)
    costs = []
    for trainer, settings in task.trainers.items():
        search = task.search_for(trainer)
        steps = getattr(settings, "n_timesteps", None)
        alone = None if rate is None or steps is None else steps / rate / 60.0
        costs.append(
            {
                "trainer": trainer,
                "steps a run": steps,
                "environment alone, core minutes a run": None if alone is None else round(alone, 3),
                "a measurement, core minutes": round(search.budget / 60.0, 1),
            }
        )
    if as_json:
        print_json({"task": task.name, "D": D, "forms": about, "trainers": costs})
        return
    from rlidim.report.columns import text_table

    size = "D unknown" if D is None else f"D = {D:,}"
    click.echo(f"{file}: valid: {task.title} ({task.kind}), {size}")
    if spaces is not None:
        click.echo(f"  observations {spaces[0]}, actions {spaces[1]}")
        click.echo(f"\nRandom actions, everything finite:\n\n{text_table(about)}")
    if endless:
        click.echo("\nNo episode has ended: does one? max_episode_steps among its kwargs ends it.")
    click.echo(
        f"\nWhat '{command(task, 'measure')}' takes at most (--budget), beyond its native runs and "
        f"those at the first d:\n\n{text_table(costs)}"
    )
