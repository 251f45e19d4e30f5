"""The changes of tables that lead to a `tables.Target`, in the caller's transaction."""

from __future__ import annotations

import psycopg
from msgspec.structs import replace as changed

from headwater.connect import names
from headwater.connect.contract import Change
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.connect.destinations.postgres import books, keys
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.tables import KEY_HASH, LOADED_AT, Target, unsupported


def reach(connection: Connection, table: Target, place: str | None) -> list[Change]:
    """Make the table (and `place`, where rows to replace its content are collected) able to hold the stream. A new
    table has no key yet: see `keys.add`."""
    if table.is_new:
        kept = [*table.added, (LOADED_AT, "timestamp with time zone not null")]
        if table.keeps_history:
            kept += [(VALID_FROM, "timestamp with time zone not null"), (VALID_TO, "timestamp with time zone")]
        # Of a key that is known to have no nulls the table need not be read once more when it becomes one.
        whole = set() if table.is_hashed else set(table.keys)
        body = ", ".join(f"{names.quote(name)} {sql}{' not null' if name in whole else ''}" for name, sql in kept)
        body += f", {keys.hash_column(table)}" if table.is_hashed else ""
        if not connection.execute("select 1 from pg_namespace where nspname = %s", [table.schema]).fetchone():
            execute(connection, f"create schema if not exists {names.quote(table.schema)}")
        execute(connection, f"create table {table.sql} ({body})")
    else:
        _alter(connection, table, table.sql)
        if table.new_hash:
            keys.hash_keys(connection, table, table.sql)
        if place is not None:
            _alter_aside(connection, table, place)
    if not table.is_noted:
        books.write_names(
            connection,
            table.schema,
            table.table,
            stream=table.stream,
            keys=table.keys,
            columns={source: (one.name, one.declared) for source, one in table.noted.items()},
        )
    return _changes(table)


def _alter_aside(connection: Connection, table: Target, place: str) -> None:
    """There every key has one row, whatever the table keeps."""
    _alter(connection, table, place)
    if table.is_hashed and not keys.is_hashed(connection, place):
        keys.hash_keys(connection, changed(table, keeps_history=False, is_new=False), place)


def _alter(connection: Connection, table: Target, at: str) -> None:
    if table.drops_hash:  # first of all: it depends on its keys' types
        execute(connection, f"alter table {at} drop column if exists {KEY_HASH}")
    steps = [f"add column if not exists {names.quote(name)} {sql}" for name, sql in table.added]
    for one in table.widened:
        views = _views(connection, at, one.column)
        if views:
            raise unsupported(
                table.stream,
                one.column,
                f"{one.before} can't become {one.after}: {', '.join(views)} use{'s' if len(views) == 1 else ''} it",
                f"drop the view, run it again, then create the view anew: drop view {views[0].strip('`')}",
            )
        steps.append(f"alter column {names.quote(one.column)} type {one.after} using {one.using}")
    if not steps:
        return
    try:
        execute(connection, f"alter table {at} {', '.join(steps)}")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.DependentObjectsStillExist) as error:
        changed = ", ".join(one.column for one in table.widened) or None
        raise unsupported(
            table.stream,
            changed,
            ": ".join(line for line in (error.diag.message_primary, error.diag.message_detail) if line),
            "drop what depends on the column, or move the table out of the way and load it anew",
        ) from error


def _views(connection: Connection, at: str, column: str) -> list[str]:
    found = connection.execute(
        "select distinct n.nspname, c.relname from pg_depend d join pg_rewrite r on r.oid = d.objid "
        "join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace "
        "join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid "
        "where d.classid = 'pg_rewrite'::regclass and d.refobjid = %s::regclass and a.attname = %s order by 1, 2",
        [at, column],
    ).fetchall()
    return [f"`{schema}.{view}`" for schema, view in found]


def lossy_widenings(connection: Connection, table: Target, place: str | None) -> list[str]:
    """Source names of the columns with a value that the type they should grow to can't hold exactly."""
    source_of = {column.name: column.source for column in table.columns}
    found = []
    for one in table.widened:
        for at in (table.sql, place):
            if at is None or one.lossy is None:
                continue
            row = execute(connection, f"select exists (select from {at} where {one.lossy})").fetchone()
            if row and row[0]:
                found.append(source_of[one.column])
                break
    return found


def _changes(table: Target) -> list[Change]:
    source_of = {column.name: column.source for column in table.columns}
    if table.is_new:
        shaped = [_changed(table, None, "table-created", f"{table.schema}.{table.table}")]
    else:
        shaped = [
            _changed(table, source_of[name], "column-added", sql) for name, sql in table.added if name in source_of
        ]
    return [
        *shaped,
        *(_changed(table, source, "renamed", f"{source} → {table.noted[source].name}") for source in table.renamed),
        *(_changed(table, one.column, "column-widened", f"{one.before} → {one.after}") for one in table.widened),
    ]


def _changed(table: Target, column: str | None, change: str, detail: str) -> Change:
    return Change(stream=table.stream, column=column, change=change, detail=detail)
