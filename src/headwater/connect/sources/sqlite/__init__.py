"""Reads tables and views of a SQLite file: in full, or what is new by a replication key.

All that a read shows is of one moment. Rows go from SQLite to Arrow a column at a time.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Struct, field

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import Message, ReadRequest
from headwater.connect.names import quote
from headwater.connect.sources import queries
from headwater.connect.sources.bookmarks import Bookmarks, Note, checkpointed
from headwater.connect.sources.delivery import Piece, delivered
from headwater.connect.sources.queries import Method, Nulls, Query
from headwater.connect.sources.sqlite import catalog, columns
from headwater.connect.sources.sqlite.link import PLUGIN, StoppedError, opened
from headwater.model.catalog import Catalog
from headwater.sources.rows import Pace

__all__ = ["Settings", "discover", "read", "signature"]

_STEP = 64  # rows between two looks at their size
_UNREADABLE = "Could not decode to UTF-8"
_Rows = list[tuple[Any, ...]]


class Settings(Struct, frozen=True, kw_only=True):
    """`busy_timeout_seconds` is how long a program that has locked the file is waited for."""

    database: str
    default_replication_method: Method = "FULL_TABLE"
    replication_keys: dict[str, str] = field(default_factory=dict)
    null_replication_keys: Nulls = "once"
    busy_timeout_seconds: float = 60.0

    @property
    def file(self) -> Path:
        return Path(self.database).expanduser()


def discover(settings: Settings) -> Catalog:
    """A stream `main-TABLE` for each table and view, by name. What a column holds that declares no type is told by its
    table's first 1,000 rows."""
    with opened(settings.file, patience=settings.busy_timeout_seconds) as connection:
        found = catalog.tables(connection)
    return queries.catalog(
        found, method=settings.default_replication_method, replication_keys=settings.replication_keys
    )


def signature(settings: Settings) -> str:
    """A digest of the statements that made the tables, and the settings."""
    with opened(settings.file, patience=settings.busy_timeout_seconds) as connection:
        # As bytes: a statement of an old program may be no UTF-8.
        statements = "select type, name, cast(sql as blob) from main.sqlite_master order by type, name"
        made = connection.execute(statements).fetchall()
    return hashlib.sha256(msgspec.json.encode((settings, made))).hexdigest()


def read(settings: Settings, request: ReadRequest) -> Iterator[Message]:
    """Rows of every selected stream, one after the other. Raises what `link.opened` does, and InputError for what the
    catalog asks for and the file does not have."""
    bookmarks = Bookmarks(request.state)
    yield from checkpointed(_all(settings, bookmarks, request), bookmarks)


def _all(settings: Settings, bookmarks: Bookmarks, request: ReadRequest) -> Iterator[Message | Note]:
    link = opened(
        settings.file,
        patience=min(settings.busy_timeout_seconds, request.idle_seconds),
        should_stop=request.should_stop,
        on_wait=request.on_line,
    )
    try:
        with link as connection:
            known = {table.stream: table for table in catalog.tables(connection)}
            asked_for = queries.of_streams(
                request.catalog.streams, known, bookmarks.all(), tap=PLUGIN, nulls=settings.null_replication_keys
            )
            for query in asked_for:
                if request.should_stop():
                    return
                pieces = _pieces(query, connection, request.batch_bytes)
                yield from delivered(query, pieces, should_stop=request.should_stop)
    except StoppedError:
        return


def _pieces(query: Query, connection: sqlite3.Connection, batch_bytes: int) -> Iterator[Piece]:
    chosen = ", ".join([*map(columns.asked, query.columns), columns.size(query.columns)])
    name = f"t.{quote(query.cursor.name)}" if query.cursor else ""
    pace = Pace(batch_bytes)
    after = _as_stored(query, connection)
    for rest in query.conditions(name, "?1"):
        statement = f"select {chosen} from main.{quote(query.table.name)} as t{rest}"
        values = (after,) if "?1" in rest else ()
        for rows in _blocks(connection, statement, values, pace, batch_bytes):
            piece = _piece(query, rows)
            pace.note(piece.batch)
            yield piece


def _as_stored(query: Query, connection: sqlite3.Connection) -> Any:
    """A bookmark of another tap in the words in which the table has moments: to SQLite they are texts, and
    `2024-01-01T10:00:00+00:00` comes after `2024-01-01 23:00:00`."""
    after = query.after
    if query.cursor is None or query.cursor.field.type != types.TIMESTAMP or not isinstance(after, str):
        return after
    (last,) = connection.execute(
        f"select max({quote(query.cursor.name)}) from main.{quote(query.table.name)}"
    ).fetchone()
    if not isinstance(last, str):
        return after
    for zone in ("Z", "+00:00"):
        if not last.endswith(zone):
            after = after.removesuffix(zone)
    return after[:10] + last[10:11] + after[11:] if after[10:11] in ("T", " ") and last[10:11] in ("T", " ") else after


def _blocks(
    connection: sqlite3.Connection, statement: str, values: tuple[Any, ...], pace: Pace, batch_bytes: int
) -> Iterator[_Rows]:
    """The rows of a query, about `batch_bytes` at a time."""
    count = 0
    cursor = connection.execute(statement, values)
    while True:
        try:
            rows = _block(cursor, pace.rows, batch_bytes)
        except sqlite3.OperationalError as error:
            if not str(error).startswith(_UNREADABLE):
                raise
            # From here on the same rows again, and each text by itself.
            connection.text_factory = _text
            cursor = connection.execute(f"{statement} limit -1 offset {count}", values)
            continue
        if not rows:
            break
        count += len(rows)
        yield rows
    connection.text_factory = str


def _block(cursor: sqlite3.Cursor, most: int, batch_bytes: int) -> _Rows:
    rows: _Rows = []
    size = 0
    while len(rows) < most and size < batch_bytes:
        step = cursor.fetchmany(min(_STEP, most - len(rows)))
        if not step:
            break
        rows += step
        size += sum(map(_size, step))
    return rows


_size = itemgetter(-1)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _piece(query: Query, rows: _Rows) -> Piece:
    arrays, repaired, last = [], {}, None
    for one, values in zip(query.columns, islice(zip(*rows, strict=True), len(query.columns)), strict=True):
        array, changed = columns.array(one, values)
        arrays.append(array)
        if changed:
            repaired[one.name] = changed
        if one is query.cursor or one == query.cursor:
            last = _bookmark(query, values[-1])
    fields = [
        pa.field(one.name, array.type, metadata=one.field.metadata)
        for one, array in zip(query.columns, arrays, strict=True)
    ]
    return Piece(pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields)), repaired, last)


def _bookmark(query: Query, value: Any) -> Any:
    """The value as it is stored, which is how SQLite compares it."""
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        raise RunFailedError(
            "value-rejected",
            f"the replication key of stream `{query.stream}` holds bytes, or a number without end",
            why="no state can hold it",
            hint="correct it at the source, or choose another key",
        )
    return value
