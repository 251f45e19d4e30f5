"""`headwater init`."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.settings import Settings


@click.command("init")
@click.argument("directory", default=".", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Write over an existing project file.")
@click.option("--no-usage-stats", is_flag=True, hidden=True, help="No figures are sent in any case.")
@click.pass_obj
def command(settings: Settings, directory: Path, force: bool, no_usage_stats: bool) -> None:  # noqa: ARG001 - see its help
    """Create a project in DIRECTORY (the current one when not given)."""
    from headwater.ops import projects

    folder = projects.init(settings.folder() / directory, force=force)
    click.echo(f"created a project in {folder}")
    click.echo("next: headwater add tap-files target-duckdb")
