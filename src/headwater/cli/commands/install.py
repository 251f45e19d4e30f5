"""`headwater install`."""

from __future__ import annotations

import click

from headwater.cli import listen, meltano_words
from headwater.cli.kinds import kind_first
from headwater.cli.options import PLUGIN_KIND
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind


@click.command("install")
@click.argument("plugins", nargs=-1, metavar="[PLUGIN...]")
@PLUGIN_KIND
@click.option("--parallelism", "-p", type=int, help="Install N at a time (the number of CPUs).")
@click.option("--schedule", "-s", help="Only what this schedule runs.")
@click.option("--clean", is_flag=True, help="Build the environments anew, ignoring the pins: the newest versions.")
@click.option("--force", "-f", is_flag=True, help="Build the environments anew from the pins.")
@click.pass_obj
def command(
    settings: Settings,
    plugins: tuple[str, ...],
    kind: PluginKind | None,
    schedule: str | None,
    parallelism: int | None,
    clean: bool,
    force: bool,
) -> None:
    """Install PLUGINS, all of the project's when none is named. What is up to date is skipped."""
    from headwater.ops import plugins as ops

    plugins, kind = kind_first(plugins, kind, least=0)
    workspace = settings.workspace(default_environment=False)
    with listen.listening(settings) as heard, meltano_words.beside(heard, workspace, settings) as emit:
        ops.install(
            workspace,
            plugins,
            kind=kind,
            schedule=schedule,
            emit=emit,
            parallelism=parallelism,
            clean=clean,
            force=force,
        )
