"""Rows into a table: LOAD DATA, or LOAD DATA aside and an upsert in the order of arrival, so that the last row of a key
wins. Each runs inside the caller's transaction. A server that takes no LOAD DATA LOCAL gets INSERTs of many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.mysql import text_format
from headwater.connect.destinations.mysql.alter import column_sql
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection, DuplicateKeyError, UnfitError
from headwater.connect.destinations.mysql.tables import LOADED_AT, ORDINAL, SENT, Target
from headwater.connect.staging import MISSING, VERSION, InexactError, combined, conformed, has_rider, rider

_INCOMING = "_headwater_incoming"
# Rows are encoded and sent in pieces of about this size: small beside the memory, large beside the cost of a call.
_PIECE_BYTES = 8 << 20


class Incoming(Struct, frozen=True, kw_only=True):
    """Rows of one commit (`batches` gives them as often as it is called), and the moment they are stamped with."""

    batches: Callable[[], Iterable[pa.RecordBatch]]
    loaded_at: datetime


class LongKeyError(Exception):
    """A value of a key is too long for an index: the table has to be keyed by a hash."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.stream = stream


def load(connection: Connection, table: Target, incoming: Incoming) -> int:
    """Insert the rows, or upsert them when the table has keys. The number of rows that the database took in (for an
    upsert that is before rows of one key were folded).

    Raises RunFailedError: `null-key` when a key column holds null, `row-too-large`, `value-rejected` for a value that
    the table does not take; InexactError for one that its column's type can't hold exactly; LongKeyError;
    pymysql.err.Error.
    """
    try:
        if not table.keys:
            return _send(connection, table.sql, _Outgoing(connection, table, incoming, is_staged=False))
        if not connection.rows(f"select 1 from {table.sql} limit 1"):
            # Straight in, which is right when no key comes twice; if one does, the index says so.
            connection.run("savepoint straight")
            try:
                return _send(connection, table.sql, _Outgoing(connection, table, incoming, is_staged=False))
            except DuplicateKeyError:
                connection.run("rollback to savepoint straight")
        return _upsert(connection, table, incoming)
    except (DuplicateKeyError, UnfitError) as error:
        raise value_rejected(table, str(error)) from error


def copy(connection: Connection, table: Target, source: str) -> None:
    """Put all rows of another table of the same shape into this one."""
    listed = ", ".join(map(quote, [*table.own, LOADED_AT]))
    connection.run(f"insert into {table.sql} ({listed}) select {listed} from {source}")


def value_rejected(table: Target, why: str) -> RunFailedError:
    """A value that the table does not take, by its own rules or by those of the server."""
    return RunFailedError(
        "value-rejected", f"a value of stream `{table.stream}` does not fit `{table.schema}.{table.table}`", why=why
    )


def _upsert(connection: Connection, table: Target, incoming: Incoming) -> int:
    outgoing = _Outgoing(connection, table, incoming, is_staged=True)
    at = f"{quote(connection.schema)}.{quote(_INCOMING)}"
    body = ", ".join(f"{quote(name)} {column_sql(table, sql)}" for name, sql in outgoing.columns)
    # Temporary tables end no transaction. The counter keeps the order of arrival.
    connection.run(f"drop temporary table if exists {at}")
    connection.run(
        f"create temporary table {at} ({body}, {quote(ORDINAL)} bigint not null auto_increment primary key) "
        f"engine = InnoDB character set utf8mb4 collate {table.collation}"
    )
    taken = _send(connection, at, outgoing)
    settings = []
    for position, column in enumerate(table.columns):
        if column.name not in table.keys:
            name, held = quote(column.name), f"{table.sql}.{quote(column.name)}"
            new = f"i.{name}"
            if column.source in outgoing.partial:
                new = f"if(i.{SENT} is null or substr(i.{SENT}, {position + 1}, 1) = '1', i.{name}, {held})"
            settings.append(f"{held} = {new}")
    if table.is_versioned:
        settings.append(f"{table.sql}.{VERSION} = i.{VERSION}")
    if DELETED_AT in table.ours:
        settings.append(f"{DELETED_AT} = null")
    moment = f"'{incoming.loaded_at:%Y-%m-%d %H:%M:%S.%f}'"
    own = [quote(name) for name in table.own]
    connection.run_exactly(
        f"insert into {table.sql} ({', '.join([*own, LOADED_AT])}) "
        f"select {', '.join(f'i.{name}' for name in own)}, {moment} from {at} i order by i.{ORDINAL} "
        f"on duplicate key update {', '.join([*settings, f'{LOADED_AT} = {moment}'])}"
    )
    connection.run(f"drop temporary table {at}")
    return taken


def _send(connection: Connection, into: str, outgoing: _Outgoing) -> int:
    names = ", ".join(quote(name) for name, _ in outgoing.columns)
    if connection.server.takes_files:
        return connection.run_exactly(
            f"load data local infile 'rows' into table {into} {text_format.LOAD_DATA_CLAUSE} ({names})",
            _ahead(text_format.data(lines) for lines in outgoing.lines(text_format.LOAD_DATA, _PIECE_BYTES)),
        )
    # Half a packet, for what is quoted gets longer.
    taken = 0
    for lines in outgoing.lines(text_format.INSERT, min(_PIECE_BYTES, connection.server.packet // 4)):
        for piece in _pieces(lines, connection.server.packet // 2):
            taken += connection.run_exactly(
                b"insert into %b (%b) values %b" % (into.encode(), names.encode(), bytes(piece)[:-1])
            )
    return taken


def _pieces(lines: pa.Array, limit: int) -> Iterator[memoryview]:
    """The lines' bytes, cut between rows so that each piece is at most about `limit` long."""
    if not len(lines):
        return
    data = text_format.data(lines)
    count = max(1, len(lines) * limit // max(len(data), limit))
    for start in range(0, len(lines), count):
        piece = pa.concat_arrays([lines.slice(start, count)])
        if len(piece) > 1 and piece.nbytes > limit:
            yield from _pieces(piece, limit // 2)
        else:
            yield text_format.data(piece)


_Item = TypeVar("_Item")


def _ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; each is made in a thread of its own while the one before is in use. Arrow and sockets both work
    outside of Python's lock."""
    with ThreadPoolExecutor(1, "encode") as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


class _Outgoing:
    """Staged batches on their way to the server: the table's columns in its types, whatever the stream's schema was
    when they were staged. Staged ones carry which of their columns were sent."""

    def __init__(self, connection: Connection, table: Target, incoming: Incoming, *, is_staged: bool) -> None:
        self._table = table
        self._incoming = incoming
        self._is_staged = is_staged
        self._packet = connection.server.packet
        self.partial: set[str] = set()
        self.columns = [(column.name, column.sql_type) for column in table.columns]
        if table.is_versioned:
            self.columns.append((VERSION, "bigint"))
        self.columns.append((SENT, "longtext") if is_staged else (LOADED_AT, "datetime(6)"))

    def lines(self, form: text_format.Form, size: int) -> Iterator[pa.Array]:
        for batch in combined(self._incoming.batches()):
            count = max(1, batch.num_rows * size // max(batch.nbytes, size))
            for start in range(0, batch.num_rows, count):
                yield self._encoded(batch.slice(start, count), form)

    def _encoded(self, batch: pa.RecordBatch, form: text_format.Form) -> pa.Array:
        table = self._table
        arrays, absent = conformed(batch, table.stream, [(one.source, one.type.type) for one in table.columns])
        for position, column in enumerate(table.columns):
            if column.name in table.keys:
                _check_key(table, column.name, column.sql_type, arrays[position])
        if table.is_versioned:
            arrays.append(rider(batch, VERSION, pa.int64()))
        if self._is_staged:
            arrays.append(self._sent(batch, absent))
        else:
            arrays.append(pa.repeat(pa.scalar(self._incoming.loaded_at, types.TIMESTAMP), batch.num_rows))
        try:
            lines = text_format.rows(arrays, form)
        except text_format.OutOfRangeError as error:
            raise InexactError(table.stream, table.columns[error.position].source) from error
        longest = pc.max(pc.binary_length(lines)).as_py() or 0
        if longest > self._packet:
            raise _row_too_large(table, longest, self._packet)
        return lines

    def _sent(self, batch: pa.RecordBatch, absent: list[str]) -> pa.Array:
        """A text for each row, with `0` at the position of a column that was not sent; null when all were."""
        has_missing = has_rider(batch, MISSING)
        if not has_missing and not absent:
            return pa.nulls(batch.num_rows, pa.string())
        self.partial.update(absent)
        missing: dict[str, pa.Array] = {}
        if has_missing:
            lists = rider(batch, MISSING, pa.list_(pa.string()))
            told, row_of = pc.list_flatten(lists), pc.list_parent_indices(lists)
            numbers = pa.arange(0, batch.num_rows)
            for source in pc.unique(told).to_pylist():
                missing[source] = pc.is_in(numbers, row_of.filter(pc.equal(told, source)))
        self.partial.update(missing)
        marks = [
            pa.scalar("0")
            if one.source in absent
            else pc.if_else(missing[one.source], "0", "1")
            if one.source in missing
            else pa.scalar("1")
            for one in self._table.columns
        ]
        return pc.binary_join_element_wise(pa.repeat("", batch.num_rows), *marks, "")


def _check_key(table: Target, key: str, sql_type: str, values: pa.Array) -> None:
    if values.null_count:
        raise RunFailedError(
            "null-key",
            f"rows of stream `{table.stream}` have no value in the key column `{key}`",
            why="a row without its key can't be told from others",
            hint="choose other keys, or set `load_method` to `append-only`",
        )
    if sql_type.startswith("var"):
        length = pc.binary_length if pa.types.is_binary(values.type) else pc.utf8_length
        if (pc.max(length(values)).as_py() or 0) > int(sql_type.partition("(")[2].rstrip(")")):
            raise LongKeyError(table.stream)


def _row_too_large(table: Target, size: int, packet: int) -> RunFailedError:
    return RunFailedError(
        "row-too-large",
        f"a row of stream `{table.stream}` has {size:,} bytes, and the server lets {packet:,} through",
        why="nobody could read it back",
        hint=f"raise the limit at the server: set global max_allowed_packet = {1 << size.bit_length()}",
    )
