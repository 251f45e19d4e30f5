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


@command.command("list")
@click.option("--limit", "-l", type=click.IntRange(min=1), default=20, show_default=True, help="Show N runs.")
@JSON
@click.pass_obj
def list_(settings: Settings, limit: int, as_json: bool) -> None:
    """The latest runs, newest first."""
    from headwater.ops import logs

    rows = logs.listing(settings.workspace(default_environment=False), limit)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("run", "what", "outcome", "started at", "seconds"),
        [(row.run_id, row.name, row.outcome, row.started_at, row.seconds) for row in rows],
        empty="no run yet; next: headwater run TAP TARGET",
    )


@command.command("show")
@click.argument("run_id")
@click.option("--tail", "-n", type=click.IntRange(min=1), help="Only the last N lines.")
@click.option("--explain", is_flag=True, help="What happened to each stream and column, and why.")
@JSON
@click.pass_obj
def show(settings: Settings, run_id: str, tail: int | None, explain: bool, as_json: bool) -> None:
    """A run's events as lines. RUN_ID may be cut to its first characters; `last` is the latest run."""
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
    stored = stored[-tail:] if tail else stored
    if as_json:
        print_json(stored)
        return
    for item in stored:
        line = words.line(item.event)
        if line is not None:
            click.echo(words.dated(item.at, line))
