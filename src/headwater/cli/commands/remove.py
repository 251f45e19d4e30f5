"""`headwater remove`."""

from __future__ import annotations

import click

from headwater.base.text import listed
from headwater.cli.kinds import kind_first
from headwater.cli.options import PLUGIN_KIND
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind


@click.command("remove")
@click.argument("plugins", nargs=-1, required=True, metavar="PLUGIN...")
@PLUGIN_KIND
@click.pass_obj
def command(settings: Settings, plugins: tuple[str, ...], kind: PluginKind | None) -> None:
    """Remove PLUGINS: their entries, lock files and environments. State and data stay."""
    from headwater.ops import plugins as ops

    plugins, kind = kind_first(plugins, kind)
    workspace = settings.workspace(default_environment=False)
    for name in plugins:
        left = ops.remove(workspace.again(), name, kind)
        click.echo(f"removed `{name}`")
        if left:
            click.echo(f"{workspace.dotenv_path.name} still holds {listed(left)}", err=True)
