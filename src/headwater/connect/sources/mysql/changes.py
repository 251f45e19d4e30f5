"""What the binary log says has changed: which rows, and which tables are others than they were.

Only keys are taken from it. What the rows have become is asked of the tables, for there the values are exact: the log
has no zones, no zero dates, and reads some types otherwise.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pymysql
from msgspec import Struct, field
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import QueryEvent, XidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from headwater.connect.destinations.mysql.wire import Wire
from headwater.connect.sources.mysql.link import Position
from headwater.connect.sources.mysql.query import Key, Query

_ROWS = (WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent)
_DEFINITION = re.compile(
    r"\s*(create|alter|drop|rename|truncate)\b(?!\s+(unique\s+|fulltext\s+|spatial\s+)?index\b)", re.IGNORECASE
)
_STATEMENT = re.compile(r"\s*(insert|update|delete|replace|load)\b", re.IGNORECASE)
# A key held in memory, with what is around it.
_KEY_BYTES = 300


class StatementError(Exception):
    """A table was changed by a statement, and the log does not say which rows it changed."""

    def __init__(self, stream: str, statement: str) -> None:
        super().__init__(statement)
        self.stream = stream


class Changed(Struct, kw_only=True):
    """Of one stream: the keys of rows that changed, with the last moment at which each did, and the statement by which
    the table itself changed, if one did."""

    keys: dict[Key, datetime] = field(default_factory=dict)
    statement: str | None = None


class Part(Struct, frozen=True, kw_only=True):
    """What changed by the transactions before `end`."""

    changed: dict[str, Changed]
    end: Position


def parts(
    wire: Callable[[], Wire],
    queries: Mapping[str, Query],
    since: Mapping[str, Position],
    until: Position,
    *,
    server_id: int | None,
    most_bytes: int,
) -> Iterator[Part]:
    """What happened to the tables of the queries, by stream, up to `until`: in parts of about `most_bytes`, each of
    whole transactions. For each stream what came before its `since` is left out. Raises StatementError, what `wire`
    does, and pymysql.err.Error."""
    start = next(iter(since.values()))
    for one in since.values():
        start = one if one.is_before(start) else start
    if not start.is_before(until):
        return
    reader = _reader(wire, queries, start, server_id)
    held: dict[str, Changed] = {}
    count = 0
    try:
        while True:
            event = reader.fetchone()
            if event is None:
                break
            here = Position(file=reader.log_file, offset=reader.log_pos)
            if isinstance(event, _ROWS):
                stream = f"{event.schema}-{event.table}"
                if stream in queries and since[stream].is_before(here):
                    count += _take(held.setdefault(stream, Changed()), event, queries[stream])
                continue
            if isinstance(event, QueryEvent):
                _look(event, queries, since, here, held)
            if not here.is_before(until):
                break
            if count * _KEY_BYTES >= most_bytes:
                yield Part(changed=held, end=here)
                held, count = {}, 0
    finally:
        reader.close()
    yield Part(changed=held, end=until)


def _reader(
    wire: Callable[[], Wire], queries: Mapping[str, Query], start: Position, server_id: int | None
) -> BinLogStreamReader:
    opened = 0

    def connect(*, cursorclass: type = pymysql.cursors.Cursor, **_: Any) -> Wire:
        nonlocal opened
        opened += 1
        if opened > 2:  # it would try for ever where a connection is lost
            raise pymysql.err.OperationalError(pymysql.constants.CR.CR_SERVER_LOST, "the server ended the connection")
        found = wire()
        found.cursorclass = cursorclass
        return found

    return BinLogStreamReader(
        connection_settings={},
        server_id=server_id or secrets.randbelow(1 << 31) + (1 << 31),
        log_file=start.file,
        log_pos=start.offset,
        resume_stream=True,
        only_events=[*_ROWS, QueryEvent, XidEvent],
        only_schemas=sorted({query.table.schema for query in queries.values()}),
        only_tables=sorted({query.table.name for query in queries.values()}),
        pymysql_wrapper=connect,
        # In other columns than keys it does not matter; keys are of types that it reads without.
        ignore_decode_errors=True,
        enable_logging=False,
    )


def _take(changed: Changed, event: Any, query: Query) -> int:
    at = datetime.fromtimestamp(event.timestamp, UTC)
    sources = [query.table.column(key) for key in query.keys]
    for row in event.rows:
        for name in ("values", "before_values", "after_values"):
            if name in row:
                changed.keys[tuple(_value(row[name][source.name], source.full) for source in sources)] = at
    return len(event.rows)


def _value(value: Any, sql_type: str) -> Any:
    """As the table has it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    if isinstance(value, bytes) and (found := re.fullmatch(r"binary\((\d+)\)", sql_type)):
        return value.ljust(int(found[1]), b"\0")  # the log leaves out zeros at the end
    return value


def _look(
    event: QueryEvent,
    queries: Mapping[str, Query],
    since: Mapping[str, Position],
    here: Position,
    held: dict[str, Changed],
) -> None:
    """Whether a statement was about one of the tables."""
    statement = event.query if isinstance(event.query, str) else event.query.decode("utf-8", "replace")
    is_definition = _DEFINITION.match(statement)
    if not is_definition and not _STATEMENT.match(statement):
        return
    for stream, query in queries.items():
        if not since[stream].is_before(here) or not _names(statement, query.table.name):
            continue
        if is_definition:
            held.setdefault(stream, Changed()).statement = " ".join(statement.split())
        else:
            raise StatementError(stream, " ".join(statement.split()))


def _names(statement: str, table: str) -> bool:
    return re.search(rf"(?<![\w$]){re.escape(table)}(?![\w$])", statement, re.IGNORECASE) is not None
