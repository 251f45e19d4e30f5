"""Streams that are read from the server's log: copied once, then changed as their tables change.

Where a copy stands in the log is noted with it. Of what the log says afterwards only the keys count: the rows are read
as they are at the moment that the whole read shows, and a key that is no more has been deleted. So a row comes once
however often it changed, and to read a part of the log again does no harm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pymysql
from msgspec.structs import replace

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError
from headwater.connect import types
from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows
from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.destinations.mysql.trouble import code_of, one_line
from headwater.connect.sources.bookmarks import Bookmarks, Json, Note
from headwater.connect.sources.mysql import changes, columns
from headwater.connect.sources.mysql.batches import Batches
from headwater.connect.sources.mysql.changes import Changed
from headwater.connect.sources.mysql.link import Position, Sessions
from headwater.connect.sources.mysql.query import Query
from headwater.connect.sources.mysql.session import ERRORS, CancelledError, Session
from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql.trouble import lost

DELETED_AT = "_sdc_deleted_at"
_KEYS_AT_ONCE = 500
_PURGED = 1236
_NEEDED = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_metadata": "FULL"}
# Types of keys that are read from the log as the table has them.
_KEY_TYPES = frozenset(
    (
        *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "date", "datetime", "timestamp"),
        *("char", "varchar", "binary", "varbinary"),
    )
)
_CHARACTER_SETS = (None, "ascii", "utf8", "utf8mb3", "utf8mb4", "latin1")


def position(bookmark: Mapping[str, Any]) -> Position | None:
    """Where a stream stands in the log; None when nothing of it has been read."""
    file, offset = bookmark.get("log_file"), bookmark.get("log_pos")
    return Position(file=file, offset=offset) if isinstance(file, str) and isinstance(offset, int) else None


def bookmark_of(at: Position) -> Json:
    return {"log_file": at.file, "log_pos": at.offset}


def check(session: Session, logged: Sequence[Query]) -> None:
    """Whether the server keeps a log that the streams can be read from. Raises EnvironmentProblemError and
    InputError."""
    listed = ", ".join(f"'{name}'" for name in _NEEDED)
    found = dict(session.rows(f"show global variables where variable_name in ({listed})"))
    for name, wanted in _NEEDED.items():
        if str(found.get(name)).upper() != wanted:
            raise EnvironmentProblemError(
                "log-unfit",
                f"the server writes no log that changes can be read from: `{name}` is {found.get(name, 'unknown')}",
                why="it has to say which rows changed, and the columns by their names",
                hint="start the server with --log-bin"
                if name == "log_bin"
                else f"set global {name} = {wanted}; it counts for sessions that begin afterwards",
            )
    for query in logged:
        _check_stream(query)


def _check_stream(query: Query) -> None:
    how = f"headwater config set tap-mysql _metadata.{query.stream}.replication-method FULL_TABLE"
    if any(one.name == DELETED_AT for one in query.table.columns):
        raise InputError(
            "reserved-column",
            f"stream `{query.stream}` can't be read from the log: it has a column `{DELETED_AT}`",
            why="a change says in a column of that name when its row was deleted",
            hint=how,
        )
    for key in query.keys:
        source = query.table.column(key)
        if source.base not in _KEY_TYPES or source.character_set not in _CHARACTER_SETS:
            raise InputError(
                "no-log-based",
                f"stream `{query.stream}` can't be read from the log",
                why=f"its key `{key}` is of a type that is read from the log otherwise than from the table",
                hint=how,
            )


def with_mark(query: Query, at: Position) -> Query:
    """The query of a copy, with the column that changes have, and what its bookmark is to say."""
    gone = columns.Column(
        name=DELETED_AT,
        sql="0 | 0",
        null_sql="1",
        form=columns.Form.MOMENT,
        field=pa.field(DELETED_AT, types.TIMESTAMP),
    )
    return replace(query, columns=(*query.columns, gone), mark=bookmark_of(at))


class Replication:
    """What becomes of streams that are read from the log. `here` is where all that is read stands in it: nothing that
    was committed before is missing there, and `until` is a place behind all of it."""

    def __init__(
        self,
        logged: Sequence[Query],
        sessions: Sessions,
        address: Address,
        bookmarks: Bookmarks,
        settings: Settings,
        request: ReadRequest,
        *,
        here: Position,
        until: Position,
    ) -> None:
        self._sessions, self._address, self._settings, self._request = sessions, address, settings, request
        self._bookmarks = bookmarks
        self._here, self._until = here, until
        held = {query.stream: bookmarks.of(query.stream) for query in logged}
        self._since = {stream: at for stream, bookmark in held.items() if (at := position(bookmark)) is not None}
        self._queries = {query.stream: with_mark(query, self._since.get(query.stream, here)) for query in logged}
        self.copies = [
            query
            for stream, query in self._queries.items()
            if stream not in self._since or "full_table_after" in held[stream]
        ]
        self._batches: dict[str, Batches] = {}
        self.anew: list[Query] = []

    def changed(self) -> Iterator[Message]:
        """The rows that have changed since the streams were last read, a part of the log at a time, each with a
        checkpoint. Afterwards `anew` has streams that are to be copied again, and to be replaced."""
        copied = {query.stream for query in self.copies}
        queries = {stream: query for stream, query in self._queries.items() if stream not in copied}
        if not queries:
            return
        since = {stream: self._since[stream] for stream in queries}
        found = changes.parts(
            self._sessions.listening,
            queries,
            since,
            self._until,
            server_id=self._settings.server_id,
            most_bytes=self._request.ahead_bytes,
        )
        count = 0
        try:
            with contextlib.closing(found):  # type: ignore[type-var]  # it is a generator
                for part in found:
                    for stream, changed in part.changed.items():
                        if stream not in queries:
                            continue
                        if changed.statement is not None:
                            self._request.on_line(f"{stream} is copied anew: {changed.statement[:200]}")
                            mark = bookmark_of(self._here)
                            self.anew.append(replace(queries.pop(stream), is_anew=True, after=None, mark=mark))
                            continue
                        count += len(changed.keys)
                        yield from self._rows(queries[stream], changed)
                        if self._request.should_stop():
                            return
                    # What was committed after the moment that is shown comes again with the next run.
                    end = part.end if part.end.is_before(self._here) else self._here
                    for stream in queries:
                        if since[stream].is_before(end):
                            self._bookmarks.take(Note(stream, bookmark_of(end)))
                    yield Checkpoint(state=self._bookmarks.encoded())
        except CancelledError:
            return
        except changes.StatementError as error:
            raise RunFailedError(
                "not-logged-by-row",
                f"the log does not say which rows of stream `{error.stream}` were changed",
                why=f"by a session that logs statements: {str(error)[:200]}",
                hint="headwater run --full-refresh …, which copies the table anew",
            ) from error
        except ERRORS as error:
            raise self._trouble(error) from error
        self._request.on_line(f"read {count:,} changed rows of {len(self._queries) - len(copied)} streams from the log")

    def _rows(self, query: Query, changed: Changed) -> Iterator[Message]:
        batches = self._batches.setdefault(query.stream, Batches(query))
        keys = iter(changed.keys)
        while some := list(islice(keys, _KEYS_AT_ONCE)):
            wanted = set(some)
            for block in self._sessions.blocks(query, self._request.batch_bytes, keys=some):
                for message in batches.of(block):
                    yield message
                    if isinstance(message, Rows):
                        found = [message.batch.column(key).to_pylist() for key in query.keys]
                        wanted.difference_update(zip(*found, strict=True))
            if wanted:
                yield from batches.gone({key: changed.keys[key] for key in some if key in wanted}, DELETED_AT)

    def _trouble(self, error: Exception) -> HeadwaterError:
        text, code = one_line(self._address, error), code_of(error)
        if code == _PURGED:
            first = ", ".join(sorted(at.file for at in self._since.values())[:1])
            return EnvironmentProblemError(
                "log-lost",
                f"the server no longer has its binary log from `{first}` on, where the last run ended",
                why=text,
                hint="headwater run --full-refresh …, which copies the tables anew; to keep the log for longer: "
                "set global binlog_expire_logs_seconds = 604800",
            )
        if code in (1227, 1045, 1142):
            return EnvironmentProblemError(
                "no-permission",
                f"`{self._address.user}` may not read the binary log",
                why=text,
                hint=f"grant replication slave, replication client on *.* to {self._address.user}",
            )
        if isinstance(error, (OSError, pymysql.err.OperationalError)):
            return lost(self._address, error, "the binary log was read")
        return RunFailedError("database-error", "cannot read the binary log", why=f"{text} (error {code})")
