"""Streams to messages, and the checkpoints that cover them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial

import psycopg
import pyarrow as pa
from msgspec.structs import replace as _replace

from headwater.base.ahead import Beat, interleaved
from headwater.base.errors import RunFailedError
from headwater.connect import encoded, types
from headwater.connect.alive import Patience, SessionLostError
from headwater.connect.contract import Message, ReadRequest, Rows, Schema, StartOverError
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import cannot_connect, connect, literal, trouble
from headwater.connect.destinations.postgres.patient import patience
from headwater.connect.sources.bookmarks import Bookmarks, Json, Note, checkpointed
from headwater.connect.sources.postgres import columns, encoding, link, replicate
from headwater.connect.sources.postgres.query import Query, bounded, queries
from headwater.connect.sources.postgres.settings import Settings
from headwater.connect.sources.postgres.slots import StopError

# How often it is asked, while no rows come, whether the read is to stop.
_BEAT_SECONDS = 0.5
# They have an order, but no value comes after them: as a bookmark they would end the stream for ever.
_NO_NUMBERS = frozenset(("nan", "inf", "-inf"))

_Item = Message | Note


def read(settings: Settings, address: Address, request: ReadRequest) -> Iterator[Message]:
    """Rows of every selected stream, all as they were at one moment, up to `request.jobs` streams at a time.

    A query that has not answered yet is cancelled when the read is to stop. A read that stops within a stream that can
    only be read as a whole ends without a checkpoint. Raises InputError, EnvironmentProblemError, RunFailedError.
    """
    bookmarks = Bookmarks(request.state)
    try:
        holder = connect(address, application="headwater: snapshot", idle_seconds=request.idle_seconds)
    except psycopg.OperationalError as error:
        raise cannot_connect(address, error) from error
    with contextlib.ExitStack() as opened:
        opened.enter_context(contextlib.closing(holder))
        try:
            asked = queries(request.catalog.streams, holder, bookmarks, settings)
        except psycopg.Error as error:
            raise trouble(address, error, doing="look at its tables") from error
        try:
            log = opened.enter_context(replicate.opened(asked, address, bookmarks, settings, request))
        except StopError:
            return
        try:
            horizon = link.horizon(holder)
            snapshot = link.snapshot(holder)
            asked = [bounded(query, horizon) for query in asked]
            if log is not None:
                asked = log.copies(asked, holder)
            sessions = link.Sessions(
                address, snapshot, is_utf8=holder.info.parameter_status("server_encoding") == "UTF8"
            )
            # Its transaction is open, so it stays what answers us; nothing more is asked of it but its end.
            watch = patience(
                holder,
                address,
                f"application_name = {literal(sessions.name)}",
                seconds=request.idle_seconds,
                is_known=False,
            )
        except psycopg.Error as error:
            raise trouble(address, error, doing="look at its tables") from error
        with contextlib.closing(sessions):
            try:
                yield from _all(asked, sessions, watch, address, bookmarks, request)
            except _StuckError:
                return
            except SessionLostError as error:
                raise link.lost(address, error) from error
        if log is not None and not request.should_stop():
            holder.close()  # while the log is read, dead rows need not be kept for us
            yield from log.changed()


class _StuckError(Exception):
    """The read is to stop, and the server does not hear of it."""


def _all(
    asked: list[Query],
    sessions: link.Sessions,
    watch: Patience,
    address: Address,
    bookmarks: Bookmarks,
    request: ReadRequest,
) -> Iterator[Message]:
    def beat() -> None:
        if request.should_stop():
            if not sessions.cancel():
                raise _StuckError
            return
        try:
            watch.tick()
        except (RunFailedError, SessionLostError):
            sessions.leave()
            raise

    found = interleaved(
        [partial(_delivered, query, sessions, address, request) for query in asked],
        jobs=request.jobs,
        # One stream at a time is read ahead by who reads from us.
        budget_bytes=request.ahead_bytes if request.jobs > 1 else 0,
        size_of=_size,
        beat=Beat(_BEAT_SECONDS, beat),
        unblock=sessions.cancel,
    )
    watch.begin()
    with contextlib.closing(found):
        yield from checkpointed(found, bookmarks, went_on=watch.begin)


def _delivered(query: Query, sessions: link.Sessions, address: Address, request: ReadRequest) -> Iterator[_Item]:
    if request.should_stop():
        return
    try:
        yield from _messages(query, sessions, request)
    except link.QueryError as error:
        if not sessions.is_cancelled:
            raise link.trouble(address, error, query.stream, has_bookmark=query.after is not None) from error


def _messages(query: Query, sessions: link.Sessions, request: ReadRequest) -> Iterator[_Item]:
    asked = encoding.query(query) if request.may_ask and sessions.is_utf8 else None
    if asked is not None:
        schema = _schema(query, query.columns, forms=Future())
        yield schema
        taken = _answer(schema, request)
        if encoded.POSTGRES_COPY in taken:
            if encoded.AT_ONCE in taken and query.fits_at_once and request.jobs == 1:
                asked = _replace(asked, cursor=None)
            try:
                yield from _encoded(asked, sessions, request, is_new=encoded.AT_ONCE in taken)
            except _UnfitError:
                pass
            else:
                return
    shown: tuple[columns.Column, ...] = ()
    noted = last = query.after
    for batch in _batches(query, sessions, request):
        fitted = tuple(
            columns.widened(one, values) for one, values in zip(shown or query.columns, batch.columns, strict=True)
        )
        if fitted != shown:
            shown = fitted
            yield _schema(query, shown)
        rows = _rows(query, shown, batch)
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


class _UnfitError(Exception):
    """A value has to be looked at, and no row was delivered yet."""


def _answer(schema: Schema, request: ReadRequest) -> frozenset[str]:
    """What the destination takes; nothing once the read is to stop, for nobody answers any more."""
    assert schema.forms is not None
    while not request.should_stop():
        with contextlib.suppress(TimeoutError):
            return schema.forms.result(_BEAT_SECONDS)
    return frozenset()


def _encoded(query: Query, sessions: link.Sessions, request: ReadRequest, *, is_new: bool) -> Iterator[_Item]:
    """As `_messages`, of rows that are passed on as they come; into a table that `is_new` they may come in blocks.
    Raises _UnfitError, and StartOverError when rows were delivered already."""
    # Nobody need keep them until their commit: no checkpoint comes between them, and no rows of another stream. What
    # is done of others is committed before that, which is too much for a small table, of which there may be many.
    comes_again = query.cursor is None and request.jobs == 1
    in_blocks = is_new and comes_again
    form = encoding.schema(query, in_blocks=in_blocks)
    noted = last = query.after
    is_begun = False
    try:
        for statement in query.statements():
            with contextlib.closing(sessions.rows(statement, request.batch_bytes, in_blocks=in_blocks)) as found:
                for rows in found:
                    batch = pa.RecordBatch.from_arrays([rows], schema=form)
                    yield Rows(stream=query.stream, batch=batch, size=batch.nbytes, again=comes_again and is_begun)
                    is_begun = True
                    last = _last(query, encoding.last(query, rows)) or last
                    if last != noted:
                        yield Note(query.stream, _bookmark(query, last, is_done=False))
                        noted = last
                    if request.should_stop():
                        return
    except link.QueryError as error:
        if error.state[:2] != "22" or sessions.is_cancelled:
            raise
        if is_begun:
            raise StartOverError(f"values of stream `{query.stream}` have to be looked at") from error
        raise _UnfitError from error
    yield Note(query.stream, _bookmark(query, last, is_done=True))


def _batches(query: Query, sessions: link.Sessions, request: ReadRequest) -> Iterator[pa.RecordBatch]:
    for statement in query.statements():
        with contextlib.closing(sessions.batches(statement, request.batch_bytes)) as found:
            for batch in found:
                if batch.num_rows:
                    yield batch


def _schema(query: Query, shown: tuple[columns.Column, ...], forms: Future[frozenset[str]] | None = None) -> Schema:
    return Schema(
        stream=query.stream,
        columns=pa.schema([one.field for one in shown]),
        keys=query.keys,
        cursor=None if query.is_full else query.cursor,
        replace=query.replaces,
        forms=forms,
    )


def _rows(query: Query, shown: tuple[columns.Column, ...], batch: pa.RecordBatch) -> Rows:
    arrays, repaired = [], {}
    for one, values in zip(shown, batch.columns, strict=True):
        array, lost = columns.converted(one, values)
        arrays.append(array)
        if lost and one.name in (*query.keys, query.cursor):
            raise link.value_refused(query.stream, one.name)
        if lost:
            repaired[one.name] = lost
    whole = pa.RecordBatch.from_arrays(arrays, schema=pa.schema([one.field for one in shown]))
    return Rows(stream=query.stream, batch=whole, repaired=repaired, size=batch.nbytes)


def _last(query: Query, batch: pa.RecordBatch) -> str | None:
    """The cursor of the last row, as PostgreSQL reads it; None for rows without one, which come by themselves."""
    if query.cursor is None or batch.column(query.cursor).null_count:
        return None
    values = batch.column(query.cursor)
    text: str = types.cast(values.slice(len(values) - 1), types.STRING)[0].as_py()
    if pa.types.is_floating(values.type) and text in _NO_NUMBERS:
        raise link.value_refused(query.stream, query.cursor)
    return text


def _bookmark(query: Query, last: str | None, *, is_done: bool) -> Json | None:
    if query.mark is not None:
        return query.mark if is_done else {**query.mark, "full_table_key": query.cursor, "full_table_after": last}
    if not query.is_full:
        found = {"replication_key": query.cursor, "replication_key_value": last}
        if last is not None and query.horizon is not None and query.horizon < last != query.after:
            found |= {"replication_key_value": query.horizon, "replication_key_seen": last}
        return None if last is None else found
    return None if is_done else {"full_table_key": query.cursor, "full_table_after": last}


def _size(item: _Item) -> int:
    return int(item.batch.nbytes) if isinstance(item, Rows) else 0
