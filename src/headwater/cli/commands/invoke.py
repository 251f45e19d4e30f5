"""`headwater invoke`."""

from __future__ import annotations

import click

from headwater.cli.options import PLUGIN_KIND
from headwater.cli.output import print_json
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind


@click.command("invoke", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@PLUGIN_KIND
@click.option("--dump", type=click.Choice(["config", "catalog"]), help="Print the file the plugin would get, as JSON.")
@click.option("--unsafe", is_flag=True, help="With --dump: show secrets.")
@click.option("--list-commands", is_flag=True, help="List the plugin's commands.")
@click.option("--json", "as_json", is_flag=True, help="With --list-commands: print JSON.")
@click.option("--print-var", "variables", multiple=True, help="Print this variable as the plugin sees it.")
@click.argument("plugin", metavar="PLUGIN[:COMMAND]")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(
    settings: Settings,
    kind: PluginKind | None,
    dump: str | None,
    unsafe: bool,
    list_commands: bool,
    as_json: bool,
    variables: tuple[str, ...],
    plugin: str,
    arguments: tuple[str, ...],
) -> int:
    """Run a plugin's program (or one of its commands) with its settings and environment.

    An extractor without ARGUMENTS gets its config and catalog files; with ARGUMENTS just its config.
    Exits with the program's own code.
    """
    from headwater.ops import invoke as ops

    workspace = settings.workspace()
    if list_commands:
        known = ops.commands(workspace, plugin, kind)
        if as_json:
            print_json(known)
            return 0
        for name, spec in known.items():
            click.echo(f"{name}\t{spec.args}\t{spec.description or ''}".rstrip())
        return 0
    if variables:
        for name, value in ops.variables(workspace, plugin, kind, variables).items():
            click.echo(f"{name}={value}")
        return 0
    if dump:
        print_json(ops.dump(workspace, plugin, kind, dump, unsafe=unsafe))
        return 0
    return ops.invoke(workspace, plugin, kind, arguments)
