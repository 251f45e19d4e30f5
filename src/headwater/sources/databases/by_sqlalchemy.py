"""By SQLAlchemy: whatever it has a dialect for."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc, types
from sqlalchemy.sql import quoted_name

from headwater.sources.databases.arrays import batches
from headwater.sources.databases.tables import (
    KINDS,
    OWN_SCHEMAS,
    Ask,
    CannotConnectError,
    Column,
    Table,
    UnknownTableError,
    kind_of_decimal,
)

_BUFFER = 1000  # rows that a server-side cursor brings at a time
# By SQLAlchemy's own types, the first that fits.
_KINDS: tuple[tuple[type[Any], str], ...] = (
    (types.Boolean, "bool"),
    (types.Integer, "int"),
    (types.Float, "float"),
    (types.DateTime, "moment"),
    (types.Date, "date"),
    (types.Time, "time"),
    (types.LargeBinary, "bytes"),
    (types.BINARY, "bytes"),
    (types.VARBINARY, "bytes"),
    (types.String, "text"),
)
# By the name of a dialect's own.
_NAMES = {"DATETIME": "moment", "SMALLDATETIME": "moment", "TIMESTAMP": "moment", "YEAR": "int"}
_JSON_NAMES = frozenset(("VARIANT", "OBJECT", "ARRAY", "MAP", "STRUCT", "SUPER", "JSON", "JSONB"))


@contextlib.contextmanager
def opened(url: str, options: dict[str, Any]) -> Iterator[Database]:
    """Raises CannotConnectError."""
    try:
        given = {"isolation_level": options["isolation_level"]} if options["isolation_level"] else {}
        engine = sa.create_engine(url, connect_args=options["connect_args"], poolclass=sa.NullPool, **given)
        connection = engine.connect()
    except exc.NoSuchModuleError:
        raise
    except exc.ArgumentError as error:
        raise CannotConnectError(str(error).replace(url, "the address")) from error
    except exc.DBAPIError as error:
        raise CannotConnectError(str(error.orig)) from error
    with connection:
        yield Database(connection)


class Database:
    """As `databases.Database` says."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._inspector = sa.inspect(connection)

    def tables(self, schemas: list[str]) -> Iterator[Table]:
        for schema in schemas or self._schemas():
            views = self._views(schema)
            for name in sorted({*self._inspector.get_table_names(schema=schema), *views}):
                try:
                    found = self.table(schema, name, is_view=name in views)
                except (UnknownTableError, exc.UnreflectableTableError, exc.DBAPIError) as error:
                    # A view may name what is gone; but one is not gone because the connection is.
                    if name not in views or getattr(error, "connection_invalidated", False):
                        raise
                    self._connection.rollback()
                else:
                    yield found

    def table(self, schema: str, name: str, *, is_view: bool) -> Table:
        try:
            listed = self._inspector.get_columns(name, schema=schema or None)
            key = {} if is_view else self._inspector.get_pk_constraint(name, schema=schema or None)
        except exc.NoSuchTableError as error:
            raise UnknownTableError(name) from error
        return Table(
            schema=schema,
            name=name,
            is_view=is_view,
            keys=tuple(key.get("constrained_columns") or ()),
            columns=tuple(_column(one) for one in listed),
        )

    def rows(self, table: Table, ask: Ask, batch_bytes: int) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
        columns = {one.name: sa.column(self._named(one.name), one.handle) for one in table.columns}
        schema = self._named(table.schema) if table.schema else None
        place = sa.table(self._named(table.name), *columns.values(), schema=schema)
        dialect = self._connection.dialect.name
        chosen = [
            sa.cast(columns[one.name], sa.Text).label(one.name)
            if _is_asked_as_text(one, dialect)
            else columns[one.name]
            for one in ask.columns
        ]
        asked = sa.select(*chosen).select_from(place)
        reading = self._connection.execution_options(stream_results=True, max_row_buffer=_BUFFER)
        for part in ask.parts():
            with contextlib.closing(reading.execute(_restricted(asked, part, ask, columns))) as found:
                yield from batches(found, ask.columns, batch_bytes)

    def _named(self, name: str) -> str:
        """Quoted, for a dialect need not know every word that its database reserves; but where a name in lower case
        stands for one in upper case, it must be left alone."""
        return name if self._connection.dialect.requires_name_normalize else quoted_name(name, quote=True)

    def _schemas(self) -> list[str]:
        url = self._connection.engine.url
        if self._connection.dialect.name in ("mysql", "mariadb") and url.database:
            return [url.database]
        return [name for name in self._inspector.get_schema_names() if name.lower() not in OWN_SCHEMAS]

    def _views(self, schema: str) -> set[str]:
        found = set(self._inspector.get_view_names(schema=schema))
        with contextlib.suppress(NotImplementedError, AttributeError):
            found |= set(self._inspector.get_materialized_view_names(schema=schema))
        return found


def _restricted(asked: sa.Select[Any], part: str, ask: Ask, columns: dict[str, Any]) -> sa.Select[Any]:
    if ask.cursor is None:
        return asked
    cursor = columns[ask.cursor.name]
    if part == "nulls":
        return asked.where(cursor.is_(None))
    if part == "without":
        return (asked if ask.cursor.not_null else asked.where(cursor.is_not(None))).order_by(cursor)
    after = ask.after
    if isinstance(after, dt.datetime) and not getattr(ask.cursor.handle, "timezone", False):
        after = after.replace(tzinfo=None)
    return asked.where(cursor >= sa.literal(after, ask.cursor.handle)).order_by(cursor)


def _is_asked_as_text(one: Column, dialect: str) -> bool:
    """What drivers make of it loses something: numbers in JSON, the months of an interval, the order of a set."""
    if isinstance(one.handle, types.JSON) or type(one.handle).__name__ == "SET":
        return dialect in ("postgresql", "mysql", "mariadb", "sqlite")
    is_text = pa.types.is_string(one.kind) and not one.is_json
    return dialect == "postgresql" and is_text and not isinstance(one.handle, types.String)


def _column(about: Any) -> Column:
    kind, is_json = _kind(about["type"])
    # Asked for decimals, some dialects round a double.
    handle = types.Float(asdecimal=False) if kind == KINDS["float"] else about["type"]
    return Column(
        name=str(about["name"]),
        type=_said(about["type"]),
        kind=kind,
        is_json=is_json,
        not_null=not about.get("nullable", True),
        handle=handle,
    )


def _kind(given: Any) -> tuple[pa.DataType, bool]:
    name = type(given).__name__.upper()
    if isinstance(given, types.JSON | types.ARRAY) or name in _JSON_NAMES:
        return pa.string(), True
    if isinstance(given, types.BigInteger) and getattr(given, "unsigned", False):
        return pa.decimal128(20, 0), False
    if isinstance(given, types.Time) and getattr(given, "timezone", False):
        return pa.string(), False
    for kind, word in _KINDS:
        if isinstance(given, kind):
            return KINDS[word], False
    if isinstance(given, types.Numeric):
        return kind_of_decimal(given.precision, given.scale), False
    word = next((word for start, word in _NAMES.items() if name.startswith(start)), "text")
    return KINDS[word], False


def _said(given: Any) -> str:
    try:
        return str(given)
    except exc.CompileError:
        return type(given).__name__
