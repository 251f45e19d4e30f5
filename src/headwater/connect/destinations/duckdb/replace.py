"""Streams whose whole content is replaced: collected aside over the run's commits, put in place by the last one.

The table itself stays, with its name, its views and its comments; only its rows change, all in one transaction.
"""

from __future__ import annotations

import duckdb

from headwater.connect import names
from headwater.connect.destinations import bookkeeping
from headwater.connect.destinations.duckdb import rows
from headwater.connect.destinations.duckdb.tables import Target
from headwater.connect.warehouse import first_row


def aside(
    connection: duckdb.DuckDBPyConnection, entry: bookkeeping.Entry, table: Target, version: int | None
) -> str | None:
    """Where earlier commits put the stream's rows, as quoted SQL; None when there are none.

    What a run that died had set aside is thrown away, unless the rows carry the same table `version`: then the
    source is going on where it stopped.
    """
    found = first_row(
        connection,
        "select staged_in, run_id, version from _headwater.replacing "
        "where schema_name = ? and table_name = ? and pipeline is not distinct from ?",
        [table.schema, table.table, entry.pipeline],
    )
    if found is None:
        return None
    place = f"_headwater.{names.quote(found[0])}"
    if found[1] == entry.run_id or (version is not None and version == found[2]):
        return place
    forget(connection, entry, table, place)
    return None


def load(
    connection: duckdb.DuckDBPyConnection,
    entry: bookkeeping.Entry,
    table: Target,
    incoming: rows.Incoming,
    *,
    place: str | None,
    version: int | None,
    final: bool,
) -> int:
    """Take rows aside, or with `final` make them and those set aside before (in `place`) the table's content."""
    if not final:
        return rows.load(connection, table, place or begin(connection, entry, table, version), incoming)
    connection.execute(f"delete from {table.sql}")
    if place is None:
        return rows.load(connection, table, table.sql, incoming)
    taken = rows.load(connection, table, place, incoming)
    connection.execute(f"insert into {table.sql} by name from {place}")
    forget(connection, entry, table, place)
    return taken


def begin(connection: duckdb.DuckDBPyConnection, entry: bookkeeping.Entry, table: Target, version: int | None) -> str:
    """An empty table aside, like the stream's own; answers its quoted name."""
    name = f"aside_{names.digest(repr((entry.pipeline, table.schema, table.table)))}"
    place = f"_headwater.{names.quote(name)}"
    connection.execute(f"create table {place} as from {table.sql} limit 0")
    connection.execute(
        "insert into _headwater.replacing values (?, ?, ?, ?, ?, ?)",
        [entry.pipeline, table.schema, table.table, entry.run_id, name, version],
    )
    return place


def forget(connection: duckdb.DuckDBPyConnection, entry: bookkeeping.Entry, table: Target, place: str) -> None:
    """Drop the table aside."""
    connection.execute(f"drop table if exists {place}")
    connection.execute(
        "delete from _headwater.replacing where schema_name = ? and table_name = ? and pipeline is not distinct from ?",
        [table.schema, table.table, entry.pipeline],
    )
