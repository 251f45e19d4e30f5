"""What a SQLite file offers: its tables and views."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from headwater.connect.names import quote
from headwater.connect.sources.queries import Table
from headwater.connect.sources.sqlite.columns import column, is_declared

_SCHEMA = "main"
_SAMPLE = 1000  # rows of a table whose declarations say nothing
_GENERATED = (0, 2, 3)  # columns that are not hidden in a virtual table
# As `pragma table_xinfo`, but for the defaults: they may be no UTF-8.
_LISTED = """select cid, name, type, "notnull", null, pk, hidden from pragma_table_xinfo(?, 'main')"""

Rows = list[tuple[Any, ...]]


def tables(connection: sqlite3.Connection) -> list[Table]:
    """By name. A view that names what is gone is none."""
    return [found for name, is_view in _names(connection) if (found := _table(connection, name, is_view=is_view))]


def _names(connection: sqlite3.Connection) -> Iterator[tuple[str, bool]]:
    # What a full text index keeps for itself is a table to older versions.
    listed = connection.execute("pragma main.table_list").fetchall()
    shadows = {name for _, name, kind, *_ in listed if kind == "shadow"}
    query = "select name, type from main.sqlite_master where type in ('table', 'view') order by name"
    for name, kind in connection.execute(query).fetchall():
        if not name.startswith("sqlite_") and name not in shadows:
            yield name, kind == "view"


def _table(connection: sqlite3.Connection, name: str, *, is_view: bool) -> Table | None:
    try:
        listed: Rows = connection.execute(_LISTED, (name,)).fetchall()
    except sqlite3.OperationalError:
        if is_view:
            return None
        raise
    listed = [row for row in listed if row[6] in _GENERATED]
    keys = sorted((row[5], row[1]) for row in listed if row[5])
    found = _found(connection, name, [one for _, one, declared, *_ in listed if not is_declared(declared)])
    # Another name of the row's number, which can't be null.
    number = keys[0][1] if len(keys) == 1 and any(row[5] and row[2].upper() == "INTEGER" for row in listed) else None
    return Table(
        schema=_SCHEMA,
        name=name,
        is_view=is_view,
        columns=tuple(
            column(one, declared, found.get(one, frozenset()), not_null=bool(not_null) or one == number)
            for _, one, declared, not_null, *_ in listed
        ),
        keys=tuple(one for _, one in keys),
        lies_by=number,
    )


def _found(connection: sqlite3.Connection, table: str, columns: list[str]) -> dict[str, frozenset[str]]:
    """The kinds of values in the first rows."""
    if not columns:
        return {}
    kinds = ", ".join(f"group_concat(distinct typeof({quote(one)}))" for one in columns)
    row = connection.execute(f"select {kinds} from (select * from main.{quote(table)} limit {_SAMPLE})").fetchone()
    return {one: frozenset((text or "").split(",")) for one, text in zip(columns, row, strict=True)}
