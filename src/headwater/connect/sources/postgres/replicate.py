"""Streams that are read from the server's log: copied once, then changed as their tables change.

The slot is told that a change is safe by the run after the one that loaded it, for only that one knows that it is
committed in the destination. So a change may be sent twice, but it is never lost, and the position in the state keeps
it from being applied twice.

A copy and the changes fit together exactly: the copy is made by one snapshot, and of the transactions that the log
brings those are left out which that snapshot saw.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence

import psycopg
from msgspec.structs import replace

from headwater.base.errors import HeadwaterError, InputError, RunFailedError
from headwater.base.text import byte_size
from headwater.connect.alive import Patience, SessionLostError
from headwater.connect.contract import Checkpoint, Message, ReadRequest
from headwater.connect.destinations.postgres.address import Address
from headwater.connect.destinations.postgres.connection import (
    Connection,
    cannot_connect,
    connect,
    execute,
    literal,
    trouble,
)
from headwater.connect.destinations.postgres.patient import PatientConnection, patience
from headwater.connect.sources.bookmarks import Bookmarks, Note
from headwater.connect.sources.postgres import changes, link, slots
from headwater.connect.sources.postgres.changes import DELETED_AT, LSN, Position, Stream, position
from headwater.connect.sources.postgres.feed import Feed
from headwater.connect.sources.postgres.orders import Orders
from headwater.connect.sources.postgres.pgoutput import Begin, Commit, Relation, RowChange, Truncate, decoded
from headwater.connect.sources.postgres.published import Logged
from headwater.connect.sources.postgres.query import Query
from headwater.connect.sources.postgres.settings import Settings
from headwater.connect.sources.postgres.slots import StopError
from headwater.connect.stages.select import taken


@contextlib.contextmanager
def opened(
    asked: Sequence[Query], address: Address, bookmarks: Bookmarks, settings: Settings, request: ReadRequest
) -> Iterator[Replication | None]:
    """What the queries need that go on from the log; None when none of them does. The slot is there afterwards, so a
    snapshot that is taken now misses nothing. Raises StopError, EnvironmentProblemError, InputError, RunFailedError."""
    logged = [query for query in asked if query.is_logged]
    if not logged:
        yield None
        return
    for query in logged:
        _check_columns(query)
    try:
        connection = connect(address, application="headwater: replication slot", idle_seconds=request.idle_seconds)
    except psycopg.OperationalError as error:
        raise cannot_connect(address, error) from error
    with contextlib.closing(connection):
        yield Replication(logged, connection, address, bookmarks, settings, request)


def _check_columns(query: Query) -> None:
    for name in (LSN, DELETED_AT):
        if any(one.name == name for one in query.table.columns):
            raise InputError(
                "reserved-column",
                f"stream `{query.stream}` can't be read from the log: it has a column `{name}`",
                why="a change says in a column of that name what became of its row",
                hint=f"headwater config set tap-postgres _metadata.{query.stream}.replication-method FULL_TABLE",
            )


class Replication:
    """See `opened`."""

    def __init__(
        self,
        logged: Sequence[Query],
        connection: PatientConnection,
        address: Address,
        bookmarks: Bookmarks,
        settings: Settings,
        request: ReadRequest,
    ) -> None:
        self._queries = {query.stream: query for query in logged}
        self._connection = connection
        self._address = address
        self._bookmarks = bookmarks
        self._request = request
        self._orders = Orders(connection, address)
        self._server = slots.Server(self._orders, tell=request.on_line, should_stop=request.should_stop)
        name = slots.checked(settings.replication_slot_name)
        held = {stream: position(bookmark) for stream, bookmark in bookmarks.all().items()}
        known = {stream: at for stream, at in held.items() if at is not None}
        self._slot = self._server.slot(
            name,
            settings.replication_publication_name or name,
            [Logged(schema=query.table.schema, name=query.table.name, keys=query.keys) for query in logged],
            {stream for stream in self._queries if stream in known and not known[stream].is_truncated},
        )
        for stream in self._queries:
            if stream in known and not known[stream].is_truncated and known[stream].lsn < self._slot.safe:
                raise slots.behind(stream, name)
        # Streams that are not read now hold the log back too: some other day they are to go on.
        self._safe = min((at.lsn for at in known.values() if not at.is_truncated), default=self._slot.safe)
        if any(self._is_to_copy(query) for query in logged):
            self._safe = min(self._safe, self._slot.safe)
        request.on_line(f"slot {name} is {byte_size(self._slot.lag)} of log behind")

    def copies(self, asked: Sequence[Query], holder: Connection) -> list[Query]:
        """The queries without those of streams that have been copied. `holder` holds the snapshot of the others."""
        row = execute(
            holder, "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::int8, pg_current_snapshot()::text"
        ).fetchone()
        assert row is not None
        here = Position(lsn=self._slot.safe, copied_at=int(row[0]), snapshot=str(row[1]))
        found = []
        for query in asked:
            if not query.is_logged:
                found.append(query)
            elif self._is_to_copy(query):
                at = self._begun(query) or here
                whole = changes.with_marks(query, at.copied_at)
                is_anew = self._is_truncated(query)
                if is_anew:
                    whole = replace(whole, cursor=None, after=None, is_anew=True)
                self._queries[query.stream] = whole
                found.append(replace(whole, mark=at.bookmark()))
        return sorted(found, key=lambda query: query.replaces)

    def _begun(self, query: Query) -> Position | None:
        """Of a copy that was begun before."""
        return None if self._is_truncated(query) else position(self._bookmarks.of(query.stream))

    def _is_truncated(self, query: Query) -> bool:
        at = position(self._bookmarks.of(query.stream))
        return at is not None and at.is_truncated

    def _is_to_copy(self, query: Query) -> bool:
        bookmark = self._bookmarks.of(query.stream)
        return position(bookmark) is None or "full_table_after" in bookmark or self._is_truncated(query)

    def changed(self) -> Iterator[Message]:
        """What was committed until now and is in no copy, transaction by transaction in the order of their commits; a
        Checkpoint never cuts one in two."""
        name = f"headwater: changes {secrets.token_hex(8)}"
        watch = _Watch(self._connection, self._address, name, self._request)
        try:
            feed = Feed(self._address, name)
        except psycopg.Error as error:
            raise self._trouble(error) from error
        with contextlib.closing(feed):
            try:
                yield from self._until(self._server.mark(), feed, watch)
            except StopError:
                return
            except SessionLostError as error:
                raise link.lost(self._address, error) from error
            except psycopg.Error as error:
                raise self._trouble(error) from error

    def _until(self, target: int, feed: Feed, watch: _Watch) -> Iterator[Message]:
        flow = _Flow(self._streams(), self._slot.tables, self._orders, self._request)
        is_done = False
        try:
            for piece in feed.pieces(self._slot.name, self._slot.publication, self._safe, watch):
                if piece.data is not None:
                    yield from flow.take(piece.data)
                elif flow.begin is None:
                    flow.end = max(flow.end, piece.lsn)
                if flow.begin is not None:
                    continue
                is_done = flow.end >= target
                if is_done or self._request.should_stop():
                    break
                if flow.is_due():
                    yield from self._delivered(flow)
        except StopError:
            if flow.begin is not None:
                return
        yield from self._delivered(flow)
        if is_done:
            behind = byte_size(self._server.lag(flow.end))
            self._request.on_line(
                f"read {flow.count:,} changes; {behind} of log were written meanwhile. The slot is told by the next run"
            )

    def _delivered(self, flow: _Flow) -> Iterator[Message]:
        """Only between transactions."""
        yield from flow.flushed()
        flow.uncovered = 0
        for stream in flow.streams.values():
            if not stream.position.is_truncated and stream.position.lsn < flow.end:
                stream.position = replace(stream.position, lsn=flow.end)
            self._bookmarks.take(Note(stream.query.stream, stream.position.bookmark()))
        yield Checkpoint(state=self._bookmarks.encoded())

    def _streams(self) -> dict[str, Stream]:
        found = {}
        entries = {entry.tap_stream_id: entry for entry in self._request.catalog.streams}
        for stream, query in self._queries.items():
            at = position(self._bookmarks.of(stream))
            selection = taken(entries[stream])
            assert at is not None
            assert selection is not None
            found[stream] = Stream(query, at, _taking(query, selection.takes))
        return found

    def _trouble(self, error: psycopg.Error) -> HeadwaterError:
        text = self._address.without_secrets(str(error.diag.message_primary or error))
        if error.sqlstate in ("42704", "55000", "58P01"):  # no such publication or slot, no log
            return slots.lost(self._slot.name, text)
        if error.sqlstate == "55006":
            return RunFailedError(
                "slot-in-use",
                f"somebody else reads the replication slot `{self._slot.name}`",
                why=text,
                hint="give each pipeline a slot of its own, by the setting `replication_slot_name`",
            )
        return trouble(self._address, error, doing="read the log")


def _taking(query: Query, takes: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda name: name in query.keys or takes(name)


class _Flow:
    """Messages of the log on their way into the rows of their streams."""

    def __init__(
        self, streams: dict[str, Stream], tables: dict[int, str], orders: Orders, request: ReadRequest
    ) -> None:
        self.streams = streams
        self.begin: Begin | None = None  # of the transaction that is on its way
        self.end = 0  # all that was committed before has come
        self.count = 0
        self._tables = tables
        self._orders = orders
        self._request = request
        self.uncovered = 0  # bytes since the last checkpoint
        self._held = 0  # of those, what waits to leave

    def is_due(self) -> bool:
        """Whether a checkpoint is."""
        return self.uncovered >= self._request.batch_bytes

    def take(self, data: bytes) -> Iterator[Message]:
        """Yields the rows that have to leave."""
        message = decoded(data)
        if isinstance(message, RowChange):
            yield from self._row(message, data)
        elif isinstance(message, Begin):
            self.begin = message
        elif isinstance(message, Commit):
            self.begin = None
            self.end = message.end
        elif isinstance(message, Relation):
            stream = self._stream(message.oid)
            if stream is not None:
                yield from stream.look(message, self._orders)
        elif isinstance(message, Truncate):
            yield from self._truncated(message)

    def _row(self, change: RowChange, data: bytes) -> Iterator[Message]:
        stream = self._stream(change.relation)
        assert self.begin is not None
        if stream is None or stream.position.is_truncated or stream.position.covers(self.begin):
            return
        stream.add(change, self.begin, self._orders)
        self.count += 1
        size = changes.weight(data)
        self.uncovered += size
        self._held += size
        if self._held >= self._request.batch_bytes:
            yield from self.flushed()

    def _truncated(self, message: Truncate) -> Iterator[Message]:
        assert self.begin is not None
        for oid in message.relations:
            stream = self._stream(oid)
            if stream is None or stream.position.is_truncated or stream.position.covers(self.begin):
                continue
            yield from stream.flushed(self._orders)
            stream.position = replace(stream.position, lsn=self.begin.lsn, is_truncated=True)
            self._request.on_line(
                f"{stream.query.stream} was truncated: the next run copies it anew, and replaces what was loaded"
            )

    def flushed(self) -> Iterator[Message]:
        for stream in self.streams.values():
            yield from stream.flushed(self._orders)
        self._held = 0

    def _stream(self, oid: int) -> Stream | None:
        return self.streams.get(self._tables.get(oid, ""))


class _Watch:
    """Waits as long as the server is at work and nobody wants the read to stop."""

    def __init__(self, connection: PatientConnection, address: Address, name: str, request: ReadRequest) -> None:
        self._patience: Patience = patience(
            connection, address, f"application_name = {literal(name)}", seconds=request.idle_seconds, is_known=False
        )
        self._should_stop = request.should_stop

    def begin(self) -> None:
        self._patience.begin()

    def tick(self) -> None:
        if self._should_stop():
            raise StopError
        self._patience.tick()
