"""`headwater tap new`."""

from __future__ import annotations

import click

from headwater.cli.settings import Settings


@click.group("new")
def command() -> None:
    """Write a source of your own."""


@command.command("python")
@click.argument("name", default="mine")
@click.pass_obj
def python(settings: Settings, name: str) -> None:
    """Write sources/NAME.py, a source that runs as it is, and its entry in the project file, `tap-NAME`.

    A file that is there already is left as it is, and gets its entry.
    """
    from headwater.ops import own_sources

    made = own_sources.new(settings.workspace(default_environment=False), name)
    if made.wrote:
        click.echo(f"wrote {made.file}")
    click.echo(f"added extractor `{made.plugin}`")
    click.echo(f"next: headwater tap test {made.plugin}", err=True)
