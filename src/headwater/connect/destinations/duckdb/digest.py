"""The tables that streams were loaded into, for a comparison with their source."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.connect import types, warehouse
from headwater.connect.destinations.bookkeeping import refuse_older
from headwater.connect.destinations.deletes import standing
from headwater.connect.destinations.duckdb import books
from headwater.connect.destinations.duckdb.session import schema_name
from headwater.connect.destinations.duckdb.sql_types import field_of
from headwater.connect.digest import Brief, Column, Relation, Words
from headwater.connect.names import quote

if TYPE_CHECKING:
    from headwater.connect.destinations.duckdb import Settings

WORDS = Words(
    forms={
        "bool": "({0})::varchar",
        "int64": "({0})::varchar",
        "whole": "({0})::varchar",
        "decimal": "rtrim(rtrim(({0})::varchar, '0'), '.')",
        "digits": "case when position('.' in {0}) > 0 then rtrim(rtrim({0}, '0'), '.') else {0} end",
        # -0.0 is 0.0, and there is one NaN only.
        "float64": "case when isnan({0}) then 'nan' else lower(hex((({0})::double + 0)::bit::blob)) end",
        "string": "({0})::varchar",
        "json": "({0})::varchar",
        "binary": "lower(hex({0}))",
        "date32": "({0})::varchar",
        "time64": "strftime(date '2000-01-01' + {0}, '%H:%M:%S.%f')",
        "timestamp": "strftime({0}, '%Y-%m-%dT%H:%M:%S.%fZ')",
    },
    sized="strlen({0}) || ':' || {0}",
    number="('0x' || substr({0}, 1, 15))::bigint",
    part="({0}) // {1}",
    integer="({0})::bigint",
    brief=Brief(
        forms={
            "bool": "({0})::int",
            "int64": "({0})",
            "decimal": "regexp_replace(({0})::varchar, '\\.?0+$', '')",
            # Microseconds since 2000, as PostgreSQL sends them.
            "timestamp": "lower(hex((epoch_us({0}) - 946684800000000)::bit::blob))",
        },
        sized="strlen({0}), {0}",
        marks="({1})",
    ),
)


def open(  # noqa: A001 - the contract's word
    settings: Settings, *, source: str, pipeline: str | None, folder: Path, on_wait: Callable[[str], None]
) -> DuckDBTables:
    """Loads wait until it is closed."""
    del folder
    path = Path(settings.filepath).expanduser()
    return DuckDBTables(path, schema_name(settings.default_target_schema or source), pipeline, on_wait)


class DuckDBTables:
    """As `digest.Tables` says, under a shared lease."""

    words = WORDS

    def __init__(self, path: Path, schema: str, pipeline: str | None, on_wait: Callable[[str], None]) -> None:
        self._schema, self._pipeline = schema, pipeline
        self._held = ExitStack()
        self._connection = self._held.enter_context(warehouse.reading(path, who="headwater verify", on_wait=on_wait))

    def checkpoint(self) -> bytes | None:
        return books.standing(self._connection, self._pipeline).state

    def relation(self, stream: str) -> Relation | None:
        if not books.exist(self._connection):
            return None
        refuse_older(books.check_format(self._connection))
        found = self._rows(
            "select schema_name, table_name, keys from _headwater.tables where schema_name = ? and stream = ?",
            self._schema,
            stream,
        )
        if not found:
            return None
        ((schema, table, keys),) = found
        live = dict(
            self._rows(
                "select column_name, data_type from duckdb_columns() where database_name = current_database() "
                "and schema_name = ? and table_name = ?",
                schema,
                table,
            )
        )
        named = self._rows(
            "select source_name, column_name from _headwater.columns where schema_name = ? and table_name = ?",
            schema,
            table,
        )
        called = {name: source for source, name in named}
        return Relation(
            place=f"{schema}.{table}",
            sql=f"{quote(schema)}.{quote(table)} as t",
            columns={source: column(f"t.{quote(name)}", live[name]) for source, name in named if name in live},
            keys=tuple(called.get(key, key) for key in keys),
            where=standing(live),
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._rows(query)

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._held.close()

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._connection.execute(query, list(values)).fetchall()
        return found


def column(sql: str, sql_type: str) -> Column:
    """A column of DuckDB's type `sql_type`."""
    field = field_of(sql_type)
    if sql_type == "JSON":
        return Column(sql=sql, kind="json", type=sql_type)
    kind = "string" if field is None else types.kind(field.type)
    if field is not None and kind == "decimal" and not field.type.scale:
        kind = "whole"  # its zeros at the end count
    return Column(sql=sql, kind=kind, type=sql_type)
