"""The plugins that another one says it needs: `requires`, by section of the project file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.model.plugin import SECTIONS, PluginKind
from headwater.ops import planning, plugins
from headwater.ops.hub import Sources
from headwater.ops.workspace import Workspace
from headwater.plan import settled


def add(workspace: Workspace, of: plugins.Added, *, sources: Sources) -> Iterator[plugins.Added]:
    """Add what a plugin of the project requires and the project lacks, and what these require in turn. Idempotent.

    Raises InputError: `bad-requirement`, and what adding raises.
    """
    workspace = workspace.again()
    plugin = planning.plugin(workspace, of.name, of.kind)
    resolved = settled.ready(planning.facts(workspace), plugin).resolved
    for kind, name, variant in _named(resolved.definition.requires, Where(plugin.file, plugin.line)):
        if workspace.project.plugin(name, kind) is None:
            added = plugins.add(workspace, name, plugins.AddRequest(kind=kind, variant=variant), sources=sources)
            yield added
            yield from add(workspace, added, sources=sources)
            workspace = workspace.again()


def _named(requires: dict[str, Any], where: Where) -> Iterator[tuple[PluginKind, str, str | None]]:
    for section, items in requires.items():
        kind = SECTIONS.get(section)
        for item in items or ():
            name = item.get("name") if isinstance(item, dict) else None
            if kind is None or not name:
                raise InputError(
                    "bad-requirement",
                    f"`requires` has `{section}: {item}`, which names no plugin",
                    where=where,
                    hint="requires: {files: [{name: files-dbt}]}",
                )
            yield kind, str(name), item.get("variant")
