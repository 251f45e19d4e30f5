"""What a DuckDB file offers: its tables and views."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import duckdb
import msgspec

from headwater.connect.sources.duckdb.columns import column
from headwater.connect.sources.queries import Table
from headwater.connect.sources.tables import by_stream

# Where a warehouse of ours keeps its books.
_BOOKS = "_headwater"
_COLUMNS = """
    select schema_name, table_name, column_name, data_type, is_nullable
    from duckdb_columns() where database_name = current_database() and not internal
    order by schema_name, table_name, column_index
"""
_VIEWS = "select schema_name, view_name from duckdb_views() where database_name = current_database() and not internal"
_KEYS = """
    select schema_name, table_name, constraint_column_names
    from duckdb_constraints() where database_name = current_database() and constraint_type = 'PRIMARY KEY'
"""
_place = itemgetter(0, 1)
_Rows = list[tuple[Any, ...]]


def tables(connection: duckdb.DuckDBPyConnection, schemas: tuple[str, ...]) -> list[Table]:
    """By schema and name; all schemas without `schemas`. Raises InputError (`ambiguous-stream`)."""
    return by_stream(
        _tables(connection, schemas),
        place="schema",
        hint=lambda table: f"headwater config set tap-duckdb filter_schemas '[\"{table.schema}\"]'",
    )


def digest(connection: duckdb.DuckDBPyConnection, settings: msgspec.Struct) -> str:
    """Changes when `tables` would."""
    found = [sorted(_asked(connection, query), key=str) for query in (_VIEWS, _KEYS)]
    return hashlib.sha256(msgspec.json.encode((settings, _asked(connection, _COLUMNS), found))).hexdigest()


def _tables(connection: duckdb.DuckDBPyConnection, schemas: tuple[str, ...]) -> Iterator[Table]:
    views = set(_asked(connection, _VIEWS))
    keys = {(schema, name): tuple(columns) for schema, name, columns in _asked(connection, _KEYS)}
    for place, rows in groupby(_asked(connection, _COLUMNS), _place):
        schema, name = place
        if schema == _BOOKS or (schemas and schema not in schemas):
            continue
        yield Table(
            schema=schema,
            name=name,
            is_view=place in views,
            columns=tuple(column(one, kind, not_null=not nullable) for _, _, one, kind, nullable in rows),
            keys=keys.get(place, ()),
        )


def _asked(connection: duckdb.DuckDBPyConnection, query: str) -> _Rows:
    found: _Rows = connection.execute(query).fetchall()
    return found
