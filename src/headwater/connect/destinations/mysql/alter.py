"""The changes of tables that lead to a `tables.Target`.

MariaDB and MySQL commit each of them by itself, so all are done before a load's transaction begins. Each step leaves a
table that the next attempt can go on from: names go into the books first, and a column that needs its values written
anew gets them aside and takes its place in one statement.
"""

from __future__ import annotations

import pymysql

from headwater.connect import names
from headwater.connect.contract import Change
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.connect.destinations.mysql import books, refusals
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.tables import KEY, KEY_HASH, LOADED_AT, Target, Widening


def reach(connection: Connection, table: Target, *, notes_keys: tuple[str, ...] | None) -> list[Change]:
    """Make the table able to hold the stream. The books get the names, with the keys that the table then has; None
    leaves the books alone."""
    if notes_keys is not None and not (table.is_noted and notes_keys == table.keys):
        books.write_names(
            connection,
            table.table,
            stream=table.stream,
            keys=notes_keys,
            named={source: (one.name, one.declared) for source, one in table.noted.items()},
        )
    if table.is_new:
        _create(connection, table)
    else:
        _alter(connection, table)
    return _changes(table)


def lossy_widenings(connection: Connection, table: Target) -> list[str]:
    """Source names of the columns with a value that the type they should grow to can't hold exactly."""
    source_of = {column.name: column.source for column in table.columns}
    return [
        source_of[one.column.name]
        for one in table.widened
        if one.how.lossy and connection.rows(f"select 1 from {table.sql} where {one.how.lossy} limit 1")
    ]


def column_sql(table: Target, sql_type: str, *, is_json: bool = False) -> str:
    """A type with what tells any two of its texts apart."""
    if sql_type == "longtext" or sql_type.startswith("varchar("):
        # As the type that MariaDB calls JSON, but for the check: that refuses more than 31 levels.
        return f"{sql_type} character set utf8mb4 collate {'utf8mb4_bin' if is_json else table.collation}"
    return sql_type


def _create(connection: Connection, table: Target) -> None:
    kept = [f"{quote(name)} {declared(table, name, sql)}" for name, sql in table.added]
    kept.append(f"{quote(LOADED_AT)} datetime(6) not null")
    if table.keeps_history:
        kept += [f"{VALID_FROM} datetime(6) not null", f"{VALID_TO} datetime(6)"]
    kept += new_key(table, adds=False)
    connection.run(
        f"create table if not exists {table.sql} ({', '.join(kept)}) engine = InnoDB "
        f"character set utf8mb4 collate {table.collation}"
    )


def declared(table: Target, name: str, sql_type: str) -> str:
    """A column's type in a definition."""
    field = next((column.type for column in table.columns if column.name == name), None)
    is_json = field is not None and bool(field.metadata) and b"headwater.type" in field.metadata
    return column_sql(table, sql_type, is_json=is_json and name not in table.keys)


def new_key(table: Target, *, adds: bool) -> list[str]:
    """What a table's definition says of a key that is to be made, or with `adds` the steps that add it."""
    if not table.new_key:
        return []
    add = "add " if adds else ""
    if not table.is_hashed:
        return [f"{add}{one}" for one in ordered_keys(table, "primary key")]
    column = "add column " if adds else ""
    return [
        f"{column}{quote(KEY_HASH)} binary(32) generated always as ({key_hash(table)}) stored",
        f"{add}unique key {quote(KEY_HASH)} ({', '.join(map(quote, table.unique))})",
    ]


def ordered_keys(table: Target, kind: str) -> list[str]:
    """The unique index, of that kind, and for versions one that finds those of a key."""
    unique = f"{kind} ({', '.join(map(quote, table.unique))})"
    found = f"key {quote(KEY)} ({', '.join(map(quote, table.keys))})"
    return [unique, found] if table.keeps_history else [unique]


def key_hash(table: Target) -> str:
    """SQL for the hash that stands for a row's keys."""
    parts = ", '.', ".join(f"hex(cast({quote(key)} as binary))" for key in table.keys)
    return f"unhex(sha2(concat({parts}), 256))"


def _alter(connection: Connection, table: Target) -> None:
    steps = [f"add column {quote(name)} {declared(table, name, sql)}" for name, sql in table.added]
    before: list[str] = []
    old_key, added_key = table.old_key, new_key(table, adds=True)
    for one in table.widened:
        if one.how.expression is None:
            steps.append(f"modify column {quote(one.column.name)} {_kept(table, one)}")
            continue
        aside = f"__new_{names.digest(one.column.name)}"
        _write_anew(connection, table, one, aside)
        steps += [
            f"drop column {quote(one.column.name)}",
            f"change column {quote(aside)} {quote(one.column.name)} {_kept(table, one)}",
        ]
        if one.column.name in table.keys and table.key_index and not added_key:
            old_key = table.key_index
            added_key = [
                f"add {one}" for one in ordered_keys(table, "primary key" if old_key == "PRIMARY" else "unique key")
            ]
    if old_key:
        before.append("drop primary key" if old_key == "PRIMARY" else f"drop index {quote(old_key)}")
    if old_key and table.keeps_history:
        before.append(f"drop index {quote(KEY)}")
    if table.drops_hash:
        before.append(f"drop column {quote(KEY_HASH)}")
    if not (before or steps or added_key):
        return
    try:
        connection.run(f"alter table {table.sql} {', '.join([*before, *steps, *added_key])}")
    except pymysql.err.Error as error:
        if error.args and error.args[0] in _IN_USE:
            changed = ", ".join(one.column.name for one in table.widened) or None
            raise refusals.unsupported(
                table.stream,
                changed,
                str(error.args[1]),
                "drop what depends on the column, or move the table out of the way and load it anew",
            ) from error
        raise


# Foreign keys, generated columns and constraints on the column.
_IN_USE = frozenset((1832, 1833, 1829, 1828, 3108, 1553, 1901, 4025, 3959))


def _kept(table: Target, one: Widening) -> str:
    nullable = "" if one.column.is_nullable else " not null"
    comment = f" comment '{_text(one.column.comment)}'" if one.column.comment else ""
    return f"{declared(table, one.column.name, one.after)}{nullable}{comment}"


def _text(words: str) -> str:
    return words.replace("\\", "\\\\").replace("'", "''")


def _write_anew(connection: Connection, table: Target, one: Widening, aside: str) -> None:
    """A column beside the old one, with its values in the new form. One that an attempt left is made anew."""
    if connection.rows(
        "select 1 from information_schema.columns where table_schema = %s and table_name = %s and column_name = %s",
        [table.schema, table.table, aside],
    ):
        connection.run(f"alter table {table.sql} drop column {quote(aside)}")
    after = column_sql(table, one.after)
    connection.run(f"alter table {table.sql} add column {quote(aside)} {after} after {quote(one.column.name)}")
    connection.run(f"update {table.sql} set {quote(aside)} = {one.how.expression}")


def _changes(table: Target) -> list[Change]:
    source_of = {column.name: column.source for column in table.columns}
    if table.is_new:
        shaped = [_changed(table, None, "table-created", f"{table.schema}.{table.table}")]
    else:
        shaped = [
            _changed(table, source_of[name], "column-added", sql) for name, sql in table.added if name in source_of
        ]
    return [
        *shaped,
        *(_changed(table, source, "renamed", f"{source} → {table.noted[source].name}") for source in table.renamed),
        *(
            _changed(table, one.column.name, "column-widened", f"{one.column.sql_type} → {one.after}")
            for one in table.widened
        ),
    ]


def _changed(table: Target, column: str | None, change: str, detail: str) -> Change:
    return Change(stream=table.stream, column=column, change=change, detail=detail)
