"""`headwater models`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.output import note
from headwater.cli.settings import Settings

if TYPE_CHECKING:
    from headwater.ops.models import Brought

FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group("models")
def command() -> None:
    """Models without dbt, and the way from and to it. `headwater run models` builds them."""


@command.command("import")
@FOLDER
@click.pass_obj
def import_(settings: Settings, folder: Path) -> None:
    """Write the dbt project in FOLDER as models, seeds and checks that need no dbt.

    Simple Jinja becomes plain SQL; for the rest what `dbt compile` left in `target` is used. Files that stand here
    already are never overwritten.
    """
    from headwater.ops import models

    _say(models.import_dbt(settings.workspace(default_environment=False), folder))
    click.echo("next: headwater add models; headwater run models", err=True)


@command.command("export")
@FOLDER
@click.pass_obj
def export(settings: Settings, folder: Path) -> None:
    """Write the models, seeds and checks of this project as a dbt project into FOLDER.

    Files that stand there already are never overwritten.
    """
    from headwater.ops import models

    _say(models.export_dbt(settings.workspace(default_environment=False), folder))
    click.echo("next: headwater add dbt; headwater run dbt:build", err=True)


def _say(brought: Brought) -> None:
    for file in brought.files:
        click.echo(f"wrote {file}")
    for text in brought.notes:
        note(text)
