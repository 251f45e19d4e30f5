"""Soda and Great Expectations in a project: what `headwater add` writes beside the plugin's entry."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, Where
from headwater.connect.warehouses import Session, SqlError
from headwater.model.plugin import PluginKind
from headwater.ops import planning, plugins
from headwater.ops.hub import Sources
from headwater.ops.workspace import Workspace
from headwater.plan import alone, checkers, programs, settled
from headwater.quality.checkers import start
from headwater.quality.checks import Relation
from headwater.quality.samples import loaded_by
from headwater.run import native
from headwater.store import project_edit

# What loads and models keep for themselves, and what is built of the rest.
_NOT_LOADED = ("_headwater", "analytics", "information_schema", "pg_catalog")
# Names of an example become those of files.
_PLAIN = re.compile(r"[\w-]+")


class Chosen(Struct, frozen=True, kw_only=True):
    """The loader whose destination is checked, and its database."""

    loader: str
    database: str


def add(
    workspace: Workspace, name: str, request: plugins.AddRequest, *, sources: Sources
) -> tuple[plugins.Added, tuple[str, ...]]:
    """Add a plugin; for one with a driver also connect it to the project's loader, and write a small start.

    Answers also with the files written, relative to the project; files that are there stay. Idempotent. Raises
    InputError (`no-checker-database`) and what `plugins.add` raises.
    """
    if request.custom or request.from_ref or request.inherit_from or request.as_name:
        return plugins.add(workspace, name, request, sources=sources), ()
    standing = workspace.project.plugin(name, PluginKind.UTILITY)
    variant = request.variant or (standing.variant if standing else None)
    driver = sources.definition(name, request.kind, variant).driver
    if driver is None:
        return plugins.add(workspace, name, request, sources=sources), ()
    chosen = _choose(workspace)
    if chosen is None and not start.is_started(driver, workspace.root / checkers.FOLDERS[driver]):
        raise InputError(
            "no-checker-database",
            f"`{name}` is set up for DuckDB and PostgreSQL, and the project has no loader for them",
            where=Where(workspace.project.file_name),
            hint=f"headwater add target-duckdb, or write {checkers.FOLDERS[driver]}/ yourself first",
        )
    added = plugins.add(workspace, name, request, sources=sources)
    return added, _settle(workspace.again(), name, driver, chosen)


def _choose(workspace: Workspace) -> Chosen | None:
    facts = planning.facts(workspace)
    for loader in workspace.project.plugins:
        if loader.kind is PluginKind.LOADER:
            database = checkers.database(settled.ready(facts, loader).resolved)
            if database is not None:
                return Chosen(loader=loader.name, database=database)
    return None


def _settle(workspace: Workspace, name: str, driver: str, chosen: Chosen | None) -> tuple[str, ...]:
    entry = workspace.project.plugin(name, PluginKind.UTILITY)
    assert entry is not None
    if chosen is not None and "loader" not in entry.extras:
        project_edit.update_plugin(workspace.project, PluginKind.UTILITY, name, {"loader": chosen.loader})
    ready = settled.ready(planning.facts(workspace), entry)
    folder = workspace.root / str(ready.config.get("folder") or checkers.FOLDERS[driver])
    written = start.write(
        driver,
        folder,
        plugin=name,
        database=chosen.database if chosen else None,
        example=_example(workspace, chosen) if chosen else None,
    )
    return tuple(str(path.relative_to(workspace.root)) for path in written)


def _example(workspace: Workspace, chosen: Chosen) -> start.Example | None:
    """The first table that a load left; None where there is none, or it can't be seen now."""
    facts = planning.facts(workspace)
    loaders = alone.warehouses(facts, chosen.loader, of=checkers.DATABASES)
    if not loaders:
        return None
    try:
        block = programs.block(facts, loaders[0])
        warehouse = native.warehouse(block, root=Path(workspace.root), who="headwater add", on_wait=_busy)
        with closing(warehouse):
            if not warehouse.exists():
                return None
            with warehouse.reading(warehouse.main) as session:
                return _first(session, chosen.database)
    except (HeadwaterError, SqlError):
        return None


def _busy(holder: str) -> None:
    """An example is not worth waiting for."""
    raise EnvironmentProblemError("warehouse-busy", "the warehouse is in use", why=f"held by {holder}")


def _first(session: Session, database: str) -> start.Example | None:
    hidden = ", ".join(f"'{name}'" for name in _NOT_LOADED)
    tables = session.rows(
        "select current_database(), table_schema, table_name from information_schema.tables "  # noqa: S608 - constants
        "where table_catalog = current_database() and table_type = 'BASE TABLE' "
        f"and table_schema not in ({hidden}) order by table_schema, table_name"
    )
    found = next((names for names in tables if all(map(_PLAIN.fullmatch, names))), None)
    if found is None:
        return None
    catalog, schema, table = found
    relation = Relation(schema, table)
    # Columns of our own begin with two underscores.
    every = session.columns(f"select * from {relation.sql}")  # noqa: S608 - quoted
    columns = tuple(name for name in every if not name.startswith("__"))
    return start.Example(
        place=(catalog, schema) if database == "postgres" else (schema,),
        table=table,
        columns=columns,
        keys=tuple(key for key in loaded_by(session, relation) if key in columns),
    )
