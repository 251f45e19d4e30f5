"""Streams to messages, and the checkpoints that cover them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from headwater.base.ahead import Beat, interleaved
from headwater.connect import types
from headwater.connect.contract import Message, ReadRequest, Rows
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.sources.bookmarks import Bookmarks, Json, Note, checkpointed
from headwater.connect.sources.mysql import catalog
from headwater.connect.sources.mysql.batches import Batches
from headwater.connect.sources.mysql.link import Sessions
from headwater.connect.sources.mysql.query import Query, queries
from headwater.connect.sources.mysql.rows import UnexpectedRowError
from headwater.connect.sources.mysql.session import ERRORS, CancelledError
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql.trouble import cannot_look, trouble

if TYPE_CHECKING:
    from headwater.connect.sources.mysql.replicate import Replication

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
            asked = _asked(sessions, bookmarks, settings, request)
            followed = _begun(asked, sessions, address, bookmarks, settings, request)
        except ERRORS as error:
            raise cannot_look(address, error) from error
        if followed is None:
            yield from _all(asked, sessions, address, bookmarks, request)
            return
        copies = [query for query in asked if not query.is_logged] + followed.copies
        yield from _all(sorted(copies, key=lambda one: one.replaces), sessions, address, bookmarks, request)
        if not request.should_stop():
            yield from followed.changed()
        if followed.anew and not request.should_stop():
            yield from _all(followed.anew, sessions, address, bookmarks, request)


def _asked(sessions: Sessions, bookmarks: Bookmarks, settings: Settings, request: ReadRequest) -> list[Query]:
    known = {table.stream: table for table in catalog.tables(sessions.first, settings)}
    held = {entry.tap_stream_id: bookmarks.of(entry.tap_stream_id) for entry in request.catalog.streams}
    return queries(request.catalog.streams, known, held, settings)


def _begun(
    asked: list[Query],
    sessions: Sessions,
    address: Address,
    bookmarks: Bookmarks,
    settings: Settings,
    request: ReadRequest,
) -> Replication | None:
    """The moment begins that is shown; what is read from the log then fits it."""
    logged = [query for query in asked if query.is_logged]
    count = max(1, min(request.jobs, len(asked)))
    if not logged:
        sessions.begin(count, tell=request.on_line)
        return None
    # What reads the log is needed by nobody else.
    from headwater.connect.sources.mysql.replicate import Replication, check  # noqa: PLC0415 - see above

    check(sessions.first, logged)
    before = sessions.place()
    exact = sessions.begin(count, tell=request.on_line)
    return Replication(
        logged,
        sessions,
        address,
        bookmarks,
        settings,
        request,
        here=exact or before,
        until=exact or sessions.place(),
    )


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
    with contextlib.closing(found):
        yield from checkpointed(found, bookmarks)


def _delivered(query: Query, sessions: Sessions, address: Address, request: ReadRequest) -> Iterator[_Item]:
    if request.should_stop():
        return
    try:
        yield from _messages(query, sessions, request)
    except (*ERRORS, UnexpectedRowError, CancelledError) as error:
        if not sessions.is_cancelled:
            raise trouble(address, error, query.stream) from error


def _messages(query: Query, sessions: Sessions, request: ReadRequest) -> Iterator[_Item]:
    batches = Batches(query)
    noted = last = query.after
    with contextlib.closing(sessions.blocks(query, request.batch_bytes)) as blocks:
        for block in blocks:
            for message in batches.of(block):
                yield message
                if isinstance(message, Rows):
                    last = _last(query, message.batch) or last
            if last != noted:
                yield Note(query.stream, _bookmark(query, last, is_done=False))
                noted = last
            if request.should_stop():
                return
    yield from batches.schema()
    yield Note(query.stream, _bookmark(query, last, is_done=True))


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
    if is_done:
        return query.mark
    return {"full_table_key": query.cursor, "full_table_after": last} | (query.mark or {})


def _size(item: _Item) -> int:
    return int(item.batch.nbytes) if isinstance(item, Rows) else 0
