"""Rows into a table: LOAD DATA, or LOAD DATA aside and an upsert in the order of arrival, so that the last row of a key
wins. Each runs inside the caller's transaction. A server that takes no LOAD DATA LOCAL gets INSERTs of many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct, field

from headwater.base.errors import RunFailedError
from headwater.connect import types
from headwater.connect.destinations.deletes import DELETED_AT
from headwater.connect.destinations.history import CURRENT, VALID_FROM
from headwater.connect.destinations.mysql import text_format
from headwater.connect.destinations.mysql.alter import column_sql, key_hash
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection, DuplicateKeyError, UnfitError
from headwater.connect.destinations.mysql.merge import Matching, merge
from headwater.connect.destinations.mysql.send import rows_text, send
from headwater.connect.destinations.mysql.tables import KEY_HASH, LOADED_AT, ORDINAL, SENT, Target
from headwater.connect.destinations.outgoing import null_key, sent
from headwater.connect.staging import (
    MISSING,
    VERSION,
    InexactError,
    LongKeyError,
    combined,
    conformed,
    has_rider,
    rider,
)

_INCOMING = "_headwater_incoming"


class Incoming(Struct, frozen=True, kw_only=True):
    """Rows of one commit (`batches` gives them as often as it is called), and the moment they are stamped with. `fresh`
    are the tables that were empty when the session began, and of whose keys none came twice so far; it is kept up to
    date."""

    batches: Callable[[], Iterable[pa.RecordBatch]]
    loaded_at: datetime
    fresh: set[str] = field(default_factory=set)


def load(connection: Connection, table: Target, incoming: Incoming, *, prior: Target | None = None) -> int:
    """Insert the rows, or upsert them when the table has keys. The number of rows that the database took in (for an
    upsert that is before rows of one key were folded). A field that was not sent for a key new to the table has the
    value of its current version in `prior`.

    Raises RunFailedError: `null-key` when a key column holds null, `row-too-large`, `value-rejected` for a value that
    the table does not take; InexactError for one that its column's type can't hold exactly; LongKeyError;
    pymysql.err.Error.
    """
    try:
        if not table.keys:
            return send(connection, table.sql, _Outgoing(connection, table, incoming, is_staged=False))
        may_be_new = table.sql in incoming.fresh or _is_empty(connection, table)
        taken = _inserted(connection, table, incoming, is_first=prior is None) if may_be_new else None
        if taken is None:
            incoming.fresh.discard(table.sql)
            return _upsert(connection, table, incoming, prior)
    except (DuplicateKeyError, UnfitError) as error:
        raise value_rejected(table, str(error)) from error
    incoming.fresh.add(table.sql)
    return taken


def straight(connection: Connection, table: Target, incoming: Incoming) -> int | None:
    """Insert the rows when the table is empty and no key comes twice, and answer their number; None when it is
    otherwise. Raises UnfitError, and as `load` does."""
    return _inserted(connection, table, incoming, is_first=True) if _is_empty(connection, table) else None


def _is_empty(connection: Connection, table: Target) -> bool:
    return not connection.rows(f"select 1 from {table.sql} limit 1")


def _inserted(connection: Connection, table: Target, incoming: Incoming, *, is_first: bool) -> int | None:
    """Insert the rows when they have new keys, each its own; None when it is otherwise. Unless they are the first rows
    of their keys anywhere, each must have come with all of its fields."""
    outgoing = _Outgoing(connection, table, incoming, is_staged=False)
    connection.run("savepoint straight")
    try:
        taken = send(connection, table.sql, outgoing)
    except DuplicateKeyError:
        pass  # the index says that a key came twice
    else:
        if is_first or not outgoing.is_partial:
            return taken
    connection.run("rollback to savepoint straight")
    return None


def copy(connection: Connection, table: Target, source: str) -> None:
    """Put all rows of another table of the same shape into this one."""
    listed = ", ".join(map(quote, [*table.own, LOADED_AT]))
    connection.run(f"insert into {table.sql} ({listed}) select {listed} from {source}")


def value_rejected(table: Target, why: str) -> RunFailedError:
    """A value that the table does not take, by its own rules or by those of the server."""
    return RunFailedError(
        "value-rejected", f"a value of stream `{table.stream}` does not fit `{table.schema}.{table.table}`", why=why
    )


def send_aside(connection: Connection, table: Target, incoming: Incoming) -> tuple[str, int, set[str]]:
    """The rows in a new temporary table, of which the counter is their order of arrival, from 1: its quoted name, their
    number, and the columns that some came without. Temporary tables end no transaction."""
    outgoing = _Outgoing(connection, table, incoming, is_staged=True)
    at = f"{quote(connection.schema)}.{quote(_INCOMING)}"
    body = ", ".join(f"{quote(name)} {column_sql(table, sql)}" for name, sql in outgoing.columns)
    connection.run(f"drop temporary table if exists {at}")
    connection.run(
        f"create temporary table {at} ({body}, {quote(ORDINAL)} bigint not null auto_increment primary key) "
        f"engine = InnoDB character set utf8mb4 collate {table.collation}"
    )
    return at, send(connection, at, outgoing), outgoing.partial


def _upsert(connection: Connection, table: Target, incoming: Incoming, prior: Target | None) -> int:
    at, taken, partial = send_aside(connection, table, incoming)
    if prior is not None and (partial or table.merged):
        _seed(connection, table, prior, at)
    merge(connection, table, at, _matching(table))
    settings = []
    for position, column in enumerate(table.columns):
        if column.name not in table.keys:
            name, held = quote(column.name), f"{table.sql}.{quote(column.name)}"
            new = f"i.{name}"
            # A column with JSON has another collation than one with text, and an expression takes no two.
            sent = f"i.{name} collate {table.collation}" if _has_collation(column.sql_type) else f"i.{name}"
            if column.source in table.merged:
                new = f"coalesce({sent}, {held})"
            elif column.source in partial:
                new = f"if(i.{SENT} is null or substr(i.{SENT}, {position + 1}, 1) = '1', {sent}, {held})"
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


def _has_collation(sql_type: str) -> bool:
    return sql_type.endswith("text") or sql_type.startswith(("varchar(", "char("))


def _seed(connection: Connection, table: Target, prior: Target, at: str) -> None:
    """Give the table the current versions of keys that it has not and that are about to come."""
    names = [quote(name) for name in (*table.own, LOADED_AT)]
    kept = quote(table.keys[0])
    connection.run_exactly(
        f"insert into {table.sql} ({', '.join(names)}) select {', '.join(f'c.{name}' for name in names)} "
        f"from (select distinct {matched(table)} from {at}) i "
        f"straight_join {prior.sql} c on {same_key(table, 'c', 'i')} "
        f"where c.{CURRENT} on duplicate key update {table.sql}.{kept} = {table.sql}.{kept}"
    )


def matched(table: Target) -> str:
    """What to select of incoming rows so that `same_key` can find those of the table."""
    return f"{key_hash(table)} as {quote(KEY_HASH)}" if table.is_hashed else ", ".join(map(quote, table.keys))


def _matching(table: Target) -> Matching:
    on = (KEY_HASH,) if table.is_hashed else table.keys
    columns = ", ".join(f"i.{quote(name)}" for name in on)
    return Matching(selected=matched(table), columns=columns, same=same_key(table, "t", "i"))


def same_key(table: Target, one: str, other: str) -> str:
    """The condition that a row of one relation has the key of a row of the other."""
    on = (KEY_HASH,) if table.is_hashed else table.keys
    return " and ".join(f"{one}.{quote(name)} = {other}.{quote(name)}" for name in on)


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
        self.is_partial = False
        self.moments = [LOADED_AT, *([VALID_FROM] if table.keeps_history else [])]
        self.columns += [(SENT, "longtext")] if is_staged else [(name, "datetime(6)") for name in self.moments]

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
            marks, partial = sent(batch, absent, [column.source for column in table.columns])
            arrays.append(marks)
            self.partial |= partial
        else:
            self.is_partial = self.is_partial or bool(absent) or has_rider(batch, MISSING) or bool(table.merged)
            moment = pa.repeat(pa.scalar(self._incoming.loaded_at, types.TIMESTAMP), batch.num_rows)
            arrays += [moment for _ in self.moments]
        try:
            return rows_text(table.stream, arrays, form, self._packet)
        except text_format.OutOfRangeError as error:
            raise InexactError(table.stream, table.columns[error.position].source) from error


def _check_key(table: Target, key: str, sql_type: str, values: pa.Array) -> None:
    if values.null_count:
        raise null_key(table.stream, key)
    if sql_type.startswith("var"):
        length = pc.binary_length if pa.types.is_binary(values.type) else pc.utf8_length
        if (pc.max(length(values)).as_py() or 0) > int(sql_type.partition("(")[2].rstrip(")")):
            raise LongKeyError(table.stream)
