"""The tables that streams were loaded into, for a comparison with their source."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pymysql

from headwater.connect import types
from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.destinations.bookkeeping import refuse_older
from headwater.connect.destinations.deletes import standing
from headwater.connect.destinations.mysql import books
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.session import schema_of
from headwater.connect.destinations.mysql.settings import Settings
from headwater.connect.destinations.mysql.sql_types import field_of, normal
from headwater.connect.destinations.mysql.trouble import cannot_connect, trouble
from headwater.connect.digest import Column, Relation, Words

WORDS = Words(
    forms={
        "bool": "case {0} when 0 then 'false' when 1 then 'true' else cast({0} as char) end",
        "int64": "cast({0} as char)",
        "decimal": "if(locate('.', cast({0} as char)) = 0, cast({0} as char), "
        "trim(trailing '.' from trim(trailing '0' from cast({0} as char))))",
        "digits": "if(locate('.', {0}) = 0, {0}, trim(trailing '.' from trim(trailing '0' from {0})))",
        # A point on a map is the only thing that shows the eight bytes of a double.
        "float64": "lower(hex(reverse(substr(st_aswkb(point({0} + 0e0, 0)), 6, 8))))",
        "string": "convert({0} using utf8mb4)",
        "json": "convert({0} using utf8mb4)",
        "binary": "lower(hex({0}))",
        "date32": "cast({0} as char)",
        "time64": "time_format({0}, '%H:%i:%s.%f')",
        "timestamp": "date_format({0}, '%Y-%m-%dT%H:%i:%s.%fZ')",
    },
    sized="concat(length({0}), ':', {0})",
    number="cast(conv(substr({0}, 1, 15), 16, 10) as signed)",
    part="({0}) div {1}",
)
_ERRORS = (pymysql.err.Error, OSError)
_INTERRUPT_SECONDS = 15.0


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, source: str, pipeline: str | None, folder: Path, on_wait: Callable[[str], None]
) -> MySQLTables:
    """Raises EnvironmentProblemError as a load does."""
    del folder, on_wait
    schema = schema_of(settings, source)
    try:
        connection = Connection(settings, schema, application="headwater verify", idle_seconds=IDLE_SECONDS)
    except (*_ERRORS, RuntimeError) as error:
        raise cannot_connect(settings, error) from error
    return MySQLTables(connection, settings, pipeline)


class MySQLTables:
    """As `digest.Tables` says, all of one snapshot."""

    words = WORDS

    def __init__(self, connection: Connection, settings: Settings, pipeline: str | None) -> None:
        self._connection, self._settings, self._pipeline = connection, settings, pipeline
        with self._told():
            ((self._number,),) = connection.rows("select connection_id()")
            connection.run("set session transaction isolation level repeatable read")
            connection.run("start transaction with consistent snapshot, read only")

    def checkpoint(self) -> bytes | None:
        with self._told():
            return books.standing(self._connection, self._pipeline).state

    def relation(self, stream: str) -> Relation | None:
        connection = self._connection
        with self._told():
            version = books.format_of(connection)
            if version is None:
                return None
            refuse_older(version)
            found = connection.rows(
                f"select table_name, key_names from {_at(connection, 'tables')} where stream = %s",
                [stream],
            )
            if not found:
                return None
            ((table, keys),) = found
            live = dict(
                connection.rows(
                    "select column_name, column_type from information_schema.columns "
                    "where table_schema = %s and table_name = %s",
                    [connection.schema, table],
                )
            )
            named = connection.rows(
                f"select source_name, column_name from {_at(connection, 'columns')} where table_name = %s",
                [table],
            )
        called = {name: source for source, name in named}
        return Relation(
            place=f"{connection.schema}.{table}",
            sql=f"{quote(connection.schema)}.{quote(table)} as t",
            columns={source: _column(name, live[name]) for source, name in named if name in live},
            keys=tuple(called.get(key, key) for key in msgspec.json.decode(keys, type=list[str])),
            where=standing(live),
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with self._told():
            return self._connection.rows(query)

    def interrupt(self) -> None:
        with contextlib.suppress(*_ERRORS):  # it has ended by itself
            schema = self._connection.schema
            other = Connection(self._settings, schema, application="headwater verify", idle_seconds=_INTERRUPT_SECONDS)
            with contextlib.closing(other):
                other.run(f"kill query {self._number}")

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _ERRORS as error:
            raise trouble(self._settings, error, schema=self._connection.schema, doing="compare the tables") from error


def _at(connection: Connection, book: str) -> str:
    return books.at(connection, book).replace("%", "%%")


def _column(name: str, column_type: str) -> Column:
    sql_type = normal(column_type)
    field = field_of(sql_type)
    kind = "string" if field is None else types.kind(field.type)
    return Column(sql=f"t.{quote(name)}", kind=kind, type=sql_type)
