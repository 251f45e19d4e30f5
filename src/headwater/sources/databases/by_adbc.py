"""By an ADBC driver, which gives rows as Arrow: `adbc:NAME:ADDRESS` for the package `adbc-driver-NAME`."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from headwater.sources.databases.tables import (
    OWN_SCHEMAS,
    Ask,
    CannotConnectError,
    Column,
    Table,
    UnknownTableError,
    conditions,
)
from headwater.sources.rows import JSON_FIELD, Pace, gathered

_BACKTICKS = frozenset(("bigquery", "databricks"))
# In whose texts a backslash hides what follows it, a quote too.
_BACKSLASHES = frozenset(("bigquery", "databricks", "snowflake"))
# Whose tables have no types to go by: their first rows have.
_BY_ROWS = frozenset(("sqlite",))
_SAMPLE = 1000
# What PostgreSQL's driver gives as it stands in the server's memory is asked for as text, and so is what it cuts.
_TYPE_NAME = b"POSTGRESQL:type"
_ODD = frozenset(("money", "interval", "uuid"))
_VIEWS = ("view", "materialized view", "matview")
_TABLES = (*_VIEWS, "table", "base table", "partitioned table", "foreign table", "local table")


@contextlib.contextmanager
def opened(address: str, options: dict[str, Any]) -> Iterator[Database]:
    """Raises CannotConnectError."""
    name, _, uri = address.partition(":")
    module = importlib.import_module(f"adbc_driver_{name}.dbapi")
    given = {"db_kwargs": options["connect_args"]} if options["connect_args"] else {}
    try:
        connection = module.connect(*([uri] if uri else []), autocommit=True, **given)
    except module.Error as error:
        raise CannotConnectError(str(error)) from error
    with contextlib.closing(connection):
        yield Database(connection, name)


class Database:
    """As `databases.Database` says."""

    def __init__(self, connection: Any, driver: str) -> None:
        self._connection = connection
        self._driver = driver
        self._quote = "`" if driver in _BACKTICKS else '"'

    def tables(self, schemas: list[str]) -> Iterator[Table]:
        for schema, about in sorted(self._listed({}), key=lambda pair: (pair[0], pair[1]["table_name"])):
            if schema in schemas if schemas else schema.lower() not in OWN_SCHEMAS:
                yield self._table(schema, about)

    def table(self, schema: str, name: str, *, is_view: bool) -> Table:
        del is_view
        for found, about in self._listed({"table_name_filter": name}):
            if (found, about["table_name"]) == (schema, name):
                return self._table(schema, about)
        raise UnknownTableError(name)

    def rows(self, table: Table, ask: Ask, batch_bytes: int) -> Iterator[tuple[pa.RecordBatch, dict[str, int]]]:
        chosen = ", ".join(self._asked(one) for one in ask.columns)
        name = f"t.{self._quoted(ask.cursor.name)}" if ask.cursor else ""
        pace = Pace(batch_bytes)

        def after(value: Any) -> str:
            assert ask.cursor is not None
            return literal(value, ask.cursor.kind, has_backslashes=self._driver in _BACKSLASHES)

        for rest in conditions(ask, name, after):
            with self._connection.cursor() as cursor:
                cursor.execute(f"select {chosen} from {self._place(table.schema, table.name)} as t{rest}")
                with cursor.fetch_record_batch() as reader:
                    for batch in gathered(reader, batch_bytes):
                        for part in pace.parts(_plain(batch)):
                            yield part, {}

    def _listed(self, filters: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
        found = self._connection.adbc_get_objects(depth="all", **filters).read_all()
        for catalog in found.to_pylist():
            for place in catalog["catalog_db_schemas"] or ():
                for about in place["db_schema_tables"] or ():
                    if str(about["table_type"]).lower() in _TABLES:
                        yield place["db_schema_name"] or "", about

    def _table(self, schema: str, about: dict[str, Any]) -> Table:
        name = about["table_name"]
        keys = (
            one["constraint_column_names"]
            for one in about["table_constraints"] or ()
            if one["constraint_type"] == "PRIMARY KEY"
        )
        known = {one["column_name"]: one for one in about["table_columns"] or ()}
        return Table(
            schema=schema,
            name=name,
            is_view=str(about["table_type"]).lower() in _VIEWS,
            keys=tuple(next(keys, ())),
            columns=tuple(_column(field, known.get(field.name, {})) for field in self._schema(schema, name)),
        )

    def _schema(self, schema: str, name: str) -> pa.Schema:
        if self._driver in _BY_ROWS:
            with self._connection.cursor() as cursor:
                cursor.execute(f"select * from {self._place(schema, name)} limit {_SAMPLE}")
                return _plain(cursor.fetch_arrow_table()).schema
        found: pa.Schema = self._connection.adbc_get_table_schema(name, db_schema_filter=schema or None)
        return found

    def _asked(self, one: Column) -> str:
        name = self._quoted(one.name)
        return f"cast(t.{name} as varchar) as {name}" if one.handle else f"t.{name}"

    def _place(self, schema: str, name: str) -> str:
        return ".".join(self._quoted(part) for part in (schema, name) if part)

    def _quoted(self, name: str) -> str:
        return f"{self._quote}{name.replace(self._quote, self._quote * 2)}{self._quote}"


def _column(field: pa.Field, known: dict[str, Any]) -> Column:
    (plain,) = _plain(pa.schema([field]).empty_table()).schema
    named = ((field.metadata or {}).get(_TYPE_NAME) or b"").decode()
    is_odd = named in _ODD or (pa.types.is_binary(plain.type) and named not in ("", "bytea"))
    return Column(
        name=field.name,
        type=str(named or known.get("xdbc_type_name") or field.type),
        kind=pa.string() if is_odd else plain.type,
        is_json=plain.metadata is not None,
        not_null=known.get("xdbc_is_nullable") == "NO",
        handle=is_odd,
    )


def _plain(found: Any) -> Any:
    """A table or batch without what only its driver knows: nested values as JSON, columns without a type as text."""
    arrays, fields = [], []
    for field, values in zip(found.schema, found.columns, strict=True):
        kind = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        is_nested = pa.types.is_nested(kind)
        if is_nested:
            texts = [None if value is None else json.dumps(value, default=str) for value in values.to_pylist()]
            array = pa.array(texts, pa.string())
        else:
            array = values.cast(pa.string() if pa.types.is_null(kind) else kind)
        arrays.append(array)
        is_json = is_nested or str(field.type).startswith("extension<arrow.json")
        fields.append(pa.field(field.name, array.type, metadata=JSON_FIELD if is_json else None))
    return type(found).from_arrays(arrays, schema=pa.schema(fields))


def literal(value: Any, kind: pa.DataType, *, has_backslashes: bool) -> str:
    """A bookmark as SQL. One of a column with a zone says its own: without it the session's would be meant."""
    if isinstance(value, dt.datetime):
        shown = value if pa.types.is_timestamp(kind) and kind.tz else value.replace(tzinfo=None)
        return f"'{shown.isoformat(sep=' ')}'"
    if not isinstance(value, dt.date | str):
        return str(value)
    text = str(value)
    if has_backslashes:
        return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"
    return "'" + text.replace("'", "''") + "'"
