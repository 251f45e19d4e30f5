"""dbt in a project: which adapter it gets, and what `headwater add dbt` writes beside the plugin's entry."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import HeadwaterError, InputError, Where
from headwater.connect import warehouse
from headwater.connect.warehouses import SqlError
from headwater.model.plan import Block
from headwater.model.plugin import Definition, Plugin, PluginKind
from headwater.ops import definitions, planning, plugins
from headwater.ops.hub import Sources
from headwater.ops.workspace import Workspace
from headwater.plan import alone, programs, settled
from headwater.plan.dbt import CONNECTIONS, PROGRAM
from headwater.run import native
from headwater.store import lock_files, project_edit
from headwater.transform.dbt import project

NAME = "dbt"
# With an adapter that is said: `dbt-snowflake`.
NAMES = (NAME, *(f"dbt-{adapter}" for adapter in CONNECTIONS))
SCHEMA = "analytics"
_LOOK_SECONDS = 5.0
_TABLES = """
select schema_name, table_name from duckdb_tables() where database_name = current_database() and not internal
and schema_name not in ('_headwater', ?) order by all
"""
# A server is not ours alone: those that loads left there.
_LOADED = """
select schema_name, table_name from _headwater.tables join information_schema.tables t using (table_name)
where t.table_schema = schema_name order by 1, 2
"""


class Chosen(Struct, frozen=True, kw_only=True):
    """The plugin that dbt inherits from, and the loader whose destination it connects to; None when the project has
    no such loader."""

    adapter: str
    loader: str | None

    @property
    def parent(self) -> str:
        return f"dbt-{self.adapter}"


def add(
    workspace: Workspace, name: str, request: plugins.AddRequest, *, sources: Sources | None = None
) -> tuple[plugins.Added, tuple[str, ...]]:
    """Add dbt, one of `NAMES`: an entry, a lock file, and what is missing of a dbt project with a profile. `dbt` gets
    the adapter of the project's loader.

    Answers also with the files written, relative to the project. A request that says what kind of dbt is wanted, an
    entry that is not ours, and a definition or a project that has its files are left to `plugins.add`. Idempotent.
    Raises InputError (`no-dbt-adapter`) and what `plugins.add` raises.
    """
    told = (request.inherit_from, request.variant, request.as_name, request.from_ref, request.custom)
    standing = workspace.project.plugin(name)
    is_ours = standing is None or (standing.kind is PluginKind.UTILITY and "loader" in standing.extras)
    is_ours = is_ours and name in NAMES
    if any(told) or request.kind not in (None, PluginKind.UTILITY) or not is_ours:
        return plugins.add(workspace, name, request, sources=sources), ()
    request = replace(request, kind=PluginKind.UTILITY)
    if name != NAME:
        return _add_named(workspace, name, request, sources)
    chosen = choose(workspace)
    if workspace.project.plugin(chosen.parent, PluginKind.UTILITY) is None:
        # Ours, whatever a hub says of that name: its packages install together.
        lock_files.write(workspace.root, _definition(chosen))
    added = plugins.add(workspace, NAME, replace(request, inherit_from=chosen.parent))
    return added, settle(workspace.again(), NAME, chosen)


def _add_named(
    workspace: Workspace, name: str, request: plugins.AddRequest, sources: Sources | None
) -> tuple[plugins.Added, tuple[str, ...]]:
    added = plugins.add(workspace, name, request, sources=sources)
    workspace = workspace.again()
    entry = workspace.project.plugin(name, PluginKind.UTILITY)
    assert entry is not None
    definition = settled.ready(planning.facts(workspace), entry).resolved.definition
    adapter = name.removeprefix("dbt-")
    if definition.executable != PROGRAM or definition.requires or project.is_complete(workspace.root, adapter):
        return added, ()
    loaders = [item for item in workspace.project.plugins if item.kind is PluginKind.LOADER]
    loader = next((item.name for item in loaders if _adapter(workspace, item) == adapter), None)
    return added, settle(workspace, name, Chosen(adapter=adapter, loader=loader))


def choose(workspace: Workspace) -> Chosen:
    """The adapter for the first loader that dbt has one for. Raises InputError (`no-dbt-adapter`)."""
    loaders = [item for item in workspace.project.plugins if item.kind is PluginKind.LOADER]
    for loader in loaders:
        adapter = _adapter(workspace, loader)
        if adapter is not None:
            return Chosen(adapter=adapter, loader=loader.name)
    names = ", ".join(f"`{loader.name}`" for loader in loaders)
    raise InputError(
        "no-dbt-adapter",
        f"dbt has no adapter for {names}" if names else "dbt needs a destination, and the project has no loader",
        where=Where(workspace.project.file_name),
        hint="headwater add target-duckdb, or name an adapter: headwater add dbt-postgres",
    )


def _adapter(workspace: Workspace, loader: Plugin) -> str | None:
    resolved = settled.ready(planning.facts(workspace), loader).resolved
    named = resolved.definition.name.removeprefix("target-")
    return next(
        (
            name
            for name in (resolved.native, named)
            if name in CONNECTIONS and definitions.known(PluginKind.UTILITY, f"dbt-{name}") is not None
        ),
        None,
    )


def _definition(chosen: Chosen) -> Definition:
    found = definitions.known(PluginKind.UTILITY, chosen.parent)
    assert found is not None, "only adapters that are known are chosen"
    return found


def settle(workspace: Workspace, name: str, chosen: Chosen) -> tuple[str, ...]:
    """Connect the entry that was just written to its loader, and write what is missing of a dbt project.

    Answers with the files written, relative to the project. Files that are there stay as they are.
    """
    root = workspace.root
    entry = workspace.project.plugin(name, PluginKind.UTILITY)
    assert entry is not None
    if chosen.loader is not None and "loader" not in entry.extras:
        project_edit.update_plugin(workspace.project, PluginKind.UTILITY, name, {"loader": chosen.loader})
    found = project.find(root)
    folder = found or root / project.FOLDER
    profiles = folder if project.has_profiles(folder) else project.profiles_of(root, chosen.adapter)
    wanted: dict[str, Any] = {project.SCHEMA.get(chosen.adapter, "schema"): SCHEMA}
    if folder != root / project.FOLDER:
        wanted["project_dir"] = _variable(folder, root)
    if project.has_profiles(folder):
        wanted["profiles_dir"] = _variable(folder, root)
    workspace = workspace.again()
    for setting, value in wanted.items():
        if setting not in entry.config:
            project_edit.set_config(workspace.project, PluginKind.UTILITY, name, (setting,), value)
            workspace = workspace.again()
    written = project.write(
        folder, profiles, name=root.name, adapter=chosen.adapter, sources=_sources(workspace, chosen)
    )
    return tuple(str(path.relative_to(root)) for path in written)


def _variable(folder: Path, root: Path) -> str:
    inside = folder.relative_to(root).as_posix()
    return "$MELTANO_PROJECT_ROOT" if inside == "." else f"$MELTANO_PROJECT_ROOT/{inside}"


def _sources(workspace: Workspace, chosen: Chosen) -> dict[str, list[str]]:
    """The tables that loads left in the warehouse, by schema; none where they can't be seen now."""
    facts = planning.facts(workspace)
    loaders = alone.warehouses(facts, chosen.loader, of=alone.BUILT_IN) if chosen.loader else []
    if not loaders:
        return {}
    found: dict[str, list[str]] = {}
    try:
        tables = _tables(programs.block(facts, loaders[0]), workspace.root)
    except (HeadwaterError, SqlError, duckdb.Error):
        return {}
    for schema, table in tables:
        found.setdefault(schema, []).append(table)
    return found


def _tables(block: Block, root: Path) -> list[tuple[str, str]]:
    who = "headwater add dbt"
    if block.native == "duckdb":
        with warehouse.reading(Path(block.config["filepath"]), who=who, timeout=_LOOK_SECONDS) as connection:
            rows = connection.execute(_TABLES, [SCHEMA]).fetchall()
            return [(schema, table) for schema, table in rows]
    place = native.warehouse(block, root=root, who=who, on_wait=lambda _holder: None)
    with closing(place), place.reading(place.main) as session:
        return [(schema, table) for schema, table in session.rows(_LOADED)]
