"""What tells a table's rows apart: the unique index on its keys, or on a hash that stands for them.

A B-tree of PostgreSQL takes no row beyond a third of a page, nor more than 32 columns. The table of a stream with
longer keys has the index on `__key_hash` instead. That is a generated column, so it is right whoever writes the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import names
from headwater.connect.destinations.history import CURRENT, VALID_FROM
from headwater.connect.destinations.postgres.connection import Connection, execute
from headwater.connect.destinations.postgres.tables import KEY_HASH, Column, Target, unsupported

# BTMaxItemSize of nbtree.h for pages of 8 KiB, as nearly every server has them. Of that an index row has a header, and
# where history is kept the moment that a version begins.
_MOST_INDEX_BYTES = 2704 - 8 - 8
# INDEX_MAX_KEYS of pg_config_manual.h, without that moment.
_MOST_INDEX_COLUMNS = 32 - 1
# More than a column takes beside its text: a length and alignment, or a number or a moment altogether.
_MOST_BESIDE_BYTES = 32
# `[1,1]` has two bytes of text for a value, and twelve in jsonb.
_JSONB_GROWTH = 6


def are_too_long(columns: Sequence[Column], values: Sequence[pa.Array]) -> bool:
    """Whether the key of some row may not fit into an index. `columns` are those of the key, `values` theirs."""
    if len(columns) > _MOST_INDEX_COLUMNS:
        return True
    sizes = pa.scalar(_MOST_BESIDE_BYTES * len(columns), pa.int64())
    for column, array in zip(columns, values, strict=True):
        if pa.types.is_string(array.type) or pa.types.is_binary(array.type):
            length = pc.binary_length(array).cast(pa.int64())
            sizes = pc.add(sizes, pc.multiply(length, _JSONB_GROWTH) if column.sql_type == "jsonb" else length)
    return bool((pc.max(sizes).as_py() or 0) > _MOST_INDEX_BYTES)


def hash_column(table: Target) -> str:
    """The definition of the column with the keys' hash. It is that of MariaDB's tables, and the hash is the same for
    texts, bytes, booleans, integers and decimals: two keys never have the same text, for `.` is no digit."""
    sql_types = {column.name: column.sql_type for column in table.columns}
    values = (_bytes(key, sql_types[key]) for key in table.keys)
    text = " || '.' || ".join(f"upper(encode({value}, 'hex') collate \"C\")" for value in values)
    return f"{KEY_HASH} bytea generated always as (sha256(decode({text}, 'escape'))) stored not null"


def same_key(table: Target, one: str, other: str) -> str:
    """The condition that a row of one relation has the key of a row of the other."""
    return " and ".join(f"{one}.{names.quote(name)} = {other}.{names.quote(name)}" for name in table.matched)


def is_hashed(connection: Connection, at: str) -> bool:
    """Whether the table has the hash of its keys."""
    row = connection.execute(
        "select 1 from pg_attribute where attrelid = %s::regclass and attname = %s and attgenerated <> ''",
        [at, KEY_HASH],
    ).fetchone()
    return row is not None


def add(connection: Connection, table: Target, at: str) -> None:
    """Give `at` the unique index; where it keeps history, of a key's versions one is current. One on the keys goes when
    it is to be on their hash. Raises psycopg.errors.UniqueViolation when two rows have the same."""
    listed = KEY_HASH if table.is_hashed else ", ".join(map(names.quote, table.keys))
    kind, steps = "primary key", []
    if table.is_hashed:
        if not table.is_new:
            kind = _drop_unhashed(connection, table, at)
        steps.append(f"add column if not exists {hash_column(table)}")
    steps.append(f"add {kind} ({listed}, {VALID_FROM})" if table.keeps_history else f"add {kind} ({listed})")
    execute(connection, f"alter table {at} {', '.join(steps)}")
    if table.keeps_history:
        execute(connection, f"create unique index on {at} ({listed}) where {CURRENT}")


def hash_keys(connection: Connection, table: Target, at: str) -> None:
    """Put the hash of the keys in their place. Raises InputError (`unsupported-change`) where others need them."""
    try:
        add(connection, table, at)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.DependentObjectsStillExist) as error:
        raise unsupported(
            table.stream,
            None,
            f"its keys are too long for an index, and their hash can't take their place: {error.diag.message_primary}",
            "drop the foreign keys that refer to the table, or move it out of the way and load it anew",
        ) from error
    except psycopg.errors.NotNullViolation as error:
        raise unsupported(
            table.stream,
            None,
            f"its keys are too long for an index, and `{table.schema}.{table.table}` has rows without one",
            "delete those rows, or move the table out of the way and load it anew",
        ) from error


def drop_stale(connection: Connection, table: Target) -> None:
    """Drop the constraint of former keys, if it still is there."""
    if table.stale_key:
        execute(connection, f"alter table {table.sql} drop constraint if exists {names.quote(table.stale_key)}")


def _drop_unhashed(connection: Connection, table: Target, at: str) -> str:
    """Drop the unique indexes on the keys themselves; answers what the one on their hash can be."""
    kind = "primary key"
    for index, constraint, is_primary, columns in connection.execute(
        "select i.indexrelid::regclass::text, c.conname, i.indisprimary, "
        "array(select a.attname::text from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey)) "
        "from pg_index i left join pg_constraint c on c.conindid = i.indexrelid and c.conrelid = i.indrelid "
        "and c.contype in ('p', 'u') where i.indrelid = %s::regclass and i.indisunique and i.indexprs is null",
        [at],
    ).fetchall():
        if set(columns) - {VALID_FROM} != set(table.keys):
            kind = "unique" if is_primary else kind
        elif constraint is not None:
            execute(connection, f"alter table {at} drop constraint {names.quote(constraint)}")
        else:
            execute(connection, f"drop index {index}")
    return kind


def _bytes(name: str, sql_type: str) -> str:
    """SQL for a value's bytes, by functions that no setting of a session changes."""
    column = names.quote(name)
    match sql_type:
        case "bytea":
            return column
        case "double precision":
            return f"float8send({column} + 0)"  # -0.0 is 0.0
        case "real":
            return f"float4send({column} + 0::real)"
        case "date":
            return f"date_send({column})"
        case "time without time zone":
            return f"time_send({column})"
        case "timestamp with time zone":
            return f"timestamptz_send({column})"
        case "timestamp without time zone":
            return f"timestamp_send({column})"
        case "boolean":
            text = f"{column}::int::text"
        case "numeric":  # 1.50 is 1.5
            digits = f"{column}::text"
            text = f"case when scale({column}) > 0 then rtrim(rtrim({digits}, '0'), '.') else {digits} end"
        case _:
            text = f"{column}::text"
    return rf"""decode(replace(({text}) collate "C", '\', '\\'), 'escape')"""
