"""`headwater add`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from headwater.cli import listen
from headwater.cli.commands import custom
from headwater.cli.kinds import kind_first
from headwater.cli.options import PLUGIN_KIND
from headwater.cli.output import note
from headwater.cli.settings import Settings
from headwater.model.plugin import PluginKind

if TYPE_CHECKING:  # loading a project is a command's own affair
    from headwater.ops.plugins import Added
    from headwater.ops.workspace import Workspace


@click.command("add")
@click.argument("plugins", nargs=-1, required=True, metavar="PLUGIN...")
@PLUGIN_KIND
@click.option("--inherit-from", help="Take everything from this plugin that is not said anew.")
@click.option("--variant", help="Use this variant of the plugin.")
@click.option("--as", "as_name", help="Add it under this name (inherits from PLUGIN).")
@click.option("--from-ref", help="Take the definition from this file or address.")
@click.option("--python", help="Build its environment with this Python.")
@click.option("--pip-url", help="Install this requirement instead of the definition's.")
@click.option("--custom", is_flag=True, help="It is not in the hub: say --pip-url or --executable, or be asked.")
@click.option("--executable", help="With --custom: the program's name.")
@click.option("--namespace", help="With --custom: the namespace (PLUGIN with underscores when not given).")
@click.option("--capability", "capabilities", multiple=True, help="With --custom: a capability; may be repeated.")
@click.option("--update/--no-update", default=True, hidden=True)
@click.option("--offline", is_flag=True, help="Ask no hub: what it said before and the bundled index must do.")
@click.option("--install/--no-install", default=True, help="Install it too.")
@click.option("--force-install", is_flag=True, help="Install it even when it is up to date.")
@click.pass_obj
def command(
    settings: Settings, /, plugins: tuple[str, ...], offline: bool, install: bool, force_install: bool, **options: Any
) -> None:
    """Add PLUGINS to the project: an entry in the project file, a lock file, an environment.

    Adding a plugin that is there already refreshes its lock file. What a plugin requires (`requires`) is added, too.
    """
    from headwater.ops import hub, required
    from headwater.ops import plugins as ops

    workspace = settings.workspace(default_environment=False)
    plugins, options["kind"] = kind_first(plugins, options["kind"])
    if options["custom"] and not (options["pip_url"] or options["executable"]):
        if len(plugins) > 1:
            raise click.UsageError("--custom takes one plugin at a time")
        options |= custom.asked(plugins[0], ops.kind_of(plugins[0], options["kind"]))
    request = ops.AddRequest(**options)
    if len(plugins) > 1 and (request.as_name or request.from_ref or request.inherit_from):
        raise click.UsageError("--as, --from-ref and --inherit-from take one plugin at a time")
    sources = hub.Sources.of(workspace, note=note, offline=offline)
    names = []
    for name in plugins:
        if name == "dbt" or name.startswith("dbt-"):
            from headwater.ops import dbt  # looks into the warehouse: loads DuckDB

            added, files = dbt.add(workspace, name, request, sources=sources)
        elif name in ("soda", "great_expectations"):
            from headwater.ops import checkers  # likewise

            added, files = checkers.add(workspace, name, request, sources=sources)
        else:
            added, files = ops.add(workspace, name, request, sources=sources), ()
        for one in (added, *required.add(workspace, added, sources=sources)):
            names.append(one.name)
            click.echo(_told(workspace, one))
        for file in files:
            click.echo(f"wrote {file}")
    if install:
        with listen.listening(settings) as emit:
            ops.install(workspace.again(), names, emit=emit, force=force_install)
        _bring_files(workspace.again(), names)
    _bring_models(workspace.again(), names)
    for name in names:
        for line in ops.next_commands(workspace.again(), name):
            click.echo(line)


def _told(workspace: Workspace, added: Added) -> str:
    """In the words that scripts look for, where the project is one of Meltano's."""
    verb = "updated" if added.existed else "added"
    variant = f" variant `{added.variant}`" if added.variant else ""
    if workspace.project.is_meltanos:
        return f"{verb.title()} {added.kind} '{added.name}' {'in' if added.existed else 'to'} your project{variant}"
    return f"{verb} {added.kind} `{added.name}`{variant}"


def _bring_models(workspace: Workspace, names: list[str]) -> None:
    """What ready-made transforms among the plugins bring."""
    for plugin in workspace.project.plugins:
        if plugin.kind is PluginKind.TRANSFORM and plugin.name in names:
            from headwater.ops import models  # loads Arrow and the SQL parser

            copied = models.bring(workspace, plugin.name)
            if copied is None:
                continue
            for path in copied.created:
                click.echo(f"wrote {path}")
            for path in copied.kept:
                click.echo(f"kept {path}, which differs from the transform's")
            if not copied.has_models:
                click.echo("next: headwater add models")


def _bring_files(workspace: Workspace, names: list[str]) -> None:
    """What file bundles among the plugins bring."""
    from headwater.ops import files

    for plugin in workspace.project.plugins:
        if plugin.kind is PluginKind.FILE and plugin.name in names:
            copied = files.create(workspace, plugin.name)
            for path in copied.created:
                click.echo(f"wrote {path}")
            for path in copied.kept:
                click.echo(f"kept {path}, which differs from the bundle's")
