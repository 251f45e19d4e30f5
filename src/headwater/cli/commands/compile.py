"""`headwater compile`."""

from __future__ import annotations

from pathlib import Path

import click

from headwater.cli.settings import Settings


@click.command("compile")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files into this folder; by default `.meltano/manifests` of the project.",
)
@click.option("--indent", type=int, default=4, show_default=True, help="Spaces of indentation; -1 for none at all.")
@click.option("--lint/--no-lint", default=False, hidden=True, help="Every key is checked when the project is read.")
@click.option("--safe/--unsafe", default=True, help="Whether secrets are masked.")
@click.pass_obj
def command(settings: Settings, directory: Path | None, indent: int, lint: bool, safe: bool) -> None:  # noqa: ARG001 - see its help
    """Write the project, all files merged and all settings resolved, as JSON: a file for each environment.

    The files have the names and the form of Meltano's manifests. With --environment or --no-environment just one.
    """
    from headwater.ops import manifest

    workspace = settings.workspace(default_environment=False)
    folder = settings.folder() / directory if directory else workspace.root / manifest.FOLDER
    is_chosen = settings.no_environment or workspace.environment is not None
    wanted = manifest.environments(workspace, chosen=is_chosen)
    names = ", ".join(environment.name if environment else "no environment" for environment in wanted)
    click.echo(f"Compiling manifest for environments: {names}")
    for environment in wanted:
        path = manifest.write(workspace, environment, folder, indent=indent, unsafe=not safe)
        click.echo(f"Compiled {path}")
