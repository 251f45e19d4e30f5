"""Commands of Meltano that need no work here, and say so: `docs`, `dragon`, `schema`, `cloud`."""

from __future__ import annotations

import click

_DRAGON = r"""
         __        _
        /o \__   .' '.      a project that ran in Meltano
        \_,   '-'     \__   runs here as it is
           \   /~~~~~-.  '-.
            \_/        '~~~~'
"""


@click.command("docs")
def docs() -> None:
    """Say where the documentation is."""
    click.echo("`headwater COMMAND --help` tells of each command; guides and reference are in docs/ of the source")


@click.command("dragon")
def dragon() -> None:
    """Summon a dragon."""
    click.echo(_DRAGON, nl=False)


@click.group("schema")
def schema() -> None:
    """Schemas of a system database on a server."""


@schema.command("create")
@click.argument("schema_name", metavar="SCHEMA")
@click.argument("roles", nargs=-1, required=True)
def create(schema_name: str, roles: tuple[str, ...]) -> None:  # noqa: ARG001 - nothing is made for them
    """Nothing: the system database is a file of the project."""
    click.echo(f"schema `{schema_name}` was not made: the system database is a file of the project", err=True)


@click.group("cloud")
def cloud() -> None:
    """Meltano's hosted service: there is none here, and nothing to log in to."""


@cloud.group("auth")
def auth() -> None:
    """Logins, of which none is needed."""


@auth.command("login")
@click.option("--no-browser", is_flag=True, hidden=True)
@click.option("--force", is_flag=True, hidden=True)
def login(no_browser: bool, force: bool) -> None:  # noqa: ARG001 - accepted as they come
    """Nothing: the plugin index comes with the program."""
    _say()


@auth.command("logout")
@click.option("--web", is_flag=True, hidden=True)
def logout(web: bool) -> None:  # noqa: ARG001 - accepted as it comes
    """Nothing."""
    _say()


@auth.command("status")
@click.option("--offline", is_flag=True, hidden=True)
def status(offline: bool) -> int:  # noqa: ARG001 - accepted as it comes
    """Exit code 1: nobody is logged in."""
    _say()
    return 1


def _say() -> None:
    click.echo("there is no cloud here and nothing to log in to: the plugin index comes with the program", err=True)
