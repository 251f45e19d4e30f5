"""`headwater environment`."""

from __future__ import annotations

import sys

import click

from headwater.cli.options import JSON
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings


@click.group("environment")
def command() -> None:
    """Named sets of settings over the project's own: dev, staging, prod."""


@command.command("list")
@JSON
@click.pass_obj
def list_(settings: Settings, as_json: bool) -> None:
    """The project's environments; for a program that reads, one name a line."""
    from headwater.ops import environments

    rows = environments.listing(settings.workspace(default_environment=False))
    if as_json:
        print_json(rows)
        return
    if rows and not sys.stdout.isatty():
        click.echo("\n".join(row.name for row in rows))
        return
    print_table(
        ("environment", "default"),
        [(row.name, "yes" if row.is_default else None) for row in rows],
        empty="the project has no environments; next: headwater environment add dev",
    )


@command.command("add")
@click.argument("name")
@click.pass_obj
def add(settings: Settings, name: str) -> None:
    """Add an environment that says nothing yet."""
    from headwater.ops import environments

    environments.add(settings.workspace(default_environment=False), name)
    click.echo(f"added environment `{name}`")
    click.echo(f"next: headwater --environment {name} config set PLUGIN NAME VALUE")


@command.command("remove")
@click.argument("name")
@click.pass_obj
def remove(settings: Settings, name: str) -> None:
    """Remove an environment and its settings. States and data stay."""
    from headwater.ops import environments

    environments.remove(settings.workspace(default_environment=False), name)
    click.echo(f"removed environment `{name}`")
