"""The tables that streams were loaded into, for a comparison with their source."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
from msgspec.structs import replace

from headwater.connect import types
from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.destinations.bookkeeping import refuse_older
from headwater.connect.destinations.deletes import standing
from headwater.connect.destinations.postgres import books
from headwater.connect.destinations.postgres.address import Address, address
from headwater.connect.destinations.postgres.connection import Connection, cannot_connect, connect, execute, trouble
from headwater.connect.destinations.postgres.session import schema_name
from headwater.connect.destinations.postgres.settings import Settings
from headwater.connect.destinations.postgres.sql_types import field_of
from headwater.connect.digest import Alike, Brief, Column, Relation, Words
from headwater.connect.names import quote

_TEXT = '({0})::text collate "C"'  # a collation of one's own may take texts for equal that differ
# Hashes of the values as they are, a third of what their texts and an MD5 cost. That of a row is a sum of products:
# hashed once more, no sum over rows adds up when two rows swap a value.
_ALIKE = Alike(
    row="hashtextextended(hash_record_extended(row({0}), 0)::text, 0)",
    values={
        "bool": "({0})::bool",
        "int64": "({0})::bigint",
        "decimal": "({0})::numeric",
        "float64": "({0})::float8",
        "string": _TEXT,
        "json": _TEXT,
        "binary": "({0})::bytea",
        "date32": "({0})::date",
        "time64": "({0})::time",
        "timestamp": "({0})::timestamptz",
    },
    text=_TEXT,
)
_FIRST_WITH_HASHES = 140_000
# Half of what the canonical texts cost: nothing is cast to text that `concat_ws` can write itself.
_BRIEF = Brief(
    forms={
        "bool": "({0})::int",
        "int64": "({0})",
        "decimal": "trim_scale({0})",
        "timestamp": "encode(timestamptz_send({0}), 'hex')",
    },
    sized="octet_length({0}), {0}",
    marks="case when row({0}) is not null then 0 else {1} end",  # one look where there are none
)
_FIRST_WITH_BRIEF = 130_000

WORDS = Words(
    forms={
        "bool": "({0})::text",
        "int64": "({0})::text",
        "decimal": "case when scale({0}) > 0 then rtrim(rtrim(({0})::text, '0'), '.') else ({0})::text end",
        "digits": "case when position('.' in {0}) > 0 then rtrim(rtrim({0}, '0'), '.') else {0} end",
        # -0.0 is 0.0, and there is one NaN only.
        "float64": "case when {0} = 'NaN' then 'nan' else encode(float8send(({0})::float8 + 0), 'hex') end",
        "string": "({0})",
        "json": "({0})",
        "binary": "encode({0}, 'hex')",
        "date32": "({0})::text",
        "time64": "to_char({0}, 'HH24:MI:SS.US')",
        "timestamp": """to_char(({0}) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    },
    sized="octet_length({0}) || ':' || {0}",
    number="('x' || substr({0}, 1, 15))::bit(60)::bigint",
    part="({0}) / {1}",
    integer="({0})::bigint",
    alike=_ALIKE,
    brief=_BRIEF,
)
_TEXTS = frozenset(("text", "character varying"))
_LIVE = (
    "select attname, format_type(atttypid, atttypmod) from pg_attribute where attnum > 0 and not attisdropped "
    "and attrelid = (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace "
    "where nspname = %s and relname = %s)"
)


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, source: str, pipeline: str | None, folder: Path, on_wait: Callable[[str], None]
) -> PostgresTables:
    """Raises EnvironmentProblemError as a load does."""
    del on_wait
    at = address(settings, folder / "tls")
    try:
        connection = connect(at, application="headwater verify", idle_seconds=IDLE_SECONDS)
    except psycopg.OperationalError as error:
        raise cannot_connect(at, error) from error
    return PostgresTables(connection, at, schema_name(settings.default_target_schema or source), pipeline)


class Snapshot:
    """A session that only reads, and all of it as of one moment; another thread may interrupt what it asks."""

    def __init__(self, connection: Connection, at: Address) -> None:
        self._connection, self._at = connection, at
        version = connection.info.server_version
        self.words = replace(
            WORDS,
            alike=_ALIKE if version >= _FIRST_WITH_HASHES else None,
            brief=_BRIEF if version >= _FIRST_WITH_BRIEF else None,
        )
        self.ask("begin transaction isolation level repeatable read read only")
        # It takes each row for a part of its own: it would sort them on the disk, or count them without helpers.
        self.ask("select set_config('enable_sort', 'off', true), set_config('parallel_tuple_cost', '0', true)")

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self.told():
            cursor = execute(self._connection, query)
            return cursor.fetchall() if cursor.description else []

    def interrupt(self) -> None:
        with contextlib.suppress(psycopg.Error):  # it has ended by itself
            self._connection.cancel()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Errors of the database in our words."""
        try:
            yield
        except psycopg.Error as error:
            raise trouble(self._at, error, doing="compare the tables") from error


class PostgresTables(Snapshot):
    """As `digest.Tables` says."""

    def __init__(self, connection: Connection, at: Address, schema: str, pipeline: str | None) -> None:
        super().__init__(connection, at)
        self._schema, self._pipeline = schema, pipeline

    def checkpoint(self) -> bytes | None:
        with self.told():
            return books.standing(self._connection, self._pipeline).state

    def relation(self, stream: str) -> Relation | None:
        with self.told():
            if not books.exist(self._connection):
                return None
            refuse_older(books.check_format(self._connection))
            found = self._connection.execute(
                "select table_name, keys from _headwater.tables where schema_name = %s and stream = %s",
                [self._schema, books.written(stream)],
            ).fetchone()
            if found is None:
                return None
            table, keys = found
            live: dict[str, str] = dict(self._connection.execute(_LIVE, [self._schema, table]).fetchall())
            named = self._connection.execute(
                "select source_name, column_name from _headwater.columns where schema_name = %s and table_name = %s",
                [self._schema, table],
            ).fetchall()
        columns = {books.unwritten(source): _column(name, live[name]) for source, name in named if name in live}
        called = {name: books.unwritten(source) for source, name in named}
        return Relation(
            place=f"{self._schema}.{table}",
            sql=f"{quote(self._schema)}.{quote(table)} as t",
            columns=columns,
            keys=tuple(called.get(key, key) for key in keys),
            where=standing(live),
        )


def _column(name: str, sql_type: str) -> Column:
    field = field_of(sql_type)
    sql = f"t.{quote(name)}"
    if sql_type == "jsonb":
        return Column(sql=f"{sql}::text", kind="json", type=sql_type, normal=f"{sql}::text")
    if field is None or (kind := types.kind(field.type)) == "string":
        return Column(sql=sql if sql_type in _TEXTS else f"{sql}::text", kind="string", type=sql_type)
    if sql_type == "timestamp without time zone":
        sql = f"{sql} at time zone 'UTC'"
    return Column(sql=sql, kind=kind, type=sql_type)
