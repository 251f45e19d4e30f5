"""`headwater schedule`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings


class _AddByDefault(click.Group):
    """`schedule NAME --interval …` is `schedule add NAME --interval …`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and "--interval" in " ".join(args):
            args = ["add", *args]
        return super().resolve_command(ctx, args)


@click.group("schedule", cls=_AddByDefault)
def command() -> None:
    """When jobs are due. An orchestrator (cron, Airflow, Dagster) reads the list and starts them by name."""


def _of(what: str, *, required: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    options = (
        click.option(
            "--interval",
            required=required,
            help="@hourly @daily @midnight @weekly @monthly @yearly @once @manual @none, or five fields of cron.",
        ),
        click.option("--job", help=f"{what} this job."),
        click.option("--extractor", metavar="TAP", help=f"{what} this extractor into --loader."),
        click.option("--loader", metavar="TARGET", help="See --extractor."),
        click.option(
            "--transform",
            type=click.Choice(["skip", "only", "run"]),
            help="With --extractor: whether dbt runs after it, or alone.",
        ),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@command.command("add")
@click.argument("name")
@_of("Run", required=True)
@click.pass_obj
def add(settings: Settings, /, name: str, **wanted: str | None) -> None:
    """Add the schedule NAME, of a job or of an extractor and a loader. No error when it is there as it is wanted."""
    from headwater.ops import schedules

    workspace = settings.complete_workspace(default_environment=False)
    is_new = schedules.add(workspace, name, schedules.Wanted(**wanted))
    kind = "job" if wanted["job"] else "elt"
    click.echo(f"Scheduled {kind} '{name}' at {wanted['interval']}" if is_new else f"Schedule '{name}' already exists.")
    if wanted["job"] and all(job.name != wanted["job"] for job in workspace.project.jobs):
        click.echo(f"next: headwater job add {wanted['job']} --tasks 'TAP TARGET' (there is no such job)", err=True)


@command.command("set")
@click.argument("name")
@_of("Now run", required=False)
@click.pass_obj
def set_(settings: Settings, /, name: str, **wanted: str | None) -> None:
    """Change the schedule NAME; what no option names stays."""
    from headwater.ops import schedules

    schedules.change(settings.complete_workspace(default_environment=False), name, schedules.Wanted(**wanted))
    click.echo(f"Updated schedule '{name}'")


@command.command("remove")
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove the schedule NAME."""
    from headwater.ops import schedules

    schedules.remove(settings.complete_workspace(default_environment=False), name)
    click.echo(f"removed schedule `{name}`")


@command.command("list")
@JSON
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="As `--json`.")
@click.pass_obj
def list_(settings: Settings, as_json: bool, form: str) -> None:
    """The project's schedules. The JSON is what generators of Airflow and Dagster code for Meltano projects read."""
    from headwater.ops import schedules
    from headwater.plan import intervals

    workspace = settings.complete_workspace(default_environment=False)
    if as_json or form == "json":
        print_json(schedules.listing(workspace))
        return
    print_table(
        ("schedule", "interval", "cron", "what"),
        [
            (item.name, item.interval, intervals.cron(item.interval), item.job or f"{item.extractor} {item.loader}")
            for item in workspace.project.schedules
        ],
        empty="the project has no schedules; next: headwater schedule add NAME --job JOB --interval '@daily'",
    )


@command.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("name")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(settings: Settings, name: str, options: tuple[str, ...]) -> None:
    """Run what the schedule NAME says, now. OPTIONS are those of `run`, or of `el` for an extractor and a loader.

    Its `env` holds for the run. Exits as the run does.
    """
    from headwater.ops import schedules

    workspace = settings.complete_workspace(default_environment=False)
    words, env = schedules.command(workspace, name, options)
    argv = [*schedules.interpreter(), *settings.arguments(), *words]
    sys.stdout.flush()
    sys.stderr.flush()
    # This process becomes the run: signals reach it, and its exit code is ours.
    os.execve(argv[0], argv, env)  # noqa: S606 - our own interpreter and arguments, no shell
