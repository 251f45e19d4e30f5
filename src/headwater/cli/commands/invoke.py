"""`headwater invoke`."""

from __future__ import annotations

import sys

import click

from headwater.cli.options import PLUGIN_KIND, installing
from headwater.cli.output import print_json
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind


@click.command("invoke", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@PLUGIN_KIND
@click.option("--dump", type=click.Choice(["config", "catalog"]), help="Print the file the plugin would get, as JSON.")
@click.option("--unsafe", is_flag=True, help="With --dump: show secrets on a terminal too.")
@click.option("--refresh-catalog", is_flag=True, help="Discover anew.")
@click.option("--list-commands", is_flag=True, help="List the plugin's commands.")
@click.option("--json", "as_json", is_flag=True, help="With --list-commands: print JSON.")
@click.option("--print-var", "variables", multiple=True, help="First print this variable as the plugin sees it.")
@click.option("--containers", is_flag=True, hidden=True, help="Refused for commands that have a container.")
@installing
@click.option("--database-uri", hidden=True)
@click.argument("plugin", metavar="PLUGIN[:COMMAND]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(
    settings: Settings,
    kind: PluginKind | None,
    dump: str | None,
    unsafe: bool,
    refresh_catalog: bool,
    list_commands: bool,
    as_json: bool,
    variables: tuple[str, ...],
    containers: bool,
    install: str | None,
    database_uri: str | None,
    plugin: str,
    arguments: tuple[str, ...],
) -> int:
    """Run a plugin's program (or one of its commands) with its settings and environment.

    An extractor without ARGUMENTS gets its config and catalog files; with ARGUMENTS just its config.
    Exits with the program's own code.

    `--dump config` hides secrets on a terminal; a file or a pipe gets them, as the plugin does.
    """
    from headwater.ops import invoke as ops

    settings.database_uri = database_uri or settings.database_uri
    workspace = settings.complete_workspace()
    if list_commands:
        known = ops.commands(workspace, plugin, kind)
        if as_json:
            print_json(known)
            return 0
        name = plugin.partition(":")[0]
        width = max((len(item) for item in known), default=0) + len(name) + 3
        for item, spec in known.items():
            click.echo(f"{f'{name}:{item}':<{width}}{spec.description or ''}".rstrip())
        return 0
    ops.prepare(workspace, plugin, kind, install=install, containers=containers)
    if install == "only":
        return 0
    for name, value in ops.variables(workspace, plugin, kind, variables).items():
        click.echo(f"{name}={value}")
    if dump:
        shows_secrets = unsafe or not sys.stdout.isatty()
        print_json(ops.dump(workspace, plugin, kind, dump, unsafe=shows_secrets, refresh=refresh_catalog))
        return 0
    sys.stdout.flush()  # what the program writes comes after what we have written
    return ops.invoke(workspace, plugin, kind, arguments, refresh=refresh_catalog)
