"""The contract's column types as DuckDB's, both ways, and how stored values go from one to another."""

from __future__ import annotations

import re

import pyarrow as pa

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD

# Arrow to DuckDB; decimals carry their own precision and JSON is told by its metadata.
_SQL_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.time64("us"): "TIME",
    pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE",
}
# The other way round also types that other tools make; they grow into ours without loss.
_ARROW_TYPES = {sql: arrow for arrow, sql in _SQL_TYPES.items()} | {
    "TINYINT": pa.int64(),
    "SMALLINT": pa.int64(),
    "INTEGER": pa.int64(),
    "UTINYINT": pa.int64(),
    "USMALLINT": pa.int64(),
    "UINTEGER": pa.int64(),
    "HUGEINT": pa.decimal128(38, 0),
    "FLOAT": pa.float64(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "UUID": pa.string(),
}


def sql_type(field: pa.Field) -> str:
    """DuckDB's type for a column of the contract."""
    if types.is_json(field):
        return "JSON"
    if pa.types.is_decimal128(field.type):
        return f"DECIMAL({field.type.precision},{field.type.scale})"
    return _SQL_TYPES[field.type]


def field_of(sql: str) -> pa.Field | None:
    """The contract's type for a DuckDB type, None when it has no like."""
    if sql == "JSON":
        return pa.field("", pa.string(), metadata=JSON_FIELD)
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", sql):
        return pa.field("", pa.decimal128(int(match[1]), int(match[2])))
    arrow = _ARROW_TYPES.get(sql)
    return None if arrow is None else pa.field("", arrow)


def conversion(column: str, old: pa.DataType, new: pa.DataType) -> tuple[str, str | None]:
    """SQL that converts a quoted column, and SQL that is true for a value the conversion would change (None when it
    changes none). Stored values become what `types.cast` makes of new ones; a test holds both together."""
    if types.kind(new) == "string":
        return _TEXT.get(types.kind(old), "{0}::varchar").format(column), None
    after = sql_type(pa.field("", new))
    if types.is_sure(old, new):
        return f"{column}::{after}", None
    if types.kind(old) == "float64":
        # By way of its text: DuckDB rounds a double to the scale without a word.
        using = f"{column}::varchar::{after}"
        return using, f"try_cast({column}::varchar as {after})::double is distinct from {column}"
    if types.kind(old) == "int64" and types.kind(new) == "float64":
        return f"{column}::{after}", f"{column}::double::hugeint is distinct from {column}"
    # The scale never shrinks, so a decimal either fits exactly or not at all.
    return f"{column}::{after}", f"{column} is not null and try_cast({column} as {after}) is null"


_TEXT = {
    # `5.0` is `5` and `1e-07` is `1e-7` in the text form of `types.cast`.
    "float64": r"regexp_replace(regexp_replace({0}::varchar, '\.0$', ''), 'e([+-])0', 'e\1')",
    "time64": "strftime(date '2000-01-01' + {0}, '%H:%M:%S.%f')",
    "timestamp": "strftime({0}, '%Y-%m-%dT%H:%M:%S.%fZ')",
}
