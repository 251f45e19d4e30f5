"""Streams to messages, and the checkpoints that cover them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from headwater.base.ahead import Beat, interleaved
from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows, Schema
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.sources.mysql import catalog, columns
from headwater.connect.sources.mysql.link import Sessions
from headwater.connect.sources.mysql.query import Query, queries
from headwater.connect.sources.mysql.rows import Block, UnexpectedRowError
from headwater.connect.sources.mysql.session import ERRORS, CancelledError
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql.trouble import cannot_look, trouble
from headwater.connect.sources.postgres.bookmarks import Bookmarks, Json, Note

# How often it is asked, while no rows come, whether the read is to stop.
_BEAT_SECONDS = 0.5

_Item = Message | Note


def read(settings: Settings, address: Address, request: ReadRequest) -> Iterator[Message]:
    """Rows of every selected stream, all as they were at one moment where the server allows it, up to `request.jobs`
    streams at a time.

    A query that has not answered yet is cancelled when the read is to stop. A read that stops within a stream that can
    only be read as a whole ends without a checkpoint. Raises InputError, EnvironmentProblemError, RunFailedError.
    """
    bookmarks = Bookmarks(request.state)
    sessions = Sessions(address, settings, idle_seconds=request.idle_seconds)
    with contextlib.closing(sessions):
        try:
            known = {table.stream: table for table in catalog.tables(sessions.first, settings)}
            held = {entry.tap_stream_id: bookmarks.of(entry.tap_stream_id) for entry in request.catalog.streams}
            asked = queries(request.catalog.streams, known, held, settings)
            sessions.begin(max(1, min(request.jobs, len(asked))), tell=request.on_line)
        except ERRORS as error:
            raise cannot_look(address, error) from error
        yield from _all(asked, sessions, address, bookmarks, request)


def _all(
    asked: list[Query], sessions: Sessions, address: Address, bookmarks: Bookmarks, request: ReadRequest
) -> Iterator[Message]:
    def beat() -> None:
        if request.should_stop():
            sessions.cancel()

    found = interleaved(
        [partial(_delivered, query, sessions, address, request) for query in asked],
        jobs=request.jobs,
        # One stream at a time is read ahead by who reads from us.
        budget_bytes=request.ahead_bytes if request.jobs > 1 else 0,
        size_of=_size,
        beat=Beat(_BEAT_SECONDS, beat),
        unblock=sessions.cancel,
    )
    uncovered: set[str] = set()
    with contextlib.closing(found):
        for item in found:
            if isinstance(item, Note):
                # Taken here, behind the rows that it is about: what is read ahead is in no checkpoint.
                bookmarks.take(item)
                uncovered.discard(item.stream)
                yield Checkpoint(state=bookmarks.encoded())
            else:
                if isinstance(item, Rows):
                    uncovered.add(item.stream)
                yield item
    if not uncovered:
        yield Checkpoint(state=bookmarks.encoded())


def _delivered(query: Query, sessions: Sessions, address: Address, request: ReadRequest) -> Iterator[_Item]:
    if request.should_stop():
        return
    try:
        yield from _messages(query, sessions, request)
    except (*ERRORS, UnexpectedRowError, CancelledError) as error:
        if not sessions.is_cancelled:
            raise trouble(address, error, query.stream) from error


def _messages(query: Query, sessions: Sessions, request: ReadRequest) -> Iterator[_Item]:
    shown: tuple[columns.Column, ...] = ()
    noted = last = query.after
    with contextlib.closing(sessions.blocks(query, request.batch_bytes)) as blocks:
        for block in blocks:
            values = columns.arrays(query.columns, block.words, block.texts)
            fitted = tuple(columns.widened(*pair) for pair in zip(shown or query.columns, values, strict=True))
            if fitted != shown:
                shown = fitted
                yield _schema(query, shown)
            rows = _rows(query, shown, values, block)
            yield rows
            last = _last(query, rows.batch) or last
            if last != noted:
                yield Note(query.stream, _bookmark(query, last, is_done=False))
                noted = last
            if request.should_stop():
                return
    if not shown:
        yield _schema(query, query.columns)
    yield Note(query.stream, _bookmark(query, last, is_done=True))


def _schema(query: Query, shown: tuple[columns.Column, ...]) -> Schema:
    return Schema(
        stream=query.stream,
        columns=pa.schema([one.field for one in shown]),
        keys=query.keys,
        cursor=None if query.is_full else query.cursor,
        replace=query.replaces,
    )


def _rows(query: Query, shown: tuple[columns.Column, ...], values: list[pa.Array], block: Block) -> Rows:
    arrays, repaired = [], {}
    for one, came in zip(shown, values, strict=True):
        array, lost = columns.converted(one, came)
        arrays.append(array)
        if lost and one.name in (*query.keys, query.cursor):
            raise _rejected(query, one.name)
        if lost:
            repaired[one.name] = lost
    whole = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([one.field for one in shown]))
    return Rows(stream=query.stream, batch=whole, repaired=repaired, size=block.size)


def _rejected(query: Query, column: str) -> RunFailedError:
    return RunFailedError(
        "value-rejected",
        f"`{column}` of stream `{query.stream}` holds a date with zeros in it, or a text that is none",
        why="it is a key or the replication key, and those are never repaired",
        hint="correct it at the source, or choose another key",
    )


def _last(query: Query, batch: pa.RecordBatch) -> str | None:
    """The cursor of the last row as text; None for rows without one, which come by themselves."""
    if query.cursor is None or batch.column(query.cursor).null_count:
        return None
    values = batch.column(query.cursor)
    text: str = types.cast(values.slice(len(values) - 1), types.STRING)[0].as_py()
    return text


def _bookmark(query: Query, last: str | None, *, is_done: bool) -> Json | None:
    if not query.is_full:
        return None if last is None else {"replication_key": query.cursor, "replication_key_value": last}
    return None if is_done else {"full_table_key": query.cursor, "full_table_after": last}


def _size(item: _Item) -> int:
    return int(item.batch.nbytes) if isinstance(item, Rows) else 0
