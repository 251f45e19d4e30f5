"""How a table comes to hold what a stream sends: names, types, keys.

A type only ever grows (`connect.types.widen`), a column is never dropped, and what can't be reached that way is
refused before a row is loaded. `target` works everything out from `Held`, so that `prepare` and `commit` judge alike;
`alter.reach` does it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.connect import names, types
from headwater.connect.destinations import history
from headwater.connect.destinations.bookkeeping import NamedColumn, Widening
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.connect.destinations.postgres import books
from headwater.connect.destinations.postgres.connection import Connection
from headwater.connect.destinations.postgres.sql_types import conversion, field_of, reached_sql, sql_type
from headwater.connect.members import merged_sources
from headwater.connect.staging import VERSION, grown

LOADED_AT = "__loaded_at"
# Stands for keys that are too long for an index.
KEY_HASH = "__key_hash"
# Riders of incoming rows: their order of arrival, and which of their columns were sent.
ORDINAL = "__ordinal"
SENT = "__sent"
_OURS = (LOADED_AT, VERSION, DELETED_AT, VALID_FROM, VALID_TO)
_SYSTEM = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
RESERVED = frozenset((*_OURS, KEY_HASH, ORDINAL, SENT, *_SYSTEM))
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
    """A stream's table and what must be done before rows fit in. `keys` are names here, `merged` sources of columns
    that are merged member by member. `is_keyed` says whether the unique index is there (or made with the table's other
    changes); `stale_key` is the constraint of former keys. `is_hashed` says that the index is (to be) on their hash,
    `new_hash` that it takes the place of one on the keys or on a hash that was, `drops_hash` that the hash which is
    there goes. `ours` are the columns of ours that the table has or gets, beside the moment of the load, `others` those
    that neither the stream nor we fill. `keeps_history` says that a row is a version; with `starts_history` the rows
    have to become versions first."""

    stream: str
    schema: str
    table: str
    columns: tuple[Column, ...]
    keys: tuple[str, ...]
    merged: frozenset[str]
    is_new: bool
    is_keyed: bool
    stale_key: str | None
    is_hashed: bool
    new_hash: bool
    drops_hash: bool
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
    def matched(self) -> tuple[str, ...]:
        """The columns that say which row is which. The hash finds the row, the keys tell that it is the one."""
        return (KEY_HASH, *self.keys) if self.is_hashed else self.keys

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
    has_long_keys: bool = False,
    rekey: bool = False,
    keeps_history: bool = False,
) -> Target:
    """Work out the table for a stream whose columns, by source name, are of those types.

    `keys` are source names; () when rows are appended. `is_versioned` says that rows carry a table version,
    `has_long_keys` that some keys are too long for an index. `rekey` allows other keys than before (the content is
    replaced anyway). Raises InputError (`unsupported-change`, `too-many-columns`) for what can't be reached without
    loss.
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
    has_hash = KEY_HASH in live and live[KEY_HASH].is_generated
    is_hashed = bool(keys) and (has_long_keys or (has_hash and not (rekey and is_other_key)))
    if is_hashed and KEY_HASH in live and not has_hash:
        raise unsupported(
            stream,
            KEY_HASH,
            f"keys are too long for an index, and `{place}` has a column of the name that their hash gets",
            f"move `{place}` out of the way and load it anew",
        )
    is_stale_hash = has_hash and rekey and is_other_key
    drops_hash = is_stale_hash or (is_hashed and any(one.column in key_names for one in widened))
    standing = (KEY_HASH,) if has_hash and not is_stale_hash else key_names
    starts_history = keeps_history and bool(live) and VALID_FROM not in live
    if starts_history:
        _refuse_history(held, key_names, standing)
    if VALID_FROM in live and not keeps_history:
        raise history.other_method(place, stream)
    on_key = (*standing, VALID_FROM) if VALID_FROM in live else standing
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
    # The books may know the new keys already: they are noted when the first of the new rows are collected.
    is_stale = bool(live) and rekey and held.keys is not None and not is_keyed
    needs_hash = is_hashed and bool(live) and (drops_hash or not has_hash)
    # Other keys get theirs when the rows of the former ones are gone.
    is_keyed = is_keyed and not (needs_hash and is_other_key)
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
        merged=merged_sources(columns, keys, ((one.source, one.type) for one in reached)),
        is_new=not live,
        is_keyed=is_keyed,
        stale_key=held.primary if starts_history or is_stale else None,
        is_hashed=is_hashed,
        new_hash=needs_hash and is_keyed and not starts_history,
        drops_hash=drops_hash,
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


def _refuse_history(held: Held, keys: tuple[str, ...], standing: tuple[str, ...]) -> None:
    place, listed = f"{held.schema}.{held.table}", ", ".join(keys)
    if held.keys != keys:
        raise history.not_convertible(place, held.stream, f"`{place}` was not loaded with the key ({listed})")
    if held.primary is None or any(columns != frozenset(standing) for columns in held.unique):
        raise history.not_convertible(
            place,
            held.stream,
            f"`{place}` has other unique indexes than a primary key on ({listed}), so a key can't have two versions",
            "drop those indexes, or move the table out of the way and load it anew",
        )


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


def unsupported(stream: str, column: str | None, why: str, hint: str) -> InputError:
    what = f"stream `{stream}`" if column is None else f"column `{column}` of stream `{stream}`"
    return InputError("unsupported-change", f"{what} can't be loaded into the table that is there", why=why, hint=hint)
