"""`headwater logs`."""

from __future__ import annotations

import click

from headwater.cli import words
from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings


@click.group("logs")
def command() -> None:
    """Past runs: what they did, how long it took, what they said."""


_FORMAT = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="As Meltano's.")


@command.command("dir")
@click.pass_obj
def dir_(settings: Settings) -> None:
    """The folder in which the runs are kept."""
    click.echo(settings.workspace(default_environment=False).home)


@command.command("list")
@click.option("--limit", "-l", type=click.IntRange(min=1), default=10, show_default=True, help="Show N runs.")
@JSON
@_FORMAT
@click.pass_obj
def list_(settings: Settings, limit: int, as_json: bool, form: str) -> None:
    """The latest runs, newest first. `--format json` is one object a pipeline, with the keys that Meltano gives it."""
    from headwater.ops import logs

    workspace = settings.workspace(default_environment=False)
    if form == "json":
        found = logs.pipelines(workspace, limit)
        print_json({"runs": found, "total": len(found)})
        return
    rows = logs.listing(workspace, limit)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("run", "what", "outcome", "started at", "seconds"),
        [(row.run_id, row.name, row.outcome, row.started_at, row.seconds) for row in rows],
        empty="no run yet; next: headwater run TAP TARGET",
    )


@command.command("show")
@click.argument("run_id", default="last")
@click.option("--tail", "-n", type=click.IntRange(min=1), help="Only the last N lines.")
@click.option("--explain", is_flag=True, help="What happened to each stream and column, and why.")
@JSON
@_FORMAT
@click.pass_obj
def show(settings: Settings, run_id: str, tail: int | None, explain: bool, as_json: bool, form: str) -> None:
    """A run's events as lines. RUN_ID may be cut to its first characters; without it the latest run is shown."""
    from headwater.ops import logs

    workspace = settings.workspace(default_environment=False)
    if explain:
        from headwater.cli import explain as explanation

        steps = logs.explain(workspace, run_id)
        if as_json:
            print_json(steps)
        else:
            click.echo(explanation.text(steps))
        return
    stored = logs.show(workspace, run_id)
    if as_json:
        print_json(stored[-tail:] if tail else stored)
        return
    if form == "json":
        (newest, *_) = logs.pipelines_of(workspace, run_id)
        print_json(
            {
                "job_name": newest.job_name,
                "run_id": newest.log_id,
                "state": newest.state,
                "started_at": newest.started_at,
                "ended_at": newest.ended_at,
                "trigger": newest.trigger,
            }
        )
        click.echo("\nLog content:\n------------")
    said = [words.dated(item.at, line) for item in stored if (line := words.line(item.event)) is not None]
    for text in said[-tail:] if tail else said:
        click.echo(text)
