"""What is asked of each stream: which rows, in which order, and from where on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace as _replace

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.connect.destinations.postgres.connection import Connection, literal
from headwater.connect.names import quote
from headwater.connect.sources.bookmarks import Bookmarks
from headwater.connect.sources.postgres import catalog, columns
from headwater.connect.sources.postgres.settings import Settings
from headwater.connect.sources.tables import replication_key
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import CatalogStream

# Above so many rows in the order of the key, a full table is read by its key and can be taken up where it stopped.
_RESUMABLE_ROWS = 100_000
_RESUMABLE_CORRELATION = 0.9
# A smaller one may be read without an order and a checkpoint between, where that gains something: as with large files,
# a run that dies in the middle begins with it again.
_MOST_AT_ONCE = 2 << 30  # bytes
_WHOLE_NUMBERS = frozenset(("int2", "int4", "int8"))
_NUMBERS = _WHOLE_NUMBERS | {"numeric"}
_MOMENTS = frozenset(("date", "timestamp", "timestamptz"))


class Query(Struct, frozen=True, kw_only=True):
    """What is asked of one stream. `cursor` is the column that its rows are ordered by, if any: with `is_full` that is
    the key of a full table, read on behind `after`; else the replication key, read on from `after` (inclusive) less
    `lookback`, which is SQL. `nulls` says whether rows without a replication key are read too.

    No bookmark goes beyond `horizon`: a transaction that ran when the read began may still bring a row with a moment
    after it.

    A stream that `is_logged` is read in full once, and goes on from the server's log; `mark` is the bookmark with which
    it does. `is_anew` says that the rows take the place of all that was loaded, `fits_at_once` that they are not too
    many to be read without a checkpoint."""

    table: catalog.Table
    columns: tuple[columns.Column, ...]
    keys: tuple[str, ...]
    cursor: str | None = None
    is_full: bool = True
    after: str | None = None
    lookback: str = ""
    nulls: bool = False
    horizon: str | None = None
    is_logged: bool = False
    mark: dict[str, Any] | None = None
    is_anew: bool = False
    fits_at_once: bool = False

    @property
    def stream(self) -> str:
        return self.table.stream

    @property
    def replaces(self) -> bool:
        """Without a key a row can't be told from one that came before: the stream's whole content is replaced."""
        return self.is_full and (not self.keys or self.is_anew)

    def statements(self) -> Iterator[str]:
        """Rows without a replication key come first: no bookmark can say that they came, so until one is set a read
        that was stopped begins again."""
        selected = ", ".join(f"{one.sql} as {quote(one.name)}" for one in self.columns)
        query = f"select {selected} from {quote(self.table.schema)}.{quote(self.table.name)} as t"
        if self.cursor is None:
            yield query
            return
        name = f"t.{quote(self.cursor)}"  # a name alone would be that of the expression that is selected
        source = self.table.column(self.cursor)
        if self.nulls and not source.not_null:
            yield f"{query} where {name} is null"
        where = ""
        if self.after is not None:
            value = f"{literal(self.after)}::pg_catalog.{source.base}{self.lookback}"
            where = f" where {name} {'>' if self.is_full else '>='} {value}"
        elif not source.not_null:
            where = f" where {name} is not null"
        yield f"{query}{where} order by {name}"


def queries(
    entries: Sequence[CatalogStream], connection: Connection, bookmarks: Bookmarks, settings: Settings
) -> list[Query]:
    """One for each selected stream, those that replace what was there last: nothing can be committed for good after
    them before the end. Raises InputError for what the catalog asks for and the database does not have."""
    known = {table.stream: table for table in catalog.tables(connection, settings)}
    chosen = [_chosen(entry, known) for entry in entries if taken(entry) is not None]
    sizes = _lying_in_order(connection, [table for _, table in chosen])
    found = [
        _query(entry, table, sizes.get(table.stream), bookmarks.of(table.stream), settings) for entry, table in chosen
    ]
    return sorted(found, key=lambda query: query.replaces)


def bounded(query: Query, horizon: str) -> Query:
    """Moments without a zone, and days, may be those of any clock; those of others can be compared."""
    is_moment = not query.is_full and query.cursor and query.table.column(query.cursor).base == "timestamptz"
    return _replace(query, horizon=horizon) if is_moment else query


def _chosen(entry: CatalogStream, known: dict[str, catalog.Table]) -> tuple[CatalogStream, catalog.Table]:
    table = known.get(entry.tap_stream_id)
    if table is None:
        guess = did_you_mean(entry.tap_stream_id, known)
        raise InputError(
            "source-changed",
            f"there is no table `{entry.tap_stream_id.replace('-', '.', 1)}` that can be read",
            hint=f"did you mean `{guess}`?" if guess else "run it again with --refresh-catalog",
        )
    return entry, table


def _query(
    entry: CatalogStream, table: catalog.Table, size: int | None, bookmark: dict[str, Any], settings: Settings
) -> Query:
    """`size` is known of a table whose rows lie in the order of its key."""
    selection = taken(entry)
    assert selection is not None
    top: dict[str, Any] = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    method = top.get("forced-replication-method") or top.get("replication-method") or entry.replication_method
    cursor = top.get("replication-key") or entry.replication_key
    keys = tuple(table_keys(entry) or ())
    by = replication_key("tap-postgres", table.stream, table.columns, cursor) if method == "INCREMENTAL" else None
    wanted = [one for one in table.columns if selection.takes(one.name) or one.name in (*keys, by)]
    asked = Query(table=table, columns=tuple(map(columns.column, wanted)), keys=keys, is_logged=method == "LOG_BASED")
    if by is None:
        if size is None or keys != table.keys:
            return asked
        (key,) = keys
        after = bookmark.get("full_table_after") if bookmark.get("full_table_key") == key else None
        return _replace(asked, cursor=key, after=after, fits_at_once=after is None and size <= _MOST_AT_ONCE)
    value = bookmark.get("replication_key_value") if bookmark.get("replication_key", by) == by else None
    return _replace(
        asked,
        cursor=by,
        is_full=False,
        after=None if value is None else str(value),
        lookback=_lookback(table.column(by).base, settings),
        nulls=settings.null_replication_keys == "always"
        or (settings.null_replication_keys == "once" and value is None),
    )


def _lookback(base: str, settings: Settings) -> str:
    if base in _MOMENTS and settings.lookback_seconds:
        return f" - interval '{settings.lookback_seconds} seconds'"
    if base in _NUMBERS and settings.lookback_units:
        return f" - {settings.lookback_units}"
    return ""


def _lying_in_order(connection: Connection, tables: Sequence[catalog.Table]) -> dict[str, int]:
    """The streams that are read by their key when they are read in full, with their sizes in bytes: large tables with a
    primary key of one column whose rows lie in its order. For others that order would cost more than it is worth."""
    fitting = [
        table
        for table in tables
        if len(table.keys) == 1 and not table.is_view and table.column(table.keys[0]).base in _WHOLE_NUMBERS
    ]
    rows = connection.execute(
        "select n.nspname, c.relname, pg_table_size(c.oid) "
        "from unnest(%s::text[], %s::text[], %s::text[]) as w(schema, name, key) "
        "join pg_namespace n on n.nspname = w.schema "
        "join pg_class c on c.relnamespace = n.oid and c.relname = w.name and c.reltuples >= %s "
        "join pg_stats s on s.schemaname = w.schema and s.tablename = w.name and s.attname = w.key "
        "and s.correlation >= %s and not s.inherited",
        [
            [table.schema for table in fitting],
            [table.name for table in fitting],
            [table.keys[0] for table in fitting],
            _RESUMABLE_ROWS,
            _RESUMABLE_CORRELATION,
        ],
    ).fetchall()
    return {f"{schema}-{name}": size for schema, name, size in rows}
