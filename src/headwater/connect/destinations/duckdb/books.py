"""What the warehouse keeps about its loads, in the schema `_headwater`, next to the data it speaks of.

`checkpoint` says up to where each pipeline's data reaches; `ledger` has a row for each commit and stream; `tables`
and `columns` map what the source calls things to what they are called here; `rejects` holds records that could not
be loaded, `shapes` the SCHEMA lines that they came under. A backup of the file holds data and books of the same moment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from headwater.base.clock import iso, now
from headwater.connect import rejects as quarantine
from headwater.connect.contract import Rejected, StreamReceipt
from headwater.connect.destinations.bookkeeping import FORMAT, SCHEMA, Entry, Standing, refuse_newer
from headwater.connect.warehouse import first_row

_REJECTS = """(
    id varchar not null, position bigint not null, pipeline varchar, run_id varchar not null, sequence bigint not null,
    stream varchar not null, record varchar, reason varchar not null, rejected_at timestamptz not null,
    since timestamptz not null, version bigint, stages integer not null, shape varchar not null);
"""
_TABLES = f"""
create schema if not exists _headwater;
create table if not exists _headwater.format (version integer not null);
insert into _headwater.format select {FORMAT} where not exists (from _headwater.format);
create table if not exists _headwater.checkpoint (
    pipeline varchar not null, state blob, sequence bigint not null, run_id varchar not null,
    updated_at timestamptz not null);
create table if not exists _headwater.ledger (
    pipeline varchar, run_id varchar not null, sequence bigint not null, stream varchar not null,
    rows_in bigint not null, rows_out bigint not null, rejected bigint not null, repaired bigint not null,
    state_hash varchar, committed_at timestamptz not null);
create table if not exists _headwater.rejects {_REJECTS}
create table if not exists _headwater.shapes (shape varchar not null, line varchar not null);
create table if not exists _headwater.tables (
    schema_name varchar not null, stream varchar not null, table_name varchar not null, keys varchar[] not null);
create table if not exists _headwater.columns (
    schema_name varchar not null, table_name varchar not null, source_name varchar not null,
    column_name varchar not null, declared varchar not null);
create table if not exists _headwater.replacing (
    pipeline varchar, schema_name varchar not null, table_name varchar not null, run_id varchar not null,
    staged_in varchar not null, version bigint);
"""
# Before format 2. Nobody knows since when those commits had gathered rows, nor their schema: no row is older.
_NEW_REJECTS = f"""
create table if not exists _headwater.shapes (shape varchar not null, line varchar not null);
create table _headwater.rejects_2 {_REJECTS}
insert into _headwater.rejects_2
    select left(md5(concat_ws(' ', pipeline, run_id, sequence)), 10) || '-' || position, position, pipeline, run_id,
        sequence, stream, record, reason, rejected_at, 'epoch', null, 0, '{quarantine.shape_id(b"")}'
    from (select *, row_number() over (partition by pipeline, run_id, sequence order by rejected_at) as position
        from _headwater.rejects);
drop table _headwater.rejects;
alter table _headwater.rejects_2 rename to rejects;
"""


def exist(connection: duckdb.DuckDBPyConnection) -> bool:
    return first_row(connection, "select 1 from duckdb_schemas() where schema_name = ?", [SCHEMA]) is not None


def make(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the books when there are none, and bring those of an older release up to date. Raises
    EnvironmentProblemError (`warehouse-newer`) for books of a later release, which this one could only spoil."""
    if not exist(connection):
        connection.execute(_TABLES)
    elif check_format(connection) < FORMAT:
        columns = "select 1 from duckdb_columns() where schema_name = ? and table_name = ? and column_name = ?"
        if first_row(connection, columns, [SCHEMA, "rejects", "shape"]) is None:
            connection.execute(_NEW_REJECTS)
        connection.execute("update _headwater.format set version = ?", [FORMAT])


def check_format(connection: duckdb.DuckDBPyConnection) -> int:
    """The format of the books."""
    row = first_row(connection, "select max(version) from _headwater.format")
    version = row[0] if row else None
    refuse_newer(version)
    return version or 1


def standing(connection: duckdb.DuckDBPyConnection, pipeline: str | None) -> Standing:
    if pipeline is None or not exist(connection):
        return Standing()
    check_format(connection)
    row = first_row(
        connection, "select sequence, run_id, state from _headwater.checkpoint where pipeline = ?", [pipeline]
    )
    return Standing(sequence=row[0], run_id=row[1], state=row[2]) if row else Standing()


def recorded(connection: duckdb.DuckDBPyConnection, entry: Entry) -> dict[str, StreamReceipt] | None:
    """The receipts of this very commit when it is durable already, None when it isn't."""
    found = connection.execute(
        "select stream, rows_in, rows_out, rejected, repaired from _headwater.ledger "
        "where run_id = ? and sequence = ? and pipeline is not distinct from ?",
        [entry.run_id, entry.sequence, entry.pipeline],
    ).fetchall()
    if not found:
        return None
    return {
        stream: StreamReceipt(rows_in=rows_in, rows_out=rows_out, rejected=rejected, repaired=repaired)
        for stream, rows_in, rows_out, rejected, repaired in found
    }


def write_checkpoint(connection: duckdb.DuckDBPyConnection, entry: Entry, state: bytes | None) -> None:
    if entry.pipeline is None:
        return
    connection.execute("delete from _headwater.checkpoint where pipeline = ?", [entry.pipeline])
    connection.execute(
        "insert into _headwater.checkpoint values (?, ?, ?, ?, ?)",
        [entry.pipeline, state, entry.sequence, entry.run_id, iso(now())],
    )


def write_ledger(
    connection: duckdb.DuckDBPyConnection, entry: Entry, receipts: Mapping[str, StreamReceipt], state: bytes | None
) -> None:
    state_hash = None if state is None else hashlib.sha256(state).hexdigest()
    moment = iso(now())
    _insert(
        connection,
        "ledger",
        [
            [
                entry.pipeline,
                entry.run_id,
                entry.sequence,
                stream,
                one.rows_in,
                one.rows_out,
                one.rejected,
                one.repaired,
                state_hash,
                moment,
            ]
            for stream, one in receipts.items()
        ],
    )


def write_rejects(
    connection: duckdb.DuckDBPyConnection, entry: Entry, origin: quarantine.Origin, rejects: list[Rejected]
) -> None:
    for shape, line in {quarantine.shape_id(one.schema): one.schema for one in rejects}.items():
        connection.execute(
            "insert into _headwater.shapes select $1, $2 where not exists (from _headwater.shapes where shape = $1)",
            [shape, line.decode(errors="backslashreplace")],
        )
    rows = quarantine.rows(entry.pipeline, (entry.run_id, entry.sequence), origin, rejects)
    _insert(
        connection,
        "rejects",
        [[iso(value) if isinstance(value, datetime) else value for value in row] for row in rows],
    )


def take_rejects(connection: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> int:
    taken = connection.execute("delete from _headwater.rejects where id in (select unnest($1))", [list(ids)]).fetchall()
    return int(taken[0][0])


def forget_rejects(
    connection: duckdb.DuckDBPyConnection, entry: Entry, stream: str, *, before: int | None = None
) -> None:
    connection.execute(
        "delete from _headwater.rejects where pipeline is not distinct from $1 and stream = $2 and run_id <> $3 "
        "and ($4::bigint is null or version < $4)",
        [entry.pipeline, stream, entry.run_id, before],
    )


def write_names(
    connection: duckdb.DuckDBPyConnection,
    schema: str,
    table: str,
    *,
    stream: str,
    keys: tuple[str, ...],
    columns: Mapping[str, tuple[str, str]],
    are_first: bool = False,
) -> None:
    """Keep what a stream's table, keys and columns (source name to name here and declared type) are called. `are_first`
    says that nothing is kept of the stream and the table yet."""
    if not are_first:
        connection.execute("delete from _headwater.tables where schema_name = ? and stream = ?", [schema, stream])
        connection.execute(
            "delete from _headwater.columns "
            "where schema_name = ? and table_name = ? and source_name in (from unnest(?))",
            [schema, table, list(columns)],
        )
    connection.execute("insert into _headwater.tables values (?, ?, ?, ?)", [schema, stream, table, list(keys)])
    called, declared = ([told[place] for told in columns.values()] for place in (0, 1))
    connection.execute(
        "insert into _headwater.columns "
        "select $1, $2, unnest($3::varchar[]), unnest($4::varchar[]), unnest($5::varchar[])",
        [schema, table, list(columns), called, declared],
    )


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: list[list[Any]]) -> None:
    if rows:
        marks = ", ".join("?" for _ in rows[0])
        connection.executemany(f"insert into _headwater.{table} values ({marks})", rows)
