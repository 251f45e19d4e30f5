"""Rows that another PostgreSQL takes as they are: for which streams that does, and what is selected then.

The query brings each value into the type that its column has in the contract. A value that would have to be looked at
(an infinite moment, no number, a long key) is none that a query can speak of: it fails, and the rows are read as Arrow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
from msgspec.structs import replace

from headwater.connect import encoded, types
from headwater.connect.names import quote
from headwater.connect.sources.postgres.columns import Column, Source
from headwater.connect.sources.postgres.query import Query

# Types whose bounds are those of their columns in the contract, and the values that PostgreSQL has beyond those.
_BOUNDED = {
    "date": "between '0001-01-01' and '9999-12-31'",
    "time": "< '24:00:00'",
    "timestamp": "between '0001-01-01 00:00:00+00' and '9999-12-31 23:59:59.999999+00'",
}
# Keys with more get a hash in the destination, which tells so by looking at them. A column takes some bytes more than
# its text.
_KEY_BYTES = 2600
_BESIDE_BYTES = 32
_KEY_COLUMNS = 31
_DAYS = 10_957  # from 1970-01-01 to 2000-01-01, where PostgreSQL begins to count
_MICROSECONDS = _DAYS * 86_400_000_000


def query(asked: Query) -> Query | None:
    """The query whose rows in binary COPY are to be passed on; None for a stream with a column whose type is told by
    its values, or whose keys are not sure to tell its rows apart."""
    sources = {one.name: one for one in asked.table.columns}
    if asked.keys and (asked.keys != asked.table.keys or len(asked.keys) > _KEY_COLUMNS):
        return None
    longest = _KEY_BYTES // max(1, len(asked.keys)) - _BESIDE_BYTES
    found = []
    for one in asked.columns:
        source = sources.get(one.name)
        if source is None:  # what the log says of a row: no column of the table
            found.append(one)
            continue
        sql = _encoded(one, source, longest=longest if one.name in asked.keys else None)
        if sql is None:
            return None
        found.append(replace(one, sql=sql))
    return replace(asked, columns=tuple(found))


def schema(asked: Query, *, in_blocks: bool) -> pa.Schema:
    """That of the batches."""
    columns = pa.schema([one.field for one in asked.columns])
    return encoded.column(encoded.POSTGRES_COPY, columns, is_unique=bool(asked.keys), in_blocks=in_blocks)


def last(asked: Query, rows: pa.Array) -> pa.RecordBatch:
    """The cursor's value in the last row; a batch without columns when there is no cursor."""
    if asked.cursor is None:
        return pa.record_batch({})
    at = [one.name for one in asked.columns].index(asked.cursor)
    field = asked.columns[at].field
    value = list(_fields(rows[-1].as_buffer().to_pybytes()))[at]
    return pa.record_batch({asked.cursor: pa.array([None if value is None else _value(value, field.type)], field.type)})


def _encoded(column: Column, source: Source, *, longest: int | None) -> str | None:
    name, kind = f"t.{quote(column.name)}", types.kind(column.field.type)
    if longest is not None and (types.is_json(column.field) or not source.not_null):
        return None
    if types.is_json(column.field):
        # What jsonb does not hold, json may.
        return None if source.base == "json" and not source.is_array else column.sql.removesuffix("::text")
    match kind:
        case "int64":
            return f"{name}::pg_catalog.int8"
        case "float64":
            return f"{name}::pg_catalog.float8"
        case "decimal":
            return None if column.is_open else _checked(f"{name}::pg_catalog.numeric", "<> 'NaN'")
        case "timestamp":
            return _checked(f"{name}::pg_catalog.timestamptz", _BOUNDED["timestamp"])
        case "date32":
            return _checked(column.sql, _BOUNDED["date"])
        case "time64":
            return _checked(column.sql, _BOUNDED["time"])
        case "string" | "binary" if longest is not None:
            return _checked(column.sql, f"<= {longest}", of="pg_catalog.octet_length({})")
    return column.sql


def _checked(value: str, holds: str, of: str = "{}") -> str:
    """The value, or an error where something else is true of it."""
    error = f"('beyond what a stream holds: ' || ({value})::text)::pg_catalog.int8"
    return f"case when {of.format(value)} {holds} or {value} is null then {value} when {error} is null then null end"


def _fields(row: bytes) -> Iterator[bytes | None]:
    at = 2
    while at < len(row):
        (size,) = struct.unpack_from(">i", row, at)
        at += 4
        yield None if size < 0 else row[at : at + size]
        at += max(size, 0)


def _value(value: bytes, to: pa.DataType) -> Any:
    match types.kind(to):
        case "int64":
            return struct.unpack(">q", value)[0]
        case "float64":
            return struct.unpack(">d", value)[0]
        case "date32":
            return struct.unpack(">i", value)[0] + _DAYS
        case "timestamp":
            return struct.unpack(">q", value)[0] + _MICROSECONDS
        case "decimal":
            return _number(value)
    return value.decode()


def _number(value: bytes) -> Decimal:
    count, weight, sign, _scale = struct.unpack_from(">hhHh", value)
    digits = struct.unpack_from(f">{count}h", value, 8)
    number = sum((Decimal(digit).scaleb(4 * (weight - place)) for place, digit in enumerate(digits)), Decimal())
    return -number if sign else number
