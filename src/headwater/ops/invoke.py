"""Running a plugin's program as a person would, with its settings."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.model.event import Event
from headwater.model.plugin import Command, Plugin, PluginKind
from headwater.ops import planning, plugins, selection
from headwater.ops.settings import masked
from headwater.ops.workspace import Workspace
from headwater.plan import alone, programs, settled
from headwater.quality.checkers import step as checkers
from headwater.run.cancel import Cancel
from headwater.run.invoke import passthrough
from headwater.run.prepared import prepared
from headwater.run.singer_files import catalog_arguments, config_arguments
from headwater.store.run_folders import RunFolders
from headwater.transform.dbt import artifacts
from headwater.transform.dbt.step import leased


def commands(workspace: Workspace, text: str, kind: PluginKind | None) -> dict[str, Command]:
    """The plugin's commands by name."""
    return dict(_ready(workspace, text, kind).resolved.definition.commands)


def variables(workspace: Workspace, text: str, kind: PluginKind | None, names: Sequence[str]) -> dict[str, str]:
    """These variables as the plugin's process sees them; `None` for one that is not set."""
    if not names:
        return {}
    block = programs.block(planning.facts(workspace), _ready(workspace, text, kind))
    return {name: block.env.get(name, "None") for name in names}


def prepare(workspace: Workspace, text: str, kind: PluginKind | None, *, install: str | None, containers: bool) -> None:
    """Install what the plugin needs: unless `install` is `no`, or None where the project says `auto_install: false`.

    Raises InputError (`no-containers`) for a command that is to run in a container.
    """
    name, _, command = text.partition(":")
    plugin = planning.plugin(workspace, name, kind)
    if containers and command:
        spec = settled.ready(planning.facts(workspace), plugin).resolved.definition.commands.get(command)
        if spec is not None and spec.container_spec is not None:
            raise InputError(
                "no-containers",
                f"`{text}` has a container, and containers are not started from here",
                where=Where(plugin.file, plugin.line),
                hint=f"docker run … {spec.container_spec.get('image', '')}".rstrip(),
            )
    if install is None:
        install = "yes" if planning.settings(workspace)["auto_install"].value else "no"
    if install != "no":
        plugins.install_missing(workspace, [plugin], emit=_quiet)


def dump(
    workspace: Workspace,
    text: str,
    kind: PluginKind | None,
    what: str,
    *,
    unsafe: bool = False,
    refresh: bool = False,
) -> dict[str, Any]:
    """The `config` or `catalog` file the plugin would get."""
    ready = _ready(workspace, text, kind)
    if what == "config":
        return ready.config if unsafe else masked(ready.config, ready.secrets)
    return selection.applied_catalog(workspace, ready.plugin, refresh=refresh, emit=_quiet)


def invoke(
    workspace: Workspace, text: str, kind: PluginKind | None, arguments: Sequence[str], *, refresh: bool = False
) -> int:
    """Run the program with this process's own standard streams; answers with its exit code."""
    name, _, command = text.partition(":")
    plugin = planning.plugin(workspace, name, kind)
    facts = planning.facts(workspace)
    ready = alone.connected(facts, plugin)
    block = programs.block(facts, ready)
    if block.native is not None:
        faces = {
            PluginKind.EXTRACTOR: f"tap {block.native} --config FILE",
            PluginKind.LOADER: f"target {block.native} --config FILE",
        }
        raise InputError(
            "native-plugin",
            f"`{name}` is native: there is no program to invoke",
            where=Where(plugin.file, plugin.line),
            hint=f"headwater {faces.get(plugin.kind, f'run {name}')}",
        )
    argv = programs.invocation(facts, ready, block, command or None, arguments)
    root = str(workspace.root)
    if (known := alone.of_dbt(facts, ready, argv)) is not None:
        project = artifacts.places(argv, block.env, root).project
        with leased(known, project, f"headwater invoke {name}", _wait):
            return passthrough(argv, block, cwd=root)
    if (checker := alone.of_checker(facts, ready, argv)) is not None:
        with checkers.leased(checker, f"headwater invoke {name}", _wait):
            return passthrough(checkers.argv(argv, checker, report=False), block, cwd=root)
    folders = RunFolders(workspace.home)
    if command or not _is_singer(plugin):
        with prepared(block, folders, cwd=root, cancel=Cancel()) as block:
            return passthrough(argv, block, cwd=root)
    with folders.opened(str(uuid.uuid4())) as folder:
        files = config_arguments(block, folder)
        if plugin.kind is PluginKind.EXTRACTOR and not arguments:
            catalog = selection.applied_catalog(workspace, plugin, refresh=refresh, emit=_quiet)
            files = (*files, *catalog_arguments(block, catalog, folder))
        return passthrough((argv[0], *files, *argv[1:]), block, cwd=root)


def _quiet(_event: Event) -> None:
    """For commands whose standard output is the plugin's own."""


def _wait(_text: str) -> None:
    """The program's own words are all there is on the screen."""


def _is_singer(plugin: Plugin) -> bool:
    return plugin.kind in (PluginKind.EXTRACTOR, PluginKind.LOADER, PluginKind.MAPPER)


def _ready(workspace: Workspace, text: str, kind: PluginKind | None) -> settled.Ready:
    return alone.connected(planning.facts(workspace), planning.plugin(workspace, text.partition(":")[0], kind))
