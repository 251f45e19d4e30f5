"""What the database holds for a stream: its table, its columns, its unique indexes, as they are now."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headwater.connect.destinations.bookkeeping import NamedColumn
from headwater.connect.destinations.mysql import books
from headwater.connect.destinations.mysql.called import identifiers
from headwater.connect.destinations.mysql.connection import Connection
from headwater.connect.destinations.mysql.sql_types import normal


class LiveColumn(Struct, frozen=True, kw_only=True):
    """A column as it is in the database. `is_required` ones have to be sent: NOT NULL without a default. Those that are
    `is_generated` can't be written."""

    name: str
    sql_type: str
    charset: str | None
    collation: str | None
    is_nullable: bool
    is_required: bool
    is_generated: bool
    comment: str


class Held(Struct, frozen=True, kw_only=True):
    """What the database holds for one stream. `kind` is the table's type in information_schema, None when there is
    none. `unique` has the columns of each unique index by its name; those of an index on parts of columns are left
    out, so it matches no key. `noted` and `keys` are the books' words; `keys` is None for a table not in the books."""

    schema: str
    stream: str
    table: str
    collation: str
    kind: str | None
    engine: str | None
    live: dict[str, LiveColumn]
    unique: dict[str, tuple[str, ...]]
    noted: dict[str, NamedColumn]
    keys: tuple[str, ...] | None


def look(connection: Connection, stream: str) -> Held:
    """What the database holds for a stream now."""
    has_books = books.exist(connection)
    streams = books.streams(connection) if has_books else {}
    # A table made by others is met by its name; those of our other streams are avoided.
    known = {name: table for name, (table, _) in streams.items()}
    folds = connection.server.folds_case
    table = identifiers([stream], fold_case=folds, reserved=books.NAMES, known=known)[stream]
    noted = books.columns(connection, table) if has_books else []
    return inspect(
        connection,
        table,
        stream=stream,
        keys=streams[stream][1] if stream in streams else None,
        noted={source: NamedColumn(name=column, declared=declared) for source, column, declared in noted},
    )


def inspect(
    connection: Connection, table: str, *, stream: str, keys: tuple[str, ...] | None, noted: dict[str, NamedColumn]
) -> Held:
    """A table by its name. information_schema compares names its own way, so the answers are sifted here."""
    folds = connection.server.folds_case
    place = [connection.schema, table]

    def is_it(found: str) -> bool:
        return found == table or (folds and found.casefold() == table.casefold())

    kinds = connection.rows(
        "select table_name, table_type, engine from information_schema.tables "
        "where table_schema = %s and table_name = %s",
        place,
    )
    columns = connection.rows(
        "select table_name, column_name, column_type, character_set_name, collation_name, is_nullable, column_default, "
        "extra, column_comment from information_schema.columns where table_schema = %s and table_name = %s "
        "order by ordinal_position",
        place,
    )
    indexes = connection.rows(
        "select table_name, index_name, column_name, sub_part from information_schema.statistics "
        "where table_schema = %s and table_name = %s and non_unique = 0 order by index_name, seq_in_index",
        place,
    )
    unique: dict[str, tuple[str, ...]] = {}
    for found, index, column, part in indexes:
        if is_it(found):
            unique[index] = (*unique.get(index, ()), f"{column}({part})" if part else column or "?")
    kind = next((one for one in kinds if is_it(one[0])), (None, None, None))
    return Held(
        schema=connection.schema,
        stream=stream,
        table=table,
        collation=connection.server.collation,
        kind=kind[1],
        engine=kind[2],
        live={one[1]: _live(one) for one in columns if is_it(one[0])},
        unique=unique,
        noted=noted,
        keys=keys,
    )


def _live(found: tuple[Any, ...]) -> LiveColumn:
    _, name, sql, charset, collation, nullable, default, extra, comment = found
    is_filled = default is not None or any(word in extra.lower() for word in ("auto_increment", "generated"))
    return LiveColumn(
        name=name,
        sql_type=normal(sql),
        charset=charset,
        collation=collation,
        is_nullable=nullable == "YES",
        is_required=nullable == "NO" and not is_filled,
        is_generated=any(word in extra.lower() for word in ("virtual", "stored", "persistent", "auto_increment")),
        comment=comment,
    )
