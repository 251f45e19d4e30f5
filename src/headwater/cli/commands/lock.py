"""`headwater lock`."""

from __future__ import annotations

import click

from headwater.cli.kinds import kind_first
from headwater.cli.options import PLUGIN_KIND
from headwater.cli.output import note
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind

_SAID = {
    "locked": "locked",
    "kept": "has a lock file: --update writes it anew",
    "custom": "is defined in the project file",
    "inherited": "has its parent's definition",
    "native": "comes with headwater and needs no lock file",
    "unknown": "is not in the hub, and has no lock file",
}


@click.command("lock")
@click.argument("plugins", nargs=-1, metavar="[PLUGIN]...")
@PLUGIN_KIND
@click.option("--update", "-u", is_flag=True, help="Write lock files anew that are there.")
@click.option("--offline", is_flag=True, help="Ask no hub: what it said before and the bundled index must do.")
@click.pass_obj
def command(settings: Settings, plugins: tuple[str, ...], kind: PluginKind | None, update: bool, offline: bool) -> None:
    """Write down the definitions of PLUGINS, of all when none is named, in `plugins/`."""
    from headwater.ops import hub
    from headwater.ops import plugins as ops

    names, kind = kind_first(plugins, kind, least=0)
    workspace = settings.workspace(default_environment=False)
    sources = hub.Sources.of(workspace, note=note, offline=offline)
    for plugin, became in ops.lock(workspace, names, kind, update=update, sources=sources):
        click.echo(f"{plugin.kind} `{plugin.name}` {_SAID[became]}", err=became != "locked")
