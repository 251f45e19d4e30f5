"""`headwater job`."""

from __future__ import annotations

import click

from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings

TASKS = click.option(
    "--tasks",
    multiple=True,
    required=True,
    metavar="BLOCKS",
    help="Blocks of one task ('TAP TARGET'), or a YAML list of tasks; may be repeated.",
)


@click.group("job")
def command() -> None:
    """Names for lists of blocks, for `headwater run NAME`."""


@command.command("list")
@click.argument("name", required=False)
@JSON
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="As `--json`.")
@click.pass_obj
def list_(settings: Settings, name: str | None, as_json: bool, form: str) -> None:
    """The project's jobs with their tasks, or just the job NAME."""
    from headwater.ops import jobs

    workspace = settings.workspace(default_environment=False)
    rows = jobs.listing(workspace) if name is None else [jobs.one(workspace, name)]
    if as_json or form == "json":
        print_json({"jobs": rows} if name is None else rows[0])
        return
    print_table(
        ("job", "task"),
        [(row.job_name if first else None, task) for row in rows for first, task in _marked(row.lines)],
        empty="the project has no jobs; next: headwater job add NAME --tasks 'TAP TARGET'",
    )


def _marked(tasks: tuple[str, ...]) -> list[tuple[bool, str]]:
    return [(index == 0, task) for index, task in enumerate(tasks)]


@command.command("add")
@click.argument("name")
@TASKS
@click.pass_obj
def add(settings: Settings, name: str, tasks: tuple[str, ...]) -> None:
    """Add the job NAME."""
    from headwater.ops import jobs

    job = jobs.add(settings.workspace(default_environment=False), name, tasks)
    click.echo(f"added job `{name}`: {', '.join(job.lines)}")
    click.echo(f"next: headwater run {name}")


@command.command("set")
@click.argument("name")
@TASKS
@click.pass_obj
def set_(settings: Settings, name: str, tasks: tuple[str, ...]) -> None:
    """Give the job NAME other tasks."""
    from headwater.ops import jobs

    job = jobs.change(settings.workspace(default_environment=False), name, tasks)
    click.echo(f"changed job `{name}`: {', '.join(job.lines)}")


@command.command("remove")
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove the job NAME."""
    from headwater.ops import jobs

    jobs.remove(settings.workspace(default_environment=False), name)
    click.echo(f"removed job `{name}`")
