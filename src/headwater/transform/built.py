"""What was built from what, kept in the warehouse itself: `_headwater.models`, one row a model.

A model is up to date while its code and everything it read are as they were when it was built.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import duckdb
from msgspec import Struct

from headwater.connect.destinations.duckdb import books
from headwater.connect.names import quote
from headwater.transform.models import Model
from headwater.transform.references import Reference

_TABLE = """
create table if not exists _headwater.models (
  schema_name varchar not null,
  name varchar not null,
  materialized varchar not null,
  code_hash varchar not null,
  inputs_hash varchar not null,
  built_at varchar not null,
  "rows" bigint,
  primary key (schema_name, name)
)
"""


class Built(Struct, frozen=True):
    """A model as it was last built here. `built_at` is RFC 3339 in UTC; `rows` is None for a view."""

    materialized: str
    code: str
    inputs: str
    built_at: str
    rows: int | None


def recorded(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, Built]:
    """Every model built in `schema`, by name; also those whose file is gone."""
    if ("_headwater", "models") not in relations(connection):
        return {}
    rows = connection.execute(
        'select name, materialized, code_hash, inputs_hash, built_at, "rows" '
        "from _headwater.models where schema_name = ?",
        [schema],
    ).fetchall()
    return {row[0]: Built(*row[1:]) for row in rows}


def record(connection: duckdb.DuckDBPyConnection, schema: str, name: str, built: Built) -> None:
    """Replace the model's row, in the transaction that is open."""
    books.make(connection)
    connection.execute(_TABLE)
    connection.execute(
        "insert or replace into _headwater.models values (?, ?, ?, ?, ?, ?, ?)",
        [schema, name, built.materialized, built.code, built.inputs, built.built_at, built.rows],
    )


def relations(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], str]:
    """`table` or `view` by (schema, name) in small letters: every relation of this database."""
    rows = connection.execute(
        "select schema_name, table_name, 'table' from duckdb_tables() where database_name = current_database() "
        "union all "
        "select schema_name, view_name, 'view' from duckdb_views() "
        "where database_name = current_database() and not internal"
    ).fetchall()
    return {(schema.casefold(), name.casefold()): kind for schema, name, kind in rows}


def inputs(
    connection: duckdb.DuckDBPyConnection, model: Model, built: Mapping[str, Built], versions: dict[str, str]
) -> str:
    """A hash of what the model would read now. `versions` keeps what was found of source tables, for the next
    model that reads them in the same session."""
    parts = [f"model {name} {built[name].built_at if name in built else '-'}" for name in sorted(model.parents)]
    for source in sorted(model.sources, key=lambda item: item.words):
        if source.words not in versions:
            versions[source.words] = _version(connection, source)
        parts.append(f"source {source.words} {versions[source.words]}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _version(connection: duckdb.DuckDBPyConnection, source: Reference) -> str:
    """Changes whenever the table's columns or rows do, whoever wrote them.

    A column `__loaded_at` is enough to tell: a row that changed was loaded again, at another instant, and a row
    that is gone is missing in the sum. Without it whole rows are hashed, at 20 million wide rows a second and core.
    """
    columns = connection.execute(f"describe {relation(source)}").fetchall()
    names = [column[0] for column in columns]
    hashed = quote("__loaded_at") if "__loaded_at" in names else "t"
    row = connection.execute(f"select count(*), sum(hash({hashed}))::varchar from {relation(source)} as t").fetchone()  # noqa: S608 - quoted
    return f"{[column[:2] for column in columns]} {row}"


def relation(source: Reference) -> str:
    """The table as SQL text."""
    return ".".join(quote(part) for part in (source.catalog, source.schema, source.table) if part)
