"""How a table comes to hold what a stream sends: names, types, and the DDL that leads there.

A type only ever grows (`connect.types.widen`), a column is never dropped, and what can't be reached that way is
refused before a row is loaded. `target` works everything out from `Held`, so that `prepare` and `commit` judge alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.connect import names, types
from headwater.connect.contract import Change
from headwater.connect.destinations import history
from headwater.connect.destinations.bookkeeping import NamedColumn, Widening
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import CURRENT, VALID_FROM, VALID_TO
from headwater.connect.destinations.postgres import books
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.sql_types import conversion, field_of, reached_sql, sql_type
from headwater.connect.staging import VERSION, grown

LOADED_AT = "__loaded_at"
# Riders of incoming rows: their order of arrival, and which of their columns were sent.
ORDINAL = "__ordinal"
SENT = "__sent"
_OURS = (LOADED_AT, VERSION, DELETED_AT, VALID_FROM, VALID_TO)
_SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
RESERVED = frozenset((*_OURS, ORDINAL, SENT, *_SYSTEM))
LONGEST_NAME = 63  # bytes; PostgreSQL cuts longer ones without a word
_MOST_COLUMNS = 1600
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table", "i": "an index", "S": "a sequence"}


class LiveColumn(Struct, frozen=True, kw_only=True):
    """A column as it is in the database. `is_required` ones have to be sent: NOT NULL without a default. Those that are
    `is_generated` can't be written."""

    name: str
    sql_type: str
    is_required: bool
    is_generated: bool


class Held(Struct, frozen=True, kw_only=True):
    """What the database holds for one stream. `kind` is PostgreSQL's letter for what bears the table's name, None
    when nothing does. `unique` has the columns of each unique index, `primary` the primary key's name. `noted` and
    `keys` are the books' words; `keys` is None for a table that is not in the books."""

    schema: str
    stream: str
    table: str
    kind: str | None
    live: dict[str, LiveColumn]
    unique: tuple[frozenset[str], ...]
    primary: str | None
    noted: dict[str, NamedColumn]
    keys: tuple[str, ...] | None


class Column(Struct, frozen=True, kw_only=True):
    """A column of a stream: its name at the source, its name here, the type of its values and that of the table."""

    source: str
    name: str
    type: pa.Field
    sql_type: str


class Target(Struct, frozen=True, kw_only=True):
    """A stream's table and what must be done before rows fit in. `keys` are names here. `is_keyed` says whether a
    unique index on the keys is there; `stale_key` is the constraint of former keys. `ours` are the columns of ours
    that the table has or gets, beside the moment of the load, `others` those that neither the stream nor we fill.
    `keeps_history` says that a row is a version; with `starts_history` the rows have to become versions first."""

    stream: str
    schema: str
    table: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    is_new: bool
    is_keyed: bool
    stale_key: str | None
    added: tuple[tuple[str, str], ...]
    widened: tuple[Widening, ...]
    noted: dict[str, NamedColumn]
    is_noted: bool
    renamed: tuple[str, ...]
    ours: tuple[str, ...]
    others: tuple[str, ...]
    keeps_history: bool
    starts_history: bool

    @property
    def sql(self) -> str:
        return f"{names.quote(self.schema)}.{names.quote(self.table)}"

    @property
    def is_versioned(self) -> bool:
        return VERSION in self.ours

    @property
    def own(self) -> list[str]:
        """The columns that the rows bring."""
        return [column.name for column in self.columns] + ([VERSION] if self.is_versioned else [])


_OID = (
    "(select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace and nspname = %s where relname = %s)"
)
_NOTED = "select source_name, column_name, declared from _headwater.columns where schema_name = %s and table_name = %s"
_LIVE = (
    "select attname, format_type(atttypid, atttypmod), attnotnull and not atthasdef and attidentity = '', "
    "attidentity <> '' or attgenerated <> '' "
    f"from pg_attribute where attrelid = {_OID} and attnum > 0 and not attisdropped order by attnum"
)
_UNIQUE = (
    "select array(select a.attname::text from pg_attribute a where a.attrelid = i.indrelid "
    f"and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])) from pg_index i where i.indrelid = {_OID} "
    "and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null"
)


def look(connection: Connection, schema: str, stream: str) -> Held:
    """What the database holds for a stream now."""
    streams: dict[str, str] = {}
    keys: tuple[str, ...] | None = None
    known_as = books.written(stream)
    has_books = books.exist(connection)
    if has_books:
        for name, table, of_table in connection.execute(
            "select stream, table_name, keys from _headwater.tables where schema_name = %s", [schema]
        ):
            streams[name] = table
            if name == known_as:
                keys = tuple(of_table)
    # A table made by others is met by its name; those of our other streams are avoided.
    table = names.identifiers([known_as], max_length=LONGEST_NAME, fold_case=False, known=streams)[known_as]
    place = [schema, table]
    with connection.pipeline():  # one journey for all of them
        noted = connection.execute(_NOTED, place) if has_books else None
        kind = connection.execute(f"select relkind::text from pg_class where oid = {_OID}", place)
        live = connection.execute(_LIVE, place)
        unique = connection.execute(_UNIQUE, place)
        primary = connection.execute(
            f"select conname from pg_constraint where contype = 'p' and conrelid = {_OID}", place
        )
    return Held(
        schema=schema,
        stream=stream,
        table=table,
        kind=next((letter for (letter,) in kind), None),
        live={
            name: LiveColumn(name=name, sql_type=sql, is_required=is_required, is_generated=is_generated)
            for name, sql, is_required, is_generated in live
        },
        unique=tuple(frozenset(columns) for (columns,) in unique),
        primary=next((name for (name,) in primary), None),
        noted={source: NamedColumn(name=column, declared=declared) for source, column, declared in noted or ()},
        keys=keys,
    )


def target(
    held: Held,
    columns: Mapping[str, pa.Field],
    keys: tuple[str, ...],
    *,
    is_versioned: bool = False,
    rekey: bool = False,
    keeps_history: bool = False,
) -> Target:
    """Work out the table for a stream whose columns, by source name, are of those types.

    `keys` are source names; () when rows are appended. `is_versioned` says that rows carry a table version. `rekey`
    allows other keys than before (the content is replaced anyway). Raises InputError (`unsupported-change`,
    `too-many-columns`) for what can't be reached without loss.
    """
    stream, live, place = held.stream, held.live, f"{held.schema}.{held.table}"
    if held.kind not in (None, "r", "p"):
        what = _KINDS.get(held.kind or "", "something else")
        raise unsupported(stream, None, f"`{place}` is {what}", "rename it, or load into another schema")
    called = _called(columns, held)
    reached, added, widened = [], [], []
    for source, wanted in columns.items():
        existing = live.get(called[source])
        if existing is None:
            column = Column(source=source, name=called[source], type=wanted, sql_type=sql_type(wanted))
            added.append((column.name, column.sql_type))
        else:
            column, widening = _reach(
                stream, source, existing, wanted, held.noted.get(books.written(source)), replaced=rekey
            )
            if widening:
                widened.append(widening)
        reached.append(column)
    mine = {column.name for column in reached}
    _refuse_required(stream, [one for name, one in live.items() if name not in mine and name not in _OURS])
    key_names = tuple(called[key] for key in keys)
    is_other_key = held.keys is not None and held.keys != key_names
    starts_history = keeps_history and bool(live) and VALID_FROM not in live
    if starts_history:
        _refuse_history(held, key_names)
    if VALID_FROM in live and not keeps_history:
        raise history.other_method(place, stream)
    on_key = (*key_names, VALID_FROM) if VALID_FROM in live else key_names
    is_keyed = frozenset(on_key) in held.unique
    if live and is_other_key and not rekey:
        raise unsupported(
            stream,
            None,
            f"the key was ({', '.join(held.keys or ()) or 'none'}) and is now ({', '.join(key_names) or 'none'})",
            f"move `{place}` out of the way and load it anew, or set `load_method` to `overwrite`",
        )
    if live and key_names and not is_keyed and not rekey:
        listed = ", ".join(map(names.quote, on_key))
        raise unsupported(
            stream,
            None,
            f"`{place}` has no unique index on ({listed})",
            f"create unique index on {names.quote(held.schema)}.{names.quote(held.table)} ({listed})",
        )
    if len(live) + len(added) + len(_OURS) > _MOST_COLUMNS:
        raise InputError(
            "too-many-columns",
            f"stream `{stream}` has too many columns for a table: {len(columns)}",
            why=f"PostgreSQL holds {_MOST_COLUMNS} in a table",
            hint="select fewer columns: headwater select <tap> --list",
        )
    noted = {
        source: NamedColumn(name=called[source], declared=types.declared(wanted)) for source, wanted in columns.items()
    }
    ours = [VERSION] if is_versioned or VERSION in live else []
    if DELETED_AT in live:
        ours.append(DELETED_AT)
    return Target(
        stream=stream,
        schema=held.schema,
        table=held.table,
        columns=tuple(reached),
        keys=key_names,
        is_new=not live,
        is_keyed=is_keyed,
        stale_key=held.primary if starts_history or (live and is_other_key and not is_keyed) else None,
        added=(*added, *_added_ours(live, ours)),
        widened=tuple(widened),
        noted=noted,
        is_noted=held.keys == key_names
        and all(held.noted.get(books.written(source)) == one for source, one in noted.items()),
        renamed=tuple(
            source for source in columns if books.written(source) not in held.noted and called[source] != source
        ),
        ours=tuple(ours),
        others=tuple(
            name for name, one in live.items() if name not in mine and name not in _OURS and not one.is_generated
        ),
        keeps_history=keeps_history,
        starts_history=starts_history,
    )


def reach(connection: Connection, table: Target, place: str | None) -> list[Change]:
    """Make the table (and `place`, where rows to replace its content are collected) able to hold the stream. A new
    table has no key yet: see `add_key`."""
    if table.is_new:
        kept = [*table.added, (LOADED_AT, "timestamp with time zone not null")]
        if table.keeps_history:
            kept += [(VALID_FROM, "timestamp with time zone not null"), (VALID_TO, "timestamp with time zone")]
        body = ", ".join(f"{names.quote(name)} {sql}" for name, sql in kept)
        if not connection.execute("select 1 from pg_namespace where nspname = %s", [table.schema]).fetchone():
            execute(connection, f"create schema if not exists {names.quote(table.schema)}")
        execute(connection, f"create table {table.sql} ({body})")
    else:
        for at in (table.sql, place) if place else (table.sql,):
            _alter(connection, table, at)
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


def add_key(connection: Connection, table: Target, at: str) -> None:
    """Give `at` the keys; where it keeps history, of a key's versions one is current. Raises
    psycopg.errors.UniqueViolation when two rows have the same."""
    listed = ", ".join(map(names.quote, table.keys))
    if not table.keeps_history:
        execute(connection, f"alter table {at} add primary key ({listed})")
        return
    execute(connection, f"alter table {at} add primary key ({listed}, {VALID_FROM})")
    execute(connection, f"create unique index on {at} ({listed}) where {CURRENT}")


def drop_stale_key(connection: Connection, table: Target) -> None:
    if table.stale_key:
        execute(connection, f"alter table {table.sql} drop constraint {names.quote(table.stale_key)}")


def _refuse_history(held: Held, keys: tuple[str, ...]) -> None:
    place, listed = f"{held.schema}.{held.table}", ", ".join(keys)
    if held.keys != keys:
        raise history.not_convertible(place, held.stream, f"`{place}` was not loaded with the key ({listed})")
    if held.primary is None or any(columns != frozenset(keys) for columns in held.unique):
        raise history.not_convertible(
            place,
            held.stream,
            f"`{place}` has other unique indexes than a primary key on ({listed}), so a key can't have two versions",
            "drop those indexes, or move the table out of the way and load it anew",
        )


def _alter(connection: Connection, table: Target, at: str) -> None:
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


def _added_ours(live: Mapping[str, LiveColumn], ours: list[str]) -> list[tuple[str, str]]:
    """Columns of ours that the rows need; a table made by others has not even the moment of the load."""
    added = [(name, "bigint") for name in ours if name not in live]
    if live and LOADED_AT not in live:
        added.append((LOADED_AT, "timestamp with time zone"))
    return added


def _called(columns: Mapping[str, pa.Field], held: Held) -> dict[str, str]:
    """Every column's name here; those in the books keep theirs."""
    known = {source: column.name for source, column in held.noted.items()}
    known |= {source: known[books.written(source)] for source in columns if books.written(source) in known}
    return names.identifiers(list(columns), max_length=LONGEST_NAME, fold_case=False, reserved=RESERVED, known=known)


def _reach(
    stream: str, source: str, existing: LiveColumn, wanted: pa.Field, noted: NamedColumn | None, *, replaced: bool
) -> tuple[Column, Widening | None]:
    """The column as it will be, and what leads there (None when it is so)."""
    held = field_of(existing.sql_type)
    if existing.sql_type == "numeric" and types.kind(wanted.type) != "float64":  # holds any decimal as it is
        held = pa.field("", wanted.type if types.kind(wanted.type) == "decimal" else types.BIG_INTEGER)
    reached = None if held is None else grown(held, noted.declared if noted else None, wanted, replaced=replaced)
    if held is None or reached is None:
        raise unsupported(
            stream,
            source,
            f"the column is {existing.sql_type} and the source now sends {sql_type(wanted)}",
            "types only ever grow: rename the old column, or move the table out of the way and load it anew",
        )
    after = reached_sql(existing.sql_type, reached)
    column = Column(source=source, name=existing.name, type=reached, sql_type=after)
    if after == existing.sql_type:
        return column, None
    using, lossy = conversion(names.quote(existing.name), existing.sql_type, reached)
    return column, Widening(column=existing.name, before=existing.sql_type, after=after, using=using, lossy=lossy)


def _refuse_required(stream: str, others: list[LiveColumn]) -> None:
    for one in others:
        if one.is_required:
            raise unsupported(
                stream,
                one.name,
                "the column is NOT NULL and the source does not send it",
                f"allow nulls: alter table … alter column {names.quote(one.name)} drop not null",
            )


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


def unsupported(stream: str, column: str | None, why: str, hint: str) -> InputError:
    what = f"stream `{stream}`" if column is None else f"column `{column}` of stream `{stream}`"
    return InputError("unsupported-change", f"{what} can't be loaded into the table that is there", why=why, hint=hint)
