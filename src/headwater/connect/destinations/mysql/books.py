"""What the database keeps about its loads, in tables `_headwater_…` beside the data they speak of.

They are in the same database as the data, so that a backup of it takes both or neither, and so that nobody needs the
right to create databases. `checkpoint` says up to where each pipeline's data reaches; `ledger` has a row for each
commit and stream; `tables` and `columns` map what the source calls things to what they are called here; `rejects` holds
records that could not be loaded, `shapes` the SCHEMA lines that they came under; `replacing` says where the new content
of a stream is collected, and whether it waits to be put in place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pymysql

from headwater.base.clock import now
from headwater.connect import rejects as quarantine
from headwater.connect.contract import Rejected, StreamReceipt
from headwater.connect.destinations.bookkeeping import FORMAT, Entry, Standing, another_writer, refuse_newer
from headwater.connect.destinations.mysql.called import PREFIX, quote
from headwater.connect.destinations.mysql.connection import Connection, lock_name

_IDS = 1000  # in one statement
_PIPELINE = "varchar(700)"  # as long as an index of InnoDB allows

_TABLES = {
    "checkpoint": f"pipeline {_PIPELINE} not null primary key, state longblob, sequence bigint not null, "
    "run_id varchar(255) not null, updated_at datetime(6) not null",
    "ledger": f"pipeline {_PIPELINE}, run_id varchar(255) not null, sequence bigint not null, stream longtext not null,"
    " rows_in bigint not null, rows_out bigint not null, rejected bigint not null, repaired bigint not null, "
    "state_hash varchar(64), committed_at datetime(6) not null, key (run_id, sequence)",
    "rejects": "id varchar(64) not null primary key, position bigint not null, "
    f"pipeline {_PIPELINE}, run_id varchar(255) not null, sequence bigint not null, "
    "stream longtext not null, record longtext not null, reason longtext not null, rejected_at datetime(6) not null, "
    "since datetime(6) not null, version bigint, stages int not null, shape varchar(64) not null",
    "shapes": "shape varchar(64) not null primary key, line longtext not null",
    "tables": "table_name varchar(64) not null primary key, stream longtext not null, key_names longtext not null",
    "columns": "table_name varchar(64) not null, column_name varchar(64) not null, source_name longtext not null, "
    "declared varchar(255) not null, primary key (table_name, column_name)",
    "replacing": f"staged_in varchar(64) not null primary key, pipeline {_PIPELINE}, table_name varchar(64) not null, "
    "run_id varchar(255) not null, version bigint, key_names longtext not null, "
    "is_waiting tinyint(1) not null default 0",
    # Last: where it is, the others are.
    "format": "version int not null primary key",
}
_NEW_REJECTS = "rejects_2"  # while the books are brought up to date
NAMES = frozenset(PREFIX + name for name in _TABLES)


def at(connection: Connection, name: str) -> str:
    """A book's quoted name."""
    return f"{quote(connection.schema)}.{quote(PREFIX + name)}"


def exist(connection: Connection) -> bool:
    """Whether all books are there, of a format that is known. Raises as `format_of`."""
    return format_of(connection) is not None


def format_of(connection: Connection) -> int | None:
    """The format of the books; None when they are not all there. Raises EnvironmentProblemError (`warehouse-newer`) for
    books of a later release, which this one could only spoil."""
    found = connection.rows(
        "select 1 from information_schema.tables where table_schema = %s and table_name = %s",
        [connection.schema, f"{PREFIX}format"],
    )
    if not found:
        return None
    ((version,),) = connection.rows(f"select max(version) from {at(connection, 'format')}")
    refuse_newer(version)
    return None if version is None else int(version)


def make(connection: Connection) -> None:
    """Make the database and its books when there are none, and bring those of an older release up to date. Commits what
    is open."""
    if format_of(connection) == FORMAT:
        return
    name = lock_name("books", connection.schema)
    connection.rows("select get_lock(%s, 60)", [name])
    try:
        known = "select 1 from information_schema.schemata where schema_name = %s"
        collated = f"character set utf8mb4 collate {connection.server.collation}"
        if not connection.rows(known, [connection.schema]):
            connection.run(f"create database if not exists {quote(connection.schema)} {collated}")
        for book, body in _TABLES.items():
            connection.run(f"create table if not exists {at(connection, book)} ({body}) engine = InnoDB {collated}")
        if format_of(connection) == 1:
            _renew_rejects(connection, collated)
        connection.run(
            f"insert into {at(connection, 'format')} values ({FORMAT}) on duplicate key update version = version"
        )
    finally:
        if connection.is_open:
            connection.rows("select release_lock(%s)", [name])


def _renew_rejects(connection: Connection, collated: str) -> None:
    """Give the rejects of format 1 what they have since. Nobody knows since when those commits had gathered rows, nor
    their schema: no row is older. Interrupted, it begins anew."""
    former = at(connection, f"{_NEW_REJECTS}_former")
    columns = "select column_name from information_schema.columns where table_schema = %s and table_name = %s"
    if ("shape",) in connection.rows(columns, [connection.schema, f"{PREFIX}rejects"]):
        connection.run(f"drop table if exists {former}")
        return
    rejects, renewed = at(connection, "rejects"), at(connection, _NEW_REJECTS)
    connection.run(f"drop table if exists {renewed}")
    connection.run(f"create table {renewed} ({_TABLES['rejects']}) engine = InnoDB {collated}")
    connection.run(
        f"insert into {renewed} select concat(left(md5(concat_ws(' ', pipeline, run_id, sequence)), 10), '-', number), "
        "number, pipeline, run_id, sequence, stream, record, reason, rejected_at, '1970-01-01', null, 0, "
        f"'{quarantine.shape_id(b'')}' from (select *, row_number() over "
        f"(partition by pipeline, run_id, sequence order by rejected_at) as number from {rejects}) former"
    )
    connection.run(f"rename table {rejects} to {former}, {renewed} to {rejects}")
    connection.run(f"drop table {former}")


def standing(connection: Connection, pipeline: str | None) -> Standing:
    if pipeline is None or not exist(connection):
        return Standing()
    found = connection.rows(
        f"select sequence, run_id, state from {at(connection, 'checkpoint')} where pipeline = %s", [pipeline]
    )
    return Standing(sequence=found[0][0], run_id=found[0][1], state=found[0][2]) if found else Standing()


def recorded(connection: Connection, entry: Entry) -> dict[str, StreamReceipt] | None:
    """The receipts of this very commit when it is durable already, None when it isn't."""
    found = connection.rows(
        f"select stream, rows_in, rows_out, rejected, repaired from {at(connection, 'ledger')} "
        "where run_id = %s and sequence = %s and pipeline <=> %s",
        [entry.run_id, entry.sequence, entry.pipeline],
    )
    if not found:
        stands = standing(connection, entry.pipeline)
        return {} if (stands.sequence, stands.run_id) == (entry.sequence, entry.run_id) else None
    return {
        stream: StreamReceipt(rows_in=rows_in, rows_out=rows_out, rejected=rejected, repaired=repaired)
        for stream, rows_in, rows_out, rejected, repaired in found
    }


def write_checkpoint(connection: Connection, entry: Entry, state: bytes | None) -> None:
    """Raises RunFailedError (`another-writer`) when that commit was made meanwhile: the row's own lock sees to it,
    whatever a proxy between us and the server does with the locks of sessions."""
    if entry.pipeline is None:
        return
    book = at(connection, "checkpoint")
    values = [state, entry.sequence, entry.run_id, now().replace(tzinfo=None), entry.pipeline]
    try:
        written = (
            connection.run(
                f"insert into {book} (state, sequence, run_id, updated_at, pipeline) values (%s, %s, %s, %s, %s)",
                values,
            )
            if entry.sequence == 1
            else connection.run(
                f"update {book} set state = %s, sequence = %s, run_id = %s, updated_at = %s "
                "where pipeline = %s and sequence = %s",
                [*values, entry.sequence - 1],
            )
        )
    except pymysql.err.IntegrityError:
        written = 0
    if written != 1:
        raise another_writer(entry.pipeline, standing(connection, entry.pipeline), entry.sequence - 1)


def write_ledger(
    connection: Connection, entry: Entry, receipts: Mapping[str, StreamReceipt], state: bytes | None
) -> None:
    state_hash = None if state is None else hashlib.sha256(state).hexdigest()
    named = [entry.pipeline, entry.run_id, entry.sequence]
    moment = now().replace(tzinfo=None)
    _insert(
        connection,
        "ledger",
        [
            [*named, stream, one.rows_in, one.rows_out, one.rejected, one.repaired, state_hash, moment]
            for stream, one in receipts.items()
        ],
    )


def write_rejects(connection: Connection, entry: Entry, origin: quarantine.Origin, rejects: Sequence[Rejected]) -> None:
    for shape, line in sorted({quarantine.shape_id(one.schema): one.schema for one in rejects}.items()):
        connection.run(
            f"insert into {at(connection, 'shapes')} values (%s, %s) on duplicate key update shape = shape",
            [shape, line.decode(errors="backslashreplace")],
        )
    rows = quarantine.rows(entry.pipeline, (entry.run_id, entry.sequence), origin, rejects)
    _insert(
        connection,
        "rejects",
        [[value.replace(tzinfo=None) if isinstance(value, datetime) else value for value in row] for row in rows],
    )


def take_rejects(connection: Connection, ids: Sequence[str]) -> int:
    taken = 0
    for start in range(0, len(ids), _IDS):
        some = ids[start : start + _IDS]
        marks = ", ".join("%s" for _ in some)
        taken += connection.run(f"delete from {at(connection, 'rejects')} where id in ({marks})", some)
    return taken


def forget_rejects(connection: Connection, entry: Entry, stream: str, *, before: int | None = None) -> None:
    connection.run(
        f"delete from {at(connection, 'rejects')} where pipeline <=> %s and stream = %s and run_id <> %s "
        "and (%s is null or version < %s)",
        [entry.pipeline, stream, entry.run_id, before, before],
    )


def streams(connection: Connection) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The table and the keys of every stream that was ever loaded."""
    found = connection.rows(f"select stream, table_name, key_names from {at(connection, 'tables')}")
    return {stream: (table, tuple(msgspec.json.decode(keys))) for stream, table, keys in found}


def columns(connection: Connection, table: str) -> list[tuple[str, str, str]]:
    """Source name, name here and declared type of each column."""
    return [
        (source, column, declared)
        for source, column, declared in connection.rows(
            f"select source_name, column_name, declared from {at(connection, 'columns')} where table_name = %s", [table]
        )
    ]


def write_names(
    connection: Connection, table: str, *, stream: str, keys: tuple[str, ...], named: Mapping[str, tuple[str, str]]
) -> None:
    """Keep what a stream's table, keys and columns (source name to name here and declared type) are called."""
    with connection.transaction():
        connection.run(
            f"replace into {at(connection, 'tables')} (table_name, stream, key_names) values (%s, %s, %s)",
            [table, stream, msgspec.json.encode(keys).decode()],
        )
        for source, (column, declared) in named.items():
            connection.run(
                f"replace into {at(connection, 'columns')} (table_name, column_name, source_name, declared) "
                "values (%s, %s, %s, %s)",
                [table, column, source, declared],
            )
        connection.run("commit")


def _insert(connection: Connection, book: str, rows: list[list[Any]]) -> None:
    for row in rows:
        marks = ", ".join("%s" for _ in row)
        connection.run(f"insert into {at(connection, book)} values ({marks})", row)
