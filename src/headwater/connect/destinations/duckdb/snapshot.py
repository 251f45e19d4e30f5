"""What a database holds, and what the books say of it."""

from __future__ import annotations

import duckdb
from msgspec import Struct, field

from headwater.connect.destinations.bookkeeping import NamedColumn
from headwater.connect.destinations.duckdb import books


class LiveColumn(Struct, frozen=True, kw_only=True):
    """A column as it is in the database."""

    name: str
    sql_type: str
    nullable: bool


class Snapshot(Struct, frozen=True, kw_only=True):
    """What the database holds. Outer keys of `live` are lower-case (schema, table), inner ones lower-case columns:
    DuckDB tells names apart without regard to case. `unique` are tables with a unique index of their own.
    `streams`, `columns` and `keys` are the books' words."""

    live: dict[tuple[str, str], dict[str, LiveColumn]] = field(default_factory=dict)
    views: frozenset[tuple[str, str]] = frozenset()
    unique: frozenset[tuple[str, str]] = frozenset()
    streams: dict[tuple[str, str], str] = field(default_factory=dict)
    columns: dict[tuple[str, str], dict[str, NamedColumn]] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)


def snapshot(connection: duckdb.DuckDBPyConnection) -> Snapshot:
    """What the connected database holds now."""
    live = live_columns(connection)
    views = connection.execute(
        "select lower(schema_name), lower(view_name) from duckdb_views() "
        "where database_name = current_database() and not internal"
    ).fetchall()
    unique = connection.execute(
        "select lower(schema_name), lower(table_name) from duckdb_constraints() "
        "where database_name = current_database() and constraint_type in ('PRIMARY KEY', 'UNIQUE') union all "
        "select lower(schema_name), lower(table_name) from duckdb_indexes() "
        "where database_name = current_database() and is_unique"
    ).fetchall()
    if not books.exist(connection):
        return Snapshot(live=live, views=frozenset(views))
    streams, keys = {}, {}
    for schema, stream, table, of_table in connection.execute(
        "select schema_name, stream, table_name, keys from _headwater.tables"
    ).fetchall():
        streams[schema, stream] = table
        keys[schema, table] = tuple(of_table)
    columns_of: dict[tuple[str, str], dict[str, NamedColumn]] = {}
    for schema, table, source, column, declared in connection.execute(
        "select schema_name, table_name, source_name, column_name, declared from _headwater.columns"
    ).fetchall():
        columns_of.setdefault((schema, table), {})[source] = NamedColumn(name=column, declared=declared)
    return Snapshot(
        live=live,
        views=frozenset(views),
        unique=frozenset(unique),
        streams=streams,
        columns=columns_of,
        keys=keys,
    )


def live_columns(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], dict[str, LiveColumn]]:
    """See `Snapshot.live`."""
    live: dict[tuple[str, str], dict[str, LiveColumn]] = {}
    for schema, table, column, sql, nullable in connection.execute(
        "select schema_name, table_name, column_name, data_type, is_nullable from duckdb_columns() "
        "where database_name = current_database() and not internal order by column_index"
    ).fetchall():
        columns = live.setdefault((schema.lower(), table.lower()), {})
        columns[column.lower()] = LiveColumn(name=column, sql_type=sql, nullable=nullable)
    return live


def live_columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, LiveColumn]:
    """Those of one table, given as SQL: `duckdb_columns()` would go through all there are."""
    return {
        column.lower(): LiveColumn(name=column, sql_type=sql, nullable=nullable == "YES")
        for column, sql, nullable, *_ in connection.execute(f"describe {table}").fetchall()
    }
