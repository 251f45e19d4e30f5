"""Rows on their way to the server: encoded in a thread beside, and sent by binary COPY."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import chain, islice

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.connect import encoded, names, types
from headwater.connect.contract import StartOverError
from headwater.connect.destinations.history import VALID_FROM
from headwater.connect.destinations.outgoing import ahead, null_key, sent
from headwater.connect.destinations.postgres import copy_format, keys
from headwater.connect.destinations.postgres.connection import Connection, execute, literal
from headwater.connect.destinations.postgres.tables import LOADED_AT, ORDINAL, SENT, Target
from headwater.connect.staging import MISSING, VERSION, LongKeyError, combined, conformed, has_rider, rider

# Rows are encoded and sent in pieces of about this size: small beside the memory, large beside the cost of a call.
_PIECE_BYTES = 8 << 20
# Two values that Arrow tells apart PostgreSQL tells apart too, and the other way round. Not so 0.0 and -0.0.
_COMPARED_ALIKE = frozenset(("int64", "string", "date32", "time64", "timestamp", "decimal", "bool"))


class Incoming(Struct, frozen=True, kw_only=True):
    """Rows of one commit (`batches` gives them as often as it is called), and the moment they are stamped with.
    Values of the source's columns in `exact` are never repaired. `fresh` are the tables that were empty when the
    session began, and of whose keys none came twice so far; it is kept up to date. `sent` is on the server already."""

    batches: Callable[[], Iterable[pa.RecordBatch]]
    loaded_at: datetime
    exact: frozenset[str] = frozenset()
    fresh: set[str] = field(default_factory=set)
    sent: Sent | None = None

    @property
    def moment(self) -> str:
        """`loaded_at` as SQL."""
        return f"{literal(self.loaded_at.isoformat())}::timestamptz"


class Taken(Struct, frozen=True, kw_only=True):
    """How many rows the database took in (for an upsert that is before rows of one key were folded), and how many
    values of each source column were repaired."""

    rows: int
    repaired: dict[str, int] = field(default_factory=dict)


def sent_aside(connection: Connection, table: Target, incoming: Incoming, name: str) -> Sent:
    """A temporary table of that name, which rows for an upsert can be sent into."""
    found = Sent(table, f"pg_temp.{names.quote(name)}", incoming, is_staged=True)
    body = ", ".join(f"{names.quote(column)} {sql}" for column, sql in found.columns)
    body += f", {keys.hash_column(table)}" if table.is_hashed else ""
    execute(connection, f"create temp table {names.quote(name)} ({body}) on commit drop")
    return found


class _Copy:
    """A binary COPY into a table, from its beginning to `end` or `leave`."""

    def __init__(self, connection: Connection, statement: str) -> None:
        self._cursor = connection.cursor()
        self.connection = connection
        self._context = self._cursor.copy(statement.encode())
        self._sink = self._context.__enter__()
        self.write(copy_format.HEADER)

    def write(self, piece: bytes | memoryview) -> None:
        """When it raises, the COPY has been left."""
        try:
            self._sink.write(piece)
        except BaseException:
            self.leave()
            raise

    def end(self) -> int:
        """How many rows the server took. Raises psycopg.Error."""
        self.write(copy_format.TRAILER)
        self._context.__exit__(None, None, None)
        return self._cursor.rowcount

    def leave(self) -> None:
        """Have the server forget it; safe to call twice. Raises nothing: where the connection is lost or was given up,
        there is nothing to forget."""
        left = _LeftError()
        with contextlib.suppress(psycopg.Error, HeadwaterError, _LeftError):
            self._context.__exit__(_LeftError, left, None)


class _LeftError(Exception):
    """What psycopg is told to break a COPY off."""


class Sent:
    """Rows on their way into `into` by COPY: the table's columns in its types, whatever the stream's schema was when
    they were staged. Those that go aside first, for an upsert, carry their order of arrival and which of their columns
    were sent."""

    def __init__(self, table: Target, into: str, incoming: Incoming, *, is_staged: bool) -> None:
        self.into = into
        self._table = table
        self._incoming = incoming
        self._is_staged = is_staged
        self._count = self._rows = 0
        self._keys: list[pa.Table] = []
        self._is_unique: bool | None = None  # what encoded rows say of themselves
        self._in_blocks = False
        self.partial: set[str] = set()
        self.is_partial = False
        self.repaired: dict[str, int] = {}
        self._copy: _Copy | None = None
        self.moments: list[str] = []
        self.columns = [(column.name, column.sql_type) for column in table.columns]
        if table.is_versioned:
            self.columns.append((VERSION, "bigint"))
        if is_staged:
            self.columns += [(ORDINAL, "bigint"), (SENT, "text")]
        else:
            self.moments = [LOADED_AT, *([VALID_FROM] if table.keeps_history else [])]
            self.columns += [(name, "timestamp with time zone") for name in self.moments]

    @property
    def is_straight(self) -> bool:
        return not self._is_staged

    @property
    def is_said_unique(self) -> bool:
        """Whether rows came whose source says that no two of them have the same key."""
        return self._is_unique is True

    def send(self, connection: Connection, batches: Iterable[pa.RecordBatch]) -> Taken:
        """Send more. What was taken in all; InexactError and others as in `load`."""
        self.feed(connection, batches)
        return self.end()

    def feed(self, connection: Connection, batches: Iterable[pa.RecordBatch]) -> None:
        """Send more, and leave the COPY open, so that the server has no pause: until `end` or `leave`, nothing else
        can be asked over the connection. When it raises, what `send` raises, the COPY has been left."""
        try:
            batches = iter(batches)
            first = list(islice(batches, 1))
            if first and self._copy is None:
                self._in_blocks = encoded.in_blocks(first[0])
                self._copy = self._begun(connection)
            for piece in ahead(self._pieces(chain(first, batches))):
                assert self._copy is not None
                self._copy.write(piece)
        except BaseException:
            self.leave()
            raise

    def end(self) -> Taken:
        """What was taken in all. Raises psycopg.Error."""
        if self._copy is not None:
            copy, self._copy = self._copy, None
            self._rows += copy.end()
            if self._in_blocks:
                self._default(copy.connection, "drop default")
        return Taken(rows=self._rows, repaired=self.repaired)

    def leave(self) -> None:
        """Break the COPY off, if one is open; the transaction has failed then. Raises nothing."""
        if self._copy is not None:
            copy, self._copy = self._copy, None
            copy.leave()

    def _begun(self, connection: Connection) -> _Copy:
        columns = [name for name, _ in self.columns]
        if self._in_blocks:
            if self._is_staged or not self._table.is_new:
                raise self._another()
            # Where a row ends is not known, so nothing can be put behind it. Nobody sees the table before its commit.
            self._default(connection, f"set default {self._incoming.moment}")
            columns = columns[: len(columns) - len(self.moments)]
        listed = ", ".join(map(names.quote, columns))
        return _Copy(connection, f"copy {self.into} ({listed}) from stdin (format binary)")

    def _default(self, connection: Connection, change: str) -> None:
        steps = ", ".join(f"alter column {names.quote(name)} {change}" for name in self.moments)
        execute(connection, f"alter table {self.into} {steps}")

    def _another(self) -> StartOverError:
        return StartOverError(f"`{self._table.schema}.{self._table.table}` is another one than it was")

    def _pieces(self, batches: Iterable[pa.RecordBatch]) -> Iterator[memoryview]:
        for batch in combined(batches):
            rows = max(1, batch.num_rows * _PIECE_BYTES // max(batch.nbytes, _PIECE_BYTES))
            if self._in_blocks:
                rows = batch.num_rows
            for start in range(0, batch.num_rows, rows):
                yield self._encoded(batch.slice(start, rows))

    def is_unique(self) -> bool:
        """Whether no key came twice; False also when PostgreSQL might see it otherwise, or when they are long."""
        if self._table.is_hashed:
            return False
        kinds = {types.kind(column.type.type) for column in self._table.columns if column.name in self._table.keys}
        if not kinds <= _COMPARED_ALIKE or any(
            types.is_json(column.type) for column in self._table.columns if column.name in self._table.keys
        ):
            return False
        if self._is_unique is not None:
            return self._is_unique and not self._keys
        if not self._keys:
            return True
        together = pa.concat_tables(self._keys)
        return bool(together.group_by(together.column_names).aggregate([]).num_rows == together.num_rows)

    def _encoded(self, batch: pa.RecordBatch) -> memoryview:
        if encoded.in_blocks(batch) != self._in_blocks:
            raise self._another()
        if encoded.form(batch):
            return memoryview(self._completed(batch))
        table = self._table
        arrays, absent = conformed(batch, table.stream, [(one.source, one.type.type) for one in table.columns])
        for position, column in enumerate(table.columns):
            if column.name in table.keys and arrays[position].null_count:
                raise null_key(table.stream, column.name)
            if pa.types.is_string(column.type.type):
                arrays[position] = self._without_nul(column.source, arrays[position], column.sql_type)
        if table.keys and not table.is_hashed:
            keyed = [number for number, column in enumerate(table.columns) if column.name in table.keys]
            of_keys = [arrays[number] for number in keyed]
            if keys.are_too_long([table.columns[number] for number in keyed], of_keys):
                raise LongKeyError(table.stream)
            if self._is_staged:
                self._keys.append(pa.table(of_keys, [str(number) for number in keyed]))
        if table.is_versioned:
            arrays.append(rider(batch, VERSION, pa.int64()))
        if self._is_staged:
            marks, partial = sent(batch, absent, [column.source for column in table.columns])
            self.partial |= partial
            arrays += [pa.arange(self._count, self._count + batch.num_rows), marks]
        else:
            self.is_partial = self.is_partial or bool(absent) or has_rider(batch, MISSING) or bool(table.merged)
            moment = pa.repeat(pa.scalar(self._incoming.loaded_at, types.TIMESTAMP), batch.num_rows)
            arrays += [moment for _ in self.moments]
        self._count += batch.num_rows
        return memoryview(
            copy_format.rows([(values, sql) for values, (_, sql) in zip(arrays, self.columns, strict=True)])
        )

    def _completed(self, batch: pa.RecordBatch) -> pa.Buffer | memoryview:
        """Rows that came encoded, with our own columns behind theirs."""
        if not copy_format.takes(self._table, encoded.columns(batch)):
            raise self._another()
        self._is_unique = self._is_unique is not False and encoded.is_unique(batch)
        count, first = batch.num_rows, self._count
        self._count += count
        if self._in_blocks:
            return encoded.content(batch)
        ours: list[pa.Array] = [pa.array([self._incoming.loaded_at], types.TIMESTAMP) for _ in self.moments]
        if self._is_staged:
            ours = [pa.arange(first, self._count), pa.nulls(1, types.STRING)]
        own = self.columns[len(self.columns) - len(ours) :]
        fields = [(values, sql) for values, (_, sql) in zip(ours, own, strict=True)]
        return copy_format.completed(batch.column(0), len(self.columns), fields)

    def _without_nul(self, source: str, values: pa.Array, sql: str) -> pa.Array:
        """PostgreSQL's text and jsonb can't hold U+0000: U+FFFD takes its place, and is counted."""
        is_json = sql in ("jsonb", "json")
        sign = "\\u0000" if is_json else "\0"
        if not _holds(values, sign.encode()):
            return values
        mended = _json_without_nul(values) if is_json else pc.replace_substring(values, sign, "\ufffd")
        changed = pc.sum(pc.not_equal(values, mended)).as_py() or 0
        if changed and source in self._incoming.exact:
            raise RunFailedError(
                "value-rejected",
                f"a value of `{source}` in stream `{self._table.stream}` holds U+0000, which PostgreSQL can't store",
                why="it is a key or a cursor, and those are never repaired",
                hint="take the character out at the source, or choose another key",
            )
        if changed:
            self.repaired[source] = self.repaired.get(source, 0) + changed
        return mended


def _holds(values: pa.Array, sign: bytes) -> bool:
    """Whether the sign may be anywhere in the texts; one pass over their bytes."""
    whole = pa.concat_arrays([values]) if values.offset else values
    data = whole.buffers()[2]
    return data is not None and sign in data.to_pybytes()


def _json_without_nul(values: pa.Array) -> pa.Array:
    """In JSON text a backslash may itself be escaped: those are put aside while U+0000 is looked for. A raw control
    character, which JSON text never has, stands for them meanwhile."""
    aside = pc.replace_substring(values, "\\\\", "\x01")
    return pc.replace_substring(pc.replace_substring(aside, "\\u0000", "\\ufffd"), "\x01", "\\\\")
