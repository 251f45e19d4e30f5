"""Streams to messages: which rows a stream is asked for, where it can be taken up again, and up to where it came."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import adbc_driver_manager as adbc
import msgspec
import psycopg
import pyarrow as pa
from msgspec import Struct

from headwater.base.ahead import interleaved
from headwater.base.errors import InputError, RunFailedError
from headwater.base.text import did_you_mean
from headwater.connect import types
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import cannot_connect, connect, literal
from headwater.connect.names import quote
from headwater.connect.sources.postgres import catalog, columns, link
from headwater.connect.sources.postgres.settings import Settings
from headwater.connect.stages.select import table_keys, taken
from headwater.model.catalog import CatalogStream

Json = dict[str, Any]

# Above so many rows in the order of the key, a full table is read by its key and can be taken up where it stopped.
_RESUMABLE_ROWS = 100_000
_RESUMABLE_CORRELATION = 0.9
_QUEUE_BYTES = 32 << 20


class Query(Struct, frozen=True, kw_only=True):
    """What is asked of one stream. `cursor` is the column that its rows are ordered by, if any: with `is_full` that is
    the key of a full table, read on behind `after`; else the replication key, read on from `after` (inclusive)."""

    table: catalog.Table
    columns: tuple[columns.Column, ...]
    keys: tuple[str, ...]
    cursor: str | None
    is_full: bool
    after: str | None
    lookback_seconds: int = 0

    @property
    def stream(self) -> str:
        return self.table.stream

    def sql(self) -> str:
        listed = ", ".join(f"{one.sql} as {quote(one.name)}" for one in self.columns)
        query = f"select {listed} from {quote(self.table.schema)}.{quote(self.table.name)} as t"
        if self.cursor is None:
            return query
        name = f"t.{quote(self.cursor)}"  # a name alone would be that of the expression that is selected
        if self.after is not None:
            base = next(one.base for one in self.table.columns if one.name == self.cursor)
            value = f"{literal(self.after)}::pg_catalog.{base}"
            if self.lookback_seconds and not self.is_full and columns.is_moment(base):
                value += f" - interval '{self.lookback_seconds} seconds'"
            query += f" where {name} {'>' if self.is_full else '>='} {value}"
        return f"{query} order by {name}"


class Note(Struct, frozen=True):
    """A bookmark that covers all rows of its stream before it; None when the stream needs none any more."""

    stream: str
    bookmark: Json | None


def read(settings: Settings, address: Address, request: ReadRequest) -> Iterator[Message]:
    """Rows of every selected stream, all as they were at one moment, up to `request.jobs` streams at a time.

    Raises InputError, EnvironmentProblemError, RunFailedError.
    """
    state = _State(request.state)
    try:
        holder = connect(address, application="headwater: snapshot")
    except psycopg.OperationalError as error:
        raise cannot_connect(address, error) from error
    with contextlib.closing(holder):
        known = {table.stream: table for table in catalog.tables(holder, settings)}
        snapshot = link.snapshot(holder)
        queries = [
            query
            for entry in request.catalog.streams
            if (query := _query(entry, known, holder, state, settings)) is not None
        ]
        readers = [_reader(query, address, snapshot, request) for query in queries]
        found = (
            (item for reader in readers for item in reader())
            if request.jobs == 1
            else interleaved(readers, jobs=request.jobs, budget_bytes=_QUEUE_BYTES, size_of=_size)
        )
        with contextlib.closing(found):
            for item in found:
                if isinstance(item, Note):
                    state.note(item)
                    yield Checkpoint(state=state.encoded())
                else:
                    yield item
    yield Checkpoint(state=state.encoded())


class _State:
    """Bookmarks by stream, in the words that Singer taps use; what else a state holds is kept as it is."""

    def __init__(self, raw: bytes | None) -> None:
        self._whole: Json = {}
        if raw is not None and raw.strip():
            try:
                self._whole = msgspec.json.decode(raw, type=Json)
                self._bookmarks: Json = msgspec.convert(self._whole.setdefault("bookmarks", {}), dict[str, Json])
            except msgspec.MsgspecError as error:
                raise InputError(
                    "unreadable-state",
                    "the state is not one of a database's tap",
                    why=str(error),
                    hint="headwater state list",
                ) from error
        self._bookmarks = self._whole.setdefault("bookmarks", {})

    def of(self, stream: str) -> Json:
        found: Json = self._bookmarks.get(stream, {})
        return found

    def note(self, note: Note) -> None:
        if note.bookmark is None:
            self._bookmarks.pop(note.stream, None)
        else:
            self._bookmarks[note.stream] = note.bookmark

    def encoded(self) -> bytes:
        return msgspec.json.encode(self._whole)


def _query(
    entry: CatalogStream, known: dict[str, catalog.Table], holder: Any, state: _State, settings: Settings
) -> Query | None:
    selection = taken(entry)
    if selection is None:
        return None
    table = known.get(entry.tap_stream_id)
    if table is None:
        guess = did_you_mean(entry.tap_stream_id, known)
        raise InputError(
            "source-changed",
            f"there is no table `{entry.tap_stream_id.replace('-', '.', 1)}` that can be read",
            hint=f"did you mean `{guess}`?" if guess else "run it again with --refresh-catalog",
        )
    top: Json = next((mark.metadata for mark in entry.metadata if not mark.breadcrumb), {})
    method = top.get("forced-replication-method") or top.get("replication-method") or entry.replication_method
    cursor = top.get("replication-key") or entry.replication_key
    keys = tuple(table_keys(entry) or ())
    wanted = [one for one in table.columns if selection.takes(one.name) or one.name in (*keys, cursor)]
    fields = tuple(map(columns.column, wanted))
    bookmark = state.of(table.stream)
    if method == "LOG_BASED":
        raise InputError(
            "no-log-based",
            f"stream `{table.stream}` asks for LOG_BASED replication, which this source does not have",
            hint=f"set its replication-method to INCREMENTAL or FULL_TABLE: headwater config set tap-postgres "
            f"_metadata.{table.stream}.replication-method FULL_TABLE",
        )
    if method != "INCREMENTAL":
        key = _resumable(table, keys, holder)
        after = bookmark.get("full_table_after") if key is not None and bookmark.get("full_table_key") == key else None
        return Query(table=table, columns=fields, keys=keys, cursor=key, is_full=True, after=after)
    _require_cursor(table, cursor)
    value = bookmark.get("replication_key_value") if bookmark.get("replication_key", cursor) == cursor else None
    return Query(
        table=table,
        columns=fields,
        keys=keys,
        cursor=cursor,
        is_full=False,
        after=None if value is None else str(value),
        lookback_seconds=settings.lookback_seconds,
    )


def _require_cursor(table: catalog.Table, cursor: str | None) -> None:
    names = [one.name for one in table.columns]
    if cursor in names:
        return
    guess = did_you_mean(cursor, names) if cursor else None
    raise InputError(
        "no-replication-key",
        f"stream `{table.stream}` is to be replicated by its key `{cursor}`, which is no column of it"
        if cursor
        else f"stream `{table.stream}` is to be replicated incrementally and has no replication key",
        hint=f"did you mean `{guess}`?"
        if guess
        else f"headwater config set tap-postgres _metadata.{table.stream}.replication-key COLUMN",
    )


def _resumable(table: catalog.Table, keys: tuple[str, ...], holder: Any) -> str | None:
    """The key by which a full table can be read in parts: it must be its primary key, of one column, and the rows of a
    large table must lie in its order; else that order would cost more than it is worth."""
    if len(table.keys) != 1 or keys != table.keys or table.is_view:
        return None
    base = next(one.base for one in table.columns if one.name == table.keys[0])
    if base not in ("int2", "int4", "int8"):
        return None
    row = holder.execute(
        "select c.reltuples, s.correlation from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = %s "
        "where n.nspname = %s and c.relname = %s",
        [table.keys[0], table.schema, table.name],
    ).fetchone()
    is_worth_it = row and row[0] >= _RESUMABLE_ROWS and (row[1] or 0) >= _RESUMABLE_CORRELATION
    return table.keys[0] if is_worth_it else None


def _reader(
    query: Query, address: Address, snapshot: str, request: ReadRequest
) -> Callable[[], Iterator[Message | Note]]:
    def items() -> Iterator[Message | Note]:
        if request.should_stop():
            return
        try:
            reader = link.Reader(address, snapshot)
            with contextlib.closing(reader):
                yield from _messages(query, reader, request)
        except (adbc.Error, pa.ArrowException, OSError) as error:  # Arrow's reader has no errors of its driver
            raise link.trouble(address, error, query.stream) from error

    return items


def _messages(query: Query, reader: link.Reader, request: ReadRequest) -> Iterator[Message | Note]:
    shown = query.columns
    # Without a key a row can't be told from one that came before: the stream's whole content is replaced.
    replace = query.is_full and not query.keys
    yield _schema(query, shown, replace=replace)
    last = query.after
    for batch in reader.batches(query.sql(), request.batch_bytes):
        if not batch.num_rows:
            continue
        fitted = tuple(columns.widened(one, values) for one, values in zip(shown, batch.columns, strict=True))
        if fitted != shown:
            shown = fitted
            yield _schema(query, shown, replace=replace)
        rows = _rows(query, shown, batch)
        yield rows
        last = _last(query, rows.batch) or last
        if query.cursor is not None and last is not None:
            yield Note(query.stream, _bookmark(query, last, is_done=False))
        if request.should_stop():
            return
    yield Note(query.stream, _bookmark(query, last, is_done=True))


def _schema(query: Query, shown: tuple[columns.Column, ...], *, replace: bool) -> Schema:
    cursor = None if query.is_full else query.cursor
    fields = pa.schema([one.field for one in shown])
    return Schema(stream=query.stream, columns=fields, keys=query.keys, cursor=cursor, replace=replace)


def _rows(query: Query, shown: tuple[columns.Column, ...], batch: pa.RecordBatch) -> Rows:
    arrays, repaired = [], {}
    for one, values in zip(shown, batch.columns, strict=True):
        array, lost = columns.converted(one, values)
        arrays.append(array)
        if lost and one.name in (*query.keys, query.cursor):
            raise RunFailedError(
                "value-rejected",
                f"`{one.name}` of stream `{query.stream}` holds a value beyond the years 1 to 9999, or no number",
                why="it is a key or the replication key, and those are never repaired",
                hint="correct it at the source, or choose another key",
            )
        if lost:
            repaired[one.name] = lost
    fields = pa.schema([one.field for one in shown])
    whole = pa.RecordBatch.from_arrays(arrays, schema=fields)
    return Rows(stream=query.stream, batch=whole, repaired=repaired, size=batch.nbytes)


def _last(query: Query, batch: pa.RecordBatch) -> str | None:
    """The cursor of the last row that has one, as PostgreSQL reads it. Nulls come last."""
    if query.cursor is None:
        return None
    values = batch.column(query.cursor).drop_null()
    return None if not len(values) else types.cast(values.slice(len(values) - 1), types.STRING)[0].as_py()


def _bookmark(query: Query, last: str | None, *, is_done: bool) -> Json | None:
    if not query.is_full:
        return None if last is None else {"replication_key": query.cursor, "replication_key_value": last}
    return None if is_done else {"full_table_key": query.cursor, "full_table_after": last}


def _size(item: Message | Note) -> int:
    return item.batch.nbytes if isinstance(item, Rows) else 0
