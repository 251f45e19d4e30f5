"""What the database keeps about its loads, in the schema `_headwater`, next to the data it speaks of.

`checkpoint` says up to where each pipeline's data reaches; `ledger` has a row for each commit and stream; `tables`
and `columns` map what the source calls things to what they are called here; `rejects` holds records that could not
be loaded, `shapes` the SCHEMA lines that they came under; `replacing` says where the new content of a stream is
collected.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec.structs import replace

from headwater.base.clock import now
from headwater.connect import rejects as quarantine
from headwater.connect.contract import Rejected, StreamReceipt
from headwater.connect.destinations.bookkeeping import FORMAT, SCHEMA, Entry, Standing, another_writer, refuse_newer
from headwater.connect.destinations.postgres.connection import Connection, lock_number

_REJECTS = """(
    id text primary key, position bigint not null, pipeline text, run_id text not null, sequence bigint not null,
    stream text not null, record text, reason text not null, rejected_at timestamptz not null,
    since timestamptz not null, version bigint, stages integer not null, shape text not null);
"""
_TABLES = f"""
create schema _headwater;
create table _headwater.format (version integer not null);
insert into _headwater.format values ({FORMAT});
create table _headwater.checkpoint (
    pipeline text primary key, state bytea, sequence bigint not null, run_id text not null,
    updated_at timestamptz not null);
create table _headwater.ledger (
    pipeline text, run_id text not null, sequence bigint not null, stream text not null,
    rows_in bigint not null, rows_out bigint not null, rejected bigint not null, repaired bigint not null,
    state_hash text, committed_at timestamptz not null);
create index on _headwater.ledger (run_id, sequence);
create table _headwater.rejects {_REJECTS}
create table _headwater.shapes (shape text primary key, line text not null);
create table _headwater.tables (
    schema_name text not null, stream text not null, table_name text not null, keys text[] not null,
    primary key (schema_name, stream));
create table _headwater.columns (
    schema_name text not null, table_name text not null, source_name text not null, column_name text not null,
    declared text not null, primary key (schema_name, table_name, source_name));
create table _headwater.replacing (
    pipeline text, schema_name text not null, table_name text not null, run_id text not null,
    staged_in text not null, version bigint);
"""
# Before format 2. Nobody knows since when those commits had gathered rows, nor their schema: no row is older.
_NEW_REJECTS = f"""
create table _headwater.shapes (shape text primary key, line text not null);
create table _headwater.rejects_2 {_REJECTS}
insert into _headwater.rejects_2
    select left(md5(concat_ws(' ', pipeline, run_id, sequence)), 10) || '-' || position, position, pipeline, run_id,
        sequence, stream, record, reason, rejected_at, 'epoch', null, 0, '{quarantine.shape_id(b"")}'
    from (select *, row_number() over (partition by pipeline, run_id, sequence order by rejected_at) as position
        from _headwater.rejects) former;
drop table _headwater.rejects;
alter table _headwater.rejects_2 rename to rejects;
"""


def written(name: str) -> str:
    """A source's name as the books hold it: PostgreSQL's text can't hold NUL, so that is `\\0`; where that stands in a
    name anyway, its backslashes are doubled."""
    return name.replace("\\", "\\\\").replace("\0", "\\0") if "\0" in name or "\\0" in name else name


def unwritten(name: str) -> str:
    """The source's name that the books hold as this."""
    return re.sub(r"\\([\\0])", lambda sign: "\0" if sign[1] == "0" else "\\", name) if "\\0" in name else name


def exist(connection: Connection) -> bool:
    return connection.execute("select 1 from pg_namespace where nspname = %s", [SCHEMA]).fetchone() is not None


def make(connection: Connection) -> None:
    """Make the books when there are none, and bring those of an older release up to date, in the caller's transaction.
    Raises EnvironmentProblemError (`warehouse-newer`) for books of a later release, which this one could only spoil."""
    if exist(connection) and check_format(connection) == FORMAT:
        return
    connection.execute("select pg_advisory_xact_lock(%s)", [lock_number("books")])
    # Nobody else has done it while we waited.
    if not exist(connection):
        connection.execute(_TABLES.encode())
    elif check_format(connection) < FORMAT:
        columns = "select 1 from pg_attribute where attrelid = '_headwater.rejects'::regclass and attname = 'shape'"
        if connection.execute(columns).fetchone() is None:
            connection.execute(_NEW_REJECTS.encode())
        connection.execute("update _headwater.format set version = %s", [FORMAT])


def check_format(connection: Connection) -> int:
    """The format of the books."""
    row = connection.execute("select max(version) from _headwater.format").fetchone()
    version = row[0] if row else None
    refuse_newer(version)
    return version or 1


def standing(connection: Connection, pipeline: str | None) -> Standing:
    if pipeline is None or not exist(connection):
        return Standing()
    check_format(connection)
    row = connection.execute(
        "select sequence, run_id, state from _headwater.checkpoint where pipeline = %s", [pipeline]
    ).fetchone()
    return Standing(sequence=row[0], run_id=row[1], state=row[2]) if row else Standing()


def recorded(connection: Connection, entry: Entry) -> dict[str, StreamReceipt] | None:
    """The receipts of this very commit when it is durable already, None when it isn't."""
    found = connection.execute(
        "select stream, rows_in, rows_out, rejected, repaired from _headwater.ledger "
        "where run_id = %s and sequence = %s and pipeline is not distinct from %s",
        [entry.run_id, entry.sequence, entry.pipeline],
    ).fetchall()
    if not found:
        stands = standing(connection, entry.pipeline)
        return {} if (stands.sequence, stands.run_id) == (entry.sequence, entry.run_id) else None
    return {
        stream: StreamReceipt(rows_in=rows_in, rows_out=rows_out, rejected=rejected, repaired=repaired)
        for stream, rows_in, rows_out, rejected, repaired in found
    }


def write_checkpoint(connection: Connection, entry: Entry, state: bytes | None) -> None:
    """Raises RunFailedError (`another-writer`) when that commit was made meanwhile. The row's own lock sees to it, so
    a pooler that mixes up sessions, and their locks with them, can't let two writers through."""
    if entry.pipeline is None:
        return
    written = connection.execute(
        "insert into _headwater.checkpoint as c values (%s, %s, %s, %s, %s) on conflict (pipeline) do update "
        "set state = excluded.state, sequence = excluded.sequence, run_id = excluded.run_id, "
        "updated_at = excluded.updated_at where c.sequence = excluded.sequence - 1",
        [entry.pipeline, state, entry.sequence, entry.run_id, now()],
    )
    if written.rowcount != 1:
        raise another_writer(entry.pipeline, standing(connection, entry.pipeline), entry.sequence - 1)


def write_ledger(
    connection: Connection, entry: Entry, receipts: Mapping[str, StreamReceipt], state: bytes | None
) -> None:
    state_hash = None if state is None else hashlib.sha256(state).hexdigest()
    named = [entry.pipeline, entry.run_id, entry.sequence]
    moment = now()
    _insert(
        connection,
        "ledger",
        [
            [*named, written(stream), one.rows_in, one.rows_out, one.rejected, one.repaired, state_hash, moment]
            for stream, one in receipts.items()
        ],
    )


def was_loaded(connection: Connection, streams: Iterable[str], since: datetime) -> bool:
    """Whether rows of one of the streams were committed since, by whomever and into whatever schema."""
    return (
        connection.execute(
            "select 1 from _headwater.ledger where stream = any(%s) and committed_at >= %s limit 1",
            [[*map(written, streams)], since],
        ).fetchone()
        is not None
    )


def maybe_newer(connection: Connection, entry: Entry, stream: str, since: datetime) -> datetime:
    """From which moment on a row of the stream may be newer than what the pipeline set aside `since` then. A row bears
    the moment when the first of its commit was sent. That is earlier than `since` for a commit of another pipeline
    which was begun before and made later, but not earlier than that pipeline's commit before."""
    row = connection.execute(
        "select min(coalesce((select max(b.committed_at) from _headwater.ledger b "
        "where b.pipeline = l.pipeline and b.committed_at < %(since)s), 'epoch')) from _headwater.ledger l "
        "where l.stream = %(stream)s and l.pipeline is distinct from %(pipeline)s and l.committed_at >= %(since)s",
        {"since": since, "stream": written(stream), "pipeline": entry.pipeline},
    ).fetchone()
    return since if row is None or row[0] is None else min(since, row[0])


def write_rejects(connection: Connection, entry: Entry, origin: quarantine.Origin, rejects: Sequence[Rejected]) -> None:
    for shape, line in sorted({quarantine.shape_id(one.schema): one.schema for one in rejects}.items()):
        connection.execute(
            "insert into _headwater.shapes values (%s, %s) on conflict do nothing",
            [shape, line.decode(errors="backslashreplace")],
        )
    kept = [replace(one, stream=written(one.stream)) for one in rejects]
    rows = quarantine.rows(entry.pipeline, (entry.run_id, entry.sequence), origin, kept)
    _insert(
        connection, "rejects", [[_without_nul(one) if isinstance(one, str) else one for one in row] for row in rows]
    )


def _without_nul(text: str) -> str:
    return text.replace("\0", "\\0")


def take_rejects(connection: Connection, ids: Sequence[str]) -> int:
    return connection.execute("delete from _headwater.rejects where id = any(%s)", [list(ids)]).rowcount


def forget_rejects(connection: Connection, entry: Entry, stream: str, *, before: int | None = None) -> None:
    connection.execute(
        "delete from _headwater.rejects where pipeline is not distinct from %s and stream = %s and run_id <> %s "
        "and (%s::bigint is null or version < %s)",
        [entry.pipeline, written(stream), entry.run_id, before, before],
    )


def write_names(
    connection: Connection,
    schema: str,
    table: str,
    *,
    stream: str,
    keys: tuple[str, ...],
    columns: Mapping[str, tuple[str, str]],
) -> None:
    """Keep what a stream's table, keys and columns (source name to name here and declared type) are called."""
    connection.execute(
        "insert into _headwater.tables values (%s, %s, %s, %s) on conflict (schema_name, stream) do update "
        "set table_name = excluded.table_name, keys = excluded.keys",
        [schema, written(stream), table, list(keys)],
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into _headwater.columns values (%s, %s, %s, %s, %s) "
            "on conflict (schema_name, table_name, source_name) do update "
            "set column_name = excluded.column_name, declared = excluded.declared",
            [[schema, table, written(source), *told] for source, told in columns.items()],
        )


def _insert(connection: Connection, table: str, rows: list[list[Any]]) -> None:
    if not rows:
        return
    marks = psycopg.sql.SQL(", ").join(psycopg.sql.Placeholder() for _ in rows[0])
    statement = psycopg.sql.SQL("insert into {} values ({})").format(psycopg.sql.Identifier(SCHEMA, table), marks)
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
