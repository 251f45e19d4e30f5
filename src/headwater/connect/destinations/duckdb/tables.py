"""How a table comes to hold what a stream sends: names, types, and the DDL that leads there.

A type only ever grows (`connect.types.widen`), a column is never dropped, and what can't be reached that way is
refused before a row is loaded. Everything here is worked out from a `Snapshot`, so that `prepare` and `commit`
judge alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import InputError
from headwater.connect import names, types
from headwater.connect.contract import Change
from headwater.connect.destinations import history
from headwater.connect.destinations.bookkeeping import NamedColumn, Widening
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.duckdb import books
from headwater.connect.destinations.duckdb.snapshot import LiveColumn, Snapshot, live_columns_of
from headwater.connect.destinations.duckdb.sql_types import conversion, field_of, sql_type
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.connect.members import merged_sources
from headwater.connect.staging import MISSING, VERSION, grown
from headwater.connect.warehouse import first_row

LOADED_AT = "__loaded_at"
# A rider of incoming rows: the columns that a whole batch came without.
ABSENT = "__absent"
# Ours, or DuckDB's own pseudo column: a source's column of that name gets another one.
_OURS = (LOADED_AT, VERSION, DELETED_AT, VALID_FROM, VALID_TO)
RESERVED = frozenset((*_OURS, MISSING, ABSENT, "rowid"))
# DuckDB sets no limit; other tools do.
LONGEST_NAME = 255


class Column(Struct, frozen=True, kw_only=True):
    """A column of a stream: its name at the source, its name here, and the type the table has for it."""

    source: str
    name: str
    type: pa.Field

    @property
    def sql_type(self) -> str:
        return sql_type(self.type)


class Target(Struct, frozen=True, kw_only=True):
    """A stream's table and what must be done before rows fit in. `others` are columns that the table has and the
    stream hasn't; `keys` are names here, `merged` sources of columns that are merged member by member. `own` are
    columns of ours that it lacks; `is_noted` says that the books know names and keys already, `is_unknown` that they
    know nothing of it. `starts_history` says that its rows have to become versions first, `is_marked` that some may be
    marked as gone."""

    stream: str
    schema: str
    table: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    merged: frozenset[str]
    others: tuple[str, ...]
    is_new: bool
    added: tuple[Column, ...]
    widened: tuple[Widening, ...]
    noted: dict[str, NamedColumn]
    renamed: tuple[str, ...]
    versioned: bool
    own: tuple[tuple[str, str], ...]
    is_noted: bool
    is_unknown: bool
    starts_history: bool
    is_marked: bool

    @property
    def is_reached(self) -> bool:
        """Table and books are as the stream needs them."""
        return self.is_noted and not (self.is_new or self.added or self.widened or self.own)

    @property
    def sql(self) -> str:
        return f"{names.quote(self.schema)}.{names.quote(self.table)}"


def target(
    held: Snapshot,
    schema: str,
    stream: str,
    columns: Mapping[str, pa.Field],
    keys: tuple[str, ...],
    *,
    versioned: bool,
    rekey: bool = False,
    keeps_history: bool = False,
) -> Target:
    """Work out the table for a stream whose columns, by source name, are of those types.

    `keys` are source names; () when rows are appended. With `rekey` the content is replaced anyway: other keys and
    narrower types than before are fine. Raises InputError (`unsupported-change`) for what can't be reached without
    loss.
    """
    table = held.streams.get((schema, stream)) or _table_name(held, schema, stream)
    at = (schema.lower(), table.lower())
    live = held.live.get(at, {})
    if at in held.views:
        raise unsupported(stream, None, f"`{schema}.{table}` is a view", "rename the view, or load into another schema")
    known = held.columns.get((schema, table), {})
    called = names.identifiers(
        list(columns),
        max_length=LONGEST_NAME,
        fold_case=True,
        reserved=RESERVED,
        known={source: column.name for source, column in known.items()},
    )
    reached, added, widened = [], [], []
    for source, wanted in columns.items():
        existing = live.get(called[source].lower())
        if existing is None:
            column = Column(source=source, name=called[source], type=wanted)
            added.append(column)
        else:
            reached_type, widening = _reach(stream, existing, wanted, known.get(source), replaced=rekey)
            column = Column(source=source, name=existing.name, type=reached_type)
            if widening:
                widened.append(widening)
        reached.append(column)
    mine = {column.name.lower() for column in reached}
    others = tuple(column.name for key, column in live.items() if key not in mine and key not in _OURS)
    _refuse_not_null(stream, live, others)
    key_names = tuple(called[key] for key in keys)
    starts_history = keeps_history and bool(live) and VALID_FROM not in live
    if VALID_FROM in live and not keeps_history:
        raise history.other_method(f"{schema}.{table}", stream)
    if starts_history:
        _refuse_history(held, schema, table, stream, key_names)
    own = [(LOADED_AT, "TIMESTAMPTZ"), *([(VERSION, "BIGINT")] if versioned else [])]
    if keeps_history:
        # A column that is added as NOT NULL needs a default, which goes when the rows have their moments.
        default = " DEFAULT TIMESTAMPTZ 'epoch'" if live else ""
        own += [(VALID_FROM, f"TIMESTAMPTZ NOT NULL{default}"), (VALID_TO, "TIMESTAMPTZ")]
    noted = {
        source: NamedColumn(name=called[source], declared=types.declared(wanted)) for source, wanted in columns.items()
    }
    before = held.keys.get((schema, table))
    if live and before is not None and before != key_names and not rekey:
        raise unsupported(
            stream,
            None,
            f"the key was ({', '.join(before) or 'none'}) and is now ({', '.join(key_names) or 'none'})",
            f"move `{schema}.{table}` out of the way and load it anew, or set `load_method` to `overwrite`",
        )
    return Target(
        stream=stream,
        schema=schema,
        table=table,
        columns=tuple(reached),
        keys=key_names,
        merged=merged_sources(columns, keys, ((one.source, one.type) for one in reached)),
        others=others,
        is_new=not live,
        added=tuple(added),
        widened=tuple(widened),
        noted=noted,
        renamed=tuple(name for name in columns if name not in known and called[name] != name),
        versioned=versioned or VERSION in live,
        own=tuple(one for one in own if one[0] not in live),
        is_noted=known.items() >= noted.items() and held.keys.get((schema, table)) == key_names,
        is_unknown=(schema, stream) not in held.streams and not known,
        starts_history=starts_history,
        is_marked=DELETED_AT in live,
    )


def reach(connection: duckdb.DuckDBPyConnection, table: Target, place: str | None) -> list[Change]:
    """Make the table (and `place`, where rows to replace its content are collected) able to hold the stream."""
    if table.is_new:
        kept = [*((column.name, column.sql_type) for column in table.columns), *table.own]
        body = ", ".join(f"{names.quote(name)} {sql}" for name, sql in kept)
        connection.execute(f"create schema if not exists {names.quote(table.schema)}")
        connection.execute(f"create table {table.sql} ({body})")
    else:
        for at in (table.sql, place) if place else (table.sql,):
            _alter(connection, table, at)
    if not table.is_noted:
        columns = {source: (one.name, one.declared) for source, one in table.noted.items()}
        books.write_names(
            connection,
            table.schema,
            table.table,
            stream=table.stream,
            keys=table.keys,
            columns=columns,
            are_first=table.is_unknown,
        )
    return _changes(table)


def renewed(connection: duckdb.DuckDBPyConnection, held: Snapshot, table: Target) -> Snapshot:
    """What the database holds since the table was reached. No other one has changed: a load of many streams would read
    all of them for each of them."""
    schema, name = table.schema, table.table
    return replace(
        held,
        live=held.live | {(schema.lower(), name.lower()): live_columns_of(connection, table.sql)},
        streams=held.streams | {(schema, table.stream): name},
        columns=held.columns | {(schema, name): held.columns.get((schema, name), {}) | table.noted},
        keys=held.keys | {(schema, name): table.keys},
    )


def _alter(connection: duckdb.DuckDBPyConnection, table: Target, at: str) -> None:
    for column in table.added:
        connection.execute(f"alter table {at} add column {names.quote(column.name)} {column.sql_type}")
    for name, sql in table.own:
        connection.execute(f"alter table {at} add column {names.quote(name)} {sql}")
    for one in table.widened:
        try:
            connection.execute(
                f"alter table {at} alter column {names.quote(one.column)} set data type {one.after} using {one.using}"
            )
        except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.DependencyException) as error:
            raise unsupported(
                table.stream,
                one.column,
                f"{one.before} can't become {one.after}: {str(error).splitlines()[0]}",
                "drop what depends on the column, or move the table out of the way and load it anew",
            ) from error


def lossy_widenings(connection: duckdb.DuckDBPyConnection, table: Target, place: str | None) -> list[str]:
    """Source names of the columns with a value that the type they should grow to can't hold exactly."""
    source_of = {column.name: column.source for column in table.columns}
    found = []
    for one in table.widened:
        for at in (table.sql, place):
            if at is None or one.lossy is None:
                continue
            row = first_row(connection, f"select count(*) from {at} where {one.lossy}")
            if row and row[0]:
                found.append(source_of[one.column])
                break
    return found


def _reach(
    stream: str, existing: LiveColumn, wanted: pa.Field, noted: NamedColumn | None, *, replaced: bool
) -> tuple[pa.Field, Widening | None]:
    """The type the column will have, and what leads there (None when it has it)."""
    held = field_of(existing.sql_type)
    reached = None if held is None else grown(held, noted.declared if noted else None, wanted, replaced=replaced)
    if held is None or reached is None:
        raise unsupported(
            stream,
            wanted.name,
            f"the column is {existing.sql_type} and the source now sends {sql_type(wanted)}",
            "types only ever grow: rename the old column, or move the table out of the way and load it anew",
        )
    after = sql_type(reached)
    if after == existing.sql_type:
        return reached, None
    using, lossy = conversion(names.quote(existing.name), held.type, reached.type)
    return reached, Widening(column=existing.name, before=existing.sql_type, after=after, using=using, lossy=lossy)


def _refuse_not_null(stream: str, live: Mapping[str, LiveColumn], others: tuple[str, ...]) -> None:
    for name in others:
        if not live[name.lower()].nullable:
            raise unsupported(
                stream,
                name,
                "the column is NOT NULL and the source does not send it",
                f"allow nulls: alter table … alter column {names.quote(name)} drop not null",
            )


def _refuse_history(held: Snapshot, schema: str, table: str, stream: str, keys: tuple[str, ...]) -> None:
    place = f"{schema}.{table}"
    if held.keys.get((schema, table)) != keys:
        raise history.not_convertible(place, stream, f"`{place}` was not loaded with the key ({', '.join(keys)})")
    if (schema.lower(), table.lower()) in held.unique:
        raise history.not_convertible(place, stream, f"`{place}` has a unique index, so a key can't have two versions")


def _table_name(held: Snapshot, schema: str, stream: str) -> str:
    """A new stream's table. A table made by others is met by its name; those of our other streams are avoided."""
    known = {name: table for (of_schema, name), table in held.streams.items() if of_schema == schema}
    return names.identifiers([stream], max_length=LONGEST_NAME, fold_case=True, known=known)[stream]


def _changes(table: Target) -> list[Change]:
    if table.is_new:
        shaped = [_changed(table, None, "table-created", f"{table.schema}.{table.table}")]
    else:
        shaped = [_changed(table, column.source, "column-added", column.sql_type) for column in table.added]
    return [
        *shaped,
        *(_changed(table, source, "renamed", f"{source} → {table.noted[source].name}") for source in table.renamed),
        *(_changed(table, one.column, "column-widened", f"{one.before} → {one.after}") for one in table.widened),
    ]


def _changed(table: Target, column: str | None, change: str, detail: str) -> Change:
    return Change(stream=table.stream, column=column, change=change, detail=detail)


def unsupported(stream: str, column: str | None, why: str, hint: str) -> InputError:
    what = f"stream `{stream}`" if column is None else f"column `{column}` of stream `{stream}`"
    return InputError("unsupported-change", f"{what} can't be loaded into the table that is there", why=why, hint=hint)
