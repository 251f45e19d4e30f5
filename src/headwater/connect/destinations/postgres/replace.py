"""Streams whose whole content is replaced: collected aside over the run's commits, put in place by the last one.

The table itself stays: its views, grants, policies, indexes and comments with it. Its rows are deleted and the new ones
inserted in one transaction, so a reader sees the old content or the new, and never waits. A renamed table would lose
its views, and TRUNCATE would show an empty table to those who read with an older snapshot.
"""

from __future__ import annotations

from headwater.connect import names
from headwater.connect.destinations import bookkeeping
from headwater.connect.destinations.postgres import keys, rows
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.send import Incoming, Taken
from headwater.connect.destinations.postgres.tables import Target


def aside(connection: Connection, entry: bookkeeping.Entry, table: Target, version: int | None) -> str | None:
    """Where earlier commits put the stream's rows, as quoted SQL; None when there are none.

    What a run that died had set aside is thrown away, unless the rows carry the same table `version`: then the
    source is going on where it stopped.
    """
    found = connection.execute(
        "select staged_in, run_id, version from _headwater.replacing "
        "where schema_name = %s and table_name = %s and pipeline is not distinct from %s",
        [table.schema, table.table, entry.pipeline],
    ).fetchone()
    if found is None:
        return None
    place = f"_headwater.{names.quote(found[0])}"
    if found[1] == entry.run_id or (version is not None and version == found[2]):
        return place
    forget(connection, entry, table, place)
    return None


def load(
    connection: Connection,
    entry: bookkeeping.Entry,
    table: Target,
    incoming: Incoming,
    *,
    place: str | None,
    version: int | None,
    final: bool,
) -> Taken:
    """Take rows aside, or with `final` make them and those set aside before (in `place`) the table's content."""
    if not final:
        if table.is_new and table.keys:
            keys.add(connection, table, table.sql)
        into = place or begin(connection, entry, table, version)
        return rows.load(connection, table, into, incoming, is_keyed=place is not None)
    execute(connection, f"delete from {table.sql}")
    keys.drop_stale(connection, table)
    if place is None:
        return rows.load(connection, table, table.sql, incoming, is_keyed=table.is_keyed)
    taken = rows.load(connection, table, place, incoming, is_keyed=True)
    rows.copy(connection, table, place, table.sql)
    if table.keys and not table.is_keyed:
        keys.add(connection, table, table.sql)
    forget(connection, entry, table, place)
    return taken


def begin(connection: Connection, entry: bookkeeping.Entry, table: Target, version: int | None) -> str:
    """An empty table aside, like the stream's own; answers its quoted name.
    A logged one: what is set aside has been committed, and must outlive a crash of the server."""
    name = f"aside_{names.digest(repr((entry.pipeline, table.schema, table.table)))}"
    place = f"_headwater.{names.quote(name)}"
    execute(connection, f"create table {place} (like {table.sql} including generated)")
    connection.execute(
        "insert into _headwater.replacing values (%s, %s, %s, %s, %s, %s)",
        [entry.pipeline, table.schema, table.table, entry.run_id, name, version],
    )
    return place


def forget(connection: Connection, entry: bookkeeping.Entry, table: Target, place: str) -> None:
    """Drop the table aside."""
    execute(connection, f"drop table if exists {place}")
    connection.execute(
        "delete from _headwater.replacing "
        "where schema_name = %s and table_name = %s and pipeline is not distinct from %s",
        [table.schema, table.table, entry.pipeline],
    )
