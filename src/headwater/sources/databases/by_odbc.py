"""By ODBC: `odbc:` and a connection string, for whatever has a driver on the machine."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyodbc

from headwater.sources.databases.arrays import batches
from headwater.sources.databases.tables import (
    KINDS,
    OWN_SCHEMAS,
    Ask,
    CannotConnectError,
    Column,
    Table,
    UnknownTableError,
    conditions,
    kind_of_decimal,
)

# The types of ODBC's own table (`sqlext.h`).
_BIT, _DECIMALS = -7, (2, 3)
_KINDS = (
    dict.fromkeys((-6, 5, 4, -5), "int")
    | dict.fromkeys((6, 7, 8), "float")
    | dict.fromkeys((9, 91), "date")
    | dict.fromkeys((10, 92), "time")
    | dict.fromkeys((11, 93), "moment")
    | dict.fromkeys((-2, -3, -4), "bytes")
    | {_BIT: "bool"}
)
# What a driver may say is a text.
_BOOLEANS = ("bool", "boolean")


@contextlib.contextmanager
def opened(address: str, options: dict[str, Any]) -> Iterator[Database]:
    """Raises CannotConnectError."""
    pyodbc.native_uuid = True
    try:
        connection = pyodbc.connect(address, autocommit=True, readonly=True, **options["connect_args"])
    except pyodbc.Error as error:
        raise CannotConnectError(str(error.args[-1])) from error
    with contextlib.closing(connection):
        yield Database(connection)


class Database:
    """As `databases.Database` says. What a driver calls a catalog counts as the schema where it has no schemas."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._quote = connection.getinfo(pyodbc.SQL_IDENTIFIER_QUOTE_CHAR).strip()

    def tables(self, schemas: list[str]) -> Iterator[Table]:
        with self._connection.cursor() as cursor:
            listed = [row for row in cursor.tables().fetchall() if row.table_type in ("TABLE", "VIEW")]
        places = sorted({(_schema(row), row.table_name, row.table_type == "VIEW") for row in listed})
        for schema, name, is_view in places:
            if schema in schemas if schemas else schema.lower() not in OWN_SCHEMAS:
                yield self.table(schema, name, is_view=is_view)

    def table(self, schema: str, name: str, *, is_view: bool) -> Table:
        with self._connection.cursor() as cursor:
            listed = [row for row in cursor.columns(table=name).fetchall() if row.table_name == name]
            listed = [row for row in listed if _schema(row) == schema]
            keys = [] if is_view else self._keys(cursor, schema, name)
        if not listed:
            raise UnknownTableError(name)
        return Table(
            schema=schema, name=name, is_view=is_view, keys=tuple(keys), columns=tuple(_column(row) for row in listed)
        )

    def rows(self, table: Table, ask: Ask, batch_bytes: int) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
        chosen = ", ".join(self._quoted(one.name) for one in ask.columns)
        place = ".".join(self._quoted(part) for part in (table.schema, table.name) if part)
        name = self._quoted(ask.cursor.name) if ask.cursor else ""
        after = ask.after.replace(tzinfo=None) if isinstance(ask.after, dt.datetime) else ask.after
        for rest in conditions(ask, name, lambda _value: "?"):
            with self._connection.cursor() as cursor:
                cursor.execute(f"select {chosen} from {place}{rest}", *([after] if "?" in rest else []))
                yield from batches(cursor, ask.columns, batch_bytes)

    def _keys(self, cursor: Any, schema: str, name: str) -> list[str]:
        try:
            found = cursor.primaryKeys(table=name).fetchall()
        except pyodbc.Error:  # a driver need not know
            return []
        ours = [row for row in found if _schema(row) == schema]
        return [row.column_name for row in sorted(ours, key=lambda row: row.key_seq)]

    def _quoted(self, name: str) -> str:
        return f"{self._quote}{name.replace(self._quote, self._quote * 2)}{self._quote}" if self._quote else name


def _schema(row: Any) -> str:
    return str(row.table_schem or row.table_cat or "")


def _column(row: Any) -> Column:
    if row.type_name.lower() in _BOOLEANS:
        kind = KINDS["bool"]
    elif row.data_type in _DECIMALS:
        kind = kind_of_decimal(row.column_size, row.decimal_digits)
    else:
        kind = KINDS[_KINDS.get(row.data_type, "text")]
    return Column(name=row.column_name, type=row.type_name, kind=kind, not_null=row.nullable == 0)
